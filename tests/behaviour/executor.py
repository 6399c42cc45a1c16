"""Plays an executor to the state machine of a job: what happens next is drawn, and what must always hold is checked."""

from __future__ import annotations

import random

import pytest

from discolocal.cluster.faults import Faults
from discolocal.cluster.grouping import DataOutput, DirOutput, Output
from discolocal.cluster.state import InvalidTransition, JobState
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
    TaskAssigned,
    TaskDone,
    TaskFailed,
    TaskFatal,
)

NAME = "Job@1:2:3"
NODES = ["node1", "node2"]
V1 = [("map", "split", False), ("map_shuffle", "group_node", False), ("reduce", "group_label", False)]


def raw(number: int) -> DataOutput:
    return DataOutput(0, 0, (f"raw://{number}",), str(number))


def launches(out: list[Instruction]) -> list[tuple[int, int]]:
    return [(item.task.id, item.run) for item in out if isinstance(item, Launch)]


def logs(out: list[Instruction]) -> list[str]:
    return [item.text for item in out if isinstance(item, Log)]


def index(task: int, host: str, *labels: int) -> DirOutput:
    return DirOutput(f"dir://{host}/{task}", host, tuple((label, 1) for label in labels))


class Driver:
    """Plays an executor: carries out instructions, draws what happens next, checks what must always hold."""

    def __init__(
        self, rng: random.Random, pipeline: list[tuple[str, str, bool]], inputs: list[Output], limit: int
    ) -> None:
        self.rng = rng
        self.limit = limit
        self.pipeline = pipeline
        self.state = JobState(NAME, pipeline, inputs, NODES, limit, 0.0)
        self.queued: dict[tuple[int, int], Launch] = {}
        self.running: dict[tuple[int, int], str] = {}
        self.committed: dict[int, tuple[Output, ...]] = {}
        self.attempts: dict[int, int] = {}
        self.ends: list[Instruction] = []
        self.stages: list[str] = []
        self.told: set[tuple[int, int]] = set()
        self.clock = 0.0

    def feed(self, event: Event) -> None:
        over = bool(self.ends)
        self.clock += 1
        if not isinstance(event, NodeLost):
            self.told = {(getattr(event, "task", -1), getattr(event, "run", -1))}
        out = self.state.handle(event, self.clock)
        assert not (over and out), "nothing happens after the end"
        for item in out:
            self.carry_out(item)

    def carry_out(self, item: Instruction) -> None:
        match item:
            case Launch(task, run):
                assert task.id not in self.committed, "no task that is done runs again"
                assert run == self.attempts.get(task.id, 0) <= self.limit
                assert not any(other == task.id for other, _ in (*self.queued, *self.running))
                assert not set(item.avoid) >= set(NODES), "some node is left"
                assert item.host is None or item.host in NODES
                self.attempts[task.id] = run + 1
                self.queued[task.id, run] = item
                if task.stage not in self.stages:
                    others = {t.id for t in self.state.tasks.values() if t.stage != task.stage}
                    if not self.pipeline[task.level][2]:
                        assert others == self.committed.keys(), "a stage starts when the one before is done"
                    self.stages.append(task.stage)
            case Feed(number, run, inputs, complete):
                assert (number, run) in self.running
                assert self.state.tasks[number].group.inputs[-len(inputs) :] == inputs or complete
                assert inputs or complete
            case Cancel(task, run):
                known = self.queued.pop((task, run), None) or self.running.pop((task, run), None)
                # An attempt of which the event told may be named again: its process may be there, or not.
                assert known or (task, run) in self.told
            case Finish() | Fail():
                self.ends.append(item)
            case Log(host, text):
                assert host == "master" and text

    def outputs(self, host: str) -> tuple[Output, ...]:
        some: list[Output] = []
        if self.rng.random() < 0.8:
            labels = sorted(self.rng.sample(range(4), self.rng.randint(1, 3)))
            some.append(DirOutput(f"dir://{host}/{self.rng.random()}", host, tuple((n, 1) for n in labels)))
        for _ in range(self.rng.choice([0, 0, 0, 1, 2])):
            some.append(DataOutput(self.rng.randrange(4), 1, (f"http://far/{self.rng.random()}",), "far"))
        return tuple(some)

    def assign(self) -> None:
        key = self.rng.choice(list(self.queued))
        launch = self.queued.pop(key)
        host = launch.host or self.rng.choice([n for n in NODES if n not in launch.avoid])
        self.running[key] = host
        self.feed(TaskAssigned(*key, host))

    def end_attempt(self, calm: bool) -> None:
        luck = 1.0 if calm else self.rng.random()
        able = [key for key in self.running if luck < 0.3 or self.state.tasks[key[0]].complete]
        if not able:
            assert self.queued, "all tasks wait for inputs, and none is left that makes some"
            return
        key = self.rng.choice(able)
        host = self.running.pop(key)
        if luck < 0.05:
            self.feed(TaskFatal(*key, "fatal"))
        elif luck < 0.3:
            self.feed(TaskFailed(*key, "error"))
        else:
            assert key[0] not in self.committed
            self.committed[key[0]] = self.outputs(host)
            self.feed(TaskDone(*key, self.committed[key[0]]))

    def lose_node(self) -> None:
        host = self.rng.choice(NODES)
        self.told = {key for key, where in self.running.items() if where == host}
        self.running = {key: where for key, where in self.running.items() if where != host}
        self.feed(NodeLost(host, f"lost {host}"))

    def impossible(self) -> None:
        known = {*self.queued, *self.running}
        task, run = self.rng.randrange(8), self.rng.randrange(3)
        if (task, run) in known or self.ends:
            return
        event = self.rng.choice(
            [TaskDone(task, run, ()), TaskFailed(task, run, ""), TaskFatal(task, run, ""), TaskAssigned(task, run, "n")]
        )
        with pytest.raises(InvalidTransition):
            self.state.handle(event, self.clock)

    def play(self, calm: bool) -> None:
        self.feed(Begin())
        for _ in range(2000):
            if self.ends:
                break
            draw = self.rng.random()
            if not calm and draw < 0.02:
                self.feed(KillAsked("killed"))
            elif not calm and draw < 0.06:
                self.lose_node()
            elif draw < 0.15:
                self.impossible()
            elif self.queued and (not self.running or draw < 0.7):
                self.assign()
            elif self.running:
                self.end_attempt(calm)
            else:
                raise AssertionError("the job is not over, but nothing runs and nothing waits")
        self.check_end()

    def check_end(self) -> None:
        (end,) = self.ends
        assert not self.queued and not self.running
        if isinstance(end, Finish):
            assert self.state.status == "ready"
            assert self.committed.keys() == self.state.tasks.keys()
            if self.pipeline:
                last = [t for t in self.state.tasks.values() if t.stage == self.pipeline[-1][0]]
                urls = [
                    list(o.urls) if isinstance(o, DataOutput) else [o.url]
                    for task in sorted(last, key=lambda t: t.id)
                    for o in self.committed[task.id]
                ]
                assert end.results == urls
        else:
            assert self.state.status == "dead"
        for event in (KillAsked("again"), NodeLost("node1", "lost"), TaskDone(0, 0, ())):
            assert self.state.handle(event, self.clock) == []
        rows = self.state.counts()
        assert not any(row[3] for row in rows), "nothing runs any more"
        assert sum(row[4] for row in rows) == len(self.committed)
        assert [row[0] for row in rows] == [stage for stage, _, _ in self.pipeline]


