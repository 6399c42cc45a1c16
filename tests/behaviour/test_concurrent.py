"""Concurrent stages: tasks start as those before them end, and get inputs while they run (reference 2.6, 3.2)."""

from __future__ import annotations

import pytest

from discolocal.cluster.grouping import Group, GroupInput
from discolocal.cluster.scheduler import Placement, Scheduler
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
    NodeLost,
    Task,
    TaskAssigned,
    TaskDone,
    TaskFailed,
    TaskFatal,
)
from tests.behaviour.executor import NAME, NODES, index, launches, logs, raw

# The state machine


class Story:
    """A job whose tasks run on the nodes in turn; `out` is what followed from the last event."""

    def __init__(self, *groupings: str, inputs: int = 2, first: bool = False) -> None:
        pipeline = [(f"stage{n}", name, n > 0 or first) for n, name in enumerate(groupings)]
        self.state = JobState(NAME, pipeline, [raw(n) for n in range(inputs)], NODES, 2, 0.0)
        self.out: list[Instruction] = self.state.handle(Begin(), 0.0)

    def tell(self, event: Event) -> list[Instruction]:
        self.out = self.state.handle(event, 1.0)
        return self.out

    def assign(self, *tasks: int, run: int = 0) -> None:
        for task in tasks:
            self.tell(TaskAssigned(task, run, NODES[task % 2]))

    def done(self, task: int, *labels: int, run: int = 0) -> list[Instruction]:
        outputs = (index(task, NODES[task % 2], *labels),) if labels else ()
        return self.tell(TaskDone(task, run, outputs))

    def inputs(self, task: int) -> list[tuple[int | str, str]]:
        return [(found.label, found.urls[0]) for found in self.state.tasks[task].group.inputs]

    @property
    def feeds(self) -> list[Feed]:
        return [item for item in self.out if isinstance(item, Feed)]


def part(task: int, label: int | str, host: str = "") -> GroupInput:
    host = host or NODES[task % 2]
    return GroupInput(label, (f"dir://{host}/{task}",), host)


def test_tasks_start_as_others_end_and_are_fed_while_they_run() -> None:
    story = Story("split", "group_label", inputs=3)
    story.assign(0, 1, 2)
    assert launches(story.done(0, 5)) == [(3, 0)]
    assert not any("scheduled" in text for text in logs(story.out)), "of a concurrent stage a master does not say so"
    task = story.state.tasks[3]
    assert (task.early, task.complete, task.group) == (True, False, Group(5, None, (part(0, 5),)))
    assert story.state.counts() == [("stage0", 0, 0, 2, 1, 0), ("stage1", 0, 1, 0, 0, 0)]

    story.assign(3)
    story.done(1, 5, 7)
    assert story.feeds == [Feed(3, 0, (part(1, 5),), complete=False)]
    assert launches(story.out) == [(4, 0)]
    assert not story.state.tasks[4].complete

    # The new input and the news that it was the last are told one after the other, as in the recording.
    story.done(2, 5)
    assert story.feeds == [Feed(3, 0, (part(2, 5),), complete=False), Feed(3, 0, (), complete=True)]
    assert logs(story.out) == ["SYS: [stage0:2] Received results from node1", "Stage stage0 finished in 0:00:01.000"]
    waiting = story.state.tasks[4]
    assert waiting.complete and not waiting.early, "it does not run, so that nobody has to be told"
    assert story.inputs(3) == [(5, "dir://node1/0"), (5, "dir://node2/1"), (5, "dir://node1/2")]

    assert story.state.stage_results("stage0") == [["dir://node1/0"], ["dir://node2/1"], ["dir://node1/2"]]
    assert story.state.stage_results("stage1") is None
    story.assign(4)
    story.done(4, 0)
    assert story.state.stage_results("stage1") is None
    story.done(3, 0)
    assert story.out[-1] == Finish([["dir://node2/3"], ["dir://node1/4"]])
    assert "Stage stage1 finished in 0:00:00.000" in logs(story.out)


def test_a_task_that_waits_for_a_slot_gets_all_inputs_with_it() -> None:
    story = Story("split", "group_all")
    story.assign(0, 1)
    story.done(1, 3)
    assert launches(story.out) == [(2, 0)]
    story.done(0, 4)
    assert story.feeds == [] and launches(story.out) == []
    assert story.state.tasks[2].complete and story.inputs(2) == [("all", "dir://node2/1"), ("all", "dir://node1/0")]


