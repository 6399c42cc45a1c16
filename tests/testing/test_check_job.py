"""The law of whole jobs: what breaks it is found and explained, what only looks like it is not."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import DiscoError, Job, Params
from discolocal.testing import LawBroken, check_job, run_job
from discolocal.testing.laws.clusters import RUNS
from discolocal.testing.records import difference
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_reduce
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from tests.testing import jobs
from tests.testing.jobs import words

TEXT = [["a b a\n", "bcd a\n", "c d\n"], ["b\n", "e f a\n"], ["é a 10\n"]]


def total(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
    for key, values in kvgroup(sorted(iter)):
        yield key, sum(values)


class Base(Job):
    partitions = 3
    map = staticmethod(words)
    reduce = staticmethod(total)


def mean_of_means(key: Any, value: Any, buf: dict[Any, Any], done: bool, params: Any) -> Any:
    if done:
        return [(key, sum(found) / len(found)) for key, found in buf.items()]
    buf.setdefault(key, []).append(value)
    return None


def kept_back(key: Any, value: Any, buf: dict[Any, Any], done: bool, params: Any) -> Any:
    if done:
        return list(buf.items())[:2]
    buf[key] = buf.get(key, 0) + value
    return None


def first_values(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
    found: dict[Any, Any] = {}
    for key, value in iter:
        found.setdefault(key, value)
    yield from found.items()


def numbered(line: str, params: Any, seen: list[int] = []) -> Iterator[tuple[Any, Any]]:  # noqa: B006
    for word in line.split():
        seen.append(1)
        yield word, len(seen)


def most_frequent(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
    counts = [(sum(values), key) for key, values in kvgroup(sorted(iter))]
    yield from [(key, count) for count, key in sorted(counts)[-2:]]


def lengths(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
    for word in line.split():
        yield len(word), word


def too_far(key: Any, nr_partitions: int, params: Any) -> int:
    return len(key) % (nr_partitions + 1)


def of_the_process(key: Any, nr_partitions: int, params: Any) -> int:
    return hash(key) % nr_partitions


def at_random(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
    import random

    for word in line.split():
        yield word, random.random()


def cut(interface: Any, state: Any, label: int, inp: Any) -> None:
    for number, line in enumerate(inp):
        for word in line.split():
            interface.output(0).add(word, number)


class PlaceInTheInput(Job):
    """A pipeline whose records tell where in its input an entry was."""

    Worker = PipelineWorker
    pipeline = [("split", Stage("cut", process=cut))]


BUGS: dict[str, tuple[Job, tuple[str, ...]]] = {
    "mean of means": (
        Base(combiner=mean_of_means, reduce=lambda iter, params: [(k, sum(v)) for k, v in kvgroup(sorted(iter))]),
        ("combin",),
    ),
    "kept back by the combiner": (Base(combiner=kept_back), ("combin",)),
    "first value": (Base(map=lengths, reduce=first_values), ("order", "cut into inputs")),
    "numbered by a default argument": (Base(map=numbered, reduce=sum_reduce), ("cut into inputs", "state", "order")),
    "most frequent of each partition": (Base(reduce=most_frequent), ("number of partitions", "spread")),
    "out of range": (Base(partition=too_far), ("partition", "range")),
    "hash of the process": (Base(partition=of_the_process, map=words), ("every process", "start mode", "interpreter")),
    "random": (Base(map=at_random), ("deterministic",)),
    "place in the input": (PlaceInTheInput(), ("cut into inputs",)),
    "total without partitions": (Job(map=words, reduce=jobs.OneReduce.reduce), ("number of partitions",)),
}


@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_found_and_explained(name: str) -> None:
    job, says = BUGS[name]
    with pytest.raises(LawBroken) as broken:
        check_job(job, TEXT, starts=("fork",) if name == "hash of the process" else ())
    text = str(broken.value)
    assert any(word in text for word in says), text
    assert broken.value.cluster
    assert broken.value.mend


def test_a_counterexample_is_small_and_can_be_replayed() -> None:
    job = Base(reduce=most_frequent)
    with pytest.raises(LawBroken) as broken:
        check_job(job, TEXT, starts=())
    example = broken.value.counterexample
    assert sum(map(len, example["inputs"])) <= 2, example
    names = {"run_job": run_job, "inputs": example["inputs"], "job": job}
    again = eval(broken.value.replay, names)  # the text says that it can be pasted
    assert difference(again, run_job(job, example.get("original_inputs", example["inputs"]))) is not None


def test_the_error_of_a_schedule_is_the_cause() -> None:
    with pytest.raises(LawBroken) as broken:
        check_job(Base(partition=too_far), [["aaa"], ["aa"], ["b"]], starts=())
    assert isinstance(broken.value.__cause__, ValueError)


@functools.cache
def known(word: str) -> int:
    return len(word)


def with_cache(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, known(word)


def take_header(iter: Any, params: Any) -> None:
    params.names = next(iter, "").split()


def by_header(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
    yield from zip(params.names, map(int, line.split()))


def months(key: str, nr_partitions: int, params: Any) -> int:
    return int(key) - 1


INNOCENT: dict[str, tuple[Job, list[list[Any]]]] = {
    "cache": (Base(map=with_cache), TEXT),
    "header": (Base(map_init=take_header, map=by_header), [["x y", "1 2", "3 4"], ["y x", "5 6"]]),
    "made for its partitions": (
        Job(map=lambda line, params: [(line, 1)], partition=months, partitions=12, reduce=total),
        [["1", "12"], ["3"]],
    ),
    "one partition": (Base(partitions=1, reduce=most_frequent), TEXT),
    "no partition": (Base(partitions=None, reduce=jobs.OneReduce.reduce), TEXT),
    "combiner alone": (Job(map=words, combiner=jobs.WordCount.combiner, partitions=2), TEXT),
    "reduce alone": (Job(reduce=jobs.OneReduce.reduce), [[("a", 1)], [("b", 2)]]),
    "params": (jobs.WithParams(params=Params(prefixes=["", "-"], shift=1)), TEXT),
    "sorted": (jobs.Sorted(), TEXT),
    "pipeline": (jobs.Piped(), TEXT),
    "pipeline by node": (jobs.NodePiped(), TEXT),
    "no data": (Base(), [[]]),
    "no inputs": (Base(), []),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_what_only_looks_like_a_bug_is_none(name: str) -> None:
    job, inputs = INNOCENT[name]
    report = check_job(job, inputs, starts=())
    assert report.examples > 10 or name.startswith("no ")


def test_every_start_mode_and_faults_are_tried() -> None:
    """With processes, as that is the point."""
    report = check_job(jobs.WordCount, TEXT, examples=5, seed=3)
    assert f"run on {len(RUNS)} clusters" in report.notes
    assert {run.start for run in RUNS} == {"inline", "fork", "exec"}


def test_a_job_that_fails_on_a_cluster_alone_has_its_error_as_the_cause() -> None:
    import os

    here = os.getpid()

    def only_here(line: str, params: Any) -> Iterator[tuple[str, int]]:
        if os.getpid() != params.pid:
            raise ValueError("somewhere else")
        yield line, 1

    from discolocal.testing.laws.clusters import check_clusters
    from discolocal.testing.laws.jobs import _Check
    from discolocal.testing.parts import resolve

    check = _Check(resolve(Base(map=only_here, params=Params(pid=here))), [["a"]], True)
    check.whole()
    with pytest.raises(LawBroken, match="somewhere else") as broken:
        check_clusters(check, ("fork",), 1)
    assert type(broken.value.__cause__).__name__ == "JobError"
    assert "LocalCluster(" in broken.value.replay


def test_a_job_that_fails_on_its_data_is_told_with_the_entry() -> None:
    def broken(line: str, params: Any) -> Any:
        return [(1 / len(line), 1)]

    with pytest.raises(LawBroken, match="copes with its data") as failed:
        check_job(Job(map=broken, reduce=total), [["a", ""]])
    assert failed.value.counterexample == {"inputs": [[""]]}
    cause = failed.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    if sys.version_info >= (3, 11):
        assert "entry: ''" in "".join(cause.__notes__)


def test_a_job_that_fails_on_all_of_its_data_only_is_told_with_all() -> None:
    def picky(iter: Any, params: Any) -> Any:
        values = [value for _, value in iter]
        if len(values) > 1:
            raise ValueError("too many")
        return [("all", values)]

    inputs = [["a", "b"], ["c"]]
    with pytest.raises(LawBroken, match="copes with its data") as failed:
        check_job(Job(map=lambda line, params: [(line, 1)], reduce=picky), inputs)
    assert failed.value.counterexample == {"inputs": inputs}


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a Job or a class of Jobs"):
        check_job(words, TEXT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'spawn' is none of"):
        check_job(Base(), [["a"]], starts=("spawn",), examples=1)
    with pytest.raises(TypeError, match="unexpected argument"):
        check_job(Base(), [["a"]], partitionz=1)
    with pytest.raises(DiscoError, match="only a cluster can run it"):
        from discolocal.worker.simple import Worker

        check_job(Job(worker=Worker()), [["a"]])
