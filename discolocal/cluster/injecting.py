"""The faults of one job while it runs: what each attempt is told, and what happens to one that is done.

JobRun --rows--> TaskOrder (the worker does these) ; TaskEnd --ended--> the same, or an error: lost, duplicate
events of the job --heard--> what has happened
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from discolocal.cluster import store
from discolocal.cluster.events import EventLog
from discolocal.cluster.faults import AFTERWARDS, Fault, Faults
from discolocal.cluster.grouping import DirOutput, Output
from discolocal.cluster.orders import JobOrder, TaskEnd
from discolocal.cluster.state import JobState
from discolocal.cluster.transitions import Task
from discolocal.error import DataError
from discolocal.wire import event as texts
from discolocal.wire import index, names


class JobFaults:
    """The faults of a job.

    Parameters: `faults` the schedule of its cluster; `replay` a call that makes another such cluster; `order`, `state`
    and `log` of the job.
    """

    def __init__(self, faults: Faults, replay: str, order: JobOrder, state: JobState, log: EventLog) -> None:
        self._faults = faults
        self._replay = replay
        self._order = order
        self._state = state
        self._log = log
        self._count = 0

    def rows(self, task: Task, run: int) -> tuple[tuple[str, str, str, int], ...]:
        """What the worker of an attempt has to do, as rows of its order."""
        planned = self._planned(task, run)
        return tuple((str(f), f.deed, f.point, f.nth) for f in planned if f.deed not in AFTERWARDS)

    def heard(self, text: str) -> bool:
        """Take a message of a task; returns whether it told of a fault."""
        line = texts.parse_fault(text)
        if line is not None:
            self._happened(line)
        return line is not None

    def ended(self, end: TaskEnd) -> TaskEnd:
        """The end of an attempt: as it is, or an error if it was done and is not to count."""
        _, number, run = end.key
        task = self._state.tasks.get(number)
        if end.kind != "done" or task is None or task.status != "running" or task.run != run:
            return end
        fault = next((fault for fault in self._planned(task, run) if fault.deed in AFTERWARDS), None)
        if fault is None:
            return end
        if fault.deed == "lost":
            _delete(self._order, task, end.outputs)
        text = texts.fault(str(fault))
        self._happened(str(fault))
        self._log.add(task.host or "?", texts.task_event("MSG", task.stage, number, text))
        return end._replace(kind="error", text=text, outputs=())

    def told(self) -> str:
        """A line for the error of a job: its failure may be one that only faults bring about."""
        return f"\n  faults: {self._count} injected, see its events; replay: {self._replay}"

    def _planned(self, task: Task, run: int) -> list[Fault]:
        state = self._state
        number = state.stages[task.level].tasks.index(task)
        found = self._faults.schedule(task.stage, number, run, state.grouping(task), state.max_failures)
        # A task that is alone in its thread is in nobody's way.
        return [fault for fault in found if fault.deed != "slow" or self._order.start != "inline"]

    def _happened(self, line: str) -> None:
        self._count += 1
        self._faults.done.append(line)


def _delete(order: JobOrder, task: Task, outputs: Iterable[Output]) -> None:
    """Delete the files of a task, and their index, as if their disk was gone. What is not the task's own stays."""
    own = re.compile(rf"[0-9a-f]{{2}}/{re.escape(task.stage)}:[^/]*-{task.id}-[0-9a-f]{{2}}-[0-9]+/.+", re.DOTALL)
    for output in outputs:
        if not isinstance(output, DirOutput) or output.host is None:
            continue
        home = store.job_home(order.data, output.host, order.jobname)
        path = os.path.join(home, store.INDEX_DIR, os.path.basename(output.url))
        with contextlib.suppress(OSError, DataError):  # code of the user may have deleted it as well
            with open(path, "rb") as file:
                lines = index.parse(file.read(), output.url)
            beginning = names.disco_url(output.host, order.jobname, "")
            for location in {line.url.removeprefix(beginning) for line in lines}:
                if own.fullmatch(location) and ".." not in location.split("/"):
                    os.unlink(os.path.join(home, location))
            os.unlink(path)
