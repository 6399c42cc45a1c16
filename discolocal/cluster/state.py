"""A job's state machine: events in, instructions out; no I/O, no processes, no clock.

    Begin, TaskAssigned, TaskDone, TaskFailed, TaskFatal, NodeLost, Saved, SaveFailed, KillAsked
        -> JobState.handle(event, now) ->
    [Launch, Feed, Cancel, Log, Save, Finish, Fail]

Whoever drives it carries the instructions out and reports back what happened; a test can drive it
through every order of events. An event that does not fit raises `InvalidTransition` with the
history of the task. Where stages are concurrent several run at the same time: `feeding` makes their tasks from what
the tasks before them have put out. Rules: reference 3.2, 4.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from discolocal.cluster.feeding import Stage, output_urls
from discolocal.cluster.grouping import GroupInput, Output
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


class JobState:
    """The state of one job.

    Parameters: `jobname`; `pipeline` a list of (stage, grouping, concurrent), where the first stage never is concurrent
    (its inputs are all there; a master would never start it, 3.2); `inputs` the job's inputs as
    outputs of the pseudo stage "input", in the order of the job pack; `nodes` the names of the
    cluster's nodes; `max_failures` how many failures of one task are survived (4.2); `now` the time
    in seconds; `saves` whether the results are kept in DDFS.
    """

    def __init__(
        self,
        jobname: str,
        pipeline: Sequence[tuple[str, str, bool]],
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
        self.stages: list[Stage] = []
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
                return self._begin(now)
            case TaskAssigned(task, run, host):
                return self._assigned(self._task(task, run, "queued", event), host)
            case TaskDone(task, run, outputs, inputs):
                return self._done(self._task(task, run, "running", event), outputs, inputs, now)
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
            if known.name == stage and known.finished:
                return known.results
        return None

    def grouping(self, task: Task) -> str:
        """How the inputs of the task's stage are grouped."""
        return self.pipeline[task.level][1]

    def counts(self) -> list[tuple[str, int, int, int, int, int]]:
        """Rows (stage, pending, waiting, running, done, failed) as in jobinfo (5.2)."""
        rows = [(stage.name, *stage.counts()) for stage in self.stages]
        return rows + [(name, 0, 0, 0, 0, 0) for name, _, _ in self.pipeline[len(rows) :]]

    def forget_tasks(self) -> None:
        """Keep of an ended job what is asked about it: results and counts of its stages."""
        for stage in self.stages:
            stage.forget_tasks()
        self.tasks = {}
        self.inputs = ()

    def _task(self, task_id: int, run: int, status: str, event: Event) -> Task:
        task = self.tasks.get(task_id)
        if task is None or task.run != run or task.status != status:
            known = f"{task.name} is {task.status} in run {task.run}; it was {task.history}" if task else "no such task"
            raise InvalidTransition(f"{self.jobname}: {event!r} does not fit: {known}")
        task.history.append(type(event).__name__)
        return task

    def _begin(self, now: float) -> list[Instruction]:
        if not self.pipeline:
            return self._results([output_urls(output) for output in reversed(self.inputs)], now)
        stage = self._open(0, now)
        stage.close()
        return self._start(stage, [(0, self.inputs)], now)

    def _open(self, level: int, now: float) -> Stage:
        """The stage at this place of the pipeline, which starts now if it has not yet."""
        if level == len(self.stages):
            name, grouping, _ = self.pipeline[level]
            self.stages.append(Stage(name, grouping, level, now))
        return self.stages[level]

    def _feeds(self, stage: Stage) -> bool:
        """Whether the outputs of a task go to the next stage before the others are done."""
        return stage.level + 1 < len(self.pipeline) and self.pipeline[stage.level + 1][2]

    def _start(self, stage: Stage, outputs: Iterable[tuple[int, Sequence[Output]]], now: float) -> list[Instruction]:
        """Make the tasks of a stage whose inputs are all there."""
        out = self._take(stage, outputs)
        if not out:
            return self._finished(stage, now)
        return [Log("master", texts.stage_scheduled(stage.name, len(stage.tasks))), *out]

    def _take(self, stage: Stage, outputs: Iterable[tuple[int, Sequence[Output]]]) -> list[Instruction]:
        """Outputs for a stage: start the new tasks, feed those that run, and leave those that wait as they are."""
        # A master turns the list of inputs round once (1.4): task 0 of a split works on the last one.
        new, fed = stage.take(outputs, len(self.tasks), turned=stage.level == 0)
        for task in reversed(new):  # a master hands them to its scheduler last to first (4.3)
            self._count_attempt(task)
        self.tasks.update((task.id, task) for task in new)
        out: list[Instruction] = [self._launch(task) for task in new]
        for task, inputs in fed:
            if task.status == "done" and not task.complete:
                return out + self._fed_too_late(task, inputs)
            if task.status == "running":
                out.append(Feed(task.id, task.run, inputs, complete=False))
        return out

    def _fed_too_late(self, task: Task, inputs: Sequence[GroupInput]) -> list[Instruction]:
        """A task has not waited for the inputs that come now: what it has made lacks them."""
        text = (
            f"the task was done before it had all of its inputs: now there is {inputs[0].urls[0]} as well. In a"
            " concurrent stage the reply to INPUT says `more` until they are all there: ask again, and say DONE later"
        )
        log = Log("master", texts.task_event("FATAL", task.stage, task.id, text))
        return [log, *self._end(Fail(text, task, task.host, task.failures))]

    def _finished(self, stage: Stage, now: float) -> list[Instruction]:
        """A stage has finished: close or start the next one, or finish the job."""
        stage.ended = now
        out: list[Instruction] = [Log("master", texts.stage_finished(stage.name, now - stage.started))]
        if stage.level + 1 == len(self.pipeline):
            return out + self._results(stage.results, now)
        following = self._open(stage.level + 1, now)
        for task in following.close():
            if task.status == "running":
                out.append(Feed(task.id, task.run, (), complete=True))
        if not self._feeds(stage):
            return out + self._start(following, [(task.id, task.outputs) for task in stage.tasks], now)
        return out + self._finished(following, now) if following.finished else out

    def _results(self, results: list[list[str]], now: float) -> list[Instruction]:
        if self.saves:
            self._saving = True
            return [Save(results)]
        return self._finish(results, now)

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
        task.host = None
        if task.avoid >= self.nodes:
            task.avoid.clear()
        host = near = None
        if not task.failures:  # a retry goes wherever there is room (4.2)
            host = task.group.host if task.group.host in self.nodes else None
            near = next((i.host for i in task.group.inputs if i.host in self.nodes), None)
        return Launch(task, task.run, host, near, frozenset(task.avoid))

    def _assigned(self, task: Task, host: str) -> list[Instruction]:
        self.stages[task.level].move(task, "running")
        task.host = host
        return [Log("master", texts.assigned(task.stage, task.id, host))]

    def _done(self, task: Task, outputs: tuple[Output, ...], inputs: int | None, now: float) -> list[Instruction]:
        stage = self.stages[task.level]
        stage.move(task, "done")
        task.outputs = outputs
        out: list[Instruction] = [
            Log("master", texts.task_event("SYS", task.stage, task.id, texts.received(task.host or "?")))
        ]
        if inputs is None:
            task.complete = True
        elif inputs < len(task.group.inputs):  # some were on their way when it ended
            return out + self._fed_too_late(task, task.group.inputs[inputs:])
        if self._feeds(stage):
            out += self._take(self._open(task.level + 1, now), [(task.id, outputs)])
        if stage.finished and self.status == "active":
            out += self._finished(stage, now)
        return out

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
        stage = self.stages[task.level]
        stage.move(task, "queued")
        stage.failed += 1
        task.failures += 1

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
            self.stages[task.level].move(task, "queued")
        return [Log("master", texts.JOB_KILLED), *(Cancel(task.id, task.run) for task in left), fail]
