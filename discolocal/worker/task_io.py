"""Streams of records: how inputs are opened and outputs written (reference 8.7, 8.8).

A stream function takes (stream, size, url) or (stream, size, url, params) and returns an object, a pair
(object, url) or a triple (object, size, url). Streams are chained; the last object is iterated or `add`ed to.
"""

from __future__ import annotations

import functools
from types import MethodType
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.error import DataError
from discolocal.fileutils import AtomicFile
from discolocal.schemes import open_url
from discolocal.schemes.lines import LineFile
from discolocal.wire import hunk, netstring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Source = tuple[Any, "int | None", str]

__all__ = [
    "InputStream",
    "OutputStream",
    "StreamCombiner",
    "DiscoOutputStream",
    "chain_reader",
    "chain_stream",
    "default_stream",
    "disco_input_stream",
    "disco_output_stream",
    "gzip_line_reader",
    "gzip_line_stream",
    "gzip_reader",
    "gzip_stream",
    "input_stream",
    "old_netstr_reader",
    "output_stream",
    "plain_output_stream",
    "re_reader",
    "result_output_stream",
    "stored_output_stream",
    "string_input_stream",
    "task_input_stream",
    "task_output_stream",
]


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.5 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)


class InputStream:
    """What an input stream is for a job: an iterable with `read` and `close` (reference 8.8)."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that are left when `size` is negative."""
        data: bytes = self.stream.read(size)
        return data

    def close(self) -> None:
        """Close the stream below."""
        close = getattr(self.stream, "close", None)
        if close is not None:
            close()


class OutputStream:
    """What an output stream is for a job: `add` takes a pair, `close` ends it (reference 8.8)."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def add(self, key: Any, value: Any) -> None:
        """Write one pair, by default as the pair's text in the old format."""
        self.stream.write(netstring.encode(key, value))

    def close(self) -> None:
        """End this stream; the ones below are closed by whoever opened them."""


def input_stream(stream: Any, size: int | None, url: str, params: Any) -> Source:
    """The interface of an input stream, here one that passes on what it is given (reference 8.8).

    Parameters: `stream` what the function before it in the chain returned, None for the first; `size` in bytes, None if
    unknown; `url` of the input; `params` the job's params, left out for a function of three parameters. Returns
    (stream, size, url), (stream, url) or a stream alone. The last stream of a chain is iterated over.
    """
    return stream, size, url


def output_stream(stream: Any, partition: int | None, url: str, params: Any) -> tuple[Any, str]:
    """The interface of an output stream, here one that passes on what it is given (reference 8.8).

    Parameters as those of `input_stream`; `partition` is always None. Returns what an input stream may return; the last
    stream of a chain has ``add(key, value)`` and ``close()``.
    """
    return stream, url


def argument_count(function: Callable[..., Any]) -> int:
    """How many positional parameters a call of `function` has to fill, at most; without those already bound."""
    while isinstance(function, functools.partial) and not function.keywords:
        return max(0, argument_count(function.func) - len(function.args))
    code = getattr(function, "__code__", None)
    if code is not None:
        return int(code.co_argcount) - isinstance(function, MethodType)
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 3
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def call_stream(function: Callable[..., Any], stream: Any, size: int | None, url: str, params: Any) -> Source:
    """Call a stream function and bring its result into the form (object, size, url) (reference 8.8)."""
    if function is disco_input_stream:
        # Its fourth parameter is no `params`: passing them would make a reader skip damaged data (trap 11).
        return disco_input_stream(stream, size, url), size, url
    with_params = argument_count(function) == 4
    result = function(stream, size, url, params) if with_params else function(stream, size, url)
    if isinstance(result, tuple):
        if len(result) == 3:
            return result
        if len(result) == 2:
            return result[0], size, result[1]
        raise TypeError(
            f"The stream function {_name(function)} must return a stream, (stream, url) or (stream, size, url),"
            f" not a tuple of {len(result)}"
        )
    if result is None:
        raise TypeError(f"The stream function {_name(function)} returned None instead of a stream")
    return result, size, url


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


