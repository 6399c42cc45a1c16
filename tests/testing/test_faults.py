"""The schedule of faults: what a seed says, which lines name a fault, which requests are refused. No cluster runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from discolocal import LocalCluster
from discolocal.cluster.faults import AFTERWARDS, KINDS, MANNERS, POINTS, Fault, Faults

STAGES = [("map", "split"), ("map_shuffle", "group_node"), ("reduce", "group_label")]


def all_faults(faults: Faults, tasks: int = 5, attempts: int = 5, max_failures: int = 3) -> list[Fault]:
    return [
        fault
        for stage, grouping in STAGES
        for number in range(tasks)
        for attempt in range(attempts)
        for fault in faults.schedule(stage, number, attempt, grouping, max_failures)
    ]


def test_a_seed_is_a_schedule() -> None:
    assert all_faults(Faults(4)) == all_faults(Faults(4)) != all_faults(Faults(5))
    backwards = Faults(4)
    for attempt in (2, 1, 0):
        backwards.schedule("reduce", 1, attempt)
    assert all_faults(backwards) == all_faults(Faults(4)), "whatever was asked before"


def test_without_a_seed_one_is_drawn_and_told() -> None:
    assert len({Faults().seed for _ in range(5)}) > 1
    faults = Faults()
    assert str(faults.seed) in repr(faults)
    assert all_faults(faults) == all_faults(eval(repr(faults)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"deaths": 0.5},
        {"deaths": True, "points": "sort", "manners": ["kill", "OSError"]},
        {"lost": 1, "slow": 0.25, "limit": 1},
        {"slow": False},
    ],
    ids=str,
)
def test_the_repr_makes_the_same_schedule(options: dict[str, Any]) -> None:
    faults = Faults(9, **options)
    again = eval(repr(faults))
    assert again == faults and hash(again) == hash(faults) and again != Faults(10, **options)
    assert all_faults(again) == all_faults(faults)


def test_the_mix_has_every_kind_every_point_and_every_manner() -> None:
    seen = [fault for seed in range(300) for fault in all_faults(Faults(seed), tasks=3)]
    assert {fault.deed for fault in seen} == {"corrupt", "failing", "full-disk", "slow", *AFTERWARDS, *MANNERS}
    deaths = {(fault.point, fault.deed) for fault in seen if fault.deed in MANNERS}
    assert deaths == {(point, manner) for point in POINTS for manner in MANNERS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_asked_for_alone(kind: str) -> None:
    options: dict[str, Any] = {kind: True}
    faults = all_faults(Faults(1, **options))
    expected = MANNERS if kind == "deaths" else (kind.replace("_", "-"),)
    assert faults and {fault.deed for fault in faults} <= {*expected}


def test_a_rate_is_how_many_attempts_are_hit() -> None:
    hit = sum(bool(Faults(seed, deaths=0.25).schedule("map", 0, 0)) for seed in range(2000))
    assert 420 < hit < 580
    assert all_faults(Faults(1, deaths=False)) == all_faults(Faults(1, slow=0.0)) == []


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("max_failures", [0, 1, 3, 10])
def test_no_task_fails_more_often_than_its_job_survives(limit: int | None, max_failures: int) -> None:
    for seed in range(30):
        options: dict[str, Any] = dict.fromkeys(KINDS, 1.0)
        faults = all_faults(Faults(seed, limit=limit, **options), max_failures=max_failures, attempts=12)
        failing = Counter(fault[:2] for fault in faults if fault.deed != "slow")
        assert all(number == min(limit or 2, max_failures) for number in failing.values()), "one for each attempt"
        assert bool(failing) == bool(max_failures)


def test_points_lie_where_the_stage_can_come_to_them() -> None:
    for seed in range(200):
        for fault in all_faults(Faults(seed, deaths=1)):
            unlikely = {"map": ("mid-reduce", "sort"), "reduce": ("mid-map", "combiner")}
            assert fault.point not in unlikely.get(fault.stage, ("first-read", "mid-map", "mid-reduce", "sort"))
    assert all_faults(Faults(1, deaths=1, points="combiner"))[0].stage == "map"
    assert {fault.stage for fault in all_faults(Faults(1, deaths=1, points=("sort",)))} == {"reduce"}


def test_every_fault_is_a_line_that_names_it() -> None:
    for seed in range(200):
        for fault in all_faults(Faults(seed)):
            assert Fault.parse(str(fault)) == fault
    assert Fault.parse("a stage/3 attempt 1: kill at mid-map 20") == Fault("a stage", 3, 1, "kill", "mid-map", 20)
    assert str(Fault("reduce", 0, 2, "lost")) == "reduce/0 attempt 2: lost"


def test_a_list_of_lines_is_a_schedule() -> None:
    lines = [str(fault) for fault in all_faults(Faults(8))]
    replayed = Faults.replay(*lines)
    assert [str(fault) for fault in all_faults(replayed)] == lines
    assert eval(repr(replayed)) == replayed
    assert all_faults(Faults.replay()) == [] and repr(Faults.replay()) == "Faults.replay()"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "map",
        "map/0 attempt 0",
        "map/0 attempt 0: explode",
        "map/0 attempt 0: kill",
        "map/0 attempt 0: kill at byte 3",
        "map/0 attempt 0: lost at import",
        "map/0 attempt 0: corrupt at import",
        "map/x attempt 0: lost",
        "map/0 attempt 0: lost\n",
        ["map/0 attempt 0: lost"],
        None,
    ],
)
def test_a_line_that_names_no_fault_is_refused(line: Any) -> None:
    with pytest.raises(ValueError, match="is no fault: it looks like"):
        Faults.replay(line)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"seed": "7"}, "seed='7'"),
        ({"seed": True}, "seed=True"),
        ({"deaths": 2}, "deaths=2"),
        ({"lost": -0.1}, "lost=-0.1"),
        ({"slow": float("nan")}, "slow=nan"),
        ({"full_disk": "often"}, "full_disk='often'"),
        ({"limit": 0}, "limit=0"),
        ({"limit": True}, "limit=True"),
        ({"limit": 1.5}, "limit=1.5"),
        ({"deaths": 1, "points": "lunch"}, "'lunch' is none of import, init"),
        ({"deaths": 1, "points": ("sort", "lunch")}, "'lunch' is none of"),
        ({"deaths": 1, "manners": "boredom"}, "'boredom' is none of exit, kill"),
        ({"deaths": 1, "points": ()}, "name at least one"),
        ({"deaths": 1, "points": 3}, "points=3: must be a name"),
        ({"lost": 1, "points": "sort"}, "give deaths"),
        ({"slow": 1, "manners": "kill"}, "give deaths"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as refused:
        Faults(**options)
    assert text in str(refused.value)


def test_an_unknown_kind_is_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match="earthquakes"):
        Faults(earthquakes=1)  # type: ignore[call-arg]


def test_a_cluster_refuses_what_no_job_survives() -> None:
    with pytest.raises(ValueError, match="max_failures=1"):
        LocalCluster(start="inline", max_failures=1, faults=Faults(1, limit=2))
    with pytest.raises(ValueError, match="max_failures=0"):
        LocalCluster(start="inline", max_failures=0, faults=Faults.replay("map/0 attempt 0: lost"))
    with pytest.raises(ValueError, match="must be a discolocal.testing.Faults"):
        LocalCluster(start="inline", faults=7)  # type: ignore[arg-type]


def test_a_cluster_tells_how_to_make_another_one() -> None:
    with LocalCluster(nodes=3, workers_per_node=2, start="inline", seed=5, faults=Faults(6, lost=0.5)) as cluster:
        assert cluster.replay == (
            "LocalCluster(nodes=3, workers_per_node=2, start='inline', seed=5, max_failures=3,"
            " faults=Faults(6, lost=0.5))"
        )
        assert cluster.faults == Faults(6, lost=0.5)
    with eval(cluster.replay) as again:
        assert again.replay == cluster.replay
    with LocalCluster(start="inline", seed=5) as calm:
        assert "faults" not in calm.replay and calm.faults is None
