"""Old names of modules that are still there, and what they are called today (reference 11.2).

A module leaves its old names to `old_name`, in its ``__getattr__``. Nothing is imported for them until they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from discolocal.worker.old.warning import deprecated

_STREAM = "the default streams, which take any object"
_RECORDS = {
    "map_line_reader": ("worker.old.records", "map_reader=None, and strip the end of the line in the map"),
    "netstr_reader": ("worker.old.records", "chain_reader of discolocal.worker.task_io, which reads both formats"),
    "netstr_writer": ("worker.old.records", "plain_output_stream of discolocal.worker.task_io"),
    "object_reader": ("worker.old.records", _STREAM),
    "object_writer": ("worker.old.records", _STREAM),
}

MESSAGES = {
    "msg": "print",
    "err": "raise DiscoError(message) of discolocal.error",
    "data_err": "raise DataError(message, url) of discolocal.error",
}
"""The functions with which tasks spoke before 0.5, and what to use today."""

_NAMES = {
    "core": {
        "Params": ("worker.params", "Params of discolocal.worker"),
        "classic_iterator": ("core", "result_iterator"),
    },
    "func": _RECORDS,
    "worker.classic.func": _RECORDS,
    "util": {name: ("worker.old.messages", today) for name, today in MESSAGES.items()},
}
_OTHERWISE = {"classic_iterator": "result_iterator"}


def old_name(module: str, name: str) -> Any:
    """The object of an old name of `module`, with a DeprecationWarning. Raises AttributeError for any other name."""
    package, _, rest = module.partition(".")
    found = _NAMES[rest].get(name)
    if found is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home, today = found
    deprecated(f"{module}.{name} is an old name: use {today}")
    return getattr(import_module(f"{package}.{home}"), _OTHERWISE.get(name, name))
