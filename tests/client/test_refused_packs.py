"""What is refused, and what can be seen in a pack without its job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import DiscoError
from discolocal.report import check, check_pack
from discolocal.wire.jobpack import JobPack
from discolocal.wire.portability import REFUSED
from tests.client.meeting import RAW, one, run


def outside(key: Any, count: int, params: Any) -> int:
    return 7


REFUSALS: dict[str, tuple[Job, dict[str, Any]]] = {
    "unknown-argument": (Job(map=one), {"mapp": one}),
    "max-cores": (Job(map=one), {"scheduler": {"max_cores": 0}}),
    "bytes-input": (Job(map=one), {"input": [b"raw://x"]}),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_refused_is_told(cluster: LocalCluster, code: str) -> None:
    job, arguments = REFUSALS[code]
    with pytest.raises((DiscoError, TypeError)):
        run(cluster, job, arguments)
    report = check(job, cluster, **{"input": RAW, **arguments})
    assert report.codes == [code] and not report.ok
    assert report.findings[0].level == REFUSED


def test_a_partition_out_of_range_is_refused_by_the_task(cluster: LocalCluster) -> None:
    report = check(Job(map=one, partition=outside, partitions=2), cluster, input=RAW)
    assert report.codes == ["partition-range", "error"]


def pack_of(version: int, **more: Any) -> bytes:
    jobdict = {"prefix": "p", "owner": "o", "worker": "w", "scheduler": {}}
    return JobPack(version, jobdict | more, {}, b"", b"").dumps()


def test_a_pack_whose_stage_a_master_runs_for_ever_is_refused(golden: Path) -> None:
    report = check_pack((golden / "badpacks" / "pipeline_stage_named_input.jobpack").read_bytes())
    assert report.codes == ["stage-named-input"] and not report.ok
    assert report.findings[0].level == REFUSED


def test_a_name_that_a_shell_cannot_read_is_said_to_make_every_task_fail(golden: Path) -> None:
    recorded = json.loads((golden / "badpacks" / "replies.json").read_text())["prefix_quote"]
    assert "Unterminated quoted string" in recorded["rawevents"][1]
    report = check_pack((golden / "badpacks" / "prefix_quote.jobpack").read_bytes())
    assert report.codes == ["prefix-characters"] and not report.ok
    assert """the name 'a"b' has '"' in it""" in str(report) and "every task fails when a shell" in str(report)


def test_a_pack_that_a_master_refuses_is_told_with_its_words() -> None:
    report = check_pack(pack_of(1, input=["raw://a"]))
    assert report.codes == ["error"] and "jobpack missing key 'nr_reduces'" in str(report)
    assert not report.ok


def test_a_pack_is_looked_at_without_its_job() -> None:
    pack = pack_of(1, input=["/a/b", "raw://a b"], nr_reduces=1, scheduler={"max_cores": 0}, prefix="a b")
    assert set(check_pack(pack).codes) == {"no-stages", "max-cores", "prefix-characters", "raw-host", "local-file"}


def test_a_check_agrees_with_a_master_about_every_recorded_pack(golden: Path) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    said = {path.stem: str(check_pack(path.read_bytes())) for path in sorted(golden.glob("badpacks/*.jobpack"))}
    refused = {name for name, reply in replies.items() if reply["body"].startswith('["error"')}
    assert len(refused) > 30
    assert {name for name, text in said.items() if "a master refuses the job pack" in text} == refused & set(said)
    outside = [name for name in said if name.startswith("home_zip_with_")]
    assert len(outside) == 2
    assert all("a LocalCluster refuses it" in said[name] and "outside the job home" in said[name] for name in outside)


@pytest.mark.parametrize("worker", ["nosuchworker", "discolocal/worker/classic/worker.py"])
def test_a_pack_whose_worker_is_not_in_its_home_is_told(worker: str) -> None:
    pack = pack_of(2, worker=worker, pipeline=[["map", "split", False]], inputs=[[0, 0, ["raw://a"]]])
    report = check_pack(pack)
    assert report.codes == ["error"] and not report.ok
    assert f"its worker '{worker}' is not in the job home" in str(report)
