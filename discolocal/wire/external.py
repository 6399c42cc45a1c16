"""Key-value pairs as external programs read and write them (reference 8.12).

A pair is ``<key size><key><value size><value>``; sizes have 32 bits, unsigned and little-endian. A list is the number
of its pairs, likewise, and the pairs. Programs read pairs and write lists.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from discolocal.error import DiscoError
from discolocal.wire import netstring

MAX_ITEM = 1 << 30  # bytes of a key or a value

_size = Struct("<I").pack
_sizes = Struct("<II").pack
_size_at = Struct("<I").unpack_from
_sizes_at = Struct("<II").unpack_from

Pair = tuple[bytes, bytes]


def encode_pair(key: bytes, value: bytes) -> bytes:
    """Return the bytes of a pair. Raises DiscoError for a key or a value of more than 1 GiB."""
    if len(key) > MAX_ITEM:
        raise _exceeded("key", len(key))
    if len(value) > MAX_ITEM:
        raise _exceeded("value", len(value))
    return _size(len(key)) + key + _size(len(value)) + value


def encode_value(value: bytes) -> bytes:
    """Return the bytes of a pair with an empty key; see `encode_pair`."""
    if len(value) > MAX_ITEM:
        raise _exceeded("value", len(value))
    return _sizes(0, len(value)) + value


def _exceeded(what: str, size: int) -> DiscoError:
    return DiscoError(f"External {what} size exceeded: {size} bytes")


def encode_params(params: Any) -> bytes:
    """Return what a program gets first on its standard input.

    Parameters: `params` a dict of texts, which becomes netstrings; text or bytes, which are given as they are; anything
    else is ``0\\n``.
    """
    if isinstance(params, str):
        return params.encode("utf-8", "surrogateescape")
    return bytes(params) if isinstance(params, (bytes, bytearray)) else netstring.encode_params(params)


class Lists:
    """Cuts what a program writes into its lists of pairs.

    Nothing is set aside for what a size or a number only announces. Attributes: `error` the DiscoError for a size of
    more than 1 GiB, after which nothing more is cut off.
    """

    def __init__(self) -> None:
        self.error: DiscoError | None = None
        self._parts: list[bytes] = []
        self._have = 0  # bytes in `_parts`
        self._need = 4  # bytes without which nothing more can be cut off
        self._left = 0  # pairs of the current list that are still to come

    def feed(self, data: bytes) -> tuple[list[Pair], list[int]]:
        """Take bytes and return what they complete: pairs, and where lists end among them.

        For each list that is complete now, the second part has the number of pairs returned up to its end.
        """
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need or self.error is not None:
            return [], []
        block = data if len(self._parts) == 1 else b"".join(self._parts)
        pairs: list[Pair] = []
        ends: list[int] = []
        at = self._cut(block, pairs, ends)
        self._parts = [block[at:]]
        self._have = len(block) - at
        return pairs, ends

    def _cut(self, block: bytes, pairs: list[Pair], ends: list[int]) -> int:
        """Take what is complete in `block`; returns where the rest begins."""
        at, end, left, need = 0, len(block), self._left, 4
        size_at, sizes_at, most, take = _size_at, _sizes_at, MAX_ITEM, pairs.append
        while True:
            if left:
                need = 4
                if at + need > end:
                    break
                (size,) = size_at(block, at)
            elif at + 8 <= end:  # both at once: this is where the time goes
                left, size = sizes_at(block, at)
                at += 4
                if not left:
                    ends.append(len(pairs))
                    continue
            else:
                need = 4
                if at + need > end:
                    break
                (left,) = size_at(block, at)
                at += 4
                if not left:
                    ends.append(len(pairs))
                continue
            value = at + size + 8
            if size > most:
                self.error = _exceeded("key", size)
                break
            if value > end:
                need = size + 8
                break
            (length,) = size_at(block, value - 4)
            if length > most:
                self.error = _exceeded("value", length)
                break
            after = value + length
            if after > end:
                need = after - at
                break
            take((block[at + 4 : value - 4], block[value:after]))
            at = after
            left -= 1
            if not left:
                ends.append(len(pairs))
        self._left, self._need = left, need
        return at

    @property
    def inside(self) -> bool:
        """Whether the output so far ends within a list."""
        return self._left > 0

    @property
    def unfinished(self) -> str:
        """What the output ends with when it ends where it may not, "" otherwise."""
        if not self.inside:
            return f"{self._have} bytes of a number of pairs, which has 4" if self._have else ""
        more = f" and has {self._have} bytes of the next one" if self._have else ""
        return f"a list that lacks {self._left} pairs{more}"
