"""Profiles of tasks, merged."""

from __future__ import annotations

import cProfile
from pathlib import Path
from typing import Any

import pytest

from discolocal.error import DataError, JobError
from discolocal.job import Job
from discolocal.profiles import profile_stats
from tests.worker.harness import Node


def words(line: str, params: Any) -> Any:
    return [marked(word) for word in line.split()]


def marked(word: str) -> tuple[str, int]:
    return word, 1


def count(iter: Any, params: Any) -> Any:
    yield "n", sum(1 for _ in iter)


def calls(stats: Any, function: str) -> int:
    return sum(row[1] for (_file, _line, name), row in stats.stats.items() if name == function)


@pytest.fixture
def homes(tmp_path: Path) -> list[str]:
    """The homes of a job on two nodes: three map tasks with six words in all, and a reduce."""
    job = Job(map=words, reduce=count, profile=True)
    nodes = [Node(tmp_path / name, job) for name in ("n1 [x]", "n2")]
    first = nodes[0].map("raw://a%20b")
    for node, urls in zip(nodes, (["raw://a b", "raw://c"], ["raw://d e f"])):
        for url in urls:
            assert node.map(url).kind == "done"
    result = nodes[0].reduce(nodes[0].shuffle(first))
    assert result.kind == "done", result.text
    return [str(node.home) for node in nodes]


def test_profiles_are_merged(homes: list[str]) -> None:
    stats: Any = profile_stats(homes)
    assert calls(stats, "marked") == 7
    assert calls(stats, "count") > 0
    assert all("/" not in file for file, _line, _name in stats.stats)
    times = [stats.stats[entry][3] for entry in stats.fcn_list]
    assert times == sorted(times, reverse=True)


def test_mode_is_how_the_name_of_a_stage_begins(homes: list[str]) -> None:
    only_map: Any = profile_stats(homes, "map:")
    assert (calls(only_map, "marked"), calls(only_map, "count")) == (7, 0)
    only_reduce: Any = profile_stats(homes, mode="reduce")
    assert calls(only_reduce, "marked") == 0 and calls(only_reduce, "count") > 0


def test_a_failed_attempt_does_not_count(tmp_path: Path) -> None:
    def fails(line: str, params: Any) -> Any:
        raise ValueError(line)

    node = Node(tmp_path, Job(map=fails, profile=True))
    assert node.map("raw://x").kind == "fatal"
    with pytest.raises(JobError, match="No profile data"):
        profile_stats([str(node.home)])


def test_no_profile(tmp_path: Path) -> None:
    home = tmp_path / "Name@1:2:3"
    mine = home / "aa" / "mine"
    mine.mkdir(parents=True)
    (mine / "profile-of-my-own").write_bytes(b"text")
    with pytest.raises(JobError, match="Job Name@1:2:3 failed: No profile data"):
        profile_stats([str(home)])
    with pytest.raises(JobError, match="No profile data"):
        profile_stats([])


@pytest.mark.parametrize("damage", [b"", b"text", b"i\x03\0\0\0"])
def test_a_damaged_profile_is_named(homes: list[str], damage: bytes) -> None:
    path = sorted(Path(homes[1]).glob("*/*/profile-*"))[0]
    path.write_bytes(damage)
    with pytest.raises(DataError, match="Not a profile") as caught:
        profile_stats(homes)
    assert caught.value.url == str(path)


def test_the_files_are_those_of_cprofile(homes: list[str], tmp_path: Path) -> None:
    """An oracle that knows nothing of tasks: the standard library reads each file by itself."""
    import pstats

    one = tmp_path / "one"
    profile = cProfile.Profile()
    profile.runcall(sorted, [2, 1])
    profile.dump_stats(one)
    assert calls(pstats.Stats(str(one)), "<built-in method builtins.sorted>") == 1
    total = sum(calls(pstats.Stats(str(path)), "marked") for home in homes for path in Path(home).glob("*/*/profile-*"))
    assert total == calls(profile_stats(homes), "marked")
