"""Records of every kind through a classic job, and what a cluster would do differently (reference 9)."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, PortabilityWarning
from discolocal.util import kvgroup
from discolocal.worker.classic.func import (
    default_partition,
    nop_reduce,
    sum_reduce,
)
from tests.behaviour import oracle
from tests.behaviour.classic import Write, key_and_partition, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def numbers(entry: str, params: Any) -> Iterator[tuple[int, int]]:
    for text in entry.split():
        yield int(text), 1


# Records


class Point:
    """A value whose class only this module knows."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))

    def __repr__(self):
        return f"Point({self.x}, {self.y})"


def test_values_may_be_instances_of_classes_of_the_module(cluster: LocalCluster) -> None:
    def map(entry, params):
        yield entry, Point(len(entry), entry)

    def reduce(iter, params):
        for key, point in iter:
            yield key, Point(point.y, point.x + 1)

    results = cluster.run(Job(map=map, reduce=reduce), input=["raw://four", "raw://two"], partitions=2)
    assert oracle.multiset(results) == oracle.multiset([("four", Point("four", 5)), ("two", Point("two", 4))])


KEYS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -7,
    2**80,
    0.5,
    -0.0,
    1.5e300,
    "",
    "text",
    "\u00fc\n",
    b"",
    b"\x00\xff",
    (),
    (1, "a"),
    ((None,), 2.5),
    frozenset({1, "x"}),
]


def test_keys_of_any_plain_type_meet_in_one_partition(cluster: LocalCluster) -> None:
    def map(entry, params):
        for key in params:
            yield key, entry

    results = cluster.run(
        Job(map=map, reduce=key_and_partition), params=KEYS, partitions=5, input=["raw://a", "raw://b"]
    )
    found: dict[Any, set[int]] = {}
    seen: Counter[str] = Counter()
    for (number, key), value in results:
        seen[repr((key, value))] += 1
        found.setdefault(key, set()).add(number)
    assert seen == oracle.multiset((key, entry) for key in KEYS for entry in "ab")
    assert all(len(numbers) == 1 for numbers in found.values()), "equal keys share a partition"
    assert len({number for numbers in found.values() for number in numbers}) > 1


def test_plain_keys_have_the_same_partition_in_every_process_and_cluster(start: str) -> None:
    def map(entry, params):
        for key in params:
            yield key, 1

    found = []
    for seed in (1, 2):
        with LocalCluster(nodes=2, start=start, seed=seed) as cluster:
            results = cluster.run(Job(map=map, reduce=key_and_partition), params=KEYS, partitions=7, input=["raw://a"])
            found.append(oracle.multiset(key for key, _ in results))
            assert {number: repr(key) for (number, key), _ in results if isinstance(key, (str, bytes))}.keys() <= set(
                range(7)
            )
            for (number, key), _ in results:
                if isinstance(key, (str, bytes)):
                    assert number == oracle.label(key, 7)
                else:
                    assert number == default_partition(key, 7)
    assert found[0] == found[1]


def test_a_key_without_a_stable_form_is_an_error_that_shows_it(cluster: LocalCluster) -> None:
    with pytest.raises(JobError, match=r"Point\(1, 2\)"):
        cluster.run(Job(map=lambda e, p: [(Point(1, 2), 1)]), input=["raw://x"], partitions=2)


def test_unhashable_keys_are_fine_without_partitions(cluster: LocalCluster) -> None:
    results = cluster.run(
        Job(map=lambda e, p: [([1], e), ({"a": 1}, e)], reduce=nop_reduce), input=["raw://x"], partitions=None
    )
    assert oracle.multiset(results) == oracle.multiset([([1], "x"), ({"a": 1}, "x")])


def test_big_records(cluster: LocalCluster) -> None:
    def map(entry, params):
        yield "big", entry * 3_000_000
        yield "small", 1
        yield "nested", list(range(200_000))

    results = dict(cluster.run(Job(map=map, reduce=nop_reduce), input=["raw://x"], partitions=2))
    assert results == {"big": "x" * 3_000_000, "small": 1, "nested": list(range(200_000))}


def test_more_records_than_one_hunk_holds(cluster: LocalCluster, write: Write) -> None:
    path = write("many", "".join(f"{n}\n" for n in range(60_000)))
    job = Job(map=lambda line, p: [(line.strip(), "v" * 20)], reduce=nop_reduce)
    results = cluster.run(job, input=[path], partitions=2)
    assert sorted(key for key, _ in results) == sorted(map(str, range(60_000)))


