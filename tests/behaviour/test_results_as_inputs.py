"""Results of jobs as inputs of others: added, nested, in chains and iterations (reference 10)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, LocalCluster, PortabilityWarning, result_iterator
from discolocal.worker.classic.func import chain_reader, nop_map, nop_reduce, sum_reduce
from discolocal.worker.pipeline import worker as pipeline
from discolocal.worker.pipeline.worker import Stage
from tests.behaviour.wordcounts import TEXT, WORDS, found, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


@pytest.fixture
def two(cluster: LocalCluster) -> tuple[Any, Any]:
    """The results of two jobs with several partitions, as `wait` gives them."""
    first = Job(master=cluster, map=words, partitions=3).run(input=TEXT)
    second = Job(master=cluster, map=words, partitions=2).run(input=["raw://d-e"])
    return first.wait(), second.wait()


COUNTED = {**WORDS, "d": 1, "e": 1}


@pytest.mark.sampled
@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
@pytest.mark.parametrize("kind", ["map", "reduce", "both"])
@pytest.mark.parametrize("form", ["added", "flat", "nested"])
def test_results_of_several_jobs_are_inputs(cluster: LocalCluster, two: tuple[Any, Any], kind: str, form: str) -> None:
    first, second = two
    inputs = {
        "added": first + second,
        "flat": [url for replicas in (*first, *second) for url in replicas],
        "nested": [*([url] for url in first), *([url] for url in second)],
    }[form]
    parts: dict[str, Any] = {"map": nop_map, "map_reader": chain_reader} if kind != "reduce" else {}
    if kind != "map":
        parts["reduce"] = sum_reduce
    records = cluster.run(Job(**parts), input=inputs)
    total: Counter[str] = Counter()
    for word, count in records:
        total[word] += count
    assert total == COUNTED


def test_records_are_no_inputs(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=words), input=TEXT)
    piped = Job(worker=pipeline.Worker(pipeline=[("split", Stage("only", process=print))]))
    for job, inputs in (
        (Job(map=nop_map), results),
        (Job(map=nop_map), [results]),
        (Job(reduce=nop_reduce), [["raw://x", results]]),
        (piped, results),
        (piped, [(3, results)]),
    ):
        with pytest.raises(DiscoError, match=r"is not a list of input locations.*<Results of .*give its urls"):
            cluster.run(job, input=inputs)


@pytest.mark.parametrize("reader", [None, chain_reader])
def test_a_list_in_a_list_is_replicas(cluster: LocalCluster, reader: Any) -> None:
    only = Job(master=cluster, map=words, reduce=sum_reduce).run(input=TEXT).wait()
    assert len(only) == 1
    job = Job(map=nop_map, map_reader=reader) if reader else Job(reduce=nop_reduce)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(cluster, job, input=[only]) == WORDS
        assert found(cluster, job, input=[only + only]) == WORDS, "the same data twice is read once"
        gone = "dir://node1/disco/node1/00/gone@1:2:3/.disco/x.results"
        assert found(cluster, job, input=[[gone, *only]] if reader else [[*only, gone]]) == WORDS


def test_results_of_different_jobs_in_one_list_are_warned_about(cluster: LocalCluster) -> None:
    first = Job(master=cluster, map=words, reduce=sum_reduce).run(input=TEXT).wait()
    second = Job(master=cluster, map=words, reduce=sum_reduce).run(input=["raw://d-e"]).wait()
    for job in (Job(map=nop_map, map_reader=chain_reader), Job(reduce=nop_reduce)):
        with pytest.warns(PortabilityWarning, match="index-replicas.*1 of its 2 results"):
            assert found(cluster, job, input=[first + second]) == WORDS
        with pytest.raises(PortabilityWarning, match="index-replicas"):
            cluster.run(job, input=[first + second], strict=True)
    for nested in ([first + second], [[*first[0], *second[0]]]):
        with pytest.warns(PortabilityWarning, match="index-replicas.*1 of its 2 results"):
            assert dict(result_iterator(nested)) == WORDS


@pytest.mark.filterwarnings("error::discolocal.error.PortabilityWarning")
def test_results_in_brackets_are_read_once(cluster: LocalCluster) -> None:
    only = Job(master=cluster, map=words, reduce=sum_reduce).run(input=TEXT).wait()
    for nested in (only, [only], [[only]], [only + only], only[0]):
        assert dict(result_iterator(nested)) == WORDS


def double(iter: Any, params: Any) -> Iterator[tuple[str, int]]:
    for key, value in iter:
        yield key, value * 2


@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
def test_a_chain_of_six_jobs_with_steps_that_only_reduce(cluster: LocalCluster) -> None:
    urls = Job("Step1", map=words, master=cluster, partitions=4).run(input=TEXT).wait()
    urls = Job("Step2", reduce=sum_reduce, master=cluster).run(input=urls).wait()
    urls = Job("Step3", reduce=double, master=cluster).run(input=urls).wait()
    urls = Job("Step4", map=nop_map, map_reader=chain_reader, partitions=2, master=cluster).run(input=urls).wait()
    urls = Job("Step5", reduce=double, master=cluster).run(input=urls).wait()
    urls = Job("Step6", reduce=nop_reduce, master=cluster).run(input=urls).wait()
    assert dict(result_iterator(urls)) == {word: 4 * count for word, count in WORDS.items()}


class Iteration(Job):
    """One step of an iteration: halves what is more than one."""

    map_reader = staticmethod(chain_reader)
    reduce = staticmethod(nop_reduce)

    @staticmethod
    def map(entry: tuple[str, float], params: Any) -> Iterator[tuple[str, float]]:
        key, value = entry
        yield key, max(1.0, value / params["by"])


@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
def test_an_iteration_that_purges_what_it_has_read(cluster: LocalCluster) -> None:
    job = Job("Start", map=lambda entry, params: [(entry, float(entry))], master=cluster)
    job.run(input=["raw://3", "raw://16"])
    rounds = 0
    while True:
        records = dict(result_iterator(job.wait()))
        if max(records.values()) <= 1:
            break
        following = Iteration(master=cluster).run(input=job.wait(), params={"by": 2})
        following.wait()
        place = Path(cluster.root).rglob(job.name)
        job.purge()
        assert not list(place), "purged"
        job = following
        rounds += 1
    assert rounds == 4 and set(records) == {"3", "16"}
    job.purge()
