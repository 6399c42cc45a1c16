"""`sort=True`: sorted reduce input, by an external program (reference 8.6)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, PortabilityWarning
from discolocal.util import kvgroup
from discolocal.worker.classic.func import nop_reduce
from tests.behaviour import oracle
from tests.behaviour.classic import Write

quiet = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def pairs_of_params(entry, params):
    yield from params


def in_order(iter, params):
    """The records of the partition, with the place at which each came."""
    for place, (key, value) in enumerate(iter):
        yield (this_partition(), place), (key, value)  # noqa: F821


def sorted_pairs(
    cluster: LocalCluster, pairs: list[Any], partitions: int | None = 1, **jobargs: Any
) -> dict[int, list]:
    job = Job(map=pairs_of_params, reduce=in_order, sort=True, params=pairs)
    results = dict(cluster.run(job, input=["raw://x"], partitions=partitions, **jobargs))
    found: dict[int, list[Any]] = {}
    for number, place in sorted(results):
        found.setdefault(number, []).append(results[number, place])
    return found


def as_bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")


KEYS = {
    "bytes": [b"b", b"a", b"aa", b"", b"z", b"B", b"\x80\xfe\xfd", b"a\n", b"a b", b"\x02", b"\x7f"],
    "str": ["b", "a", "aa", "", "z", "B", "\u00e9", "e\u0301", "\u4e2d", "\U0001f600", "a\nb", "\udcff", "a\tb"],
    "special bytes": [
        b"\x00",
        b"\xff",
        b"\x01",
        b"\xfe",
        b"\x00\x00",
        b"\x01\x01",
        b"a\x00b",
        b"a\xffb",
        b"a\x01",
        b"a",
        b"\xff\xff\x00",
        b"\xfe\x01",
    ],
    "special text": ["\x00", "\x01", "a\x00b", "a", "a\x01", "\u00ff", "\x01\x02"],
    "both": [b"k", "k", b"\xc3\xa9", "\u00e9"],
}


@pytest.mark.sampled
@quiet
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("partitions", [1, 3, None])
def test_keys_are_ordered_by_their_bytes(cluster: LocalCluster, kind: str, partitions: int | None) -> None:
    pairs = [(key, number) for number, key in enumerate(KEYS[kind] * 2)]
    found = sorted_pairs(cluster, pairs, partitions)
    for records in found.values():
        keys = [as_bytes(key) for key, _ in records]
        assert keys == sorted(keys)
    assert oracle.multiset(pair for records in found.values() for pair in records) == oracle.multiset(pairs)
    for number, records in found.items():
        assert {oracle.label(as_bytes(key), partitions or 1) for key, _ in records} == {number}


@quiet
def test_equal_keys_come_together_for_kvgroup(cluster: LocalCluster, write: Write) -> None:
    def map(line, params):
        for word in line.split():
            yield word, 1

    def reduce(iter, params):
        for word, counts in kvgroup(iter):
            yield word, sum(counts)

    texts = ["the cat and the hat\n", "the end of a hat\n" * 50]
    paths = [write(f"{n}.txt", text) for n, text in enumerate(texts)]
    results = list(cluster.run(Job(map=map, reduce=reduce, sort=True), input=paths, partitions=3))
    assert oracle.multiset(results) == oracle.multiset(oracle.words(*texts).items())


def test_values_of_a_key_come_in_the_order_of_their_pickles(cluster: LocalCluster) -> None:
    values = [10, 2, 3, 100, -1]
    (records,) = sorted_pairs(cluster, [(b"k", value) for value in values]).values()
    expected = sorted(values, key=lambda value: pickle.dumps(value, 0))
    assert [value for _, value in records] == expected
    assert expected == [-1, 10, 100, 2, 3], "as text, not as numbers"


VALUES: list[Any] = [
    None,
    True,
    1.5,
    "text",
    "\u00ff\n\x00",
    b"\x00\x01\x02\xff",
    (1, [2, {"a": None}]),
    2**70,
    "",
    float("inf"),
]


@quiet
def test_values_may_be_anything(cluster: LocalCluster) -> None:
    pairs = [(b"%d" % number, value) for number, value in enumerate(VALUES)]
    (records,) = sorted_pairs(cluster, pairs).values()
    assert oracle.multiset(records) == oracle.multiset(pairs)


@pytest.mark.sampled
@quiet
@pytest.mark.parametrize("size", [8_000, 16_384, 17_000, 1_500_000])
def test_records_of_any_size(cluster: LocalCluster, size: int) -> None:
    pairs = [(b"b", "v" * size), (b"a" * size, 1), (b"c", b"\x00\x01\x02" * (size // 3))]
    (records,) = sorted_pairs(cluster, pairs).values()
    assert records == sorted(pairs, key=lambda pair: pair[0])


def test_bytes_keys_need_no_warning(cluster: LocalCluster, recwarn: pytest.WarningsRecorder) -> None:
    sorted_pairs(cluster, [(b"b", 1), (b"a", "text")])
    assert not [w for w in recwarn if isinstance(w.message, PortabilityWarning)]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("pair", "code"),
    [
        (("text", 1), "sort-text-keys"),
        ((b"\x00", 1), "sort-special-bytes"),
        ((b"\xff", 1), "sort-special-bytes"),
        ((b"k", "v" * 17_000), "sort-long-records"),
        ((b"k", "\u00ff"), "sort-high-bytes"),
    ],
)
def test_what_a_cluster_refuses_is_a_warning_and_an_error_when_strict(
    cluster: LocalCluster, start: str, pair: tuple[Any, Any], code: str
) -> None:
    with pytest.warns(PortabilityWarning) as seen:
        assert sorted_pairs(cluster, [pair, (b"a", 1)])[0].count(pair) == 1
    assert [w.message.code for w in seen if isinstance(w.message, PortabilityWarning)] == [code]
    with LocalCluster(nodes=2, start=start, strict=True) as strict, pytest.raises(JobError, match=code):
        sorted_pairs(strict, [pair])


@pytest.mark.sampled
@pytest.mark.parametrize("key", [None, 1, 1.5, ("a",), frozenset()], ids=repr)
def test_keys_of_other_types_are_refused_with_the_key(cluster: LocalCluster, key: Any) -> None:
    with pytest.raises(JobError, match="Keys must be bytes for external sort") as error:
        sorted_pairs(cluster, [(key, 1)], None)
    assert repr(key) in str(error.value)


@quiet
def test_the_order_does_not_depend_on_the_locale(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("LC_COLLATE", "de_DE.UTF-8")
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    with LocalCluster(nodes=2, start=start) as cluster:
        (records,) = sorted_pairs(cluster, [(key, 1) for key in ["b", "A", "a", "B", "-a", "\u00e9", "z"]]).values()
    assert [key for key, _ in records] == ["-a", "A", "B", "a", "b", "z", "\u00e9"]


def test_a_root_with_blanks_and_two_sorts_at_once(start: str, tmp_path: Path) -> None:
    root = tmp_path / "a b 'c' $d"
    with LocalCluster(nodes=2, workers_per_node=2, start=start, root=root) as cluster:
        pairs = [(b"%d" % n, n) for n in range(2000)]
        found = sorted_pairs(cluster, pairs, 4)
        assert sorted(found) == [0, 1, 2, 3]
        for records in found.values():
            assert records == sorted(records)


@pytest.mark.sampled
@pytest.mark.parametrize("size", ["1M", "64K", "50%", 1024, "100000b"])
def test_sort_buffer_size_may_be_anything_sort_takes(cluster: LocalCluster, size: str | int) -> None:
    pairs = [(b"%d" % n, n) for n in range(3000)]
    (records,) = sorted_pairs(cluster, pairs, sort_buffer_size=size).values()
    assert records == sorted(pairs)


def test_nothing_of_the_sort_is_left_in_the_working_directory(cluster: LocalCluster, home: Path) -> None:
    sorted_pairs(cluster, [(b"a", 1)], 2)


def test_a_job_without_records_sorts_nothing(cluster: LocalCluster) -> None:
    job = Job(map=pairs_of_params, reduce=nop_reduce, sort=True, params=[])
    assert list(cluster.run(job, input=["raw://x"])) == []
    assert list(cluster.run(Job(reduce=nop_reduce, sort=True), input=[])) == []


def test_a_reduce_only_job_sorts_as_well(cluster: LocalCluster) -> None:
    mapped = cluster.run(Job(map=pairs_of_params, params=[(b"b", 1), (b"a", 2)]), input=["raw://x", "raw://y"])
    results = list(cluster.run(Job(reduce=in_order, sort=True), input=mapped.urls))
    assert [pair for _, pair in sorted(results)] == [(b"a", 2), (b"a", 2), (b"b", 1), (b"b", 1)]


# The program `sort` itself: nodes take PATH from the process that made them, so each case has a process of its own.

SCRIPT = """
import sys
from discolocal import Job, JobError, LocalCluster
from discolocal.worker.classic.func import nop_reduce

