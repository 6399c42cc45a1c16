"""Random pipelines, what comes of them in memory, and a cluster that is played: state machine and scheduler alone.

What a task makes of its records depends on the stage, on its group and on all records of the group, so a record that
goes astray, or a group that is cut in two, changes everything after it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from discolocal.cluster.feeding import output_urls
from discolocal.cluster.grouping import GROUPINGS, DataOutput, DirOutput, GroupInput, Output
from discolocal.cluster.scheduler import Placement, Scheduler
from discolocal.cluster.state import JobState
from discolocal.cluster.transitions import (
    Begin,
    Cancel,
    Fail,
    Feed,
    Finish,
    Instruction,
    Launch,
    NodeLost,
    TaskAssigned,
    TaskDone,
    TaskFailed,
)
from tests.behaviour.steps import Task, work


class Step(NamedTuple):
    """A stage: it writes up to `labels` labels, `far` decides which of them go to another host as data of their own."""

    grouping: str
    concurrent: bool
    labels: int
    far: int


class Case(NamedTuple):
    """A job: its stages and inputs, each (label, host, records)."""

    steps: list[Step]
    inputs: list[tuple[int, str | None, list[int]]]


class Piece(NamedTuple):
    """Records of one label at one place."""

    label: int
    host: str | None
    records: tuple[int, ...]


Place = Callable[[int, Task], str]
"""The node whose disk has the local outputs of a task of a stage."""

steps = st.builds(
    Step,
    st.sampled_from(GROUPINGS),
    st.sampled_from([True, True, False]),
    st.integers(1, 4),
    st.sampled_from([0, 0, 0, 1, 6, 15]),
)
inputs = st.tuples(
    st.integers(0, 3),
    st.sampled_from([None, "node1", "node2", "elsewhere"]),
    st.lists(st.integers(0, 999), max_size=3),
)
# Of most cases there is enough that stages overlap and nodes have outputs of several tasks.
long, short = st.lists(steps, min_size=3, max_size=6), st.lists(steps, min_size=1, max_size=2)
many = st.integers(4, 9).flatmap(lambda size: st.lists(inputs, min_size=size, max_size=size))
few = st.lists(inputs, max_size=2)
cases = st.builds(Case, st.one_of(long, long, short), st.one_of(many, many, few))


def is_far(step: Step, label: int) -> bool:
    return bool(step.far >> label & 1)


def far_host(label: int) -> str:
    return f"far{label % 2}"


# In memory


def evaluate(case: Case, place: Place) -> tuple[list[list[Task]], list[tuple[int, tuple[int, ...]]]]:
    """The tasks of each stage, in no order, and the pieces of the result."""
    made = [[Piece(label, host, tuple(records)) for label, host, records in case.inputs]]  # by task
    stages = []
    for level, step in enumerate(case.steps):
        tasks = tasks_of(step.grouping, made)
        stages.append(tasks)
        made = [pieces_of(level, step, task, place) for task in tasks]
    return stages, sorted((piece.label, piece.records) for pieces in made for piece in pieces)


def tasks_of(grouping: str, made: list[list[Piece]]) -> list[Task]:
    """The table of reference 3.1."""
    pieces = [piece for some in made for piece in some]
    groups: dict[Any, list[int]] = defaultdict(list)
    if grouping == "group_all" and made:
        groups[0, None] = []
    for number, piece in enumerate(pieces):
        key: Any = {
            "split": (piece.label, piece.host, number),
            "group_label": (piece.label, None),
            "group_node": (0, piece.host),
            "group_node_label": (piece.label, piece.host),
            "group_all": (0, None),
        }[grouping]
        groups[key] += piece.records
    return [(key[0], key[1], tuple(sorted(records))) for key, records in groups.items()]


def pieces_of(level: int, step: Step, task: Task, place: Place) -> list[Piece]:
    return [
        Piece(label, far_host(label) if is_far(step, label) else place(level, task), tuple(sorted(records)))
        for label, records in work(level, step.labels, task).items()
    ]


# Played


class Attempt:
    """A running attempt: the inputs that its worker knows of, and whether it has been told that these are all."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.task = placement.launch.task
        self.run = placement.launch.run
        self.inputs = list(self.task.group.inputs)
        self.complete = self.task.complete


