"""Damaged files between the stages: an error with the path, never fewer records (reference 8.7, 9.11)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster, Params
from discolocal.util import parse_dir
from discolocal.worker.classic.func import (
    chain_reader,
    disco_output_stream,
    nop_map,
    nop_reduce,
    sum_reduce,
    task_output_stream,
)

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def numbers(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    for number in range(500):
        yield f"{entry}{number}", number


def small_hunks(stream, size, url, params):
    return disco_output_stream(stream, size, url, params, min_hunk_size=1000)


EXPECTED = sorted((f"x{number}", number) for number in range(500))


def flip(offset: int, bit: int = 0x10) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        at = offset % len(data)
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "version": flip(0),
    "old format": flip(0, 0x80),
    "compressed flag": flip(1, 0x01),
    "checksum": flip(2),
    "checksum, last byte": flip(5),
    "length": flip(6),
    "length, high byte": flip(13),
    "body": flip(14),
    "body, later": flip(100),
    "header of a later hunk": lambda data: flip(14 + int.from_bytes(data[6:14], "little") + 6)(data),
    "end": flip(-1),
    "cut in the first header": lambda data: data[:7],
    "cut in the first body": lambda data: data[:40],
    "cut at the end": lambda data: data[:-1],
    "cut between hunks": lambda data: data[: 14 + int.from_bytes(data[6:14], "little")],
    "no end hunk": lambda data: data[:-22],
    "empty": lambda data: b"",
    "extra bytes": lambda data: data + b"\x00",
    "extra hunk": lambda data: data + data[-22:],
    "doubled": lambda data: data + data,
    "deleted": lambda data: None,
}


def files_of(cluster: LocalCluster, urls: list[list[str]]) -> list[Path]:
    return [Path(cluster.data) / file.split("/disco/", 1)[1] for replicas in urls for file in parse_dir(replicas[0])]


def spoil(path: Path, damage: Callable[[bytes], bytes | None]) -> None:
    # Another name of the file must not be damaged along with it.
    data = damage(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.fixture(scope="module")
def strict_limits(start: str) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=1, start=start, seed=3, max_failures=1) as cluster:
        yield cluster


# The file is small enough for each place of the damage to be in the first hunks.
MAKE = Job(map=numbers, map_output_stream=(task_output_stream, small_hunks))


@pytest.mark.sampled
@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_results(strict_limits: LocalCluster, kind: str) -> None:
    cluster = strict_limits
    results = cluster.run(MAKE, input=["raw://x"])
    (path,) = files_of(cluster, results.urls)
    assert sorted(results) == EXPECTED
    spoil(path, DAMAGES[kind])

    with pytest.raises(DataError) as read:
        list(results)
    assert path.name in str(read.value)
    # A reader must not skip damaged data because params are there (reference 9.11).
    for params in (Params(), {"a": 1}, None) if kind == "body" else (Params(),):
        with pytest.raises(JobError) as reduced:
            cluster.run(Job(reduce=nop_reduce, params=params), input=results.urls)
        assert path.name in str(reduced.value) and "DataError" in str(reduced.value)
        assert "failed 2 times" in str(reduced.value)
    with pytest.raises(JobError) as sorted_:
        cluster.run(Job(reduce=nop_reduce, sort=True), input=results.urls)
    assert path.name in str(sorted_.value)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_results_as_input_of_a_map(strict_limits: LocalCluster, kind: str) -> None:
    results = strict_limits.run(MAKE, input=["raw://x"])
    (path,) = files_of(strict_limits, results.urls)
    job = Job(map=nop_map, map_reader=chain_reader)
    assert sorted(strict_limits.run(job, input=results.urls)) == EXPECTED
    spoil(path, DAMAGES[kind])
    with pytest.raises((JobError, DataError)) as mapped:
        strict_limits.run(job, input=results.urls)
    assert path.name in str(mapped.value)


@pytest.mark.sampled
@pytest.mark.parametrize("damage", ["deleted", "empty", "cut in a line", "cut", "odd bytes", "another size"])
def test_damaged_index(strict_limits: LocalCluster, damage: str) -> None:
    cluster = strict_limits
    results = cluster.run(MAKE, input=["raw://x"], partitions=2)
    ((url,),) = results.urls
    path = Path(cluster.data) / url.split("/disco/", 1)[1]
    data = path.read_bytes()
    assert data.count(b"\n") == 2
    first = data.split(b"\n")[0]
    changed = {
        "deleted": None,
        "empty": b"",
        "cut in a line": data[: len(first) // 2],
        "cut": data[:-3],
        "odd bytes": b"\xff\xfe" + data,
        "another size": first[:-1] + (b"0\n" if not first.endswith(b"0") else b"1\n"),
    }[damage]
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)
    if damage == "empty":
        # Nothing says how many lines an index has: an empty one lists nothing.
        assert list(results) == []
        return
    with pytest.raises(DataError) as read:
        list(results)
    assert path.name in str(read.value) or "map_shuffle-0" in str(read.value)
    with pytest.raises((DiscoError, JobError)):
        cluster.run(Job(reduce=nop_reduce), input=results.urls)
    if damage != "another size":  # the files are what they were, and a map has no other sizes to compare
        with pytest.raises((DiscoError, JobError)):
            cluster.run(Job(map=nop_map, map_reader=chain_reader), input=results.urls)


# Damage while the job runs: a later map of the same node spoils what an earlier one wrote.


def spoiling_map(damage: Callable[[bytes], bytes | None], words: int) -> Callable[..., Any]:
    def map(entry, params):
        import glob
        import os

        if entry == "spoil":
            (path,) = glob.glob("*/map:*/map-0-*-0")
            with open(path, "rb") as file:
                data = damage(file.read())
            os.unlink(path)
            if data is not None:
                with open(path, "wb") as file:
                    file.write(data)
            with open(params, "w") as file:
                file.write(path)
        else:
            for number in range(words):
                yield f"{entry}{number}", number

    return map


@pytest.mark.sampled
@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize(
    "kind", ["checksum", "body", "length", "cut at the end", "no end hunk", "empty", "deleted", "extra bytes"]
)
def test_a_map_output_that_is_damaged_before_the_shuffle(
    strict_limits: LocalCluster, tmp_path: Path, kind: str, sort: bool
) -> None:
    # A job's inputs are taken last to first.
    job = Job(map=spoiling_map(DAMAGES[kind], 300), reduce=sum_reduce, params=str(tmp_path / "spoiled"), sort=sort)
    with pytest.raises(JobError) as error:
        strict_limits.run(job, input=["raw://spoil", "raw://x"], scheduler={"max_cores": 1})
    path = (tmp_path / "spoiled").read_text()
    assert "DataError" in str(error.value) and "failed 2 times" in str(error.value)
    # The shuffle only looks at sizes; what it joins is named after itself.
    assert os.path.basename(os.path.dirname(path)) in str(error.value) or "map_shuffle-0-" in str(error.value)


def test_a_damaged_file_of_a_map_without_damage_is_read(strict_limits: LocalCluster, tmp_path: Path) -> None:
    job = Job(map=spoiling_map(lambda data: data, 300), reduce=sum_reduce, params=str(tmp_path / "spoiled"))
    results = strict_limits.run(job, input=["raw://spoil", "raw://x"], scheduler={"max_cores": 1})
    assert sorted(results) == sorted((f"x{number}", number) for number in range(300))


def test_no_part_of_a_failed_task_is_left_for_the_next_stage(strict_limits: LocalCluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def map(entry, params):
        import os

        for number in range(100):
            yield f"{entry}{number}", number
        if not os.path.exists(flag):
            open(flag, "x").close()
            raise OSError("once")

    results = strict_limits.run(Job(map=map, reduce=nop_reduce), input=["raw://x"], partitions=3)
    assert sorted(results) == sorted((f"x{number}", number) for number in range(100))
    names = [name for _, _, files in os.walk(strict_limits.data) for name in files]
    assert not [name for name in names if name.endswith(".partial")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(strict_limits: LocalCluster) -> None:
    results = strict_limits.run(MAKE, input=["raw://x"])
    (path,) = files_of(strict_limits, results.urls)
    path.chmod(0)
    with pytest.raises(DataError, match="ermission"):
        list(results)


def test_a_full_disk_is_an_error_that_is_tried_again(strict_limits: LocalCluster, tmp_path: Path) -> None:
    def full(stream, size, url, params):
        class Full:
            def __init__(self):
                self.count = 0

            def add(self, key, value):
                self.count += 1
                if self.count > 3:
                    raise OSError(28, "No space left on device")

            def close(self):
                pass

        return Full()

    job = Job(map=numbers, map_output_stream=(task_output_stream, full))
    with pytest.raises(JobError, match="failed 2 times") as error:
        strict_limits.run(job, input=["raw://x"])
    assert "No space left on device" in str(error.value)