with LocalCluster(nodes=1, start=sys.argv[1], max_failures=2) as cluster:
    try:
        job = Job(map=lambda e, p: [(b"b", 1), (b"a", 2)], reduce=nop_reduce, sort=True, sort_buffer_size=sys.argv[2])
        print(list(cluster.run(job, input=["raw://x"])))
    except JobError as error:
        print(error)
"""

FAKES = {
    "log": '#!/bin/sh\necho "$LC_ALL $@" >> {log}\nexec {sort} "$@"\n',
    "fails": "#!/bin/sh\necho once >> {log}\necho no space left >&2\nexit 2\n",
    "killed": "#!/bin/sh\necho once >> {log}\nkill -9 $$\n",
    "loses": '#!/bin/sh\necho once >> {log}\nfor last; do :; done\n: > "$last"\n',
}


def run_with_sort(start: str, tmp_path: Path, fake: str | None, size: str = "10%") -> tuple[str, list[str]]:
    """Run SCRIPT with a `sort` of our making in PATH, or none; returns what it printed and what `sort` logged."""
    import shutil

    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "log"
    if fake is not None:
        (programs / "sort").write_text(FAKES[fake].format(log=log, sort=shutil.which("sort")))
        (programs / "sort").chmod(0o755)
        (programs / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    env = {**os.environ, "PATH": str(programs), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, start, size], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, log.read_text(errors="replace").splitlines() if log.exists() else []


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_sort_is_called_with_the_buffer_size_and_the_locale_c(start: str, tmp_path: Path) -> None:
    printed, (call,) = run_with_sort(start, tmp_path, "log", "7M")
    assert printed == "[(b'a', 2), (b'b', 1)]\n"
    assert call.startswith("C ") and "-S 7M" in call and "-z" in call and "-k 1,1" in call


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize(("fake", "why"), [("fails", "no space left"), ("killed", "9"), ("loses", "bytes")])
def test_a_sort_that_fails_is_tried_again_and_then_named(start: str, tmp_path: Path, fake: str, why: str) -> None:
    printed, calls = run_with_sort(start, tmp_path, fake)
    assert "Job Job@" in printed and "sort" in printed and why in printed and "DataError" in printed
    assert "3 times" in printed and len(calls) == 3


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_a_missing_sort_is_named_at_once(start: str, tmp_path: Path) -> None:
    printed, _ = run_with_sort(start, tmp_path, None)
    assert "sort=True needs the program `sort`" in printed and "times" not in printed
