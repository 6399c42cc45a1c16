"""What tells the tasks of a job apart: their numbers, and keys of out-of-band results (reference 7.5, 8.3, 11.3)."""

from __future__ import annotations

import importlib
import re
import warnings
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, PortabilityWarning
from discolocal.report import check
from discolocal.worker.old import parameters

RACE = pytest.mark.own_events
"""Which of the tasks is told depends on which one is the first, or the last."""

INPUTS = ["raw://a", "raw://b", "raw://c"]

MODERN = """
def map(line, params):
    return [(line, [this_partition(), Task.taskid])]

def reduce(iter, params):
    yield this_partition(), sorted(iter)
"""
OLD = MODERN.replace("    return", "    msg('a map')\n    return")


def functions(source: str) -> dict[str, Any]:
    """The map and the reduce of a module that imports nothing."""
    space: dict[str, Any] = {}
    exec(source, space)
    return {name: space[name] for name in ("map", "reduce")}


def numbers(cluster: LocalCluster, **jobargs: Any) -> list[list[int]]:
    """This partition and the number of each map."""
    jobargs.setdefault("input", INPUTS)
    ((label, records),) = cluster.run(Job(**jobargs))
    assert label == 0, "in a reduce it is the partition"
    return [pair for _line, pair in records]


def test_maps_have_one_partition_and_numbers_of_their_own(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match=r"this_partition\(\) is 0 in every map task.*Task\.taskid") as told:
        found = numbers(cluster, **functions(MODERN))
    assert [one.message.code for one in told] == ["map-partition"]  # type: ignore[union-attr]
    assert [partition for partition, _ in found] == [0, 0, 0]
    assert len({taskid for _, taskid in found}) == 3


def test_a_single_map_needs_none(cluster: LocalCluster) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(cluster, **functions(MODERN), input=INPUTS[:1]) == [[0, 0]]


@RACE
def test_a_strict_run_does_not_take_it(cluster: LocalCluster) -> None:
    with pytest.raises(JobError, match=r"map-partition.*Task\.taskid"):
        cluster.run(Job(**functions(MODERN)), input=INPUTS, strict=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("jobargs", [functions(OLD), {**functions(MODERN), "nr_reduces": 1}], ids=["msg", "nr_reduces"])
def test_in_programs_of_former_times_a_partition_is_the_number_of_a_map(
    cluster: LocalCluster, jobargs: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PortabilityWarning)
        found = numbers(cluster, **jobargs)
    assert sorted(found) == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_programs_of_0_2_as_well(cluster: LocalCluster) -> None:
    parameters.set_era("0.2")
    try:
        ((label, text),) = cluster.run(Job(**functions(MODERN)), input=INPUTS)
    finally:
        parameters.set_era(None)
    assert (label, sorted(re.findall(r"\d, \d", text))) == ("0", ["0, 0", "1, 1", "2, 2"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_the_module_of_former_times_as_well(cluster: LocalCluster) -> None:
    old = importlib.import_module("discolocal.node.worker")

    def map(line: str, params: Any) -> Any:
        return [(line, [old.this_partition(), Task.taskid])]  # type: ignore[name-defined]  # noqa: F821 (injected)

    def reduce(iter: Any, params: Any) -> Any:
        yield old.this_partition(), sorted(iter)

    found = numbers(cluster, map=map, reduce=reduce)
    assert sorted(found) == [[0, 0], [1, 1], [2, 2]]


PUT = """
def map(line, params):
    for key in params[line]:
        put(key, line.encode())
        put(key, line.encode())
    return []
"""


def putting(params: dict[str, list[str]]) -> Job:
    space: dict[str, Any] = {}
    exec(PUT, space)
    return Job(map=space["map"], params=params)


@RACE
def test_a_key_that_another_task_has_put_is_told(cluster: LocalCluster) -> None:
    keys = {"a": ["mine", "x"], "b": ["x", "y"], "c": ["y" * 256]}
    with pytest.warns(PortabilityWarning, match=r"task map:\d has put the key 'x' that task \d had put before") as told:
        job = cluster.run(putting(keys), input=INPUTS).job
    assert [one.message.code for one in told] == ["oob-key"]  # type: ignore[union-attr]
    assert sorted(job.oob_list()) == sorted(["mine", "x", "y", "y" * 256])
    assert (job.oob_get("mine"), job.oob_get("y"), job.oob_get("x") in (b"a", b"b")) == (b"a", b"b", True)


def test_keys_of_each_task_s_own_are_not(cluster: LocalCluster) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = cluster.run(putting({"a": ["a"], "b": ["b"], "c": ["c", "d"]}), input=INPUTS).job
    assert sorted(job.oob_list()) == ["a", "b", "c", "d"]


@RACE
def test_a_strict_run_takes_no_key_twice(cluster: LocalCluster) -> None:
    with pytest.raises(JobError, match=r"oob-key.*Task\.taskid"):
        cluster.run(putting({"a": ["x"], "b": ["x"], "c": []}), input=INPUTS, strict=True)


@RACE
def test_a_check_finds_both(cluster: LocalCluster) -> None:
    source = functions("def map(line, params):\n    put('k', b'%d' % this_partition())\n    return []\nreduce = None")
    report = check(Job(map=source["map"], partitions=None), cluster, input=INPUTS)
    assert sorted(set(report.codes) & {"map-partition", "oob-key"}) == ["map-partition", "oob-key"]
