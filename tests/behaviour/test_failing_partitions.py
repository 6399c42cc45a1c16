"""Partition functions and combiners that fail or give something odd (reference 2.10, 8.3)."""

from __future__ import annotations

from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import nop_reduce, sum_combiner, sum_reduce
from tests.behaviour.classic import words
from tests.behaviour.failing import check, failure

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_combiner(cluster: LocalCluster) -> None:
    def combiner(key, value, buffer, done, params):
        if key == "c":
            raise IndexError("the third")

    error = failure(cluster, Job(map=words, combiner=combiner), ["raw://a b c"])
    check(error, "map", "combiner", "'c'", "record 1", "IndexError: the third")

    def at_the_end(key, value, buffer, done, params):
        if done:
            raise IndexError("at the end")

    error = failure(cluster, Job(map=words, combiner=at_the_end), ["raw://a b c"], partitions=3)
    check(error, "map", "combiner", "at the end", "partition", "IndexError")


def test_a_value_that_sum_combiner_cannot_add(cluster: LocalCluster) -> None:
    error = failure(cluster, Job(map=lambda e, p: [("k", 1), ("k", e)], combiner=sum_combiner), ["raw://text"])
    check(error, "map", "sum_combiner", "raw://text", "TypeError")


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("'1'", "'1'"),
        ("1.0", "1.0"),
        ("None", "None"),
        ("True", "True"),
        ("-1", "-1"),
        ("3", "3"),
        ("10**30", str(10**30)),
        ("(0,)", "(0,)"),
    ],
)
@pytest.mark.parametrize("combiner", [None, sum_combiner])
def test_a_partition_that_is_no_int_in_range(cluster: LocalCluster, result: str, shown: str, combiner: Any) -> None:
    value = eval(result)
    job = Job(map=words, partition=lambda key, nr, params: value, reduce=nop_reduce, combiner=combiner)
    error = failure(cluster, job, ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "'the-key'", shown)


def test_a_partition_function_that_raises_or_has_other_parameters(cluster: LocalCluster) -> None:
    def partition(key, nr, params):
        raise LookupError("nowhere")

    error = failure(cluster, Job(map=words, partition=partition), ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "'the-key'", "LookupError: nowhere", "record 1")
    error = failure(cluster, Job(map=words, partition=lambda key: 0), ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "TypeError")


def test_the_partition_function_is_not_asked_without_partitions(cluster: LocalCluster) -> None:
    job = Job(map=words, partition=lambda key, nr, params: 1 / 0, reduce=sum_reduce)
    assert dict(cluster.run(job, input=["raw://a"], partitions=None)) == {"a": 1}


def test_an_int_of_another_type_is_a_partition(cluster: LocalCluster) -> None:
    class Index:
        def __init__(self, n):
            self.n = n

        def __index__(self):
            return self.n

    def reduce(iter, params):
        yield this_partition(), len(list(iter))  # noqa: F821

    job = Job(map=words, partition=lambda key, nr, params: Index(2), reduce=reduce)
    assert list(cluster.run(job, input=["raw://a b"], partitions=3)) == [(2, 2)]
