"""What the classic worker puts into the job dict (reference 1.3, 1.5)."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.worker import client
from discolocal.worker.classic.implied import implied_names
from discolocal.worker.serving import short_repr
from discolocal.worker.stages import stage_dict

if TYPE_CHECKING:
    from discolocal.worker.base import Worker

_FUNCTIONS = ("map", "map_init", "map_reader", "combiner", "partition", "reduce", "reduce_init", "reduce_reader")
_STREAMS = ("map_input_stream", "map_output_stream", "reduce_input_stream", "reduce_output_stream")
_SORT_BUFFER = re.compile(r"[0-9]+[%bkKmMgGtTPEZYRQ]?")


def classic_dict(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """The keys of the job dict that only classic jobs have. Raises DiscoError naming a parameter that cannot work."""

    _refuse_external(worker, job, jobargs)
    for name in _FUNCTIONS:
        client.check_function(worker, job, jobargs, name)
    _check_values(worker, job, jobargs)
    _warn_implied(worker, job, jobargs)
    return stage_dict(worker, job, jobargs)


def _warn_implied(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    required = {
        item if isinstance(item, str) else item[0] for item in worker.getitem("required_modules", job, jobargs) or ()
    }
    found = implied_names(worker.getitem(name, job, jobargs) for name in worker)
    named = [f"{function} names the module {module}" for module, function in found.items() if module not in required]
    if named:
        client.warn(
            "implied-module",
            f"{', '.join(named)}, which nobody imports; it is supplied here, on a cluster with Python 3.6 or later it"
            " is a NameError: import it, or name it in required_modules",
        )


def _refuse_external(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    for name in ("map", "reduce"):
        if isinstance(worker.getitem(name, job, jobargs), dict):
            raise client.refusal(
                "external-program",
                f"{name} is an external program, and these are not supported: give a Python function",
            )
    if worker.getitem("ext_params", job, jobargs):
        raise DiscoError("ext_params belong to external programs, which are not supported: use params")
    for name in ("map_shuffle", "shuffle"):
        if worker.getitem(name, job, jobargs):
            raise DiscoError(f"{name} has no effect on any cluster: the map outputs of a node are always joined")


def _check_values(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    for name in _STREAMS:
        streams = worker.getitem(name, job, jobargs)
        parts = list(streams) if client.is_iterable(streams) else [streams]
        if not parts or not all(callable(part) for part in parts):
            raise DiscoError(f"{name} must be a stream function or a sequence of them, not {short_repr(streams)}")
    interval = worker.getitem("status_interval", job, jobargs)
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 0:
        raise DiscoError(f"status_interval must be a number of records, 0 for no messages, not {short_repr(interval)}")
    size = worker.getitem("sort_buffer_size", job, jobargs)
    if not _SORT_BUFFER.fullmatch(str(size)):
        raise DiscoError(
            f"sort_buffer_size must be a size for `sort -S` such as '10%' or '64M', not {short_repr(size)}"
        )
    encoding = worker.getitem("encoding", job, jobargs)
    if encoding is not None:
        import codecs

        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError, ValueError):
            raise DiscoError(
                f"encoding must be the name of a codec, or None for bytes, not {short_repr(encoding)}"
            ) from None
    _check_version(worker.getitem("version", job, jobargs))


def _check_version(version: Any) -> None:
    """Refuse what every task would refuse: its Python is the one of this process."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if version != here:
        raise DiscoError(f"version={short_repr(version)}: tasks run under this process's Python, which is {here!r}")
