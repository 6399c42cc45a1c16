"""Readers, streams and records that fail (reference 2.10, 8.9)."""

from __future__ import annotations

import pytest

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import chain_reader, nop_reduce, sum_reduce, task_input_stream
from tests.behaviour.classic import Write, words
from tests.behaviour.failing import check, failure, traceback

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_a_long_or_odd_entry_is_cut_to_a_line(cluster: LocalCluster, write: Write) -> None:
    class Odd:
        def __repr__(self):
            raise RuntimeError("no repr")

    def reader(fd, size, url):
        yield Odd()

    def map(entry, params):
        raise ValueError("line one\nline two " + "x" * 5000)

    error = failure(cluster, Job(map=map), [write("f", "y" * 10_000 + "\n" + "z" * 10)])
    headline = str(error).splitlines()[0]
    assert "'yyyy" in headline and len(headline) < 2000 and "line one line two" in headline
    error = failure(cluster, Job(map=map, map_reader=reader), ["raw://x"])
    check(error, "map", "Odd")


def test_the_record_is_counted_within_its_input(cluster: LocalCluster) -> None:
    def reduce(iter, params):
        for _key, value in iter:
            if value == "bad":
                raise KeyError("the reason")
            yield value, 1

    mapped = [
        cluster.run(Job(map=lambda e, p: [("k", w) for w in e.split()]), input=[f"raw://{text}"]).urls[0]
        for text in ("a b", "c bad")
    ]
    error = failure(cluster, Job(reduce=reduce), mapped)
    check(error, "reduce", "record 2", "KeyError: 'the reason'", mapped[1][0])


def test_readers_and_streams(cluster: LocalCluster, write: Write) -> None:
    path = write("lines", "1\n2\nthree\n")

    def reader(fd, size, url, params):
        for line in fd:
            yield int(line)

    def stream(stream, size, url, params):
        raise TypeError("no stream today")

    error = failure(cluster, Job(map=lambda e, p: [(e, 1)], map_reader=reader), [path])
    check(error, "map", path, "record 2", "ValueError", "three")
    error = failure(cluster, Job(map=words, map_input_stream=(task_input_stream, stream)), [path])
    check(error, "map", "TypeError: no stream today")
    error = failure(cluster, Job(map=words, reduce=sum_reduce, reduce_reader=reader), [path])
    check(error, "reduce", "ValueError")
    error = failure(cluster, Job(map=words, map_output_stream=(stream,)), [path])
    check(error, "map", "no stream today")


def test_a_reader_that_meets_other_data_says_so(cluster: LocalCluster, write: Write) -> None:
    path = write("text", "plain text\n")
    with LocalCluster(nodes=2, start=cluster.start, max_failures=0) as once:
        error = failure(once, Job(map=lambda e, p: [e], map_reader=chain_reader), [path])
    check(error, "map", path, "DataError")


def test_a_record_that_cannot_be_pickled_is_named(cluster: LocalCluster) -> None:
    def map(entry, params):
        import threading

        yield "a key", threading.Lock()

    error = failure(cluster, Job(map=map), ["raw://x"])
    check(error, "map", "raw://x", "lock")
    assert "a key" in str(error) + traceback(error)


def test_records_whose_unpickling_fails(cluster: LocalCluster) -> None:
    class Trap:
        def __setstate__(self, state):
            raise OverflowError("cannot come back")

    def map(entry, params):
        trap = Trap()
        trap.state = 1
        yield entry, trap

    with LocalCluster(nodes=2, start=cluster.start, max_failures=1) as twice:
        error = failure(twice, Job(map=map, reduce=nop_reduce), ["raw://x"])
    check(error, "reduce", "cannot come back")
