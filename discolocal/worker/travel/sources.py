"""What the source of a module imports and mentions, without running it.

The answers are kept for each file until it changes.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_MAX_FILES = 4096


class Import(NamedTuple):
    """An import statement.

    `level` and `module` are as in ``from ..module import names``; `names` may be modules or not. `guarded`: the program
    goes on where it fails. `unless`: it only happens where one of these modules cannot be imported.
    """

    level: int
    module: str
    names: tuple[str, ...]
    line: int
    guarded: bool = False
    unless: tuple[str, ...] = ()


class Unit(NamedTuple):
    """A function of a module, or the code that runs when the module is imported.

    `name` is that of the function, "" for the module; `owner` the class of a method, "" for others; `mentions` the
    names and attributes that occur in it; `computed` whether it imports modules by names that only a run can tell.
    """

    name: str
    owner: str
    mentions: frozenset[str]
    imports: tuple[Import, ...]
    computed: bool


class Source(NamedTuple):
    """A source file: its bytes, its units, and its imports by line as far as they are guarded or never happen."""

    data: bytes
    units: tuple[Unit, ...]
    careful: dict[int, Import]


_sources: dict[str, tuple[tuple[int, int, int], Source]] = {}


def source(path: str) -> Source:
    """The source file at `path`; one that Python cannot parse has no units. Raises OSError."""
    status = os.stat(path)
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    known = _sources.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    with open(path, "rb") as file:
        data = file.read()
    from discolocal.worker.travel.parsing import read  # costs a millisecond, and scripts have nothing to parse

    try:
        found = read(data)
    except (SyntaxError, ValueError, RecursionError):
        found = Source(data, (), {})
    if len(_sources) >= _MAX_FILES:
        _sources.clear()
    _sources[path] = (stamp, found)
    return found
