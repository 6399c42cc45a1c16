"""Pairs of text as netstrings, the form in which external programs get their parameters (reference 8.12).

A pair is ``<len key> <key> <len value> <value>\\n``; lengths count bytes of UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import IO, Any

from discolocal.error import DataError
from discolocal.wire import netstring

__all__ = ["decode_netstring_fd", "decode_netstring_str", "encode_netstring_fd", "encode_netstring_str"]

_MAX_DIGITS = 20


def encode_netstring_str(d: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> str:
    """Return pairs as netstrings, one after the other. Parameters: `d` a dict, or (key, value) pairs."""
    return _encoded(d).decode("utf-8", "surrogateescape")


def encode_netstring_fd(d: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> bytes:
    """Return pairs as a program reads them from a file: the number of bytes, a newline, the netstrings.

    Parameters: `d` a dict, or (key, value) pairs.
    """
    entries = _encoded(d)
    return b"%d\n%b" % (len(entries), entries)


def _encoded(d: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> bytes:
    pairs = d.items() if isinstance(d, Mapping) else d
    return b"".join(netstring.encode(key, value) for key, value in pairs)


def decode_netstring_str(msg: str | bytes) -> list[tuple[str, str]]:
    """Return the pairs in the netstrings `msg`. Raises DataError when they are damaged."""
    data = msg.encode("utf-8", "surrogateescape") if isinstance(msg, str) else msg
    return list(netstring.decode(BytesIO(data), len(data), "netstrings"))


def decode_netstring_fd(fd: IO[bytes]) -> list[tuple[str, str]]:
    """Return the pairs that `encode_netstring_fd` made, from a binary file; what follows them is left in it.

    Raises DataError when they are damaged, EOFError when the file is at its end.
    """
    head = b""
    while not head.endswith(b"\n"):
        byte = fd.read(1)
        if not byte and not head:
            raise EOFError("there are no netstrings: the file is at its end")
        if not byte.isdigit() and (byte != b"\n" or not head) or len(head) > _MAX_DIGITS:
            raise DataError(f"Corrupted input: expected a length, not {head + byte!r}", "netstrings")
        head += byte
    size = int(head)
    data = fd.read(size)
    return list(netstring.decode(BytesIO(data), size, "netstrings"))