def test_a_task_that_failed_gets_all_inputs_again() -> None:
    story = Story("split", "group_label", inputs=3)
    story.assign(0, 1, 2)
    story.done(0, 0)
    story.assign(3)
    story.done(1, 0)
    assert launches(story.tell(TaskFailed(3, 0, "no luck"))) == [(3, 1)]
    story.done(2, 0)
    assert story.feeds == [], "it waits again: what comes now it gets with the others"
    assert story.inputs(3) == [(0, "dir://node1/0"), (0, "dir://node2/1"), (0, "dir://node1/2")]
    assert story.state.tasks[3].complete
    story.assign(3, run=1)
    assert isinstance(story.done(3, run=1)[-1], Finish)


def test_an_attempt_that_fails_feeds_nobody() -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0)
    story.assign(2)
    story.tell(TaskFailed(1, 0, "no luck"))
    assert story.feeds == [] and story.inputs(2) == [(0, "dir://node1/0")] and launches(story.out) == [(1, 1)]
    story.assign(1, run=1)
    story.done(1, 0, run=1)
    assert story.feeds == [Feed(2, 0, (part(1, 0),), complete=False), Feed(2, 0, (), complete=True)]


def test_a_lost_node_takes_tasks_of_all_running_stages_with_it() -> None:
    story = Story("split", "group_label", inputs=3)
    story.assign(0, 1, 2)
    story.done(0, 0)
    story.assign(3)
    assert launches(story.tell(NodeLost("node2", "lost"))) == [(1, 1), (3, 1)]
    assert story.state.counts() == [("stage0", 0, 1, 1, 1, 1), ("stage1", 0, 1, 0, 0, 1)]
    story.done(2, 0)
    assert story.feeds == []
    story.assign(1, 3, run=1)
    story.done(1, 0, run=1)
    assert story.feeds == [Feed(3, 1, (part(1, 0),), complete=False), Feed(3, 1, (), complete=True)]


@pytest.mark.parametrize("event", [TaskFatal(1, 0, "wrong"), KillAsked("wrong")], ids=["fatal", "killed"])
def test_the_end_of_the_job_takes_back_tasks_that_wait_for_inputs(event: Event) -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0, 1)
    story.assign(2)
    story.tell(event)
    assert {(item.task, item.run) for item in story.out if isinstance(item, Cancel)} >= {(2, 0), (3, 0)}
    assert isinstance(story.out[-1], Fail) and story.state.status == "dead"
    assert [row[3] for row in story.state.counts()] == [0, 0]


def test_each_input_of_a_split_is_all_that_its_task_gets() -> None:
    story = Story("split", "split")
    story.assign(0, 1)
    story.done(0, 1, 2)
    assert launches(story.out) == [(2, 0), (3, 0)]
    assert [(task.early, task.complete) for task in map(story.state.tasks.get, (2, 3)) if task] == [(True, True)] * 2
    story.assign(2)
    story.done(2, 0)  # done before the stage before it is finished
    story.done(1, 1)
    assert story.feeds == [] and launches(story.out) == [(4, 0)]
    story.assign(3, 4)
    story.done(3)
    assert isinstance(story.done(4)[-1], Finish)


def test_concurrent_stages_follow_each_other_without_waiting() -> None:
    story = Story("split", "split", "group_label")
    story.assign(0, 1)
    story.done(0, 0)
    story.assign(2)
    assert launches(story.done(2, 9)) == [(3, 0)]
    assert [row[0] for row in story.state.counts() if sum(row[1:5])] == ["stage0", "stage1", "stage2"]
    story.assign(3)
    story.done(1, 0)
    assert story.feeds == [], "the third stage waits for the second, which waits for nobody but has a task left"
    story.assign(4)
    story.done(4, 9)
    assert story.feeds == [Feed(3, 0, (part(4, 9),), complete=False), Feed(3, 0, (), complete=True)]
    assert isinstance(story.done(3)[-1], Finish)


