"""Prints of user code become messages of the task.

    print(...) -> sys.stdout (a TaskStream) -> the current task's lines -> MSG, one per line

While a task runs, `sys.stdout` and `sys.stderr` are `TaskStream` objects. They find the task through
`active.current()`. In a worker process every thread's output belongs to the one task; in an inline
cluster only the thread that runs the task is redirected, everybody else's output passes through.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from discolocal import active

if TYPE_CHECKING:
    from discolocal.task import Task

_lock = threading.RLock()
_installed: list[tuple[str, TaskStream, Any]] = []
_users = 0


class _Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is inside of a task."""

    def __init__(self, stream: TaskStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._stream.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)


class TaskStream(io.TextIOBase):
    """A text stream that sends each complete line as a message (reference 2.5).

    Parameters: `original` the stream it stands in for, `owner` the task that output of any thread
    belongs to (None: only the thread that runs a task is redirected).
    """

    def __init__(self, original: TextIO | None, owner: Task | None) -> None:
        super().__init__()
        self._original = original
        self._owner = owner
        self._rest: dict[int, str] = {}  # by thread: the beginning of a line
        self._shown: dict[int, int] = {}  # by thread: how much of it the original stream has

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The codec of what is written to `buffer`."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of characters that cannot be sent."""
        return "backslashreplace"

    @property
    def buffer(self) -> _Bytes:
        """The stream for bytes."""
        return _Bytes(self)

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Never: nobody types here."""
        return False

    def fileno(self) -> int:
        """The descriptor of the original stream, for child processes; what they write is no message."""
        if self._original is None:
            raise io.UnsupportedOperation("fileno")
        return self._original.fileno()

    def write(self, text: str) -> int:
        """Take text; every line that is complete becomes a message of the task. Returns the length."""
        task = active.current() or self._owner
        if task is None:
            return self._original.write(text) if self._original is not None else len(text)
        me = threading.get_ident()
        lines = (self._rest.pop(me, "") + text).split("\n")
        if lines[-1]:
            self._rest[me] = lines[-1]
        for line in lines[:-1]:
            self._emit(task, line)
        return len(text)

    def _emit(self, task: Task, line: str) -> None:
        line = line.rstrip()
        if not line:
            self._shown.pop(threading.get_ident(), None)
            return
        if task.inline and self._original is not None:
            shown = self._shown.pop(threading.get_ident(), 0)
            self._original.write(f"{line[shown:]}\n" if shown else f"[{task.stage}:{task.taskid}] {line}\n")
        task.msg(line)

    def flush(self) -> None:
        """Flush the original. In an inline task an unfinished line is shown there (a debugger's prompt)."""
        task = active.current()
        if task is not None and task.inline and self._original is not None:
            me = threading.get_ident()
            rest = self._rest.get(me, "")
            self._original.write(rest[self._shown.get(me, 0) :])
            self._shown[me] = len(rest)
        if self._original is not None and (task is None or task.inline):
            self._original.flush()

    def finish(self, task: Task) -> None:
        """Send what is left of unfinished lines: of every thread, in an inline cluster of this one."""
        threads = [threading.get_ident()] if self._owner is None else list(self._rest)
        for thread in threads:
            self._emit(task, self._rest.pop(thread, ""))


class redirected:
    """Context manager: prints inside of the block become messages of `task`."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __enter__(self) -> redirected:
        global _users
        with _lock:
            if not _users:
                owner = None if self.task.inline else self.task
                for name in ("stdout", "stderr"):
                    original = getattr(sys, name)
                    stream = TaskStream(original, owner)
                    _installed.append((name, stream, original))
                    setattr(sys, name, stream)
            _users += 1
        return self

    def finish(self) -> None:
        """Send unfinished lines now, while the task can still send messages."""
        for _name, stream, _original in list(_installed):
            stream.finish(self.task)

    def __exit__(self, *exc: object) -> None:
        global _users
        with _lock:
            _users -= 1
            if _users:
                return
            for name, stream, original in _installed:
                if getattr(sys, name) is stream:
                    setattr(sys, name, original)
            _installed.clear()
