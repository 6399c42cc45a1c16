"""Job packs that come from elsewhere: what a master refuses is refused in the same way (reference 1.1, 1.2)."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal import DiscoError, JobPack, LocalCluster, result_iterator
from discolocal.cluster import homes
from discolocal.cluster.submission import vet

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


REFUSED_HERE = {
    "home_empty_bytes": "not a zip|not in the job home",
    "home_empty_zip": "not in the job home",
    "home_not_zip": "not a zip",
    "home_zip_with_abs_path": "outside the job home",
    "home_zip_with_dotdot": "outside the job home",
    "pipeline_stage_named_input": "what a master calls the job's inputs",
    "pipeline_stage_slash": "'m/x' has a slash",
    "prefix_space": "'a b' has white space",
    "scheduler_max_cores_0": "max_cores=0",
    "worker_absolute": "'/bin/true' is not the path",
    "worker_dotdot": "'../../x' is not the path",
    "worker_empty": "'' is not the path",
    "worker_int": "'5' is not the path",
    "worker_missing_in_home": "'nosuchworker' is not in the job home",
}
"""Recorded packs that a master accepts, and why they are refused here (docs/portability.md)."""


def test_packs_that_a_master_accepts_are_refused_for_a_reason_or_accepted(golden: Path) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    accepted = {name for name, reply in replies.items() if json.loads(reply["body"])[0] == "ok"}
    assert REFUSED_HERE.keys() < accepted and {"prefix_unicode", "pipeline_stage_unicode"} < accepted
    for name in accepted - REFUSED_HERE.keys():
        vet((golden / "badpacks" / f"{name}.jobpack").read_bytes())
    for name, why in REFUSED_HERE.items():
        with pytest.raises(DiscoError, match=why):
            vet((golden / "badpacks" / f"{name}.jobpack").read_bytes())


PROGRAM = """#!/bin/sh
say() { printf '%s %d %s\\n' "$1" "${#2}" "$2" >&2; read -r reply; }
say WORKER '{"version":"1.1","pid":'$$'}'
echo hello >out
say OUTPUT '[-1,"out",6]'
say OUTPUT '[-2,"out",-6]'
printf 'DONE 2 ""\\n' >&2
"""


def zipped(**members: str) -> bytes:
    home = io.BytesIO()
    with zipfile.ZipFile(home, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return home.getvalue()


def pack(jobenvs: dict[str, str] | None = None, home: bytes | None = None, **more: Any) -> bytes:
    """A pack whose one task has an output; `more` are keys of its job dict."""
    jobdict = {
        "prefix": "job",
        "worker": "program",
        "owner": "me",
        "scheduler": {},
        "pipeline": [["map", "split", False]],
        "inputs": [[0, 0, ["raw://a"]]],
    }
    home = zipped(program=PROGRAM) if home is None else home
    return JobPack(2, jobdict | more, jobenvs or {}, home, b"").dumps()


@pytest.mark.parametrize(
    "named, changed",
    [
        ("has a slash", {"pipeline": [["../" * 9 + "{root}/up/x", "split", False]]}),
        ("zero byte", {"pipeline": [["a\0b", "split", False]]}),
        ("surrogate", {"pipeline": [["\ud800", "split", False]]}),
        ("calls the job's inputs", {"pipeline": [["input", "split", False]]}),
        ("longer", {"prefix": "p" * 240}),
        ("surrogate", {"prefix": "\ud800"}),
        ("white space", {"prefix": "a\nb"}),
        ("'A=B' cannot be the name", {"jobenvs": {"A=B": "c"}}),
        ("the value of 'A' has a zero byte", {"jobenvs": {"A": "\0"}}),
        ("131073 bytes", {"jobenvs": {"A" * 65537: "b" * 65534}}),
        ("not the path of a file", {"worker": "w" * 256}),
    ],
)
def test_names_that_spoil_paths_are_refused(tmp_path: Path, named: str, changed: dict[str, Any]) -> None:
    if "pipeline" in changed:
        stage = changed["pipeline"][0][0].replace("{root}", str(tmp_path).lstrip("/"))
        changed = {"pipeline": [[stage, "split", False]]}
    with LocalCluster(nodes=1, start="exec", root=tmp_path / "root", max_failures=0, timeouts=0.1) as cluster:
        before = files(cluster)
        with pytest.raises(DiscoError) as refused:
            cluster.run(pack(**changed))
        assert str(refused.value).startswith("Failed to submit jobpack: Job failed to start: ")
        assert named in str(refused.value) and len(str(refused.value)) < 300
        assert files(cluster) == before and cluster.joblist() == []
    assert not (tmp_path / "up").exists()


def test_the_longest_names_and_odd_numbers_are_as_good_as_others(tmp_path: Path) -> None:
    """All files of a job can be made, its logs too, and an index has what its task said."""
    with LocalCluster(nodes=1, start="exec", root=tmp_path / "root", max_failures=0, timeouts=0.1) as cluster:
        urls = cluster.run(pack(prefix="é" * 110, pipeline=[["x" * 200, "split", False]])).urls
        (index,) = Path(cluster.root).rglob("*.results")
        assert [line.split()[::2] for line in index.read_text().splitlines()] == [["-1", "6"], ["-2", "-6"]]
        assert b"".join(read(url) for url in urls) == b"hello\nhello\n"


def read(url: str) -> bytes:
    return "".join(result_iterator([url], reader=None)).encode()


@pytest.mark.parametrize("start", ["fork", "inline", "exec"])
@pytest.mark.parametrize("worker", ["nosuchworker", *homes.WORKERS])
def test_a_worker_that_is_not_in_its_home_is_refused(start: str, worker: str) -> None:
    with LocalCluster(nodes=1, start=start) as cluster:
        for home in (zipped(program=PROGRAM), zipped(), b""):
            with pytest.raises(DiscoError, match=f"its worker '{worker}' is not in the job home"):
                cluster.run(pack(worker=worker, home=home))
        assert cluster.joblist() == []


def taken_or_refused(data: bytes) -> None:
    from discolocal.report import check_pack

    try:
        info, home = vet(data)
    except DiscoError as error:
        assert str(error)
        assert not check_pack(data).ok
    else:
        assert info.worker in home.members


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 8), st.sampled_from([0, 128, 400]))
def test_a_pack_with_any_bytes_changed_is_taken_or_refused(random: random.Random, count: int, start: int) -> None:
    data = bytearray(pack(scheduler={"max_cores": 1.5e300}, jobenvs={"A": "b"}, home=zipped(program="x", other="y")))
    for _ in range(count):
        data[random.randrange(start, len(data))] = random.choice(
            [0, 1, 0x30, 0x39, 0x5B, 0x7D, 0xFF, random.randrange(256)]
        )
    taken_or_refused(bytes(data))


json_text = st.recursive(
    st.sampled_from(
        [
            "null",
            "true",
            "1e400",
            "-1e400",
            "1e-400",
            "9" * 400,
            "9" * 5000,
            '"\\ud800"',
            '"\\u0000"',
            '""',
            '"a"',
            "[" * 960 + "]" * 960,
        ]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda texts: f"[{','.join(texts)}]"),
    max_leaves=4,
)
keys = ["prefix", "worker", "owner", "scheduler", "pipeline", "inputs", "save_results", "save_info", "envs", "cores"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(keys), json_text, max_size=3))
def test_a_pack_with_any_json_is_taken_or_refused(changed: dict[str, str]) -> None:
    home = zipped(program="x")
    parts = {key: json.dumps(value) for key, value in JobPack.loads(pack(home=home)).jobdict.items()}
    changed = dict(changed)
    envs = f'{{"A": {changed.pop("envs")}}}' if "envs" in changed else "{}"
    if "cores" in changed:
        parts["scheduler"] = f'{{"max_cores": {changed.pop("cores")}}}'
    jobdict = "{" + ", ".join(f'"{key}": {value}' for key, value in (parts | changed).items()) + "}"
    texts = [jobdict.encode(), envs.encode(), home]
    offsets = [128 + sum(map(len, texts[:count])) for count in range(4)]
    taken_or_refused(struct.pack(">5I", 0xD5C0 << 16 | 2, *offsets).ljust(128, b"\0") + b"".join(texts))