def test_records_may_be_changed_after_they_were_given(cluster: LocalCluster) -> None:
    def map(entry, params):
        value: list[str] = []
        for letter in entry:
            value.append(letter)
            yield letter, value

    results = dict(cluster.run(Job(map=map, reduce=nop_reduce), input=["raw://abc"], partitions=None))
    assert results == {"a": ["a"], "b": ["a", "b"], "c": ["a", "b", "c"]}


def test_the_files_of_results_are_hunks_that_pickle_reads(cluster: LocalCluster) -> None:
    import zlib

    from discolocal.util import parse_dir

    results = cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://x y x"])
    ((url,),) = results.urls
    (file,) = parse_dir(url)
    data = (Path(cluster.data) / file.split("/disco/", 1)[1]).read_bytes()
    length = int.from_bytes(data[6:14], "little")
    body = zlib.decompress(data[14 : 14 + length])
    assert data[0] == 0x81 and data[1] == 1 and zlib.crc32(body) == int.from_bytes(data[2:6], "little")
    first = pickle.loads(body)
    assert first in (("x", 2), ("y", 1))


# What a cluster would do differently


def test_a_plain_function_of_the_class_works_with_a_warning(cluster: LocalCluster) -> None:
    class Plain(Job):
        def map(line, params):  # noqa: N805
            yield line, 1

    with pytest.warns(PortabilityWarning, match="plain-function"):
        assert list(cluster.run(Plain(), input=["raw://x"])) == [("x", 1)]


def test_a_warning_of_a_task_comes_once_for_each_job(cluster: LocalCluster) -> None:
    job = Job(map=lambda e, p: [(1, e), ((2,), e)], reduce=nop_reduce)
    for _ in range(2):
        with pytest.warns(PortabilityWarning) as seen:
            cluster.run(job, input=["raw://a", "raw://b", "raw://c"], partitions=2)
        assert [w.message.code for w in seen if isinstance(w.message, PortabilityWarning)] == ["key-type"]


def test_a_warning_names_the_line_that_ran_the_job(cluster: LocalCluster) -> None:
    job = Job(map=lambda e, p: [(1, e)], reduce=nop_reduce)
    with pytest.warns(PortabilityWarning) as seen:
        cluster.run(job, input=["raw://a"], partitions=2)
    assert [w.filename for w in seen] == [__file__]
    with pytest.warns(PortabilityWarning) as seen:
        Job(map=lambda e, p: [(1, e)], master=cluster).run(input=["raw://a"], partitions=2).wait()
    assert [w.filename for w in seen] == [__file__]


def test_a_warning_at_submission_names_the_line_that_ran_the_job(cluster: LocalCluster) -> None:
    class Plain(Job):
        def map(line, params):  # noqa: N805
            yield line, 1

    with pytest.warns(PortabilityWarning) as seen:
        cluster.run(Plain(), input=["raw://x"])
    assert [w.filename for w in seen] == [__file__]


def test_strict_makes_warnings_errors(start: str) -> None:
    class Plain(Job):
        def map(line, params):  # noqa: N805
            yield line, 1

    with LocalCluster(nodes=2, start=start, strict=True) as cluster:
        with pytest.raises(PortabilityWarning) as at_submission:
            cluster.run(Plain(), input=["raw://x"])
        assert at_submission.value.code == "plain-function"
        assert cluster.joblist() == []
        with pytest.raises(JobError, match="key-type") as in_task:
            cluster.run(Job(map=lambda e, p: [(1, 1)]), input=["raw://x"], partitions=2)
        assert "task map:0" in str(in_task.value)
        assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://x"])) == {"x": 1}


def test_more_messages_than_a_cluster_takes_are_a_warning(cluster: LocalCluster) -> None:
    def map(entry, params):
        for number in range(30):
            print("line", number)
        yield entry, 1

    with pytest.warns(PortabilityWarning, match="message-rate"):
        assert list(cluster.run(Job(map=map), input=["raw://x"])) == [("x", 1)]


def test_grouping_a_sorted_partition(cluster: LocalCluster) -> None:
    def reduce(iter, params):
        for key, values in kvgroup(sorted(iter)):
            yield key, sorted(values)

    results = dict(cluster.run(Job(map=numbers, reduce=reduce), input=["raw://3 1 2 1", "raw://1 3"], partitions=1))
    assert results == {1: [1, 1, 1], 2: [1], 3: [1, 1]}
