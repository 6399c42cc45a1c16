"""Streams and partition functions that are None, and chains without a stream (reference 8.1, 8.8)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import DiscoError, Job, LocalCluster, PortabilityWarning
from discolocal.worker.classic.worker import NEVER_NONE
from discolocal.worker.task_io import chain_reader


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=1, start="inline", seed=3) as started:
        yield started


def one(line: str, params: Any) -> list[tuple[str, int]]:
    return [(line, 1)]


def both(iter: Any, params: Any) -> Any:
    return iter


@pytest.mark.parametrize("name", NEVER_NONE)
@pytest.mark.parametrize("place", ["argument", "job", "worker"])
def test_none_stands_for_the_default_with_a_warning(cluster: LocalCluster, name: str, place: str) -> None:
    job = Job(worker=Job.Worker(**{name: None})) if place == "worker" else Job()
    if place == "job":
        setattr(job, name, None)
    given = {name: None} if place == "argument" else {}
    with pytest.warns(PortabilityWarning, match=rf"\[none-parameter\] {name} of the job is None"):
        found = cluster.run(job, input=["raw://a", "raw://b"], map=one, reduce=both, **given)
    assert sorted(found) == [("a", 1), ("b", 1)]


def test_no_partitions_need_no_function(cluster: LocalCluster) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster.run(Job(), input=["raw://a"], map=one, reduce=both, partition=None, partitions=None)
        assert list(found) == [("a", 1)]


def test_a_reader_may_open_what_it_reads(cluster: LocalCluster) -> None:
    def reader(stream: Any, size: Any, url: str, params: Any) -> Any:
        assert stream is None and size is None
        yield url.removeprefix("raw://")

    found = cluster.run(Job(), input=["raw://a"], map=one, map_input_stream=(), map_reader=reader)
    assert list(found) == [("a", 1)]
    with pytest.raises(DiscoError, match="map_input_stream must be a stream function or a sequence of them"):
        Job(map=one).pack(input=["raw://a"], map_input_stream=[])
    with pytest.raises(DiscoError, match="map_output_stream must be"):
        Job(map=one, map_reader=chain_reader).pack(input=["raw://a"], map_output_stream=[])
