"""``dir://`` urls: the outputs that an index file lists (reference 2.8)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError, DiscoError
from discolocal.fileutils import read_at_most
from discolocal.schemes import open_url, scheme_disco, scheme_of
from discolocal.schemes.scheme_file import binary_file
from discolocal.wire import index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discolocal.schemes import Source
    from discolocal.task import Task

_OF_CLUSTERS = ("disco", "dir", "http", "https", "raw")  # schemes of data that is the same wherever it is read


def read_index(url: str, task: Task | None = None, proxy: str | None = None) -> list[index.Line]:
    """The lines of the index behind a ``dir://`` url, which a node gives through `proxy` if there is one.

    Raises DataError when it is missing, damaged or too large, and when it comes from another machine and lists what is
    no data of a cluster: files of this machine are nothing that somebody else may name.
    """
    path = scheme_disco.find_local(url, task)
    file = scheme_disco.open_remote(url, task, None, proxy)[0] if path is None else binary_file(path, url)
    with file:
        data = read_at_most(file, index.MAX_SIZE)
    if data is None:
        raise index.too_large(url)
    lines = index.parse(data, url)
    for line in lines if path is None else ():
        if scheme_of(line.url) not in _OF_CLUSTERS:
            raise DataError(f"Refused: it lists what no node serves, {line.url[:200]!r}", url)
    return lines


def check_size(line: index.Line, task: Task | None = None) -> None:
    """Raise DataError when the file of an index line is on this machine and has not the size the index says."""
    if line.size < 0 or not line.url.startswith("disco://"):
        return
    path = scheme_disco.find_local(line.url, task)
    if path is not None and (size := os.path.getsize(path)) != line.size:
        raise DataError(f"Its file {path} has {size} bytes, its index says {line.size}", line.url)


class Outputs:
    """The records of all outputs of an index, one file after the other."""

    def __init__(self, url: str, lines: list[index.Line], task: Task | None, encoding: str | None) -> None:
        self._url = url
        self._lines = lines
        self._task = task
        self._encoding = encoding

    def __iter__(self) -> Iterator[Any]:
        for line in self._lines:
            file, _size, _url = open_url(line.url, self._task, encoding=self._encoding)
            with file:
                yield from file

    def read(self, size: int = -1) -> bytes:
        """Raises DiscoError: readers that want bytes, such as `chain_reader`, take one file after the other."""
        raise DiscoError(
            f"{self._url} is an index of files and has no bytes of its own for a reader such as chain_reader: open"
            " each file that discolocal.util.parse_dir(url, label) lists, for example by worker.input(task, open=...)"
            " with an `open` that does so; worker.input(task) alone gives the lines of all files"
        )

    def close(self) -> None:
        """Nothing stays open between two files."""


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open all files of the index that belong to the task's label (in a client: all); see `schemes.open_url`."""
    lines = read_index(url, task)
    if task is not None and task.grouping in ("split", "group_label", "group_node_label"):
        lines = [line for line in lines if line.label == task.group_label]
    size = sum(line.size for line in lines) if all(line.size >= 0 for line in lines) else None
    return Outputs(url, lines, task, encoding), size, url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    return open_url(url, params=params)
