"""The functions of classic jobs, under the name they had in early versions: all that there ever were (reference 11.2).

A job that uses one of those that are gone from `discolocal.worker.classic.func` gives a DeprecationWarning.
"""

from __future__ import annotations

from typing import Any

from discolocal.util import disk_sort, unix_sort
from discolocal.worker.classic import func
from discolocal.worker.classic.func import *  # noqa: F403
from discolocal.worker.old.records import map_line_reader, netstr_reader, netstr_writer, object_reader, object_writer

__all__ = func.__all__ + [
    "disk_sort",
    "map_line_reader",
    "netstr_reader",
    "netstr_writer",
    "object_reader",
    "object_writer",
    "unix_sort",
]


def __getattr__(name: str) -> Any:
    """The first streams of chains, under their names of Disco before 0.4."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)
