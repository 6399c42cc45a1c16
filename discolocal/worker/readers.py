"""Readers that cut a stream into records by a pattern (reference 8.8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def re_reader(
    item_re: str | bytes,
    stream: Any,
    size: int | None,
    url: str,
    output_tail: bool = False,
    read_buffer_size: int = 8192,
) -> Iterator[Any]:
    """Yield the groups of every match of `item_re` at the head of what is left of the stream.

    Parameters: `item_re` a pattern or compiled pattern; a `str` pattern is matched against UTF-8 text and
    gives `str` groups; `size` the expected number of bytes or None; `output_tail` also yield
    ``[rest]`` for what does not match at the end (otherwise a message tells how much it was);
    `read_buffer_size` bytes per read. Raises DataError when the stream is shorter than `size`.
    """
    pattern = re.compile(item_re)
    text = isinstance(pattern.pattern, str)
    rest = b""
    total = 0
    while True:
        data = stream.read(read_buffer_size)
        total += len(data)
        rest += data
        if not data:
            break
        rest = yield from _matches(pattern, rest, text, last=False)
    if size is not None and total < size:
        raise DataError(f"Truncated input: Expected {size} bytes, got {total}", url)
    rest = yield from _matches(pattern, rest, text, last=True)
    if rest and output_tail:
        yield [rest.decode("utf-8", "surrogateescape") if text else rest]
    elif rest:
        print(f"Couldn't match the last {len(rest)} bytes in {url}. Some bytes may be missing from input.")


def _matches(pattern: re.Pattern[Any], data: bytes, text: bool, last: bool) -> Generator[Any, None, bytes]:
    """Yield the groups of the matches at the head of `data`; returns the bytes that are left.

    A match that reaches the end of what was read may go on in the next read, so it waits, except in the `last` call.
    """
    buffer: Any = data.decode("utf-8", "surrogateescape") if text else data
    position = 0
    while position < len(buffer):
        match = pattern.match(buffer, position)
        if match is None or match.end() == position or (match.end() == len(buffer) and not last):
            break
        yield match.groups()
        position = match.end()
    rest = buffer[position:]
    left: bytes = rest.encode("utf-8", "surrogateescape") if text else rest
    return left
