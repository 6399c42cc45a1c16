"""A job's state machine: events in, instructions out; no I/O, no processes, no clock.

    Begin, TaskAssigned, TaskDone, TaskFailed, TaskFatal, NodeLost, Saved, SaveFailed, KillAsked
        -> JobState.handle(event, now) ->
    [Launch, Cancel, Log, Save, Finish, Fail]

Whoever drives it carries the instructions out and reports back what happened; a test can drive it
through every order of events. An event that does not fit raises `InvalidTransition` with the
history of the task. Rules: reference 3.2, 4.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discolocal.cluster.grouping import DataOutput, Output, group
from discolocal.cluster.transitions import (
    Begin,
    Cancel,
    Event,
    Fail,
    Finish,
    Instruction,
    KillAsked,
    Launch,
    Log,
    NodeLost,
    Save,
    Saved,
    SaveFailed,
    Task,
    TaskAssigned,
    TaskDone,
    TaskFailed,
    TaskFatal,
)
from discolocal.error import DiscoError
from discolocal.wire import event as texts


class InvalidTransition(DiscoError):
    """An event that cannot happen in the task's state; the text has the task's history."""


class _Stage:
    """A stage that runs or has run: its tasks in order of their ids."""

    def __init__(self, name: str, grouping: str, now: float) -> None:
        self.name = name
        self.grouping = grouping
        self.started = now
        self.tasks: list[Task] = []
        self.left = 0
        self.results: list[list[str]] | None = None
        self.summary: tuple[int, int, int, int, int] | None = None
        self.failed = 0

    def counts(self) -> tuple[int, int, int, int, int]:
        """Tasks (pending, waiting, running, done, failed attempts)."""
        if self.summary is not None:
            return self.summary
        status = [task.status for task in self.tasks]
        return 0, status.count("queued"), status.count("running"), status.count("done"), self.failed


class JobState:
    """The state of one job.

    Parameters: `jobname`; `pipeline` a list of (stage, grouping); `inputs` the job's inputs as
    outputs of the pseudo stage "input", in the order of the job pack; `nodes` the names of the
    cluster's nodes; `max_failures` how many failures of one task are survived (4.2); `now` the time
    in seconds; `saves` whether the results are kept in DDFS.
    """

    def __init__(
        self,
        jobname: str,
        pipeline: Sequence[tuple[str, str]],
        inputs: Sequence[Output],
        nodes: Sequence[str],
        max_failures: int,
        now: float,
        saves: bool = False,
    ) -> None:
        self.jobname = jobname
        self.saves = saves
        self.pipeline = list(pipeline)
        self.nodes = frozenset(nodes)
        self.max_failures = max_failures
        self.submitted = now
        self.status = "active"
        self.stages: list[_Stage] = []
        self.tasks: dict[int, Task] = {}
        self.inputs: tuple[Output, ...] = tuple(inputs)
        self._saving = False
        self._attempts = 0

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what has to be done, in order. Raises InvalidTransition."""
        if self.status != "active":
            return []
        match event:
            case Begin():
                if self.stages:
                    raise InvalidTransition(f"{self.jobname}: {event!r} does not fit: the job has begun")
                return self._next_stage([(0, self.inputs)], now)
            case TaskAssigned(task, run, host):
                return self._assigned(self._task(task, run, "queued", event), host)
            case TaskDone(task, run, outputs):
                return self._done(self._task(task, run, "running", event), outputs, now)
            case TaskFailed(task, run, text):
                return self._failed(self._task(task, run, "running", event), text)
            case TaskFatal(task, run, text):
                return self._fatal(self._task(task, run, "running", event), text)
            case NodeLost(host, text):
                return self._node_lost(host, text)
            case Saved(results):
                self._end_saving(event)
                return self._finish(results, now)
            case SaveFailed(text):
                self._end_saving(event)
                return self._end(Fail(text, None, None, 0))
            case KillAsked(text):
                return self._end(Fail(text, None, None, 0))

    def stage_results(self, stage: str) -> list[list[str]] | None:
        """The url lists of a finished stage's outputs, or None while it runs or if it is unknown."""
        for known in self.stages:
            if known.name == stage and not known.left:
                return known.results if known.results is not None else _urls(known.tasks)
        return None

    def counts(self) -> list[tuple[str, int, int, int, int, int]]:
        """Rows (stage, pending, waiting, running, done, failed) as in jobinfo (5.2)."""
        started = {stage.name: stage for stage in self.stages}
        return [(name, *(started[name].counts() if name in started else (0, 0, 0, 0, 0))) for name, _ in self.pipeline]

    def forget_tasks(self) -> None:
        """Keep of an ended job what is asked about it: results and counts of its stages."""
        for stage in self.stages:
            stage.summary = stage.counts()
            stage.results = _urls(stage.tasks)
            stage.tasks = []
        self.tasks = {}
        self.inputs = ()

    def _task(self, task_id: int, run: int, status: str, event: Event) -> Task:
        task = self.tasks.get(task_id)
        if task is None or task.run != run or task.status != status:
            known = f"{task.name} is {task.status} in run {task.run}; it was {task.history}" if task else "no such task"
            raise InvalidTransition(f"{self.jobname}: {event!r} does not fit: {known}")
        task.history.append(type(event).__name__)
        return task

    def _next_stage(self, upstream: list[tuple[int, tuple[Output, ...]]], now: float) -> list[Instruction]:
        """Start the next stage that has tasks, or finish the job."""
        out: list[Instruction] = []
        while len(self.stages) < len(self.pipeline):
            name, grouping = self.pipeline[len(self.stages)]
            stage = _Stage(name, grouping, now)
            self.stages.append(stage)
            # A master turns the list of inputs round once (1.4): task 0 of a split works on the last one.
            for part in group(grouping, upstream, turned=len(self.stages) == 1):
                task = Task(len(self.tasks), name, part)
                self.tasks[task.id] = task
                stage.tasks.append(task)
            for task in reversed(stage.tasks):  # a master hands them to its scheduler last to first (4.3)
                self._count_attempt(task)
            stage.left = len(stage.tasks)
            if stage.left:
                out.append(Log("master", texts.stage_scheduled(name, stage.left)))
                return out + [self._launch(task) for task in stage.tasks]
            out.append(Log("master", texts.stage_finished(name, 0.0)))
            upstream = []
        if self.stages:
            results = _urls(self.stages[-1].tasks)
        else:
            results = [list(_output_urls(output)) for output in reversed(self.inputs)]
        if self.saves:
            self._saving = True
            return [*out, Save(results)]
        return out + self._finish(results, now)

    def _finish(self, results: list[Any], now: float) -> list[Instruction]:
        self.status = "ready"
        return [Log("master", texts.job_done(now - self.submitted)), Finish(results)]

    def _end_saving(self, event: Event) -> None:
        if not self._saving:
            raise InvalidTransition(f"{self.jobname}: {event!r} does not fit: nothing is being saved")
        self._saving = False

    def _count_attempt(self, task: Task) -> None:
        task.serial = self._attempts
        self._attempts += 1

    def _launch(self, task: Task) -> Launch:
        task.status = "queued"
        task.host = None
        if task.avoid >= self.nodes:
            task.avoid.clear()
        host = near = None
        if not task.failures:  # a retry goes wherever there is room (4.2)
            host = task.group.host if task.group.host in self.nodes else None
            near = next((i.host for i in task.group.inputs if i.host in self.nodes), None)
        return Launch(task, task.run, host, near, frozenset(task.avoid))

    def _assigned(self, task: Task, host: str) -> list[Instruction]:
        task.status = "running"
        task.host = host
        return [Log("master", texts.assigned(task.stage, task.id, host))]

    def _done(self, task: Task, outputs: tuple[Output, ...], now: float) -> list[Instruction]:
        task.status = "done"
        task.outputs = outputs
        out: list[Instruction] = [
            Log("master", texts.task_event("SYS", task.stage, task.id, texts.received(task.host or "?")))
        ]
        stage = self.stages[-1]
        stage.left -= 1
        if stage.left:
            return out
        out.append(Log("master", texts.stage_finished(stage.name, now - stage.started)))
        return out + self._next_stage([(t.id, t.outputs) for t in stage.tasks], now)

    def _failed(self, task: Task, text: str) -> list[Instruction]:
        host = task.host or "?"
        self._count_failure(task)
        task.avoid.add(host)
        log = Log("master", texts.task_event("WARNING", task.stage, task.id, text))
        if task.failures > self.max_failures:
            given_up = texts.gave_up(task.stage, task.id, task.failures, self.max_failures)
            limit = Log("master", texts.task_event("ERROR", task.stage, task.id, given_up))
            return [log, limit, *self._end(Fail(text, task, host, task.failures))]
        retry = Log("master", texts.retry(task.stage, task.id, host, task.failures, 0))
        task.run += 1
        self._count_attempt(task)
        return [log, retry, self._launch(task)]

    def _fatal(self, task: Task, text: str) -> list[Instruction]:
        log = Log("master", texts.task_event("FATAL", task.stage, task.id, text))
        self._count_failure(task)
        return [log, *self._end(Fail(text, task, task.host, task.failures))]

    def _count_failure(self, task: Task) -> None:
        """The task has to run again, whether or not it will."""
        task.status = "queued"
        task.failures += 1
        self.stages[-1].failed += 1

    def _node_lost(self, host: str, text: str) -> list[Instruction]:
        out: list[Instruction] = []
        for task in list(self.tasks.values()):
            if self.status == "active" and task.status == "running" and task.host == host:
                task.history.append("NodeLost")
                out += self._failed(task, text)
        return out

    def _end(self, fail: Fail) -> list[Instruction]:
        self.status = "dead"
        left = [task for task in self.tasks.values() if task.status != "done"]
        for task in left:
            task.status = "queued"
        return [Log("master", texts.JOB_KILLED), *(Cancel(task.id, task.run) for task in left), fail]


def _output_urls(output: Output) -> tuple[str, ...]:
    return output.urls if isinstance(output, DataOutput) else (output.url,)


def _urls(tasks: Sequence[Task]) -> list[list[str]]:
    return [list(_output_urls(output)) for task in tasks for output in task.outputs]
