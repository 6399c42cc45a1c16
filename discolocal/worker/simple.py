"""The simple worker: a job has a function for each stage, which does everything itself (reference 1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.worker.base import Worker as BaseWorker

if TYPE_CHECKING:
    from discolocal.task import Task


class Worker(BaseWorker):
    """Calls ``map(worker, task, **jobargs)`` and ``reduce(worker, task, **jobargs)`` once for each task.

    They read ``worker.input(task)`` and write to ``worker.output(task, label).file``.
    """

    def run(self, task: Task, job: Any, **jobargs: Any) -> None:
        """Call the function of the task's stage. Raises NotImplementedError when the job has none."""
        function = self.getitem(task.stage, job, jobargs)
        if function is None:
            raise NotImplementedError(f"{type(job).__name__} has no function for the stage {task.stage!r}")
        function(self, task, **jobargs)
