"""The state machine of a job through every order of events (reference 3.2, 4.1, 4.2)."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.cluster.grouping import DataOutput, DirOutput, Output
from discolocal.cluster.state import InvalidTransition, JobState
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
    Save,
    Saved,
    SaveFailed,
    TaskAssigned,
    TaskDone,
    TaskFailed,
    TaskFatal,
)
from tests.behaviour.executor import NAME, NODES, V1, Driver, Faulty, index, launches, logs, raw


def state_of(inputs: int = 2, pipeline: Any = V1, max_failures: int = 2) -> JobState:
    return JobState(NAME, pipeline, [raw(n) for n in range(inputs)], NODES, max_failures, 0.0)


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
