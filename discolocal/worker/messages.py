"""Prints of user code become messages of the task.

    print(...) -> sys.stdout (a TaskStream) -> the current task's lines -> MSG, one per line

While a task runs, `sys.stdout` and `sys.stderr` are `TaskStream` objects. They find the task through
`active.current()`. In a worker process every thread's output belongs to the one task; in an inline
cluster only the thread that runs the task is redirected, everybody else's output passes through. There the task's lines
are shown on the caller's standard error besides, where other clusters show them: standard output is the caller's own.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from discolocal import active
from discolocal.wire import event

if TYPE_CHECKING:
    from discolocal.task import Task

_lock = threading.RLock()
_installed: list[tuple[str, TaskStream, Any]] = []
_users = 0
_MARGIN = 10  # characters below the longest text of an event at which a master begins to cut


def _forked() -> None:
    """In a child process that user code forks: its prints are no messages, as it has no part in the conversation.

    The lock may have been held by a thread that is not there any more.
    """
    global _lock, _users
    _lock = threading.RLock()
    _users = 0
    for name, stream, original in _installed:
        stream.disown()
        if getattr(sys, name) is stream:
            setattr(sys, name, original)
    _installed.clear()


os.register_at_fork(after_in_child=_forked)


# A stream of Python closes itself when it is given up, and silences whatever is raised meanwhile: Ctrl-C, when it comes
# just then. These have nothing to close, and a function of C in this place leaves the interpreter no time for a signal.
NOTHING_TO_CLOSE: Any = object.__hash__


class _Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is inside of a task."""

    __del__ = NOTHING_TO_CLOSE

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
    belongs to (None: only the thread that runs a task is redirected), `screen` where an inline task's lines are shown
    besides (default: `original`).
    """

    __del__ = NOTHING_TO_CLOSE

    def __init__(self, original: TextIO | None, owner: Task | None, screen: TextIO | None = None) -> None:
        super().__init__()
        self._original = original
        self._screen = screen or original
        self._owner = owner
        self._rest: dict[int, str] = {}  # by thread: the beginning of a line
        self._shown: dict[int, int] = {}  # by thread: how much of it was shown
        self._disowned = False

    def disown(self) -> None:
        """From now on only pass everything on to the original stream, line by line in a worker's child."""
        self._disowned = True
        if self._owner is not None and isinstance(self._original, io.TextIOWrapper):
            self._original.reconfigure(line_buffering=True, write_through=False)
        self._owner = None
        self._rest.clear()
        self._shown.clear()

    def _task(self) -> Task | None:
        """The task whose messages the output of this thread is."""
        return None if self._disowned else active.current() or self._owner

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
        task = self._task()
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
        if task.inline and self._screen is not None:
            shown = self._shown.pop(threading.get_ident(), 0)
            self._screen.write(f"{line[shown:]}\n" if shown else f"[{task.stage}:{task.taskid}] {line}\n")
        task.msg(_shortened(line, task))

    def flush(self) -> None:
        """Flush the original. In an inline task an unfinished line is shown (a debugger's prompt)."""
        task = None if self._disowned else active.current()
        if task is not None and task.inline and self._screen is not None:
            me = threading.get_ident()
            rest = self._rest.get(me, "")
            self._screen.write(rest[self._shown.get(me, 0) :])
            self._shown[me] = len(rest)
            self._screen.flush()
        elif task is None and self._original is not None:
            self._original.flush()

    def finish(self, task: Task) -> None:
        """Send what is left of unfinished lines: of every thread, in an inline cluster of this one."""
        threads = [threading.get_ident()] if self._owner is None else list(self._rest)
        for thread in threads:
            self._emit(task, self._rest.pop(thread, ""))


def _shortened(line: str, task: Task) -> str:
    """`line` itself, or as much of it as an event can show, and how much that leaves out (reference 6)."""
    room = event.MAX_TEXT - len(event.task_event("MSG", task.stage, task.taskid, "")) - _MARGIN
    if len(line) <= room:
        return line
    line = line.encode("utf-8", "backslashreplace").decode("utf-8")
    keep = room - len(f"... ({len(line):,} characters more)")
    return f"{line[:keep]}... ({len(line) - keep:,} characters more)"


class redirected:
    """Context manager: prints inside of the block become messages of `task`."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __enter__(self) -> redirected:
        global _users
        with _lock:
            if not _users:
                owner, screen = None if self.task.inline else self.task, sys.stderr
                for name in ("stdout", "stderr"):
                    original = getattr(sys, name)
                    stream = TaskStream(original, owner, screen)
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
            _users = max(0, _users - 1)
            if _users:
                return
            for name, stream, original in _installed:
                if getattr(sys, name) is stream:
                    setattr(sys, name, original)
            _installed.clear()