class Faulty(Driver):
    """Attempts end as a schedule of faults says, in any order; a node is lost at most once. Counts what has failed."""

    def __init__(self, seed: int, pipeline: list[tuple[str, str, bool]], inputs: int) -> None:
        super().__init__(random.Random(seed), pipeline, [raw(n) for n in range(inputs)], 3)
        self.faults = Faults(seed)
        self.failed = 0
        self.lost = False

    def end_attempt(self, calm: bool) -> None:
        if not self.lost and self.rng.random() < 0.05:
            self.lost = True
            self.failed += len(self.running)
            self.lose_node()
            self.failed -= len(self.running)
            return
        able = [key for key in self.running if self.state.tasks[key[0]].complete]
        assert able or self.queued
        if not able:
            return
        key = self.rng.choice(able)
        task = self.state.tasks[key[0]]
        number = self.state.stages[task.level].tasks.index(task)
        planned = self.faults.schedule(task.stage, number, key[1], self.state.grouping(task), self.limit)
        host = self.running.pop(key)
        if any(fault.deed != "slow" for fault in planned):
            self.failed += 1
            self.feed(TaskFailed(*key, str(planned[-1])))
        else:
            assert key[0] not in self.committed, "one attempt of a task counts"
            self.committed[key[0]] = self.outputs(host)
            self.feed(TaskDone(*key, self.committed[key[0]]))
