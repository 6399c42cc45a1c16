"""What a job would meet on a cluster: the default run works and warns, a strict one fails, a check tells all of it.

The jobs run in worker processes: some of what they do cannot be done in the test's own.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import JobError, PortabilityWarning
from discolocal.report import check
from discolocal.wire.portability import CODES, WARNING
from discolocal.worker.classic.func import make_range_partition, sum_reduce, task_output_stream
from tests.client.meeting import RAW, Plain, int_keys, one, run


@pytest.fixture(scope="module", params=["fork", "exec"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, seed=3, start=request.param) as started:
        yield started


def chatty(line: str, params: Any) -> Any:
    for number in range(12):
        print("line", number)
    return [(line, 1)]


def forks(line: str, params: Any) -> Any:
    import os

    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return [(line, 1)]


def reads_input(line: str, params: Any) -> Any:
    import sys

    return [(line, len(sys.stdin.read()))]


def iterates_over_input(line: str, params: Any) -> Any:
    import sys

    return [(line, sum(1 for _ in sys.stdin))]


def fails_once(line: str, params: Any) -> Any:
    import os

    if not os.path.exists("failed"):
        with open("failed", "w"):
            pass
        raise FileNotFoundError("gone for a moment")
    return [(line, 1)]


def echoes(line: str, params: Any) -> Any:
    import subprocess

    subprocess.run(["echo", "stray"], check=True)
    return [(line, 1)]


def local_values(line: str, params: Any) -> Any:
    class Thing:
        pass

    return [(line, Thing())]


def uncompressed(stream: Any, size: Any, url: str, params: Any) -> Any:
    from discolocal.worker.task_io import disco_output_stream

    return disco_output_stream(stream, size, url, params, compression_level=0)


def sorted_job(key: Any, value: Any = 1) -> Job:
    return Job(map=lambda line, params: params, reduce=sum_reduce, params=[(key, value)], sort=True)


def names_operator(line: str, params: Any) -> Any:
    return [(line, operator.add(0, 1))]  # type: ignore[name-defined]  # noqa: F821 (supplied)


MEETS: dict[str, tuple[Job, dict[str, Any]]] = {
    "force-local": (Job(map=one), {"scheduler": {"force_local": True}}),
    "plain-function": (Plain(), {}),
    "prefix-characters": (Job("a!b", map=one), {}),
    "range-partition": (Job(map=int_keys, partition=make_range_partition(0, 9), partitions=2), {}),
    "fork-in-task": (Job(map=forks), {}),
    "implied-module": (Job(map=names_operator), {}),
    "none-parameter": (Job(map=one, partition=None), {}),
    "key-type": (Job(map=int_keys, partitions=2), {}),
    "message-rate": (Job(map=chatty), {}),
    "os-error": (Job(map=fails_once), {}),
    "raw-host": (Job(map=one), {"input": ["raw://hello world"]}),
    "record-class": (Job(map=local_values), {}),
    "stdin-read": (Job(map=reads_input), {}),
    "stray-output": (Job(map=echoes), {}),
    "uncompressed-shuffle": (
        Job(map=one, map_output_stream=(task_output_stream, uncompressed), scheduler={"max_cores": 1}),
        {"input": [f"raw://{n}" for n in range(8)]},
    ),
    "sort-high-bytes": (Job(map=lambda line, params: [(b"k", "\xff")], reduce=lambda i, p: i, sort=True), {}),
    "sort-long-records": (Job(map=lambda line, params: [(b"k", "v" * 20000)], reduce=lambda i, p: i, sort=True), {}),
    "sort-special-bytes": (sorted_job(b"\0"), {}),
    "sort-text-keys": (sorted_job("text"), {}),
}
"""For each code a job that meets it."""


@pytest.mark.parametrize("code", MEETS)
def test_the_default_run_works_and_warns(anywhere: LocalCluster, code: str) -> None:
    with pytest.warns(PortabilityWarning) as seen:
        assert run(anywhere, *MEETS[code])
    found = [
        str(one.message) for one in seen if isinstance(one.message, PortabilityWarning) and one.message.code == code
    ]
    assert len(found) == 1
    assert re.search("cluster|master|Disco", found[0]), "it says where"


@pytest.mark.parametrize("code", MEETS)
def test_a_strict_run_fails(anywhere: LocalCluster, code: str) -> None:
    with pytest.raises((PortabilityWarning, JobError), match=code):
        run(anywhere, *MEETS[code], strict=True)


@pytest.mark.parametrize("code", MEETS)
def test_a_check_tells(cluster: LocalCluster, code: str) -> None:
    job, arguments = MEETS[code]
    before = cluster.joblist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check(job, cluster, **{"input": RAW, **arguments})
    found = {finding.code: finding for finding in report}
    assert set(found) == {code}, report
    assert not report.ok
    known = CODES[code]
    assert found[code][1:3] == (WARNING, known.traps)
    assert found[code][4:] == (known.consequence, known.change)
    assert known.consequence in str(report) and known.change in str(report)
    assert cluster.joblist() == before, "the run has left something"


def test_every_code_of_a_warning_is_met_here() -> None:
    elsewhere = {"external-files", "external-flush", "external-params", "external-program", "bare-tag", "save-results"}
    elsewhere |= {"index-replicas", "oob-text", "missing-module", "no-stages", "wait-clean", "map-partition", "oob-key"}
    elsewhere |= {"method-parameters"}
    elsewhere |= {"concurrent-first-stage", "generator-init", "plain-urls", "skipped-label", "sort-without-combine"}
    elsewhere |= {"supplied-name", "unknown-label"}
    assert set(MEETS) | elsewhere == {code for code, known in CODES.items() if known.level == WARNING}


def test_reading_line_by_line_is_reading_standard_input(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="stdin-read"):
        assert run(cluster, Job(map=iterates_over_input), {}) == [("x", 0)]


def test_an_os_error_that_stays_is_told_with_the_error(cluster: LocalCluster) -> None:
    def fails(line: str, params: Any) -> Any:
        raise OSError("always")

    report = check(Job(map=fails), cluster, input=RAW)
    assert report.codes == ["os-error", "error"]
    assert "OSError: always" in report.findings[1].seen


def test_a_data_error_is_no_os_error(cluster: LocalCluster) -> None:
    def fails(line: str, params: Any) -> Any:
        from discolocal.error import DataError

        raise DataError("damaged", "raw://x")

    assert check(Job(map=fails), cluster, input=RAW).codes == ["error"]


def test_a_job_without_stages(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="no-stages"):
        assert cluster.run(Job(), input=RAW).urls == [RAW]
    with pytest.raises(PortabilityWarning, match="no-stages"):
        cluster.run(Job(), strict=True, input=RAW)
    assert check(Job(), cluster, input=RAW).codes == ["no-stages"]


def test_a_module_that_a_node_would_miss(cluster: LocalCluster) -> None:
    def uses(line: str, params: Any) -> Any:
        try:
            import click
        except OSError:
            pass
        return [(click.__name__, 1)]

    with pytest.warns(PortabilityWarning, match="missing-module.*click"):
        assert run(cluster, Job(map=uses), {}) == [("click", 1)]
    with pytest.raises(PortabilityWarning, match=r"missing-module.*click"):
        run(cluster, Job(map=uses), {}, strict=True)
    assert check(Job(map=uses), cluster, input=RAW).codes == ["missing-module"]


def test_waiting_with_clean_for_a_job_that_takes_longer_than_a_poll(cluster: LocalCluster) -> None:
    def slow(line: str, params: Any) -> Any:
        import time

        time.sleep(0.1)
        return [(line, 1)]

    with pytest.warns(PortabilityWarning, match="wait-clean"):
        cluster.wait(cluster.submit(Job(map=slow), input=RAW).name, poll_interval=0.01, clean=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster.wait(cluster.submit(Job(map=one), input=RAW).name, poll_interval=60, clean=True)