class Played:
    """Runs a case on `nodes` nodes with `slots` each, in an order that is drawn from `rng`.

    `trouble` is the part of attempts that fail; nodes are lost as well then.
    """

    def __init__(
        self, case: Case, rng: random.Random, nodes: int, slots: int, max_cores: int, trouble: float, place: Place
    ) -> None:
        self.case = case
        self.rng = rng
        self.slots = slots
        self.max_cores = max_cores
        self.trouble = trouble
        self.place = place
        self.files: dict[str, dict[int, tuple[int, ...]]] = {}  # by url and label
        self.running: dict[tuple[int, int], Attempt] = {}
        self.stages: list[list[Task]] = [[] for _ in case.steps]
        self.results: list[tuple[int, tuple[int, ...]]] = []
        self.over = False
        self.names = [f"node{number + 1}" for number in range(nodes)]
        pipeline = [(f"stage{n}", step.grouping, step.concurrent) for n, step in enumerate(case.steps)]
        first = [self.data("in", host, label, records) for label, host, records in case.inputs]
        self.state = JobState("job", pipeline, first, self.names, 10**6, 0.0)
        self.scheduler = Scheduler(self.names, slots, rng.randrange(99))
        self.scheduler.add_job("job", max_cores)

    def data(self, maker: str, host: str | None, label: int, records: Iterable[int]) -> DataOutput:
        url = f"http://{host}/{maker}/{len(self.files)}"
        self.files[url] = {label: tuple(records)}
        return DataOutput(label, 1, (url,), host)

    def play(self) -> None:
        """Run the job to its end."""
        self.do(self.state.handle(Begin(), 0.0))
        while not self.over:
            if self.rng.random() < 0.7 and self.start():
                continue
            if self.trouble and self.rng.random() < self.trouble / 5:
                self.lose()
            able = [attempt for attempt in self.running.values() if attempt.complete]
            failing = self.rng.random() < self.trouble
            ending = list(self.running.values()) if failing else able
            if ending:
                self.end(self.rng.choice(ending), failing)
            elif not self.start():
                assert failing, "all that run wait for inputs, and nothing can start"

    def start(self) -> bool:
        placement = self.scheduler.pick()
        if placement is None:
            return False
        attempt = Attempt(placement)
        key = attempt.task.id, attempt.run
        self.running[key] = attempt
        hosts = [one.placement.host for one in self.running.values()]
        assert hosts.count(placement.host) <= self.slots and len(hosts) <= self.max_cores
        levels = [one.task.level for one in self.running.values()]
        if attempt.task.early:
            mine = levels.count(attempt.task.level) - 1
            assert 2 * mine < sum(level < attempt.task.level for level in levels)
        self.do(self.state.handle(TaskAssigned(*key, placement.host), 0.0))
        return True

    def end(self, attempt: Attempt, failing: bool) -> None:
        key = attempt.task.id, attempt.run
        del self.running[key]
        self.scheduler.release(attempt.placement)
        if failing:
            self.do(self.state.handle(TaskFailed(*key, "trouble"), 0.0))
        else:
            assert tuple(attempt.inputs) == attempt.task.group.inputs, "a worker knows of all inputs of its group"
            self.do(self.state.handle(TaskDone(*key, self.outputs(attempt), len(attempt.inputs)), 0.0))
            self.check_followers()

    def check_followers(self) -> None:
        """What a task has put out goes on at once if the next stage is concurrent, else when the stage is finished."""
        finished = True
        for level, step in enumerate(self.case.steps):
            before = [task for task in self.state.tasks.values() if task.level == level - 1]
            finished = finished and all(task.status == "done" for task in before)
            if level:
                tasks = [task for task in self.state.tasks.values() if task.level == level]
                known = {url for task in tasks for found in task.group.inputs for url in found.urls}
                goes_on = step.concurrent or finished
                assert known == {url for task in before if goes_on for out in task.outputs for url in output_urls(out)}
                assert all(task.early != finished and task.complete >= finished for task in tasks)

    def lose(self) -> None:
        host = self.rng.choice(self.names)
        for key in [key for key, attempt in self.running.items() if attempt.placement.host == host]:
            self.scheduler.release(self.running.pop(key).placement)
        self.do(self.state.handle(NodeLost(host, "lost"), 0.0))

    def outputs(self, attempt: Attempt) -> tuple[Output, ...]:
        """What the worker makes of its inputs."""
        level, group = attempt.task.level, attempt.task.group
        records = sorted(record for found in attempt.inputs for record in self.read(found))
        task = (group.label, group.host, tuple(records))
        self.stages[level].append(task)
        step = self.case.steps[level]
        made = {label: tuple(sorted(some)) for label, some in work(level, step.labels, task).items()}
        out: list[Output] = []
        local = {label: some for label, some in made.items() if not is_far(step, label)}
        if local:
            host = self.place(level, task)
            url = f"dir://{host}/{len(self.files)}"
            self.files[url] = local
            out.append(DirOutput(url, host, tuple((label, 1) for label in sorted(local))))
        far = [(label, some) for label, some in made.items() if is_far(step, label)]
        out += [self.data(f"stage{level}", far_host(label), label, some) for label, some in far]
        return tuple(out)

    def read(self, found: GroupInput) -> Iterable[int]:
        (url,) = found.urls
        for label, records in self.files[url].items():
            if found.label in (label, "all"):
                yield from records

    def do(self, out: list[Instruction]) -> None:
        for item in out:
            match item:
                case Launch():
                    self.scheduler.add("job", item)
                case Feed(task, run, more, complete):
                    attempt = self.running[task, run]
                    assert not attempt.complete, "nothing comes after the last input"
                    attempt.inputs += more
                    attempt.complete = complete
                case Cancel():
                    raise AssertionError("nothing is taken back")
                case Fail():
                    raise AssertionError(item.text)
                case Finish(results):
                    self.over = True
                    pieces = [self.files[url] for (url,) in results]
                    self.results = sorted(piece for found in pieces for piece in found.items())