def test_a_stage_that_is_not_concurrent_waits_for_one_that_is() -> None:
    story = Story("split", "split", "group_label")
    story.state.pipeline[2] = ("stage2", "group_label", False)
    story.assign(0, 1)
    story.done(0, 0)
    story.assign(2)
    assert launches(story.done(2, 0)) == []
    story.done(1, 0)
    story.assign(3)
    assert launches(story.done(3, 0)) == [(4, 0)]
    assert "Stage stage2 scheduled with 1 tasks" in logs(story.out)
    assert story.state.tasks[4].complete and len(story.inputs(4)) == 2


def test_a_group_all_is_not_fed_what_a_task_without_outputs_has() -> None:
    story = Story("split", "group_all", inputs=3)
    story.assign(0, 1, 2)
    story.done(0, 1)
    story.assign(3)
    story.done(1)
    assert story.feeds == []
    story.done(2, 1)
    assert [(len(feed.inputs), feed.complete) for feed in story.feeds] == [(1, False), (0, True)]


def test_tasks_without_outputs_make_no_tasks_but_for_group_all() -> None:
    story = Story("split", "group_label", "group_label")
    story.assign(0, 1)
    assert launches(story.done(0)) == []
    story.done(1)
    assert logs(story.out)[1:4] == [f"Stage stage{n} finished in 0:00:0{1 - min(n, 1)}.000" for n in range(3)]
    assert isinstance(story.out[-1], Finish)

    story = Story("split", "group_all")
    story.assign(0, 1)
    assert launches(story.done(0)) == [(2, 0)] and story.inputs(2) == []
    story.assign(2)
    assert story.done(1, 0) and [feed.inputs for feed in story.feeds] == [(part(1, "all"),), ()]


def test_a_job_without_inputs_ends() -> None:
    assert isinstance(Story("split", "group_all", inputs=0).out[-1], Finish)
    assert launches(Story("group_all", "group_all", inputs=0).out) == [(0, 0)]


def test_the_inputs_of_a_first_stage_are_all_there() -> None:
    """A master would never start it."""
    plain, concurrent = (Story("group_label", "split", first=first) for first in (False, True))
    assert logs(plain.out) == logs(concurrent.out) and launches(plain.out) == launches(concurrent.out)
    assert concurrent.state.tasks[0].complete and not concurrent.state.tasks[0].early


def test_a_task_that_is_done_too_early_fails_the_job() -> None:
    """Its outputs lack what comes after it: they cannot be taken back, and must not be used."""
    story = Story("split", "group_label", inputs=3)
    story.assign(0, 1, 2)
    story.done(0, 0)
    story.assign(3)
    story.tell(TaskDone(3, 0, (), inputs=1))
    story.done(1, 1)  # not for that task
    assert story.state.status == "active"
    story.done(2, 0)
    fail = story.out[-1]
    assert isinstance(fail, Fail) and fail.task is story.state.tasks[3]
    assert "before it had all of its inputs" in fail.text and "dir://node1/2" in fail.text
    assert f"FATAL: [stage1:3] {fail.text}" in logs(story.out)


def test_a_task_that_asks_for_no_inputs_misses_none() -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0)
    story.assign(2)
    story.tell(TaskDone(2, 0, (), inputs=None))
    assert isinstance(story.done(1, 0)[-1], Finish)


def test_a_task_that_ends_while_an_input_is_on_its_way_fails_the_job() -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0)
    story.assign(2)
    story.done(1, 0)
    story.tell(TaskDone(2, 0, (), inputs=1))
    assert isinstance(story.out[-1], Fail) and "dir://node2/1" in story.out[-1].text


def test_what_cannot_happen_raises() -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0)
    for event in (TaskDone(2, 0, ()), TaskAssigned(2, 1, "node1"), TaskDone(0, 0, ())):
        with pytest.raises(InvalidTransition):
            story.tell(event)
    assert story.state.counts() == [("stage0", 0, 0, 1, 1, 0), ("stage1", 0, 1, 0, 0, 0)]


def test_numbers_of_attempts_count_on_over_stages_that_run_together() -> None:
    story = Story("split", "group_label")
    story.assign(0, 1)
    story.done(0, 0, 1)
    assert [task.serial for task in story.state.tasks.values()] == [1, 0, 3, 2]


# The scheduler


