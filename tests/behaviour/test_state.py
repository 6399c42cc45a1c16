"""The state machine of a job through every order of events (reference 3.2, 4.1, 4.2)."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Save,
    Saved,
    SaveFailed,
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


def state_of(inputs: int = 2, pipeline: Any = V1, max_failures: int = 2) -> JobState:
    return JobState(NAME, pipeline, [raw(n) for n in range(inputs)], NODES, max_failures, 0.0)


def launches(out: list[Instruction]) -> list[tuple[int, int]]:
    return [(item.task.id, item.run) for item in out if isinstance(item, Launch)]


def logs(out: list[Instruction]) -> list[str]:
    return [item.text for item in out if isinstance(item, Log)]


def index(task: int, host: str, *labels: int) -> DirOutput:
    return DirOutput(f"dir://{host}/{task}", host, tuple((label, 1) for label in labels))


# Single stories


def test_a_job_without_failures() -> None:
    state = state_of()
    out = state.handle(Begin(), 1.0)
    assert launches(out) == [(0, 0), (1, 0)]
    assert logs(out) == ["Stage map scheduled with 2 tasks"]
    assert [item.task.group.inputs[0].urls for item in out if isinstance(item, Launch)] == [("raw://1",), ("raw://0",)]

    assert logs(state.handle(TaskAssigned(0, 0, "node1"), 1.5)) == ["map:0 assigned to node1"]
    state.handle(TaskAssigned(1, 0, "node2"), 1.5)
    assert logs(state.handle(TaskDone(1, 0, (index(1, "node2", 0, 1),)), 2.0)) == [
        "SYS: [map:1] Received results from node2"
    ]
    out = state.handle(TaskDone(0, 0, (index(0, "node1", 1),)), 3.25)
    assert logs(out) == [
        "SYS: [map:0] Received results from node1",
        "Stage map finished in 0:00:02.250",
        "Stage map_shuffle scheduled with 2 tasks",
    ]
    assert [(item.task.id, item.host) for item in out if isinstance(item, Launch)] == [(2, "node1"), (3, "node2")]
    for task, host in ((2, "node1"), (3, "node2")):
        state.handle(TaskAssigned(task, 0, host), 4.0)
        out = state.handle(TaskDone(task, 0, (index(task, host, 0, 1),)), 4.0)
    assert launches(out) == [(4, 0), (5, 0)]
    for task in (4, 5):
        state.handle(TaskAssigned(task, 0, "node1"), 4.0)
        out = state.handle(TaskDone(task, 0, (index(task, "node1", 0),)), 5.0)
    assert [item for item in out if isinstance(item, Finish)] == [Finish([["dir://node1/4"], ["dir://node1/5"]])]
    assert logs(out)[-1] == "READY: Job done in 0:00:05.000"
    assert state.status == "ready"
    assert state.counts() == [("map", 0, 0, 0, 2, 0), ("map_shuffle", 0, 0, 0, 2, 0), ("reduce", 0, 0, 0, 2, 0)]
    assert state.stage_results("map") == [["dir://node1/0"], ["dir://node2/1"]]
    assert state.stage_results("nothing") is None


def test_a_failed_task_goes_to_another_node_and_then_the_job_ends() -> None:
    state = state_of(inputs=1)
    state.handle(Begin(), 0.0)
    avoided = []
    for run in range(3):
        state.handle(TaskAssigned(0, run, NODES[run % 2]), 0.0)
        out = state.handle(TaskFailed(0, run, "no luck\ntraceback"), 0.0)
        if run < 2:
            (launch,) = [item for item in out if isinstance(item, Launch)]
            assert launch.run == run + 1
            avoided.append(launch.avoid)
            assert logs(out) == [
                "WARNING: [map:0] no luck\ntraceback",
                f'Task map:0 failed on "{NODES[run % 2]}", {run + 1}th failures so far. '
                "Sleeping 0 seconds before retrying.",
            ]
    assert avoided == [{"node1"}, set()], "when no node is left the list is emptied"
    assert "ERROR: [map:0] Task map:0 failed 3 times. At most 2 failures are allowed." in logs(out)
    assert logs(out)[-1] == "WARN: Job killed"
    (fail,) = [item for item in out if isinstance(item, Fail)]
    assert (fail.text, fail.task and fail.task.id, fail.host, fail.failures) == ("no luck\ntraceback", 0, "node1", 3)
    assert state.status == "dead"
    assert state.counts()[0] == ("map", 0, 1, 0, 0, 3), "as in the recordings: the task still waits to be done"


def test_a_fatal_task_ends_the_job_and_cancels_the_others() -> None:
    state = state_of(inputs=4)
    state.handle(Begin(), 0.0)
    state.handle(TaskAssigned(0, 0, "node1"), 0.0)
    state.handle(TaskAssigned(1, 0, "node2"), 0.0)
    state.handle(TaskAssigned(2, 0, "node2"), 0.0)
    state.handle(TaskDone(2, 0, ()), 0.0)
    out = state.handle(TaskFatal(1, 0, "wrong"), 0.0)
    cancelled = {(item.task, item.run) for item in out if isinstance(item, Cancel)}
    assert cancelled >= {(0, 0), (3, 0)} and (2, 0) not in cancelled
    assert "FATAL: [map:1] wrong" in logs(out)
    assert [item.text for item in out if isinstance(item, Fail)] == ["wrong"]


@pytest.mark.parametrize(
    "event",
    [
        TaskAssigned(9, 0, "node1"),
        TaskDone(0, 0, ()),
        TaskDone(1, 1, ()),
        TaskFailed(0, 0, "x"),
        TaskFatal(0, 0, "x"),
        TaskAssigned(1, 0, "node1"),
        TaskAssigned(0, 5, "node1"),
        TaskDone(2, 0, ()),
    ],
    ids=str,
)
def test_an_event_that_cannot_happen_raises_with_the_history_and_changes_nothing(event: Event) -> None:
    state = state_of(inputs=3)
    state.handle(Begin(), 0.0)
    state.handle(TaskAssigned(1, 0, "node2"), 0.0)
    state.handle(TaskAssigned(2, 0, "node2"), 0.0)
    state.handle(TaskDone(2, 0, ()), 0.0)
    before = state.counts()
    with pytest.raises(InvalidTransition) as error:
        state.handle(event, 0.0)
    assert NAME in str(error.value)
    if event.task == 1:
        assert "TaskAssigned" in str(error.value) and "running" in str(error.value)
    assert state.counts() == before and state.status == "active"
    out = state.handle(TaskDone(1, 0, ()), 0.0)
    assert logs(out) == ["SYS: [map:1] Received results from node2"]


def test_beginning_twice_cannot_happen() -> None:
    state = state_of()
    state.handle(Begin(), 0.0)
    with pytest.raises(InvalidTransition):
        state.handle(Begin(), 0.0)


def test_tasks_go_where_their_input_is() -> None:
    inputs = [
        DataOutput(0, 0, ("disco://node2/x",), "node2"),
        DataOutput(0, 0, ("http://elsewhere/x",), "elsewhere"),
        DataOutput(0, 0, ("/x",), None),
    ]
    state = JobState(NAME, [("map", "split", False)], inputs, NODES, 2, 0.0)
    wishes = [item.host or item.near for item in state.handle(Begin(), 0.0) if isinstance(item, Launch)]
    assert wishes == [None, None, "node2"]


def saving() -> tuple[JobState, list[Instruction]]:
    """A job of two tasks that saves its results, with what it wants when the second one is done."""
    state = JobState(NAME, [("map", "split", False)], [raw(0), raw(1)], NODES, 2, 0.0, saves=True)
    begun = state.handle(Begin(), 0)
    serials = {item.task.id: item.task.serial for item in begun if isinstance(item, Launch)}
    assert serials == {0: 1, 1: 0}  # a master starts to count with the last task
    for task in (1, 0):
        state.handle(TaskAssigned(task, 0, "node1"), 1)
    state.handle(TaskDone(1, 0, (DataOutput(0, 1, ("disco://node1/1", "disco://node2/1"), "node1"),)), 2)
    return state, state.handle(TaskDone(0, 0, (DataOutput(0, 1, ("disco://node2/0",), "node2"),)), 3)


def test_results_are_saved_before_a_job_is_done() -> None:
    state, out = saving()
    assert out[-1] == Save([["disco://node2/0"], ["disco://node1/1", "disco://node2/1"]])
    assert state.status == "active" and not any("READY" in text for text in logs(out))
    done = state.handle(Saved(["tag://x"]), 4)
    assert logs(done) == ["READY: Job done in 0:00:04.000"] and done[-1] == Finish(["tag://x"])
    assert state.status == "ready"


def test_a_job_whose_results_cannot_be_saved_has_failed() -> None:
    state, _ = saving()
    out = state.handle(SaveFailed("no space"), 4)
    assert [type(item) for item in out] == [Log, Fail] and out[-1] == Fail("no space", None, None, 0)
    assert logs(out) == ["WARN: Job killed"] and state.status == "dead"


def test_a_job_that_is_killed_while_it_saves_stays_dead() -> None:
    state, _ = saving()
    state.handle(KillAsked("killed"), 4)
    assert state.status == "dead" and state.handle(Saved(["tag://x"]), 5) == []


def test_nobody_saves_unasked() -> None:
    for event in (Saved([]), SaveFailed("x")):
        state = state_of()
        state.handle(Begin(), 0)
        with pytest.raises(InvalidTransition, match="nothing is being saved"):
            state.handle(event, 1)


def test_an_attempt_after_a_failure_has_the_next_number() -> None:
    state = state_of()
    (first, *_) = [item.task for item in state.handle(Begin(), 0) if isinstance(item, Launch)]
    state.handle(TaskAssigned(first.id, 0, "node1"), 1)
    state.handle(TaskFailed(first.id, 0, "x"), 2)
    assert first.serial == 2


# All stories


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


groupings = st.sampled_from(["split", "group_label", "group_node", "group_node_label", "group_all"])
pipelines = st.one_of(
    st.just(V1),
    st.lists(st.tuples(groupings, st.booleans()), max_size=4).map(
        lambda some: [(f"stage{n}", name, concurrent and n > 0) for n, (name, concurrent) in enumerate(some)]
    ),
)


@settings(max_examples=250, deadline=None, database=None, print_blob=True)
@given(st.integers(0, 2**32), pipelines, st.integers(0, 5), st.integers(0, 3), st.booleans())
def test_every_order_of_events_keeps_the_rules(
    seed: int, pipeline: list[tuple[str, str, bool]], inputs: int, limit: int, calm: bool
) -> None:
    driver = Driver(random.Random(seed), pipeline, [raw(n) for n in range(inputs)], limit)
    driver.play(calm)
    if calm:
        assert isinstance(driver.ends[0], Finish)


@settings(max_examples=100, deadline=None, database=None, print_blob=True)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_the_result_does_not_depend_on_the_order_in_which_tasks_end(seed: int, inputs: int) -> None:
    class Fixed(Driver):
        def outputs(self, host: str) -> tuple[Output, ...]:
            task = len(self.committed) and max(self.state.tasks)
            return (DirOutput(f"dir://node1/{task}", "node1", ((0, 1), (1, 1))),)

    def run(order: int) -> Any:
        driver = Fixed(
            random.Random(order),
            [("map", "split", False), ("join", "group_label", False)],
            [raw(n) for n in range(inputs)],
            1,
        )
        driver.play(calm=True)
        return [(t.stage, t.group.label, len(t.group.inputs)) for t in driver.state.tasks.values()]

    assert run(seed) == run(seed + 1)


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(0, 2**32))
def test_texts_of_events_have_the_form_of_a_master(seed: int) -> None:
    seen: list[str] = []

    class Listening(Driver):
        def carry_out(self, item: Instruction) -> None:
            super().carry_out(item)
            if isinstance(item, Log):
                seen.append(item.text)

    Listening(random.Random(seed), V1, [raw(n) for n in range(3)], 2).play(calm=False)
    forms = [
        r"Stage \w+ scheduled with \d+ tasks",
        r"\w+:\d+ assigned to node\d",
        r"(SYS|WARNING|ERROR|FATAL): \[\w+:\d+\] .*",
        r"Stage \w+ finished in \d+:\d\d:\d\d\.\d{3}",
        r"READY: Job done in \d+:\d\d:\d\d\.\d{3}",
        r"WARN: Job killed",
        r'Task \w+:\d+ failed on "node\d", \d+th failures so far\. Sleeping \d+ seconds before retrying\.',
    ]
    for text in seen:
        assert any(re.fullmatch(form, text) for form in forms), text


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


FEEDING = [("cut", "split", False), ("join", "group_label", True), ("all", "group_all", False)]


@pytest.mark.parametrize("first", range(0, 10_000, 2_500))
def test_every_schedule_of_faults_is_survived(first: int) -> None:
    failed = 0
    for seed in range(first, first + 2_500):
        driver = Faulty(seed, (V1, FEEDING)[seed % 2], 1 + seed % 3)
        driver.play(calm=True)
        assert isinstance(driver.ends[0], Finish), f"seed {seed}"
        assert sum(driver.attempts.values()) == len(driver.committed) + driver.failed, f"seed {seed}"
        failed += driver.failed
    assert failed > 2_500


def test_a_task_goes_first_where_its_data_is_and_its_retry_anywhere() -> None:
    state = state_of(inputs=3, pipeline=[("map", "split", False), ("next", "group_label", False)])
    state.handle(Begin(), 0.0)
    out: list[Instruction] = []
    for task, host in enumerate(("elsewhere", NODES[1], NODES[0])):
        state.handle(TaskAssigned(task, 0, NODES[0]), 0.0)
        out = state.handle(TaskDone(task, 0, (index(task, host, 5),)), 0.0)
    (launch,) = (item for item in out if isinstance(item, Launch))
    assert (launch.host, launch.near) == (None, NODES[1]), "the first place that is a node (4.3)"
    state.handle(TaskAssigned(3, 0, NODES[1]), 0.0)
    (again,) = (item for item in state.handle(TaskFailed(3, 0, "no luck"), 0.0) if isinstance(item, Launch))
    assert (again.host, again.near) == (None, None)
