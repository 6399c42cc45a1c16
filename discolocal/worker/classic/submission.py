"""What the classic worker puts into the job dict (reference 1.3, 1.5)."""

from __future__ import annotations

import re
import sys
from types import MethodType
from typing import Any

from discolocal.error import DiscoError
from discolocal.worker import client
from discolocal.worker.base import Worker
from discolocal.worker.classic.implied import Sent, implied_names
from discolocal.worker.classic.worker import NEVER_NONE, STREAMS
from discolocal.worker.serving import short_repr
from discolocal.worker.stages import stage_dict
from discolocal.worker.task_io import argument_count

_FUNCTIONS = ("map", "map_init", "map_reader", "combiner", "partition", "reduce", "reduce_init", "reduce_reader")
_SORT_BUFFER = re.compile(r"[0-9]+[%bkKmMgGtTPEZYRQ]?")


def classic_dict(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """The keys of the job dict that only classic jobs have. Raises DiscoError naming a parameter that cannot work."""

    external = _check_external(worker, job, jobargs)
    for name in _FUNCTIONS:
        if name not in external:
            client.check_function(worker, job, jobargs, name)
    for name in ("map_shuffle", "shuffle"):
        if worker.getitem(name, job, jobargs):
            raise DiscoError(f"{name} has no effect on any cluster: the map outputs of a node are always joined")
    _check_values(worker, job, jobargs)
    _warn_implied(worker, job, jobargs)
    _warn_methods(worker, job, jobargs)
    _warn_none(worker, job, jobargs)
    return stage_dict(worker, job, jobargs)


def _warn_implied(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    modules = worker.getitem("required_modules", job, jobargs) or ()
    required = {item if isinstance(item, str) else item[0] for item in modules if not isinstance(item, Sent)}
    values = [worker.getitem(name, job, jobargs) for name in worker]
    sent = {item for item in modules if isinstance(item, Sent)}
    found = {**implied_names(values), **(implied_names(values, sent.__contains__) if sent else {})}
    named = [f"{function} names the module {module}" for module, function in found.items() if module not in required]
    if named:
        client.warn(
            "implied-module",
            f"{', '.join(named)}, which nobody imports; it is supplied here, on a cluster with Python 3.6 or later it"
            " is a NameError: import it, or name it in required_modules",
        )


def _warn_methods(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Warn of bound methods where a cluster counts parameters to know what to pass: it counts `self` as one."""
    found = []
    for name in ("map_reader", "reduce_reader", *STREAMS, "reduce"):
        value = worker.getitem(name, job, jobargs)
        for function in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(function, MethodType) and (name != "reduce" or argument_count(function) == 2):
                found.append(f"{name} {function.__qualname__}")
    if found:
        client.warn(
            "method-parameters",
            f"{', '.join(found)}: a cluster counts the first parameter of a method as well, and calls it with too many"
            " or too few arguments; make it a staticmethod",
        )


def _check_external(worker: Worker, job: Any, jobargs: dict[str, Any]) -> set[str]:
    """Check external programs and their parameters; returns which of map and reduce are such programs."""
    programs = {name: worker.getitem(name, job, jobargs) for name in ("map", "reduce")}
    external = {name: program for name, program in programs.items() if isinstance(program, dict)}
    params = worker.getitem("ext_params", job, jobargs)
    if not external:
        if params:
            raise DiscoError("ext_params belong to external programs, and neither map nor reduce is one: use params")
        return set()
    from discolocal.worker.classic.external import check, check_params

    for name, program in external.items():
        check(name, program)
    check_params(params)
    return set(external)


def _warn_none(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Warn of what is None and has the default's place here, but not on a cluster."""
    given = [name for name in NEVER_NONE if Worker.getitem(worker, name, job, jobargs) is None]
    if "partition" in given and not worker.getitem("partitions", job, jobargs):
        given.remove("partition")  # nobody calls it
    if given:
        client.warn(
            "none-parameter",
            f"{', '.join(given)} of the job {'is' if len(given) == 1 else 'are'} None, which stands for the default"
            " here: on a cluster every task fails with a TypeError; leave out what is to have its default",
        )


def _check_values(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    for name in STREAMS:
        streams = worker.getitem(name, job, jobargs)
        parts = list(streams) if client.is_iterable(streams) else [streams]
        # A reader alone may open what it reads.
        enough = parts or ("_input_" in name and worker.getitem(name.replace("input_stream", "reader"), job, jobargs))
        if not enough or not all(callable(part) for part in parts):
            raise DiscoError(f"{name} must be a stream function or a sequence of them, not {short_repr(streams)}")
    interval = worker.getitem("status_interval", job, jobargs)
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 0:
        raise DiscoError(f"status_interval must be a number of records, 0 for no messages, not {short_repr(interval)}")
    size = worker.getitem("sort_buffer_size", job, jobargs)
    if not _SORT_BUFFER.fullmatch(str(size)):
        raise DiscoError(
            f"sort_buffer_size must be a size for `sort -S` such as '10%' or '64M', not {short_repr(size)}"
        )
    check_python(worker, job, jobargs)


def check_python(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Check `encoding` and `version`. Raises DiscoError for what every task would refuse."""
    encoding = worker.getitem("encoding", job, jobargs)
    if encoding is not None:
        import codecs

        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError, ValueError):
            raise DiscoError(
                f"encoding must be the name of a codec, or None for bytes, not {short_repr(encoding)}"
            ) from None
    version = worker.getitem("version", job, jobargs)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if version != here:
        raise DiscoError(f"version={short_repr(version)}: tasks run under this process's Python, which is {here!r}")
