"""A stage of a job that runs: its tasks, and how outputs of the stage before become tasks and their inputs; pure.

    outputs of finished tasks --group--> groups --take--> new tasks, or more inputs for tasks that are there

A stage is closed when all stages before it are finished: nothing comes any more. A concurrent stage takes the outputs
of each task as it ends, any other those of all tasks at once (reference 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from discolocal.cluster.grouping import DataOutput, GroupInput, Output, group
from discolocal.cluster.transitions import Task


class Stage:
    """A stage that runs or has run: its tasks in order of their ids, and how many there are of each status.

    Parameters: `name`, `grouping`, `level` its place in the pipeline, `now` the time in seconds at which it starts.
    """

    def __init__(self, name: str, grouping: str, level: int, now: float) -> None:
        self.name = name
        self.grouping = grouping
        self.level = level
        self.started = now
        self.ended: float | None = None
        self.tasks: list[Task] = []
        self.closed = False
        self.failed = 0
        self._results: list[list[str]] | None = None
        self._count: Counter[str] = Counter()
        self._groups: dict[tuple[int, str | None], Task] = {}

    @property
    def finished(self) -> bool:
        """Whether all its tasks are done and no more can come."""
        return self.closed and self._count["done"] == self._count.total()

    @property
    def results(self) -> list[list[str]]:
        """The url lists of the outputs, those of the task with the lowest id first."""
        if self._results is not None:
            return self._results
        return [output_urls(output) for task in self.tasks for output in task.outputs]

    def counts(self) -> tuple[int, int, int, int, int]:
        """Tasks (pending, waiting, running, done, failed attempts)."""
        return 0, self._count["queued"], self._count["running"], self._count["done"], self.failed

    def move(self, task: Task, status: str) -> None:
        """Give the task another status."""
        self._count[task.status] -= 1
        self._count[status] += 1
        task.status = status

    def take(
        self, outputs: Iterable[tuple[int, Iterable[Output]]], first: int, turned: bool = False
    ) -> tuple[list[Task], list[tuple[Task, tuple[GroupInput, ...]]]]:
        """Group outputs of tasks, given as (task id, outputs); `turned` as `grouping.group` takes it.

        Returns the tasks that are new, with ids from `first` on, and the others that get inputs, with these.
        """
        new: list[Task] = []
        fed: list[tuple[Task, tuple[GroupInput, ...]]] = []
        for part in group(self.grouping, outputs, turned):
            # Each input of a split is a task of its own; else there is one task for a label and host.
            known = self._groups.get(part[:2]) if self.grouping != "split" else None
            if known is not None:
                if part.inputs:  # those of a group_all may be none
                    known.group = known.group._replace(inputs=known.group.inputs + part.inputs)
                    fed.append((known, part.inputs))
                continue
            task = Task(first + len(new), self.name, part, self.level)
            task.early = not self.closed
            task.complete = self.closed or self.grouping == "split"
            self._groups[part[:2]] = task
            self._count[task.status] += 1
            new.append(task)
        self.tasks += new
        return new, fed

    def close(self) -> list[Task]:
        """All stages before it are finished. Returns the tasks that did not know yet that their inputs are complete."""
        self.closed = True
        waiting = [task for task in self.tasks if not task.complete]
        for task in self.tasks:
            task.early, task.complete = False, True
        return waiting

    def forget_tasks(self) -> None:
        """Keep the results and the counts alone."""
        self._results = self.results
        self.tasks = []
        self._groups = {}


def output_urls(output: Output) -> list[str]:
    """The replicas of an output."""
    return list(output.urls) if isinstance(output, DataOutput) else [output.url]
