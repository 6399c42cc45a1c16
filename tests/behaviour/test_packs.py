"""Job packs that come from elsewhere: what a master refuses is refused in the same way (reference 1.1, 1.2)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from discolocal import DiscoError, LocalCluster

REFUSAL = "Job failed to start: "


def files(cluster: LocalCluster) -> list[str]:
    return sorted(os.path.join(place, name) for place, _, names in os.walk(cluster.root) for name in names)


def test_packs_that_a_master_refuses_are_refused_in_its_words(cluster: LocalCluster, golden: Path) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    before = files(cluster)
    refused = {
        name: json.loads(reply["body"])[1] for name, reply in replies.items() if REFUSAL in reply.get("body", "")
    }
    assert len(refused) > 50
    for name, reply in refused.items():
        with pytest.raises(DiscoError) as error:
            cluster.run((golden / "badpacks" / f"{name}.jobpack").read_bytes())
        words = reply.removeprefix(REFUSAL).strip('"')
        # Terms of a master's own language become words; all other texts are the same.
        plain = not words.startswith(("invalid payload", "FORMAT ERROR", "invalid grouping"))
        assert (words if plain else words.split(":")[0].split(" '")[0]) in str(error.value), name
    assert files(cluster) == before, "no job directory is left"
    assert cluster.joblist() == []


@pytest.mark.parametrize("name", ["home_zip_with_abs_path", "home_zip_with_dotdot"])
def test_a_job_home_that_would_write_elsewhere_is_refused(cluster: LocalCluster, golden: Path, name: str) -> None:
    before = files(cluster)
    with pytest.raises(DiscoError):
        cluster.run(golden / "badpacks" / f"{name}.jobpack")
    assert files(cluster) == before


def test_a_pack_of_another_program_is_refused_clearly(cluster: LocalCluster, golden: Path) -> None:
    with pytest.raises(DiscoError, match="worker"):
        cluster.run(golden / "jobpacks" / "tiny_v1.jobpack")
    with pytest.raises(DiscoError, match="missing"):
        cluster.run(golden / "jobpacks" / "missing.jobpack")
