"""Profiles of tasks: out-of-band results of the job, merged."""

from __future__ import annotations

import marshal
import pstats
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, Job, JobError, LocalCluster
from discolocal.worker import oob


def words(line: str, params: Any) -> Any:
    return [marked(word) for word in line.split()]


def marked(word: str) -> tuple[str, int]:
    return word, 1


def count(iter: Any, params: Any) -> Any:
    yield "n", sum(1 for _ in iter)


def calls(stats: Any, function: str) -> int:
    return sum(row[1] for (_file, _line, name), row in stats.stats.items() if name == function)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, start="inline", root=str(tmp_path / "cluster")) as cluster:
        yield cluster


@pytest.fixture
def job(cluster: LocalCluster, tmp_path: Path) -> Any:
    """A job that has ended: three map tasks with six words in all, and a reduce."""
    texts = ["a b\n", "c\n", "d e f\n"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    job = Job("Profiled", map=words, reduce=count, profile=True, master=cluster)
    job.run(input=[str(tmp_path / "?.txt")]).wait()
    return job


def test_profiles_are_merged(job: Any) -> None:
    stats = job.profile_stats()
    assert calls(stats, "marked") == 6
    assert calls(stats, "count") > 0
    assert all("/" not in file for file, _line, _name in stats.stats)
    times = [stats.stats[entry][3] for entry in stats.fcn_list]
    assert times == sorted(times, reverse=True)


def test_mode_is_how_the_name_of_a_stage_begins(job: Any) -> None:
    only_map = job.profile_stats("map:")
    assert (calls(only_map, "marked"), calls(only_map, "count")) == (6, 0)
    only_reduce = job.profile_stats(mode="reduce")
    assert calls(only_reduce, "marked") == 0 and calls(only_reduce, "count") > 0


def test_each_task_has_a_key_like_those_of_a_cluster(job: Any) -> None:
    keys = job.oob_list()
    assert all(re.fullmatch(r"profile-\w+:\d+-\w*-\d+-[0-9a-f]{2}-\d+", key) for key in keys), keys
    stages = sorted(key.partition(":")[0] for key in keys)
    joins = len([key for key in stages if key == "profile-map_shuffle"])
    assert stages == ["profile-map"] * 3 + ["profile-map_shuffle"] * joins + ["profile-reduce"]
    assert not list(Path(job.disco.data).rglob(f"*/{job.name}/**/profile-*")), "nothing else is kept of them"


def test_a_value_is_what_cprofile_writes_to_a_file(job: Any, tmp_path: Path) -> None:
    """An oracle that knows nothing of tasks: the standard library reads each value by itself."""
    total = 0
    for key in job.oob_list():
        (tmp_path / "one").write_bytes(job.oob_get(key))
        total += calls(pstats.Stats(str(tmp_path / "one")), "marked")
    assert total == calls(job.profile_stats(), "marked") == 6


def test_profiles_outlive_the_files_of_the_job(job: Any) -> None:
    job.clean()
    assert calls(job.profile_stats(), "marked") == 6


def test_a_profile_is_none_of_the_values_a_task_may_store(cluster: LocalCluster) -> None:
    def puts(line: str, params: Any) -> Any:
        for number in range(params):
            put(f"key{number}", b"")  # type: ignore[name-defined]  # noqa: F821 (injected)
        return []

    job: Any = Job(map=puts, params=oob.MAX_PUTS, profile=True, master=cluster).run(input=["raw://x"])
    job.wait()
    assert len([key for key in job.oob_list() if key.startswith("key")]) == oob.MAX_PUTS
    assert calls(job.profile_stats("map:"), "puts") == 1


def test_a_failed_attempt_does_not_count(cluster: LocalCluster) -> None:
    def fails(line: str, params: Any) -> Any:
        raise ValueError(line)

    job: Any = Job(map=fails, profile=True, master=cluster).run(input=["raw://x"])
    with pytest.raises(JobError, match="ValueError: x"):
        job.wait()
    with pytest.raises(JobError, match="No profile data"):
        job.profile_stats()


def test_the_text_of_a_raw_input_may_have_what_no_key_can_have(cluster: LocalCluster) -> None:
    job = Job(map=words, profile=True, master=cluster).run(input=["raw://a,b"])
    job.wait()
    assert any(key.startswith("profile-map:0-a_b-0-") for key in job.oob_list())
    assert job.profile_stats("map").total_calls > 0


def test_a_stage_whose_name_no_key_can_have() -> None:
    from cProfile import Profile
    from types import SimpleNamespace

    from discolocal.error import DiscoError
    from discolocal.worker.base import _save_profile

    task: Any = SimpleNamespace(uid="a,b:0-node1-0-00-1")
    with pytest.raises(DiscoError, match=r"profile=True: .*invalid characters .profile-a,b:0-"):
        _save_profile(task, Profile())


def test_no_profile(cluster: LocalCluster) -> None:
    with pytest.raises(JobError, match="Job nobody failed: No profile data"):
        cluster.profile_stats("nobody")
    job: Any = Job("Name", map=words, master=cluster).run(input=["raw://x"])
    job.wait()
    for mode in ("", "map"):
        with pytest.raises(JobError, match=f"Job {re.escape(job.name)} failed: No profile data"):
            job.profile_stats(mode)
    cluster.save_oob(job, "of-my-own", b"text")
    with pytest.raises(JobError, match="No profile data"):
        job.profile_stats()


@pytest.mark.parametrize("damage", [b"", b"text", b"i\x03\0\0\0", marshal.dumps({}), marshal.dumps({"a": 1})])
def test_a_damaged_profile_is_named(job: Any, damage: bytes) -> None:
    key = sorted(job.oob_list())[0]
    job.disco.save_oob(job, key, damage)
    with pytest.raises(DataError, match="Not a profile") as caught:
        job.profile_stats()
    assert caught.value.url == key
