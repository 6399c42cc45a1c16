"""What is tried again, how often, and what does not pass by that (reference 2.10, 4.2)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, DataError, DiscoError, Job, JobError, LocalCluster
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour.classic import words
from tests.behaviour.failing import check, traceback

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_one_failure_ends_the_job_and_its_other_tasks(forked: LocalCluster) -> None:
    import time

    def map(entry, params):
        import time

        if entry == "bad":
            raise ValueError("bad")
        time.sleep(60)
        yield entry, 1

    start = time.monotonic()
    with pytest.raises(JobError, match="bad"):
        forked.run(Job(map=map), input=["raw://slow", "raw://bad", "raw://other"])
    assert time.monotonic() - start < 5
    assert forked.worker_pids() == []


def failing_times(directory: str, times: int, error: Callable[[], BaseException]) -> Callable[..., Any]:
    """A map that raises in its first `times` attempts; attempts are counted by files."""

    def map(entry, params):
        import os

        number = len(os.listdir(directory))
        with open(os.path.join(directory, f"{entry}-{number}"), "x"):
            pass
        if number < times:
            raise error()
        yield entry, number

    return map


RETRIED: dict[str, Callable[[], BaseException]] = {
    "OSError": lambda: OSError(28, "No space left"),
    "FileNotFoundError": lambda: FileNotFoundError("not there"),
    "MemoryError": lambda: MemoryError("too much"),
    "DataError": lambda: DataError("damaged", "http://x/y"),
    "CommError": lambda: CommError("gone", "http://x/y", 404),
}


@pytest.mark.sampled
@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize(("times", "limit"), [(1, 1), (2, 3), (0, 0)])
def test_errors_that_may_pass_are_tried_again(start: str, tmp_path: Path, kind: str, times: int, limit: int) -> None:
    map = failing_times(str(tmp_path), times, RETRIED[kind])
    with LocalCluster(nodes=2, start=start, max_failures=limit) as cluster:
        results = cluster.run(Job(map=map), input=["raw://x"])
        assert list(results) == [("x", times)]
        hosts = [text.split()[-1] for _, (_, _, text) in results.job.events() if text.startswith("map:0 assigned to")]
        assert len(hosts) == times + 1
        assert hosts[:1] != hosts[1:2], "the second attempt is on another node"
        failed = [text for _, (_, _, text) in results.job.events() if "failures so far" in text]
        assert failed == [
            f'Task map:0 failed on "{host}", {number}th failures so far. Sleeping 0 seconds before retrying.'
            for number, host in enumerate(hosts[:-1], 1)
        ]
        assert results.job.jobinfo()["pipeline"][0] == ["map", 0, 0, 0, 1, times]


@pytest.mark.sampled
@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize("limit", [0, 2])
def test_errors_that_do_not_pass_end_the_job(start: str, tmp_path: Path, kind: str, limit: int) -> None:
    map = failing_times(str(tmp_path), 99, RETRIED[kind])
    with LocalCluster(nodes=2, start=start, max_failures=limit) as cluster:
        job = cluster.submit(Job(map=map), input=["raw://x"])
        with pytest.raises(JobError) as caught:
            job.wait()
        check(caught.value, "map", kind, "raw://x")
        if limit:
            assert f"failed {limit + 1} times" in str(caught.value)
        assert kind in traceback(caught.value)
        events = [text for _, (_, _, text) in job.events()]
        limit_text = f"Task map:0 failed {limit + 1} times. At most {limit} failures are allowed."
        assert f"ERROR: [map:0] {limit_text}" in events
        assert job.jobinfo()["pipeline"][0] == ["map", 0, 1, 0, 0, limit + 1]
        assert job.jobinfo()["active"] == "dead"
    assert len(os.listdir(tmp_path)) == limit + 1


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, AssertionError, DiscoError, EOFError])
def test_other_errors_are_not_tried_again(start: str, tmp_path: Path, kind: type[Exception]) -> None:
    map = failing_times(str(tmp_path), 99, lambda: kind("once"))
    with LocalCluster(nodes=2, start=start) as cluster, pytest.raises(JobError, match="once"):
        cluster.run(Job(map=map), input=["raw://x"])
    assert len(os.listdir(tmp_path)) == 1


def test_a_task_that_is_tried_again_delivers_its_records_once(start: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def map(entry, params):
        import os

        for word in entry.split():
            yield word, 1
        if entry.startswith("a") and not os.path.exists(flag):
            with open(flag, "x"):
                pass
            raise OSError("after all pairs were given")

    with LocalCluster(nodes=2, start=start) as cluster:
        results = cluster.run(Job(map=map, reduce=sum_reduce), input=["raw://a b", "raw://b c"], partitions=3)
        assert dict(results) == {"a": 1, "b": 2, "c": 1}


def test_a_reduce_that_is_tried_again_delivers_its_records_once(start: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def reduce(iter, out, params):
        import os

        for key, value in iter:
            out.add(key, value)
        if not os.path.exists(flag):
            with open(flag, "x"):
                pass
            raise OSError("after all pairs were given")

    for sort in (False, True):
        flag.unlink(missing_ok=True)
        with LocalCluster(nodes=2, start=start) as cluster:
            job = Job(map=words, reduce=reduce, reduce_shuffle=True, sort=sort)
            results = cluster.run(job, input=["raw://a b", "raw://b c"], partitions=3)
            assert sorted(results) == [("a", 1), ("b", 1), ("b", 1), ("c", 1)]
