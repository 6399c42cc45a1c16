"""Placement of tasks on nodes, on the pure scheduler (reference 4.3)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.cluster.grouping import Group
from discolocal.cluster.scheduler import Placement, Scheduler
from discolocal.cluster.transitions import Launch, Task

NODES = ["node1", "node2", "node3"]


def launch(number: int, host: str | None = None, near: str | None = None, avoid: tuple[str, ...] = ()) -> Launch:
    return Launch(Task(number, "map", Group(0, None, ())), 0, host, near, frozenset(avoid))


def end_one(scheduler: Scheduler, placed: list[Placement], host: str) -> None:
    """One of the tasks placed on a node ends."""
    scheduler.release(placed.pop(next(n for n, placement in enumerate(placed) if placement.host == host)))


def place_all(scheduler: Scheduler) -> list[Placement]:
    placed = []
    while (placement := scheduler.pick()) is not None:
        placed.append(placement)
    return placed


def test_tasks_are_spread_over_the_nodes() -> None:
    scheduler = Scheduler(NODES, 2, seed=1)
    scheduler.add_job("job", 100)
    for number in range(10):
        scheduler.add("job", launch(number))
    first = place_all(scheduler)
    assert [p.launch.task.id for p in first] == list(range(6)), "in the order of their ids"
    assert sorted(p.host for p in first[:3]) == NODES
    assert sorted(p.host for p in first) == sorted(NODES * 2)
    end_one(scheduler, first, "node2")
    assert [(p.launch.task.id, p.host) for p in place_all(scheduler)] == [(6, "node2")]


def test_a_task_that_belongs_to_a_node_waits_for_it_and_lets_others_pass() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    scheduler.add("job", launch(0, host="node1"))
    scheduler.add("job", launch(1, host="node1"))
    scheduler.add("job", launch(2))
    first = place_all(scheduler)
    assert [(p.launch.task.id, p.host) for p in first][0] == (0, "node1")
    scheduler.release(first[0])
    assert [(p.launch.task.id, p.host) for p in place_all(scheduler)] == [(1, "node1")]


def test_a_task_near_its_data_goes_there_or_anywhere() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    for number in range(3):
        scheduler.add("job", launch(number, near="node2"))
    placed = place_all(scheduler)
    assert placed[0].host == "node2" and sorted(p.host for p in placed) == NODES


def test_a_task_does_not_return_to_a_node_that_it_failed_on() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    scheduler.add("job", launch(0, near="node1", avoid=("node1", "node3")))
    scheduler.add("job", launch(1, avoid=("node2",)))
    placed = {p.launch.task.id: p.host for p in place_all(scheduler)}
    assert placed[0] == "node2" and placed[1] != "node2"


def test_max_cores_limits_a_job_and_not_the_others() -> None:
    scheduler = Scheduler(NODES, 2, seed=1)
    scheduler.add_job("small", 1)
    scheduler.add_job("large", 100)
    for number in range(4):
        scheduler.add("small", launch(number))
        scheduler.add("large", launch(number))
    placed = place_all(scheduler)
    assert [p.job for p in placed].count("small") == 1 and [p.job for p in placed].count("large") == 4
    scheduler.release(next(p for p in placed if p.job == "small"))
    assert [p.job for p in place_all(scheduler)] == ["small"]


def test_jobs_share_the_nodes_evenly() -> None:
    scheduler = Scheduler(NODES, 2, seed=1)
    for job in ("one", "two"):
        scheduler.add_job(job, 100)
        for number in range(9):
            scheduler.add(job, launch(number))
    placed = [p.job for p in place_all(scheduler)]
    assert placed.count("one") == placed.count("two") == 3


def test_the_seed_decides_the_placement() -> None:
    def hosts(seed: int) -> list[str]:
        scheduler = Scheduler(NODES, 4, seed)
        scheduler.add_job("job", 100)
        for number in range(12):
            scheduler.add("job", launch(number))
        return [p.host for p in place_all(scheduler)]

    assert hosts(5) == hosts(5)
    assert len({tuple(hosts(seed)) for seed in range(10)}) > 1


def test_cancelled_and_forgotten_tasks_do_not_start() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    scheduler.add("job", launch(0))
    assert scheduler.cancel("job", 0, 0) is True
    assert scheduler.cancel("job", 0, 0) is False
    assert scheduler.cancel("nobody", 0, 0) is False
    scheduler.add("job", launch(1))
    scheduler.remove_job("job")
    assert scheduler.pick() is None
    with pytest.raises(KeyError):
        scheduler.add("job", launch(2))


@settings(max_examples=200, deadline=None, database=None, print_blob=True)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
def test_rules_of_placement_hold_in_every_order(seed: int, nodes: int, slots: int) -> None:
    rng = random.Random(seed)
    names = [f"node{n}" for n in range(nodes)]
    scheduler = Scheduler(names, slots, seed)
    limits: dict[str, int] = {}
    waiting: dict[tuple[str, int], Launch] = {}
    running: dict[tuple[str, int], Placement] = {}
    number = 0

    def check(placement: Placement) -> None:
        key = placement.job, placement.launch.task.id
        assert waiting.pop(key) is placement.launch
        running[key] = placement
        assert [p.host for p in running.values()].count(placement.host) <= slots
        assert sum(job == placement.job for job, _ in running) <= limits[placement.job]
        assert placement.launch.host in (None, placement.host)
        assert placement.host not in placement.launch.avoid

    for _ in range(60):
        draw = rng.random()
        if draw < 0.1 and len(limits) < 3:
            job = f"job{len(limits)}"
            limits[job] = rng.choice([1, 2, 100])
            scheduler.add_job(job, limits[job])
        elif draw < 0.5 and limits:
            number += 1
            job = rng.choice(list(limits))
            avoid = tuple(rng.sample(names, rng.randint(0, nodes - 1)))
            host = rng.choice([None, None, *names]) if not avoid else None
            waiting[job, number] = launch(number, host, rng.choice([None, *names]), avoid)
            scheduler.add(job, waiting[job, number])
        elif draw < 0.75 and running:
            key = rng.choice(list(running))
            scheduler.release(running.pop(key))
        elif draw < 0.8 and waiting:
            key = rng.choice(list(waiting))
            del waiting[key]
            assert scheduler.cancel(key[0], key[1], 0)
        elif (placement := scheduler.pick()) is not None:
            check(placement)
        else:
            free = {n for n in names if [p.host for p in running.values()].count(n) < slots}
            for (job, _), item in waiting.items():
                room = sum(other == job for other, _ in running) < limits[job]
                places = free - item.avoid if item.host is None else free & {item.host}
                assert not (room and places), "a slot stays free only when no waiting task may have it"


def test_a_node_without_slots_gets_nothing_and_nobody_waits_for_it() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    scheduler.set_slots({"node1": 0, "node2": 1, "node3": 1})
    scheduler.add("job", launch(0, host="node1"))
    scheduler.add("job", launch(1, near="node1"))
    scheduler.add("job", launch(2, host="node2"))
    first = place_all(scheduler)
    assert [p.launch.task.id for p in first] == [0, 1] and sorted(p.host for p in first) == ["node2", "node3"]
    end_one(scheduler, first, "node2")
    assert [(p.launch.task.id, p.host) for p in place_all(scheduler)] == [(2, "node2")]
    scheduler.set_slots({"node1": 1})
    scheduler.add("job", launch(3, host="node1"))
    assert [(p.launch.task.id, p.host) for p in place_all(scheduler)] == [(3, "node1")]


def test_slots_that_are_taken_away_are_not_filled_again() -> None:
    scheduler = Scheduler(NODES[:1], 3, seed=1)
    scheduler.add_job("job", 100)
    for number in range(6):
        scheduler.add("job", launch(number))
    placed = place_all(scheduler)
    assert len(placed) == 3
    scheduler.set_slots({"node1": 1})
    for freed in range(3):
        assert place_all(scheduler) == [], freed
        end_one(scheduler, placed, "node1")
    assert len(place_all(scheduler)) == 1
    scheduler.set_slots({"node1": 2})
    assert len(place_all(scheduler)) == 1


def test_a_task_that_failed_on_all_nodes_with_slots_goes_to_one_of_them() -> None:
    scheduler = Scheduler(NODES, 1, seed=1)
    scheduler.add_job("job", 100)
    scheduler.set_slots({"node1": 0, "node2": 0})
    scheduler.add("job", launch(0, avoid=("node3",)))
    assert [p.host for p in place_all(scheduler)] == ["node3"]
