"""A job on a cluster: its state machine, its events, what it printed, and who waits for it.

The executor (`master` for processes, `inline` for none) feeds events and carries out what comes back;
callers wait on it from any thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from discolocal.cluster.events import EventLog
from discolocal.cluster.orders import JobOrder, TaskEnd, TaskEvent, TaskOrder, order_inputs
from discolocal.cluster.stages import StageFacts, facts
from discolocal.cluster.state import JobState
from discolocal.cluster.transitions import (
    Begin,
    Cancel,
    Event,
    Fail,
    Feed,
    Finish,
    Instruction,
    KillAsked,
    Launch,
    Log,
    Save,
    Saved,
    SaveFailed,
    Task,
    TaskDone,
    TaskFailed,
    TaskFatal,
)
from discolocal.error import DiscoError, JobError, PortabilityWarning, RemoteTraceback
from discolocal.wire import event as texts
from discolocal.wire.packcheck import JobInfo

if TYPE_CHECKING:
    from discolocal.cluster.injecting import JobFaults

Work = Launch | Feed | Cancel
_HEADLINE = 2000  # characters


class JobRun:
    """One submitted job.

    Parameters: `order` what its tasks have in common; `info` what its pack says; `state` its state
    machine; `log` its events; `faults` what is to go wrong. `inline` workers print by themselves, so their messages
    are not shown again.
    """

    def __init__(
        self,
        order: JobOrder,
        info: JobInfo,
        state: JobState,
        log: EventLog,
        faults: JobFaults | None = None,
    ) -> None:
        self.name = order.jobname
        self.order = order
        self.info = info
        self.state = state
        self.log = log
        self.faults = faults
        self.timestamp = time.time()
        self.results: list[Any] = []
        self.error: JobError | None = None
        self.running: dict[tuple[int, int], str] = {}
        self._changed = threading.Condition()
        self._warnings: dict[str, PortabilityWarning] = {}
        self._warned: set[str] = set()
        self._causes: dict[int, str] = {}
        self._seconds: dict[int, float] = {}
        self._facts: list[StageFacts] = []
        self._over = False
        self._bells: list[threading.Event] = []

    @property
    def ended(self) -> bool:
        """Whether the job has ended and none of its workers is left."""
        return self._over

    def begin(self) -> list[Work]:
        """Start the first stage."""
        self.log.add("master", texts.NEW_JOB)
        self.log.add("master", texts.created(self.name))
        return self.feed(Begin())

    def feed(self, event: Event) -> list[Work]:
        """Give the state machine an event; returns the attempts to start, to feed or to stop."""
        work: list[Work] = []
        with self._changed:
            for instruction in self.state.handle(event, time.time()):
                self._carry_out(instruction, work)
            self._settle()
        return work

    def _carry_out(self, instruction: Instruction, work: list[Work]) -> None:
        match instruction:
            case Launch() | Feed() | Cancel():
                work.append(instruction)
            case Log(host, text):
                self.log.add(host, text)
            case Save(urls):
                work += self.feed(self._save(urls))
            case Finish(results):
                self.results = results
            case Fail():
                self.error = self._job_error(instruction)

    def _save(self, urls: list[list[str]]) -> Event:
        """Keep the results under a tag, and delete what attempts that do not count have left."""
        from discolocal.cluster import saving

        try:
            results = saving.tag_results(self.order, urls)
            saving.discard(self.order, urls)
        except (DiscoError, OSError) as error:
            return SaveFailed(f"its results could not be saved: {error}")
        return Saved(results)

    def _forget_saved(self) -> None:
        """The job has failed: nobody knows of the results that its tasks have saved so far."""
        from discolocal.cluster import saving

        with contextlib.suppress(OSError):
            saving.discard(self.order)

    def started(self, task: int, run: int, host: str) -> None:
        """Attempt `run` of the task runs on `host` now."""
        with self._changed:
            self.running[task, run] = host
            self._causes.pop(task, None)
            self._seconds.pop(task, None)

    def stopped(self, task: int, run: int) -> None:
        """The attempt has no process any more."""
        with self._changed:
            self.running.pop((task, run), None)
            self._settle()

    def _settle(self) -> None:
        """When the job is over and its last worker gone, write the events and wake those who wait."""
        if self.state.status != "active" and not self.running and not self._over:
            self._over = True
            if self.state.saves and self.state.status == "dead":
                self._forget_saved()
            self._changed.notify_all()
            self.log.close()
            self._facts = facts(self.state, self._seconds)
            self._seconds.clear()
            self.state.forget_tasks()
            for bell in self._bells:
                bell.set()

    def ended_attempt(self, end: TaskEnd) -> list[Work]:
        """Feed the end of an attempt."""
        _, task, run = end.key
        if self.faults is not None:
            end = self.faults.ended(end)
        self._causes[task] = end.cause
        self._seconds[task] = end.seconds
        self.stopped(task, run)
        match end.kind:
            case "done":
                return self.feed(TaskDone(task, run, end.outputs, end.inputs))
            case "error":
                return self.feed(TaskFailed(task, run, end.text))
            case "fatal":
                return self.feed(TaskFatal(task, run, end.text))
        return []

    def said(self, event: TaskEvent, host: str) -> list[Work]:
        """A task sent a message or warning: log it; show prints; keep portability warnings.

        Under `strict` a portability warning ends the job."""
        _, taskid, run = event.key
        task = self.state.tasks.get(taskid)
        if task is None:
            return []
        self.log.add(host, texts.task_event(event.type, task.stage, taskid, event.text))
        if event.type != "MSG":
            return []
        if self.faults is not None and self.faults.heard(event.text):
            return []
        found = texts.parse_portability(event.text)
        if found is not None:
            with self._changed:
                self._warnings.setdefault(found[0], PortabilityWarning(*found))
            if self.order.strict and task.status == "running" and task.run == run:
                return self.feed(TaskFatal(taskid, run, f"{event.text} (an error under strict=True)"))
        elif not texts.is_status(event.text) and self.order.start != "inline":
            _show(f"[{task.name}] {event.text}\n")
        return []

    def crashed(self, text: str) -> None:
        """The executor itself failed: the job is over, and nothing runs any more."""
        with self._changed:
            self.running.clear()
        self.feed(KillAsked(text))

    def failure(self) -> JobError | None:
        """A JobError that says why the job failed, a new one each time; None if it did not fail."""
        if self.error is None:
            return None
        error = JobError(self.error.job, self.error.message)
        error.__cause__ = self.error.__cause__
        return error

    def stage_results(self, stage: str) -> list[list[str]] | None:
        """The result urls of a finished stage, None while it runs or if it is unknown."""
        with self._changed:
            return self.state.stage_results(stage)

    def stages(self) -> list[StageFacts]:
        """What its stages have done so far."""
        with self._changed:
            return self._facts if self._over else facts(self.state, self._seconds)

    def counts(self) -> list[list[Any]]:
        """Rows (stage, pending, waiting, running, done, failed) as in jobinfo (5.2)."""
        with self._changed:
            return [list(row) for row in self.state.counts()]

    def hosts(self) -> list[str]:
        """The nodes that run its tasks, one entry a task."""
        with self._changed:
            return list(self.running.values())

    def take_warnings(self) -> list[PortabilityWarning]:
        """Return the portability warnings of tasks that nobody took yet; each code comes once a job."""
        with self._changed:
            new = [w for code, w in self._warnings.items() if code not in self._warned]
            self._warned.update(self._warnings)
        return new

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended or `timeout` seconds have passed; returns whether it has ended."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, timeout)

    def ring(self, bell: threading.Event) -> None:
        """Set `bell` when the job ends, at once if it has."""
        with self._changed:
            self._bells.append(bell)
            if self._over:
                bell.set()

    def unring(self, bell: threading.Event) -> None:
        """Forget about `bell`."""
        with self._changed:
            self._bells.remove(bell)

    def progress(self) -> list[tuple[str, int, int]]:
        """Rows (stage, tasks done, tasks known)."""
        with self._changed:
            return [
                (stage, done, waiting + running + done) for stage, _, waiting, running, done, _ in self.state.counts()
            ]

    def task_order(self, launch: Launch, host: str) -> TaskOrder:
        """The order for an attempt on `host`."""
        task = launch.task
        is_last = task.level == len(self.state.pipeline) - 1
        return TaskOrder(
            self.order,
            task.id,
            launch.run,
            host,
            task.stage,
            self.state.grouping(task),
            (task.group.label, task.group.host or ""),
            order_inputs(task.group.inputs),
            f"{self.name}:{task.id}:{task.serial}" if self.state.saves and is_last else "",
            task.complete,
            self.faults.rows(task, launch.run) if self.faults is not None else (),
        )

    def _job_error(self, fail: Fail) -> JobError:
        if fail.task is None:
            return JobError(self.name, fail.text)
        text = fail.text.encode("utf-8", "backslashreplace").decode("utf-8")
        headline, _, traceback = text.partition("\n")
        cause = self._causes.get(fail.task.id)
        error = JobError(self.name, self._blame(fail, fail.task, _cut(cause or headline)))
        error.__cause__ = RemoteTraceback(traceback or headline)
        return error

    def _blame(self, fail: Fail, task: Task, headline: str) -> str:
        times = f" {fail.failures} times, the last time" if fail.failures > 1 else ""
        urls = [" or ".join(i.urls) for i in task.group.inputs]
        shown = ", ".join(urls[:3]) + (f", ... ({len(urls)} in all)" if len(urls) > 3 else "")
        return (
            f"task {task.name} of stage {task.stage} failed{times} on {fail.host}: {headline}\n"
            f"  inputs: {shown or 'none'}\n"
            f"  files: {self.order.data} (temporary ones stay with LocalCluster(keep=True))\n"
            f"  seed: {self.order.seed} (LocalCluster(seed={self.order.seed}) repeats order of inputs and placement)"
            + ("" if self.faults is None else self.faults.told())
        )


def wait_any(runs: Sequence[JobRun], timeout: float) -> None:
    """Wait until one of the jobs has ended or `timeout` seconds have passed; not at all if there are none."""
    if not runs:
        return
    bell = threading.Event()
    for run in runs:
        run.ring(bell)
    try:
        bell.wait(timeout)
    finally:
        for run in runs:
            run.unring(bell)


def _cut(headline: str) -> str:
    """A headline of reasonable length: the whole text is in the traceback."""
    return headline if len(headline) <= _HEADLINE else f"{headline[:_HEADLINE]}... ({len(headline)} characters)"


def _show(text: str) -> None:
    """Show what a task printed. The stream may be gone by now (a test's capture): then nobody watches."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (ValueError, OSError, AttributeError):
        pass
