"""How results are printed: a record a line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_HEAD = 1 << 16  # bytes of a file by which its format is known


def print_records(records: Iterable[Any]) -> None:
    """Print records; a reader that stops early (`| head`) ends it quietly."""
    write = sys.stdout.write
    with until_the_reader_stops():
        for record in records:
            is_pair = isinstance(record, tuple) and len(record) == 2
            write("\t".join(map(_text, record)) + "\n" if is_pair else _text(record) + "\n")


@contextmanager
def until_the_reader_stops() -> Iterator[None]:
    """End what is done within quietly when nobody reads standard output any more."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        if not _unread(sys.stdout.fileno()):
            raise  # it was some other pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit


def _unread(fd: int) -> bool:
    """Whether the other end of a pipe is closed."""
    import select

    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """`text` with what is no printable character as an escape, so that a terminal takes none of it for a command."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def records_or_lines(stream: Any, size: int | None, url: str, params: Any) -> Iterator[Any]:
    """A reader for results of any worker: the records of a file in one of Disco's formats, else its lines as bytes."""
    from discolocal.wire import hunk, netstring

    buffered = io.BufferedReader(_Raw(stream), _HEAD)
    head = buffered.peek(_HEAD)
    if hunk.is_stream(head) or netstring.is_stream(head):
        yield from hunk.records(buffered, size, url)
    else:
        for line in buffered:
            yield line.removesuffix(b"\n")


class _Raw(io.RawIOBase):
    """The bytes of a stream that knows only `read(n)`."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
