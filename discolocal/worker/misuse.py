"""What user code may do here and must not do on a cluster: read standard input, fork (reference 9, items 46 and 47)."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from discolocal import active
from discolocal.worker.messages import NOTHING_TO_CLOSE

if TYPE_CHECKING:
    from discolocal.task import Task


class _Input(io.TextIOBase):
    """Stands for `sys.stdin` in a task: reports the first read, then reads what is really there."""

    __del__ = NOTHING_TO_CLOSE

    def __init__(self, original: TextIO, task: Task) -> None:
        super().__init__()
        self._original = original
        self._task = task

    def _reported(self) -> TextIO:
        self._task.warn(
            "stdin-read",
            "the task reads standard input: on a cluster that is the worker's connection to its master, and reading it"
            " blocks the task or spoils the protocol; read from the job's inputs or from required_files",
        )
        return self._original

    def read(self, size: int | None = -1) -> str:
        """See `io.TextIOBase`."""
        return self._reported().read(-1 if size is None else size)

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """See `io.TextIOBase`."""
        return self._reported().readline(size)

    def readable(self) -> bool:
        """Always true."""
        return True

    @property
    def buffer(self) -> Any:
        """The stream of bytes behind it."""
        return self._reported().buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The codec of the stream behind it."""
        return self._original.encoding

    def fileno(self) -> int:
        """The descriptor behind it."""
        return self._original.fileno()


class watched_input:
    """Context manager: reads of `sys.stdin` are reported. Not inline: there it is the caller's, and a debugger's."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.original: TextIO | None = None

    def __enter__(self) -> None:
        if not self.task.inline and sys.stdin is not None:
            self.original = sys.stdin
            sys.stdin = _Input(self.original, self.task)

    def __exit__(self, *exc: object) -> None:
        if self.original is not None:
            sys.stdin = self.original


def _before_fork() -> None:
    """In a thread that is about to fork: if it runs a task, that is user code. Whatever fails here is lost."""
    task = active.current()
    if task is not None:
        task.notice(
            "fork-in-task",
            "the task forks: on a cluster the child shares the pipe of the worker protocol, what it prints breaks the"
            " protocol, and it may outlive the task; use subprocess, or more tasks",
        )


os.register_at_fork(before=_before_fork)
