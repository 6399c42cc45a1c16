"""Netstrings: the record format of old result files (reference 8.7.1) and the parameters of external programs (8.12).

A record is ``<len key> <key> <len value> <value>\\n``; both are text, their lengths count bytes. (The real writer
counts characters, so that its reader cannot read what is not ASCII.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import IO, Any

from discolocal.error import DataError

_BLOCK = 1 << 16
_MAX_DIGITS = 20


def encode(key: Any, value: Any) -> bytes:
    """Return a record of the old format; key and value go through `str` unless they are bytes."""
    left, right = _bytes(key), _bytes(value)
    return b"%d %b %d %b\n" % (len(left), left, len(right), right)


def _bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8", "surrogateescape")


def is_stream(head: bytes) -> bool:
    """Tell from its first bytes whether a file may hold old records: `head` has one whole record, or the file has."""
    position = 0
    for end in (b" ", b"\n"):
        space = head.find(b" ", position, position + _MAX_DIGITS + 1)
        digits = head[position : max(space, 0)]
        if not digits.isdigit():
            return False
        position = space + 1 + int(digits)
        if head[position : position + 1] != end:
            return False
        position += 1
    return True


def decode(fd: IO[bytes], size: int | None, url: object, head: bytes = b"") -> Iterator[tuple[str, str]]:
    """Yield the (key, value) pairs of a stream of old records, as str.

    `size` is the length of the stream in bytes, with the bytes `head` that were read already. Raises ValueError
    without a size, and DataError (``Truncated input: ...``, ``Corrupted input: ...``) naming `url`.
    """
    if size is None:
        raise ValueError("Content-length must be defined")
    reader = _Reader(fd, size, url, head)
    while not reader.at_end():
        key = reader.item(b" ")
        yield key, reader.item(b"\n")


class _Reader:
    """Cuts length-prefixed items out of a stream of known size."""

    def __init__(self, fd: IO[bytes], size: int, url: object, head: bytes) -> None:
        self._fd = fd
        self._size = size
        self._url = url
        self._buffer = head
        self._position = 0  # of the next byte within the buffer
        self._offset = 0  # of the buffer within the stream

    def at_end(self) -> bool:
        """Tell whether the stream was read to its very end; raises if it is shorter or longer than it should be."""
        if self._position < len(self._buffer) or self._more():
            return False
        if self._offset + self._position < self._size:
            raise self._error("Truncated input: ", f"expected {self._size} bytes")
        return True

    def item(self, end: bytes) -> str:
        """Return the next item, which must be followed by the byte `end`."""
        length = self._length()
        while len(self._buffer) < self._position + length + 1:
            if not self._more():
                raise self._error("Truncated input: ", f"expected {length} bytes and {end!r}")
        start, stop = self._position, self._position + length
        if self._buffer[stop : stop + 1] != end:
            raise self._error("Corrupted input: ", f"no {end!r} after {length} bytes")
        self._position = stop + 1
        return self._buffer[start:stop].decode("utf-8", "surrogateescape")

    def _length(self) -> int:
        while (space := self._buffer.find(b" ", self._position, self._position + _MAX_DIGITS + 1)) < 0:
            if len(self._buffer) - self._position > _MAX_DIGITS:
                break
            if not self._more():
                raise self._error("Truncated input: ", "expected a length")
        digits = self._buffer[self._position : max(space, 0)]
        if not digits.isdigit():
            raise self._error("Corrupted input: ", "expected a length")
        length = int(digits)
        if self._offset + space + 1 + length + 1 > self._size:
            raise self._error("Truncated input: ", f"an item of {length} bytes goes beyond the end")
        self._position = space + 1
        return length

    def _more(self) -> bool:
        """Read on; False at the end of the stream."""
        block = self._fd.read(_BLOCK)
        if not block:
            return False
        self._buffer = self._buffer[self._position :] + block
        self._offset += self._position
        self._position = 0
        if self._offset + len(self._buffer) > self._size:
            raise self._error("Corrupted input: ", f"more than the expected {self._size} bytes")
        return True

    def _error(self, kind: str, why: str) -> DataError:
        return DataError(f"{kind}{why} at byte {self._offset + self._position}", self._url)


def encode_params(params: Any) -> bytes:
    """Return what an external program gets first on its stdin (reference 8.12).

    A dict that is not empty: ``<n>\\n`` and n bytes of ``<len k> <k> <len v> <v>\\n`` entries. Anything else: ``0\\n``.
    """
    if not isinstance(params, Mapping) or not params:
        return b"0\n"
    entries = b"".join(encode(key, value) for key, value in params.items())
    return b"%d\n%b" % (len(entries), entries)


def decode_params(data: bytes) -> dict[str, str]:
    """Return the parameters an external program was given: the inverse of `encode_params`. Raises DataError."""
    digits, newline, entries = data.partition(b"\n")
    if not newline or not digits.isdigit():
        raise DataError("Corrupted input: expected a length at byte 0", "parameters")
    return dict(decode(BytesIO(entries), int(digits), "parameters"))
