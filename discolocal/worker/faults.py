"""Faults that a cluster asked for, in the task that they hit: a death, a full disk, data that does not arrive.

    TASK reply: rows (line, deed, point, nth) -> Injector -> `Task.faults` <- asked at the points by what runs there

A fault is told to the master before it is done, so that the events of the job say why the attempt ended. Each happens
once at most: a task that never comes to the point has no fault.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.error import DataError
from discolocal.wire import event, protocol
from discolocal.wire.hunk import is_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.task import Task

POINTS = (
    "import", "init", "first-read", "mid-map", "combiner", "partition-write", "after-output", "sort", "mid-reduce",
    "done",
)  # fmt: skip
"""Where a worker may die: see `Faults`."""

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "segv": signal.SIGSEGV}
ERRORS: dict[str, type[Exception]] = {"OSError": OSError, "MemoryError": MemoryError}
MANNERS = ("exit", *SIGNALS, *ERRORS, "DataError")
"""How a worker may die."""

_HUNK_HEADER = 14  # bytes


class _Fault(NamedTuple):
    """One row of the order: `line` names the fault, the others are as in `cluster.faults.Fault`."""

    line: str
    deed: str
    point: str
    nth: int


class Injector:
    """The faults of one attempt of a task."""

    def __init__(self, task: Task, rows: Iterable[tuple[str, str, str, int]]) -> None:
        self._task = task
        self._faults = [_Fault(*row) for row in rows]
        self._met: dict[str, int] = {}
        self.raised: Exception | None = None  # an error that is no fault of the job

    def at(self, point: str, last: bool = False) -> None:
        """The task is at `point`, the next time or, with `last`, for the last time. Does not return if it dies here."""
        number = self._met[point] = self._met.get(point, 0) + 1
        for fault in [fault for fault in self._faults if fault.point == point]:
            if number >= fault.nth or last or fault.deed == "slow":
                self._do(fault)

    def records(self, records: Iterator[Any], url: str) -> Iterator[Any]:
        """The records of an input that was opened, with faults among them."""
        return _Records(self, records, url)

    def broken(self, url: str, last: bool = False) -> None:
        """A record of `url` is about to be read, or there is none any more. Raises DataError if that is to fail."""
        for fault in [fault for fault in self._faults if fault.deed == "failing"]:
            number = self._met["record"] = self._met.get("record", 0) + 1
            if number >= fault.nth or last:
                self._tell(fault)
                raise DataError(f"This replica cannot be read any more ({event.fault(fault.line)})", url)

    @property
    def middle(self) -> str:
        """The point that is in the middle of this task's records."""
        return "mid-map" if self._task.grouping == "split" else "mid-reduce"

    def stream(self, file: Any) -> Any:
        """A file that is read in Disco's format, or one whose bytes arrive damaged."""
        faults = [fault for fault in self._faults if fault.deed == "corrupt"]
        return _Damaged(file, faults[0], self._tell) if faults else file

    def combining(self, combiner: Callable[..., Any]) -> Callable[..., Any]:
        """A combiner whose calls are points, and the last one in any case."""

        def combined(key: Any, value: Any, buffer: Any, done: Any, params: Any) -> Any:
            self.at("combiner", last=bool(done))
            return combiner(key, value, buffer, done, params)

        return combined

    def writing(self, file: Any) -> None:
        """Let writes to `file`, an `AtomicFile`, be points: half of the bytes are written before a fault."""
        write = file.write

        def faulty(data: Any) -> int:
            if not any(fault.point in ("partition-write", "write") for fault in self._faults):
                return int(write(data))
            view = memoryview(data)
            half = len(view) // 2
            write(view[:half])
            file.flush()
            self.write()
            return half + int(write(view[half:]))

        file.write = faulty

    def write(self) -> None:
        """The task writes to an output. Raises OSError when no space is left."""
        for fault in [fault for fault in self._faults if fault.deed == "full-disk"]:
            number = self._met["write"] = self._met.get("write", 0) + 1
            if number >= fault.nth:
                self._tell(fault)
                self.raised = OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({event.fault(fault.line)})")
                raise self.raised
        self.at("partition-write")

    def _tell(self, fault: _Fault) -> None:
        """It happens now, and only once."""
        self._faults.remove(fault)
        self._task.msg(event.fault(fault.line))

    def _do(self, fault: _Fault) -> None:
        self._tell(fault)
        if fault.deed == "slow":
            time.sleep(fault.nth / 1000)
            return
        if fault.deed == "DataError":
            raise DataError(event.fault(fault.line), str(self._task))
        if fault.deed in ERRORS:
            self.raised = ERRORS[fault.deed](event.fault(fault.line))
            raise self.raised
        if fault.point == "done" and self._task.channel is not None:
            self._task.channel.cut(protocol.encode("DONE", "")[:6])
        if self._task.inline:
            # There is no process that could die: SystemExit ends the task as the end of one would, past `except
            # Exception` in code of the user.
            raise SystemExit(1)
        if fault.deed in SIGNALS:
            os.kill(os.getpid(), SIGNALS[fault.deed])
            time.sleep(1)  # a handler of the user may have caught it
        os._exit(1)


class _Records:
    """The records of an input. No generator: one that says there is no data yet is asked again (reference 8.9)."""

    def __init__(self, faults: Injector, records: Iterator[Any], url: str) -> None:
        self._faults = faults
        self._records = records
        self._url = url

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        faults = self._faults
        try:
            record = next(self._records)
        except StopIteration:
            faults.at(faults.middle, last=True)
            faults.broken(self._url, last=True)
            raise
        faults.at(faults.middle)
        faults.broken(self._url)
        return record


class _Damaged:
    """A binary file in Disco's format one bit of which is another than on the disk; any other file as it is.

    It is the lowest bit of a byte in the body of a hunk: the higher ones may be none of the data's.
    """

    def __init__(self, file: Any, fault: _Fault, tell: Callable[[_Fault], None]) -> None:
        self._file = file
        self._fault: _Fault | None = fault
        self._tell = tell
        self._head = b""
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read as the file does."""
        data: bytes = self._file.read(size)
        start = self._at
        self._at += len(data)
        self._head += data[: max(0, 2 - len(self._head))]
        if self._fault is None or len(self._head) < 2:
            return data
        if not is_stream(self._head):
            self._fault = None
            return data
        place = max(_HUNK_HEADER, start)  # the first byte of a body that this read has
        if place >= self._at:
            return data
        place = min(max(place, self._fault.nth), self._at - 1) - start
        self._tell(self._fault)
        self._fault = None
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
