"""Compiled code for this library's own files in a job home, so that not every job compiles them again on every node.

Python itself would write these files for the first task that imports a module. Only a file that is byte for byte the
installed one gets the installed one's code.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys

_UNCHECKED = (1).to_bytes(4, "little")  # the code belongs to the source, whatever its time (PEP 552)
_known: dict[str, tuple[bytes, bytes] | None] = {}


def compiled(name: str, source: bytes, installed: str) -> tuple[str, bytes] | None:
    """Return where the code of a member of a job home belongs, relative to the home, and the file's content.

    Parameters: `name` and `source` of the member; `installed` the path of the file it was made from. None when that is
    another file, or Python keeps no compiled code.
    """
    if sys.implementation.cache_tag is None:
        return None
    if name not in _known:
        _known[name] = _code(installed)
    found = _known[name]
    if found is None or found[0] != source:
        return None
    directory, base = os.path.split(name)
    return f"{directory}/__pycache__/{base[:-3]}.{sys.implementation.cache_tag}.pyc", found[1]


def load() -> None:
    """Have the code of the library's installed files at hand, as far as Python keeps it."""
    if _known or sys.implementation.cache_tag is None:
        return
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for directory, _, files in os.walk(package):
        for file in files:
            path = os.path.join(directory, file)
            if file.endswith(".py"):
                _known[os.path.relpath(path, os.path.dirname(package))] = _code(path)


def _code(path: str) -> tuple[bytes, bytes] | None:
    try:
        with open(path, "rb") as file:
            source = file.read()
            stat = os.fstat(file.fileno())
        code = _cached(path, stat) or marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError):
        return None
    return source, importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source) + code


def _cached(path: str, stat: os.stat_result) -> bytes | None:
    """The marshalled code that Python keeps beside `path`, if it is that of the file as it is now."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:
            data = file.read()
    except OSError:
        return None
    words = (0, int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)
    head = importlib.util.MAGIC_NUMBER + b"".join(word.to_bytes(4, "little") for word in words)
    return data[16:] if data.startswith(head) else None
