"""Which task runs in this thread.

A worker process runs one task; inline clusters run tasks in the threads of the caller, several at a time.
Everything that user code reaches without a task at hand (`this_name()`, schemes, streams) asks here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discolocal.task import Task


class _Active(threading.local):
    task: Task | None = None


_active = _Active()


def current() -> Task | None:
    """The `Task` that runs in this thread, None outside of tasks."""
    return _active.task


def this_task() -> Task:
    """The `Task` that runs in this thread; raises RuntimeError outside of tasks."""
    task = _active.task
    if task is None:
        raise RuntimeError("there is no task here: this name has a meaning only inside of a running task")
    return task


def master() -> str | None:
    """The url of the master of the task that runs in this thread, None outside of tasks."""
    task = current()
    return task.master or None if task is not None else None


class activated:
    """Context manager: `task` is the current one of this thread inside of the block."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.before: Task | None = None

    def __enter__(self) -> Task:
        self.before = _active.task
        _active.task = self.task
        return self.task

    def __exit__(self, *exc: object) -> None:
        _active.task = self.before


class TaskProxy:
    """Stands for whatever task is current when an attribute is read.

    It is the `Task` that user functions find among their globals (reference 8.3): such a global
    outlives the task when the function belongs to a module of an inline cluster's process.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(this_task(), name)

    def __reduce__(self) -> tuple[type[TaskProxy], tuple[()]]:
        return TaskProxy, ()  # where it arrives, another task is the current one

    def __repr__(self) -> str:
        return f"<the current task: {_active.task!r}>"
