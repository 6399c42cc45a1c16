"""The streams of tasks that are in memory.

    entries or bytes by url --given--> the code of a task --kept--> bytes by url

The chains are those of the job, but for the streams that open files of the job: in their places stand `given` and
`kept`. A chain that opens the url itself gets one of a file.
"""

from __future__ import annotations

from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.error import DataError
from discolocal.schemes.lines import LineFile
from discolocal.testing.memory import copied
from discolocal.wire import hunk
from discolocal.worker.classic.worker import DEFAULT_OUTPUT
from discolocal.worker.task_io import (
    DiscoOutputStream,
    StreamCombiner,
    chain_stream,
    disco_output_stream,
    task_input_stream,
    task_output_stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discolocal.testing.memory import MemoryTask
    from discolocal.worker.base import Worker

URL = "memory://"
_numbers = count(1)


def given(stream: Any, size: int | None, url: str, params: Any) -> Any:
    """The stream of an input: a list of entries gives copies of them, bytes are a file."""
    task: Any = active.this_task()
    content = task.files[url]
    if isinstance(content, bytes):
        return LineFile(BytesIO(content), task.encoding), len(content), url
    return map(copied, content), None, url


def kept(stream: Any, size: int | None, url: str, params: Any) -> Any:
    """The stream of an output: a file whose content stays with the task."""
    task: Any = active.this_task()
    task.opening = url
    return _Kept(task, url)


class _Kept(BytesIO):
    def __init__(self, task: Any, url: str) -> None:
        super().__init__()
        self.task = task
        self.url = url

    def close(self) -> None:
        """Keep the content."""
        if not self.closed:
            self.task.files[self.url] = self.getvalue()
            super().close()

    def discard(self) -> None:
        """Forget the content."""
        super().close()


def reading(streams: Iterable[Any]) -> list[Any]:
    """An input chain that reads files of the task."""
    chain = list(streams)
    if chain and chain[0] is task_input_stream:
        return [given, *chain[1:]]
    return [_spilled, *chain]


def _spilled(stream: Any, size: int | None, url: str, params: Any) -> Any:
    """For chains that open the url themselves: put the content into a file whose url they get."""
    task: Any = active.this_task()
    path = task.file(url.replace(URL, "in/"))
    content = task.files[url]
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else encoded(content))
    return None, None, f"file://{path}"


def writing(streams: Iterable[Any]) -> list[Any]:
    """An output chain that writes files of the task."""
    chain = [_recorded if stream is disco_output_stream else stream for stream in streams]
    first = [kept] if chain[:1] == [task_output_stream] else [_placed, *chain[:1]]
    last = [] if chain[-1:] == [_recorded] else [_tapped]
    return [*first, *chain[1:], *last]


def _recorded(stream: Any, size: int | None, url: str, params: Any) -> DiscoOutputStream:
    """Records in Disco's internal format; compressing small data takes longer than all the rest."""
    return DiscoOutputStream(stream, compression_level=0, loose=True)


def _tapped(stream: Any, size: int | None, url: str, params: Any) -> Any:
    """The end of a chain whose output may be in any format: keeps the pairs as well."""
    task: Any = active.this_task()
    return _Tap(stream, task.pairs.setdefault(task.opening, [])) if hasattr(stream, "add") else stream


class _Tap:
    """Stands for an output stream; `pairs` gets a copy of each of its pairs."""

    def __init__(self, stream: Any, pairs: list[Any]) -> None:
        self.stream = stream
        self.pairs = pairs

    def add(self, key: Any, value: Any) -> None:
        """Write a pair."""
        self.stream.add(key, value)
        self.pairs.append(copied((key, value)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _placed(stream: Any, size: int | None, url: str, params: Any) -> Any:
    """For chains that open the url themselves: the path of a file that can be made."""
    task: Any = active.this_task()
    task.opening = url
    return None, None, task.file(url)


def collected(worker: Worker, task: MemoryTask) -> dict[int, list[str]]:
    """Close the outputs of a task; returns the urls of their contents by label."""
    found: dict[int, list[str]] = {}
    for output in worker.outputs.values():
        output.file.close()
        found.setdefault(output.label, []).append(present(task, output.path))
    return found


def present(task: MemoryTask, url: str) -> str:
    """Return the url of an output that was closed; its content is among the task's files. Raises DataError."""
    if url not in task.files:
        try:
            with open(task.file(url), "rb") as file:
                task.files[url] = file.read()
        except OSError as error:
            raise DataError(f"The output streams left no output file: {error.strerror}", url) from error
    return url


def encoded(records: Iterable[Any]) -> bytes:
    """Records in Disco's internal format."""
    parts: list[bytes] = []
    writer = hunk.HunkWriter(parts.append, compression_level=0)
    for record in records:
        writer.append(record)
    writer.close()
    return b"".join(parts)


def records(task: MemoryTask, urls: Iterable[str]) -> list[Any]:
    """The records of outputs of a task; where a stream of the user's own has a format of its own, its pairs."""
    found: list[Any] = []
    for url in urls:
        data, pairs = task.files[url], task.pairs.get(url)
        try:
            found += hunk.records(BytesIO(data), len(data), url) if data or not pairs else pairs
        except DataError:
            if pairs is None:
                raise
            found += pairs
    return found


class Sink:
    """An output that can be read at once: a list where the job has no streams of its own.

    Parameters: `task` that runs; `streams` of the job; its `params`.
    """

    def __init__(self, task: MemoryTask, streams: Any, params: Any) -> None:
        self.task = task
        self.params = params
        self.kept: list[Any] | None = [] if chain_of(streams) == DEFAULT_OUTPUT else None
        self.url = f"sink/{next(_numbers)}"
        if self.kept is None:
            self.chain = StreamCombiner(self.url, writing(chain_of(streams)), params)

    @property
    def stream(self) -> Any:
        """What has `add`."""
        return self if self.kept is not None else self.chain.stream

    def append(self, record: Any) -> None:
        """Write a record."""
        assert self.kept is not None
        self.kept.append(copied(record))

    def add(self, key: Any, value: Any) -> None:
        """Write a pair."""
        self.append((key, value))

    def records(self, streams: Any = chain_stream) -> list[Any]:
        """End it and read what was written, by these streams."""
        if self.kept is None:
            self.chain.close()
            present(self.task, self.url)
        if chain_of(streams) == chain_stream:
            return records(self.task, [self.url]) if self.kept is None else self.kept
        if self.kept is not None:
            self.task.files[self.url] = encoded(self.kept)
        source = StreamCombiner(self.url, reading(chain_of(streams)), self.params)
        found = list(source)
        source.close()
        return found


def chain_of(streams: Any) -> tuple[Any, ...]:
    """A parameter that is a stream function or a sequence of them, as a tuple."""
    return tuple(streams) if isinstance(streams, (list, tuple)) else (streams,)
