"""The index file of a task's outputs, `dir://` (reference 2.8).

One line per output: ``<label> <url> <size in bytes>``, without any escaping; the file may be gzipped. Clusters
before 0.5 wrote two columns, without the size.
"""

from __future__ import annotations

import zlib
from itertools import repeat
from typing import NamedTuple

from discolocal.error import DataError, DiscoError

MAX_SIZE = 256 << 20
"""Bytes of an index, unpacked: that of a task with a million outputs has less. More is damage, or meant to do harm."""
_GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """An output: its `label`, its `url` and its `size` in bytes.

    A size below 0 is not known: it is -1 when the index does not say, and a task may report any number (reference 2.3).
    """

    label: int
    url: str
    size: int


def dump_line(line: Line) -> bytes:
    """Return the line of an index file.

    Raises DiscoError when the url holds a blank, for nobody could read it back, or a surrogate that stands for no byte.
    """
    if not line.url or len(line.url.split()) != 1 or line.url != line.url.strip():
        raise DiscoError(f"The url of an output may not be empty or hold white space: {line.url!r}")
    try:
        return f"{line.label} {line.url} {line.size}\n".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise DiscoError(f"The url of an output may not hold a lone surrogate: {line.url!r}") from None


def parse(data: bytes, name: str) -> list[Line]:
    """Return the lines of an index file, plain or gzipped.

    `name` is the url or path that errors mention. Raises DataError for a damaged file, for one of more than `MAX_SIZE`
    bytes and for a line that is not ``label url [size]``.
    """
    if data.startswith(_GZIP):
        data = _unzip(data, name)
    if len(data) > MAX_SIZE:
        raise too_large(name)
    if data and not data.endswith(b"\n"):
        raise DataError("Truncated index: the last line has no end", name)
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-1]
    return list(map(_line, lines, range(1, len(lines) + 1), repeat(name)))


def too_large(name: str) -> DataError:
    """The error for an index of more than `MAX_SIZE` bytes."""
    return DataError(f"Corrupted index: it has more than {MAX_SIZE} bytes", name)


def _unzip(data: bytes, name: str) -> bytes:
    """What the gzip streams in `data` hold. No more is unpacked than an index may have."""
    parts = []
    left = MAX_SIZE
    try:
        while data:
            unzip = zlib.decompressobj(wbits=31)
            parts.append(unzip.decompress(data, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise too_large(name)
            if not unzip.eof:
                raise DataError("Truncated index: the gzip stream has no end", name)
            data = unzip.unused_data
    except zlib.error as error:
        raise DataError(f"Corrupted index: {error}", name) from None
    return b"".join(parts)


def _line(line: str, number: int, name: str) -> Line:
    columns = line.split(" ")
    try:
        if len(columns) not in (2, 3) or not columns[1]:
            raise ValueError
        return Line(_int(columns[0]), columns[1], _int(columns[2]) if len(columns) == 3 else -1)
    except ValueError:
        raise DataError(f"Bad line {number} in index: {line[:200]!r}", name) from None


def _int(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError(text)
    return int(text)
