"""The inputs of a task and how they are read: replica after replica, without the reader noticing (reference 8.9).

    the master's answers (INPUT) -> TaskInput -> urls of replicas -> `open` -> records

An input may be a url, a list of urls (replicas) or a `TaskInput`. When a replica is damaged at record n, the next one
is opened and its first n records, delivered already, are skipped.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.error import DataError
from discolocal.schemes import open_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.task import Task

BUSY_PAUSE = 1.0  # seconds until an input is asked for again that the master calls busy


class Wait(Exception):
    """Raised by an opened input, or by what opens it, when there is no data yet (reference 8.9).

    Parameters: `retry_after` seconds after which it is asked again. An input that is to be asked again has to be an
    object with `__next__`: a generator ends with the first exception.
    """

    def __init__(self, retry_after: float = 1) -> None:
        super().__init__(f"no data yet, try again after {retry_after} s")
        self.retry_after = retry_after


class TaskInput:
    """One input of a task, known by its number (reference 2.6).

    Attributes: `id` its number in the task's list, `label` its label or "all", `replicas` the (id, url) pairs as
    they were when the master first told about it.
    """

    __slots__ = ("id", "label", "replicas", "task")

    def __init__(self, task: Task, id: int, label: int | str, replicas: list[tuple[int, str]]) -> None:
        self.task = task
        self.id = id
        self.label = label
        self.replicas = replicas

    @property
    def urls(self) -> list[str]:
        """The urls of all replicas."""
        return [url for _rid, url in self.replicas]

    @property
    def isindex(self) -> bool:
        """Whether the input is the index of an earlier task."""
        return bool(self.replicas) and self.replicas[0][1].startswith("dir://")

    def __repr__(self) -> str:
        return f"<input {self.id}, label {self.label}: {', '.join(self.urls)}>"

    def ask(self) -> list[tuple[int, str]]:
        """The (id, url) pairs of the replicas, as the master knows them now."""
        return _ask(self.task, self.id)

    def attempts(self) -> Iterator[str]:
        """The urls to try, one after the other; the master is asked before each (reference 8.9).

        After the last one the master is told that the input cannot be read.
        """
        used: list[int] = []
        while True:
            replicas = self.ask()
            if used:
                replicas = [pair for pair in replicas if pair[0] not in used]
            if not replicas:
                break
            # A file of this host is cheaper and surer than any other.
            rid, url = min(replicas, key=self._is_elsewhere) if len(replicas) > 1 else replicas[0]
            used.append(rid)
            yield url
        self.task.request("INPUT_ERR", [self.id, used])

    def _is_elsewhere(self, replica: tuple[int, str]) -> bool:
        scheme, found, rest = replica[1].partition("://")
        return not (found == "" or scheme == "raw" or rest.partition("/")[0].partition(":")[0] == self.task.host)


def _ask(task: Task, id: int) -> list[tuple[int, str]]:
    """The replicas of an input as the master knows them now."""
    while True:
        _state, rows = task.request("INPUT", ["include", [id]])
        if rows and rows[0][1] == "busy":
            time.sleep(BUSY_PAUSE)
            continue
        if rows and rows[0][1] == "failed":
            raise DataError("Can't handle broken input", f"input {id}")
        return list(map(tuple, rows[0][3])) if rows else []


def task_inputs(task: Task) -> Iterator[TaskInput]:
    """All inputs of a task, asking the master until it says that there are no more (reference 2.6)."""
    seen: list[int] = []
    while True:
        state, rows = task.request("INPUT", ["exclude", seen])
        for id, _status, label, replicas in rows:
            if id not in seen:
                seen.append(id)
                yield TaskInput(task, id, label, list(map(tuple, replicas)))
        if state == "done":
            return


def _attempts(source: Any) -> tuple[Iterator[str], list[str]]:
    if isinstance(source, TaskInput):
        return source.attempts(), source.urls
    if isinstance(source, str):
        return iter([source]), [source]
    urls = [str(url) for url in source]
    return iter(urls), urls


def default_open(url: str) -> Any:
    """Open a url by its scheme; iterating the result gives lines."""
    return open_url(url)[0]


class _Replicas:
    """The replicas of one input, opened in turn."""

    def __init__(self, source: Any, open: Callable[[str], Any]) -> None:
        self.attempts, self.urls = _attempts(source)
        self.open = open
        self.file: Any = None
        self.url = ""
        self.error: DataError | None = None
        self._waiting = False

    def next(self, delivered: int) -> Iterator[Any]:
        """Open the next replica and skip what was delivered; after a `Wait` the same one again.

        Raises DataError when there is none left, Wait when there is no data yet.
        """
        while True:
            self.close()
            url = self.url if self._waiting else next(self.attempts, "")
            if not url:
                raise self._exhausted() from self.error
            self.url = url
            self._waiting = False
            try:
                faults = task.faults if (task := active.current()) is not None else None
                if faults is not None:
                    faults.at("first-read")
                self.file = self.open(url)
                records: Iterator[Any] = iter(self.file)
                if faults is not None:
                    records = faults.records(records, url)
                for _ in range(delivered):
                    if next(records, self) is self:
                        raise DataError(f"This replica ends before record {delivered}", url)
                return records
            except DataError as error:
                self.error = error
            except Wait:
                self._waiting = True
                raise

    def _exhausted(self) -> DataError:
        if self.error is not None and len(self.urls) == 1:
            return DataError(f"Exhausted all available replicas: {self.error}", self.urls)
        import traceback

        text = "Exhausted all available replicas"
        if self.error is not None:
            text += ", last error was:\n\n" + "".join(traceback.format_exception(self.error))
        return DataError(text, self.urls)

    def close(self) -> None:
        """Close the open replica, if any."""
        file, self.file = self.file, None
        close = getattr(file, "close_inputs", None) or getattr(file, "close", None)
        if close is not None:
            close()


class Input:
    """An iterable over inputs that survives damaged replicas (reference 8.9).

    Parameters: `input` an iterable of urls, lists of urls (replicas) or `TaskInput`s, or a single url; `task`
    the task, used for nothing but Disco's signature; `open` a function (url) -> file, default by scheme.
    Attributes: `url` and `record` say which record of which replica was delivered last.
    """

    def __init__(
        self, input: Any, task: Task | None = None, open: Callable[[str], Any] | None = None, **_kwds: object
    ) -> None:
        self.sources: Iterable[Any] = [input] if isinstance(input, (str, TaskInput)) else input
        self.task = task
        self.open = open or default_open
        self.url = ""
        self.record = 0

    def _records(self, source: Any, patient: bool = True) -> Iterator[Any]:
        """The records of one input. The one loop that every record of a job passes.

        Where there is no data yet it sleeps and asks again; if not `patient` it gives the `Wait` instead of sleeping.
        """
        replicas = _Replicas(source, self.open)
        records: Iterator[Any] | None = None
        number = 0
        try:
            while True:
                try:
                    if records is None:
                        records = replicas.next(number)
                    self.url = replicas.url
                except Wait as wait:
                    pause = wait.retry_after
                else:
                    try:
                        for record in records:
                            number += 1
                            self.record = number
                            yield record
                        return
                    except DataError as error:
                        replicas.error = error
                        records = None
                        continue
                    except Wait as wait:
                        pause = wait.retry_after
                if patient:
                    time.sleep(pause)
                else:
                    yield Wait(pause)
        finally:
            replicas.close()
            replicas.error = None  # it holds this very frame: a cycle that would keep files open

    def __iter__(self) -> Iterator[Any]:
        for source in self.sources:
            yield from self._records(source)


class SerialInput(Input):
    """Inputs one after the other."""


class ParallelInput(Input):
    """Inputs in no particular order: the last one first, as Disco does it. Needs the full set of inputs.

    An input that has no data yet (`Wait`) is put off until the others were asked.
    """

    def __iter__(self) -> Iterator[Any]:
        from collections import deque

        pending = deque(self._records(source, patient=False) for source in self.sources)
        idle = 0
        while pending:
            records = pending.pop()
            for record in records:
                if isinstance(record, Wait):
                    pending.appendleft(records)
                    idle += 1
                    if idle >= len(pending):  # none of them has any
                        time.sleep(record.retry_after)
                        idle = 0
                    break
                idle = 0
                yield record


class MergedInput(Input):
    """The records of sorted inputs in ascending order, all inputs open at the same time."""

    def __iter__(self) -> Iterator[Any]:
        from heapq import merge

        return merge(*[self._records(source) for source in self.sources])
