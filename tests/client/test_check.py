"""The report of a check (reference 9)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import JobError, PortabilityWarning
from discolocal.report import check
from tests.client.meeting import RAW, int_keys, one, run


def test_local_files_are_a_note(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    report = check(Job(map=one), cluster, input=[str(tmp_path / "a.txt")])
    assert report.codes == ["local-file"] and report.ok
    assert str(tmp_path / "a.txt") in str(report)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(cluster, Job(map=one), {"input": [str(tmp_path / "a.txt")]}, strict=True)


def test_without_inputs_nothing_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def map(line: str, params: Any) -> Any:
        ran.touch()
        return [(line, 1)]

    assert check(Job(map=map)).codes == ["function-closure"]
    assert not ran.exists()
    report = check(Job(map=map, input=RAW))
    assert report.codes == ["function-closure"] and ran.exists()


def test_a_job_that_meets_nothing(cluster: LocalCluster) -> None:
    report = check(Job(map=one), cluster, input=RAW)
    assert (report.ok, len(report), str(report)) == (True, 0, "nothing found")


def test_a_job_that_cannot_be_packed_or_read_has_an_error(cluster: LocalCluster, tmp_path: Path) -> None:
    report = check(Job(map=one), cluster, input=[str(tmp_path / "missing")])
    assert report.codes == ["error"] and "missing" in str(report)
    report = check(Job(map=one, params=open), cluster, input=["dir://nowhere/disco/x"])
    assert report.codes == ["error"]


@pytest.mark.parametrize("strict", [1, "yes", 0.0])
def test_strict_is_a_truth_value(cluster: LocalCluster, strict: Any) -> None:
    with pytest.raises(ValueError, match="strict="):
        cluster.run(Job(map=one), strict=strict, input=RAW)


def test_a_run_may_be_less_strict_than_its_cluster() -> None:
    with LocalCluster(nodes=1, start="inline", strict=True) as strict:
        with pytest.warns(PortabilityWarning, match="key-type"):
            assert run(strict, Job(map=int_keys, partitions=2), {}, strict=False) == [(1, 1)]
        with pytest.raises(JobError, match="key-type"):
            run(strict, Job(map=int_keys, partitions=2), {})
        with pytest.raises(JobError, match="key-type"):
            Job(map=int_keys, partitions=2, master=strict).run(input=RAW).wait()
