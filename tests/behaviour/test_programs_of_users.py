"""What programs that people wrote for Disco do, beside calling functions of modules (reference 8.1, 8.3, 10, 11)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster, Params, result_iterator
from discolocal.util import kvgroup
from discolocal.worker.classic.func import make_range_partition, sum_reduce
from tests.behaviour.wordcounts import TEXT, WORDS, found, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_params_hold_functions_lambdas_and_containers_of_them(cluster: LocalCluster) -> None:
    limit = 2
    params = Params(
        split=words,
        keep=lambda word: word < "c",
        rules={"double": lambda n: n * limit},
        chain=[str.upper, lambda word: word + "!"],
    )

    def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        for word, one in params.split(entry, params):
            if params.keep(word):
                yield functools.reduce(lambda value, step: step(value), params.chain, word), params.rules["double"](one)

    assert found(cluster, Job(map=map, reduce=sum_reduce, params=params)) == {"A!": 6, "B!": 2}
    assert found(cluster, Job(map=map, reduce=sum_reduce), params=params) == {"A!": 6, "B!": 2}


@pytest.mark.parametrize("partitions", [1, 3])
def test_tuple_keys_and_dict_values(cluster: LocalCluster, partitions: int) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[Any, Any]]:
        for first, second in zip(entry.split("-"), entry.split("-")[1:]):
            yield (first, second), {"count": 1, "entries": [entry]}

    def reduce(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
        for pair, values in kvgroup(sorted(iter, key=lambda record: record[0])):
            values = list(values)
            yield pair, {"count": len(values), "entries": sorted(v["entries"][0] for v in values)}

    assert found(cluster, Job(map=map, reduce=reduce), partitions=partitions) == {
        ("a", "b"): {"count": 1, "entries": ["a-b-a"]},
        ("b", "a"): {"count": 1, "entries": ["a-b-a"]},
        ("c", "a"): {"count": 1, "entries": ["c-a"]},
    }


def test_a_range_partition_cuts_a_range_into_equal_parts(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[int, int]]:
        yield int(entry), 1

    def reduce(iter: Any, params: Any) -> Iterator[tuple[int, list[int]]]:
        yield this_partition(), sorted(key for key, _one in iter)  # type: ignore[name-defined]  # noqa: F821 (injected)

    job = Job(map=map, reduce=reduce, partition=make_range_partition(0, 9), partitions=3)
    inputs = [f"raw://{number}" for number in range(10)]
    assert found(cluster, job, input=inputs) == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6, 7, 8, 9]}


@pytest.mark.parametrize("sort", [None, False, True])
def test_sort_may_be_none(cluster: LocalCluster, sort: bool | None) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[bytes, int]]:
        for word, one in words(entry, params):
            yield word.encode(), one

    assert found(cluster, Job(map=map, reduce=sum_reduce, sort=sort)) == {b"a": 3, b"b": 1, b"c": 1}


def test_a_profiled_job(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, profile=True), input=TEXT)
    assert dict(results) == WORDS
    functions = {name for _file, _line, name in results.job.profile_stats().stats}  # type: ignore[attr-defined]
    assert {"words", "sum_reduce"} <= functions


def test_a_job_answers_what_a_master_is_asked_with_its_name(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        put("entry", entry.encode())  # type: ignore[name-defined]  # noqa: F821 (injected)
        yield entry, 1

    job = Job("Asked", map=map, reduce=sum_reduce, profile=True, master=cluster).run(input=["raw://x"])
    urls = job.wait(poll_interval=1, timeout=60)
    assert list(result_iterator(urls)) == [("x", 1)]
    assert job.results(timeout=10) == ("ready", urls)
    assert [url for (url,) in job.stageresults("reduce")] == [url for (url,) in urls]
    offset, (time, host, text) = next(iter(job.events()))
    assert offset > 0 and time and (host, text) == ("master", "New job initialized!")
    assert job.jobinfo()["active"] == "ready" and job.jobpack().jobdict["prefix"] == "Asked"
    assert "map" in {name for _file, _line, name in job.profile_stats("map").stats}
    assert "entry" in job.oob_list() and job.oob_get("entry") == b"x"
    job.kill()
    assert job.results()[0] == "ready", "it has ended already"
    job.clean()
    assert job.results() == ("unknown job", [])
    assert list(result_iterator(urls)) == [("x", 1)], "its files stay"
    other = Job("Other", map=words, master=cluster).run(input=["raw://x"])
    other.wait()
    assert list(Path(cluster.root).rglob(other.name))
    other.purge()
    assert not list(Path(cluster.root).rglob(other.name))
