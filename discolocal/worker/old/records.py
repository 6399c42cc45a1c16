"""Readers and writers of Disco 0.2 and 0.3 (reference 11.2, 11.3).

Readers take (fd, size, fname) and give records; writers take (fd, key, value, params) and write one.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

from discolocal.wire import netstring
from discolocal.worker.classic.func import default_partition
from discolocal.worker.task_io import DiscoOutputStream, old_netstr_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def map_line_reader(fd: Any, sze: int | None, fname: str) -> Iterator[Any]:
    """The lines of a stream without their ends; the default `map_reader` of 0.2."""
    for line in fd:
        yield line.removesuffix(b"\n" if isinstance(line, bytes) else "\n")


def netstr_reader(fd: Any, sze: int | None, fname: str, params: Any = None) -> Iterator[tuple[str, str]]:
    """The pairs of texts in a stream of netstrings (reference 8.7.1). Raises DataError for damaged data."""
    return old_netstr_reader(fd, sze, fname, params)


def netstr_writer(fd: Any, key: Any, value: Any, params: Any = None) -> None:
    """Write a pair as two netstrings; whatever is no bytes is written as its text."""
    fd.write(netstring.encode(key, value))


def object_reader(fd: Any, sze: int | None, fname: str, params: Any = None) -> Iterator[tuple[Any, Any]]:
    """The pairs that `object_writer` wrote. A pickle is a program: read only what you trust."""
    for key, value in old_netstr_reader(fd, sze, fname, params):
        yield _loads(key), _loads(value)


def object_writer(fd: Any, key: Any, value: Any, params: Any = None) -> None:
    """Write a pair of any objects that can be pickled."""
    fd.write(netstring.encode(pickle.dumps(key), pickle.dumps(value)))


def _loads(text: str) -> Any:
    return pickle.loads(text.encode("utf-8", "surrogateescape"))


class _Written:
    """An output stream whose pairs go through a writer."""

    def __init__(self, writer: Callable[..., Any], stream: Any, params: Any) -> None:
        self._writer = writer
        self._stream = stream
        self._params = params

    def add(self, key: Any, value: Any) -> None:
        """Write one pair."""
        self._writer(self._stream, key, value, self._params)

    def close(self) -> None:
        """The stream below is closed by whoever opened it."""


def _written(writer: Callable[..., Any], stream: Any, size: int | None, url: str, params: Any) -> _Written:
    return _Written(writer, stream, params)


def stream_of(writer: Callable[..., Any]) -> Callable[..., Any]:
    """Return the output stream function that writes its pairs with an old writer."""
    return partial(_written, writer)


def text_partition(key: Any, nr_partitions: int, params: Any = None) -> int:
    """The partition of the text that a key becomes."""
    return default_partition(key if isinstance(key, bytes) else str(key), nr_partitions)


def one_partition(key: Any, nr_partitions: int, params: Any = None) -> int:
    """The one partition of a job whose partitions are merged."""
    return 0


def text_output_stream(stream: Any, size: int | None, url: str, params: Any) -> DiscoOutputStream:
    """Pairs as netstrings of their texts, as all outputs of 0.2 were."""
    return DiscoOutputStream(stream, version=0)
