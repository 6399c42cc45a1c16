"""A job that failed, as seen from outside (reference 4.1, 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster
from tests.behaviour.classic import words
from tests.behaviour.failing import bad_map, failure

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_a_failed_job_is_dead_and_can_be_asked_about(cluster: LocalCluster) -> None:
    job = cluster.submit(Job(map=bad_map), input=["raw://bad"])
    for _ in range(2):
        with pytest.raises(JobError, match="cannot be good"):
            job.wait()
    assert job.results() == ("dead", [])
    assert job.jobinfo()["active"] == "dead"
    texts = [text for _, (_, _, text) in job.events()]
    assert texts[-1] == "WARN: Job killed"
    assert any(text.startswith("FATAL: [map:0] ") and "cannot be good" in text for text in texts)


def test_an_error_of_a_job_can_be_raised_twice_and_pickled(cluster: LocalCluster) -> None:
    import pickle

    error = failure(cluster, Job(map=bad_map), ["raw://bad"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_unknown_jobs(cluster: LocalCluster) -> None:
    assert cluster.results("Nobody@1:2:3") == ("unknown job", [])
    for method in (cluster.wait, cluster.jobinfo, cluster.jobpack, cluster.stageresults, cluster.events):
        with pytest.raises(JobError, match="Nobody@1:2:3.*unknown job"):
            method("Nobody@1:2:3")
    for harmless in (cluster.kill, cluster.purge, cluster.clean):  # reference 4.5
        harmless("Nobody@1:2:3")


def test_a_job_without_a_master_says_what_to_do() -> None:
    with pytest.raises(JobError, match="LocalCluster"):
        Job(map=words).run(input=["raw://x"])
    with pytest.raises(DiscoError, match="LocalCluster"):
        Job(map=words, master="local://somewhere").run(input=["raw://x"])


@pytest.mark.parametrize(
    "argument",
    [
        {"nodes": 0},
        {"nodes": 1.5},
        {"nodes": True},
        {"workers_per_node": 0},
        {"max_failures": -1},
        {"start": "spawn"},
        {"start": "Exec"},
        {"timeouts": 0},
        {"timeouts": True},
        {"timeouts": "1"},
        {"timeouts": float("nan")},
        {"python": "no-such-python"},
    ],
    ids=str,
)
def test_parameters_of_a_cluster_out_of_range(argument: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(argument))):
        LocalCluster(**argument)


SEVEN = 7


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("equal", "AssertionError: assert 5 == 7"),
        ("call", "AssertionError: assert 5 == 6\n  where 5 = len('hello')"),
        ("chain", "AssertionError: assert 5 < 3"),
        ("both", "AssertionError: assert (5 > 9 or 5 == 7)"),
        ("message", "AssertionError: told so\n  assert 5 > 9"),
        ("name", "AssertionError: assert not <function"),
    ],
)
def test_asserts_of_test_modules_say_what_was_not_so(cluster: LocalCluster, claim: str, text: str) -> None:
    def map(line, claim):
        size = len(line)
        if claim == "equal":
            assert size == SEVEN
        elif claim == "call":
            assert len(line) == 6
        elif claim == "chain":
            assert 1 < size < 3
        elif claim == "both":
            assert size > 9 or size == SEVEN
        elif claim == "message":
            assert size > 9, "told so"
        elif claim == "name":
            assert not map
        yield line, size

    with pytest.raises(JobError) as caught:
        cluster.run(Job("Asserts", map=map, params=claim), input=["raw://hello"])
    found = str(caught.value.__cause__)
    assert text.partition("\n")[0] in found
    for line in text.splitlines():
        assert line.strip() in found