class StreamCombiner:
    """A chain of streams as one object (reference 8.8).

    Parameters: `url` what to open, `streams` the functions of the chain, `params` the job's params, `expected` the
    size in bytes that the first stream must have (-1: any), else DataError.
    Iterating, `add` and `add_all` (of many pairs) go to the last stream, `close` closes all, the last one first.
    `size` and `url` are what the chain left. Attributes: `stream` the last object.
    """

    def __init__(self, url: str, streams: Iterable[Callable[..., Any]], params: Any = None, expected: int = -1) -> None:
        self.opened: list[Any] = []
        self.size: int | None = None
        self.url = url
        self.stream: Any = None
        self.add: Callable[[Any, Any], Any]
        try:
            for function in streams:
                self.stream, self.size, self.url = call_stream(function, self.stream, self.size, self.url, params)
                self.opened.append(self.stream)
                if len(self.opened) == 1 and expected >= 0 and self.size not in (None, expected):
                    raise DataError(
                        f"The file has {self.size} bytes instead of the {expected} of its index"
                        f" ({getattr(self.stream, 'name', url)})",
                        url,
                    )
        except BaseException:
            self.close_inputs()
            raise
        add = getattr(self.stream, "add", None)
        if add is not None:
            self.add = add
        self.add_all: Callable[[Iterable[tuple[Any, Any]]], Any] = self._add_all
        if isinstance(self.stream, hunk.HunkWriter) and self.stream.adds_itself:
            self.add_all = self.stream.add_all

    def _add_all(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        add = self.add
        for key, value in pairs:
            add(key, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def read(self, size: int = -1) -> bytes:
        """Read from the last stream."""
        data: bytes = self.stream.read(size)
        return data

    def close(self) -> None:
        """Close every stream that can be closed, the last one first."""
        closed: set[int] = set()
        for stream in reversed(self.opened):
            close = getattr(stream, "close", None)
            if close is not None and id(stream) not in closed:
                closed.add(id(stream))
                close()

    def discard(self) -> None:
        """Give outputs up, as far as the streams can: what was written never appears under its name."""
        for stream in reversed(self.opened):
            discard = getattr(stream, "discard", None)
            if discard is not None:
                discard()

    def close_inputs(self) -> None:
        """Like `close`, for streams whose remaining data nobody wants: errors do not matter any more."""
        try:
            self.close()
        except Exception:  # the data was delivered; how the file ends is of no interest
            self.opened.clear()


# Inputs


def task_input_stream(stream: Any, size: int | None, url: str, params: Any) -> Source:
    """Open the url by its scheme (reference 8.8)."""
    task = active.current()
    source = open_url(url, task, params, task.encoding if task is not None else "utf-8")
    if task is None or task.faults is None:
        return source
    return task.faults.stream(source[0]), *source[1:]


def string_input_stream(string: str | bytes, size: int | None, url: str, params: Any) -> Source:
    """The given text itself as a stream of lines."""
    import io

    task = active.current()
    data = string.encode("utf-8", "surrogateescape") if isinstance(string, str) else string
    encoding = "utf-8" if task is None else task.encoding
    return LineFile(io.BytesIO(data), encoding), len(data), url


def disco_input_stream(stream: Any, size: int | None, url: str, ignore_corrupt: bool = False) -> Iterator[Any]:
    """The records of a stream in Disco's internal format (reference 8.7).

    Raises DataError for damaged data; with `ignore_corrupt=True` damaged hunks are skipped.
    """
    return hunk.records(stream, size, url, ignore_corrupt is True)


chain_reader = disco_input_stream


def gzip_reader(stream: Any, size: int | None, url: str, params: Any) -> Source:
    """Uncompress a gzipped stream: lines when iterated, bytes when read (reference 8.8)."""
    import gzip

    binary = gzip.GzipFile(fileobj=getattr(stream, "binary", stream), mode="rb")
    return LineFile(_Checked(binary, url), getattr(stream, "encoding", "utf-8")), None, url


class _Checked:
    """A gzip file whose errors are DataErrors."""

    def __init__(self, binary: Any, url: str) -> None:
        self._binary = binary
        self._url = url

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._guard(self._binary.readline), b"")

    def _guard(self, function: Callable[..., bytes]) -> Callable[..., bytes]:
        def guarded(*args: int) -> bytes:
            import zlib

            try:
                return function(*args)
            except (EOFError, zlib.error, OSError) as error:
                raise DataError(f"Corrupted gzip data: {error}", self._url) from error

        return guarded

    @property
    def read(self) -> Callable[..., bytes]:
        return self._guard(self._binary.read)

    @property
    def read1(self) -> Callable[..., bytes]:
        return self._guard(self._binary.read1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._binary, name)


def gzip_line_reader(stream: Any, size: int | None, url: str, params: Any) -> Iterator[Any]:
    """The lines of a gzipped stream; damaged data ends it with a message instead of an error (reference 8.8)."""
    lines, _size, _url = gzip_reader(stream, size, url, params)
    try:
        yield from lines
    except DataError as error:
        print(f"Reading {url} ended early: {error}")


def re_reader(
    item_re: str | bytes,
    stream: Any,
    size: int | None,
    url: str,
    output_tail: bool = False,
    read_buffer_size: int = 8192,
) -> Iterator[Any]:
    """Cut a stream into records with a regular expression; see `discolocal.worker.readers.re_reader`."""
    from discolocal.worker.readers import re_reader as read

    return read(item_re, stream, size, url, output_tail, read_buffer_size)


def old_netstr_reader(stream: Any, size: int | None, url: str, params: Any = None) -> Iterator[tuple[Any, Any]]:
    """The pairs of a stream in the old netstring format (reference 8.7.1). `params` has no effect.

    Raises ValueError without a size, DataError for damaged data.
    """
    if size is None:
        raise ValueError("Content-length must be defined")
    return netstring.decode(stream, size, url)


# Outputs


class DiscoOutputStream(hunk.HunkWriter):
    """Writes records in Disco's internal format (reference 8.7).

    Parameters: `stream` a binary file; `version` 1 for hunks, 0 for old netstrings; `compression_level` of zlib,
    0 for none; `min_hunk_size` bytes that are collected before a hunk is written; `loose` allows hunks to
    be a few records longer.

    A subclass may have an `add` or an `append` of its own, which call those of this class; `add` is
    ``append((key, value))``.
    """

    def __init__(self, stream: Any, **kwargs: Any) -> None:
        super().__init__(stream.write, **kwargs)
        self.stream = stream
        if type(self) is not DiscoOutputStream:
            self._use_methods()

    def _use_methods(self) -> None:
        """Let methods of a subclass stand before what the writer has made for this instance."""
        made = self._made = {"add": self.add, "append": self.append}
        own = [name for name in made if getattr(type(self), name) is not getattr(DiscoOutputStream, name)]
        for name in own:
            del self.__dict__[name]
        if own == ["append"]:
            self.add = lambda key, value: self.append((key, value))

    if not TYPE_CHECKING:  # for the checker these are the attributes of the writer

        def add(self, key: Any, value: Any) -> None:
            """Write the record (key, value)."""
            self._made["add"](key, value)

        def append(self, record: Any) -> None:
            """Write a record."""
            self._made["append"](record)


def task_output_stream(stream: Any, size: int | None, url: str, params: Any) -> AtomicFile:
    """The file at `url`, a path relative to the job home; it appears when it is closed (reference 8.7)."""
    task = active.current()
    if task is None:
        return AtomicFile(url)
    file = AtomicFile(task.file(url))
    if task.faults is not None:
        task.faults.writing(file)
    return file


def disco_output_stream(stream: Any, size: int | None, url: str, params: Any, **kwargs: Any) -> DiscoOutputStream:
    """Records in Disco's internal format; the keywords are those of `DiscoOutputStream` (reference 8.7)."""
    return DiscoOutputStream(stream, **kwargs)


def stored_output_stream(stream: Any, size: int | None, url: str, params: Any) -> DiscoOutputStream:
    """Like `disco_output_stream` for files that are read once, by the next stage: written without compressing."""
    return DiscoOutputStream(stream, compression_level=hunk.STORED, loose=True)


def result_output_stream(stream: Any, size: int | None, url: str, params: Any) -> DiscoOutputStream:
    """Like `disco_output_stream` for results that stay on this machine: only the first hunk is compressed."""
    return DiscoOutputStream(stream, relaxing=True)


def plain_output_stream(stream: Any, size: int | None, url: str, params: Any) -> OutputStream:
    """Pairs as text in the old netstring format (reference 8.7.1)."""
    return OutputStream(stream)


default_stream = (task_input_stream,)
chain_stream = (task_input_stream, chain_reader)
gzip_stream = (task_input_stream, gzip_reader)
gzip_line_stream = (task_input_stream, gzip_line_reader)