class Queue:
    """A scheduler with one job of two stages, the second of which waits for the first."""

    def __init__(self, nodes: int, slots: int, max_cores: int = 100) -> None:
        self.nodes = [f"node{number + 1}" for number in range(nodes)]
        self.scheduler = Scheduler(self.nodes, slots, seed=1)
        self.scheduler.add_job("job", max_cores)
        self.tasks: list[Task] = []

    def add(self, level: int, host: str | None = None, complete: bool | None = None, avoid: str = "") -> Task:
        task = Task(len(self.tasks), f"stage{level}", Group(0, host, ()), level)
        task.early = level > 0
        task.complete = not level if complete is None else complete
        self.tasks.append(task)
        self.scheduler.add("job", Launch(task, 0, host, None, frozenset([avoid] if avoid else [])))
        return task

    def start(self) -> list[Placement]:
        placed = []
        while (placement := self.scheduler.pick()) is not None:
            placed.append(placement)
        return placed

    def levels(self) -> list[int]:
        return [placement.launch.task.level for placement in self.start()]


def test_less_than_half_as_many_tasks_of_a_concurrent_stage_run_as_of_those_before() -> None:
    queue = Queue(nodes=1, slots=9)
    for level in (1, 1, 1, 1, 0, 0, 0, 0, 0):
        queue.add(level)
    # The first of them start when there are tasks before them: two for three to four, three for five.
    assert queue.levels() == [0, 1, 0, 0, 1, 0, 0, 1]


def test_tasks_that_have_all_inputs_wait_for_no_others() -> None:
    queue = Queue(nodes=1, slots=4)
    tasks = [queue.add(1) for _ in range(3)]
    assert queue.levels() == []
    for task in tasks:
        task.early, task.complete = False, True
    assert queue.levels() == [1, 1, 1]


def test_a_task_that_waits_leaves_the_last_slot_of_a_node_to_those_that_need_it() -> None:
    queue = Queue(nodes=2, slots=1)
    first = queue.add(0)
    (placement,) = queue.start()
    other = next(node for node in queue.nodes if node != placement.host)
    queue.add(0, host=placement.host)
    queue.add(1, host=placement.host)
    queue.add(1)
    assert [(p.launch.task.id, p.host) for p in queue.start()] == [(3, other)]
    assert first.level == 0

    queue = Queue(nodes=2, slots=1)
    queue.add(0)
    (running,) = queue.start()
    free = next(node for node in queue.nodes if node != running.host)
    queue.add(1)
    queue.add(0, host=free)
    assert [(p.launch.task.id, p.host) for p in queue.start()] == [(2, free)], "though the other one came first"


def test_a_node_whose_slots_are_held_by_waiting_tasks_is_no_place_to_wait_for() -> None:
    queue = Queue(nodes=2, slots=1)
    queue.add(0)
    (running,) = queue.start()
    queue.add(1)
    (waiting,) = queue.start()
    queue.add(0, host=waiting.host)
    queue.add(0, avoid=running.host)
    queue.scheduler.release(running)
    (bound,) = queue.start()
    assert (bound.launch.task.id, bound.host) == (2, running.host), "it goes to the other node"
    queue.scheduler.release(bound)
    assert [(p.launch.task.id, p.host) for p in queue.start()] == [(3, running.host)], "even where it failed"


def test_slots_that_are_taken_away_do_not_leave_tasks_waiting_for_ever() -> None:
    queue = Queue(nodes=2, slots=1)
    queue.add(0)
    (running,) = queue.start()
    queue.add(1)
    (waiting,) = queue.start()
    queue.add(0)
    queue.add(0)
    queue.scheduler.release(running)
    queue.scheduler.set_slots({running.host: 0})
    (placement,) = queue.start()
    assert (placement.launch.task.id, placement.host) == (2, waiting.host)
    queue.scheduler.release(placement)
    assert [(p.launch.task.id, p.host) for p in queue.start()] == [(3, waiting.host)], "one at a time"


def test_the_limit_of_a_job_leaves_room_for_those_that_others_wait_for() -> None:
    queue = Queue(nodes=1, slots=9, max_cores=1)
    queue.add(1)
    queue.add(0)
    (placement,) = queue.start()
    assert placement.launch.task.level == 0
    queue.scheduler.release(placement)
    assert queue.start() == []
