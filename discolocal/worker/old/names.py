"""Old names of modules that are still there, and what they are called today (reference 11.2).

A module leaves its old names to `old_name`, in its ``__getattr__``. Nothing is imported for them until they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from discolocal.worker.old.warning import deprecated

_STREAM = "the default streams, which take any object"
RECORDS = {
    "map_line_reader": "map_reader=None, and strip the end of the line in the map",
    "netstr_reader": "chain_reader of discolocal.worker.task_io, which reads both formats",
    "netstr_writer": "plain_output_stream of discolocal.worker.task_io",
    "object_reader": _STREAM,
    "object_writer": _STREAM,
}
"""The readers and writers of `discolocal.worker.old.records` that jobs named, and what to use today."""

MESSAGES = {
    "msg": "print",
    "err": "raise DiscoError(message) of discolocal.error",
    "data_err": "raise DataError(message, url) of discolocal.error",
}
"""The functions with which tasks spoke before 0.5, and what to use today."""

_messages = {name: (f"worker.old.messages.{name}", today) for name, today in MESSAGES.items()}
_classic_file = {"ClassicFile": ("worker.task_io.StreamCombiner", "StreamCombiner of discolocal.worker.task_io")}
_NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "core": {
        "JobDict": ("worker.old.jobdict.JobDict", "the parameters themselves, and Job.pack() for what is submitted"),
        "JobException": ("error.JobError", "JobError of discolocal.error"),
        "Params": ("worker.params.Params", "Params of discolocal.worker"),
        "classic_iterator": ("core.result_iterator", "result_iterator"),
    },
    "func": {
        f"{stage}_{way}_stream": (
            f"worker.task_io.task_{way}_stream",
            f"task_{way}_stream of discolocal.worker.task_io",
        )
        for stage in ("map", "reduce")
        for way in ("input", "output")
    },
    "node.worker": _messages,
    "util": {
        **_messages,
        "urllist": ("worker.old.urls.urllist", "inputexpand"),
    },
    "worker.classic.func": {
        **{name: (f"worker.old.records.{name}", today) for name, today in RECORDS.items()},
        "disk_sort": ("util.disk_sort", "disk_sort of discolocal.util"),
        "unix_sort": ("util.unix_sort", "unix_sort of discolocal.util"),
    },
    "worker.classic.worker": _classic_file,
    "worker.task_io": _classic_file,
}


def old_name(module: str, name: str) -> Any:
    """The object of an old name of `module`, with a DeprecationWarning. Raises AttributeError for any other name."""
    package, _, rest = module.partition(".")
    found = _NAMES.get(rest, {}).get(name)
    if found is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    place, today = found
    home, _, own = place.rpartition(".")
    deprecated(f"{module}.{name} is an old name: use {today}")
    return getattr(import_module(f"{package}.{home}"), own)
