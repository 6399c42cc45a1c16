"""Initialisation, readers, streams and combiners of classic jobs (reference 8.4, 8.5, 8.8)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, Params, result_iterator
from discolocal.worker.classic.func import (
    disco_output_stream,
    nop_reduce,
    old_netstr_reader,
    plain_output_stream,
    sum_combiner,
    sum_reduce,
    task_input_stream,
    task_output_stream,
)
from tests.behaviour import oracle
from tests.behaviour.classic import TEXT_A, TEXT_B, Write, key_and_partition, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


# Initialisation, readers and streams


def test_map_init_may_take_records_and_prepare_params(cluster: LocalCluster, write: Write) -> None:
    def map_init(entries, params):
        params.header = next(entries).strip().split(",")

    def map(line, params):
        yield from zip(params.header, line.strip().split(","))

    table = write("t.csv", "a,b\n1,2\n3,4\n")
    results = cluster.run(Job(map=map, map_init=map_init, params=Params()), input=[table])
    assert sorted(results) == [("a", "1"), ("a", "3"), ("b", "2"), ("b", "4")]
    done = [text for _, (_, _, text) in results.job.events() if "mapped" in text]
    assert done == ["MSG: [map:0] Done: 3 entries mapped"], "what map_init takes counts as mapped"


def test_reduce_init_runs_before_reduce_and_params_of_tasks_are_apart(cluster: LocalCluster) -> None:
    def map_init(entries, params):
        params.seen = ["map"]

    def reduce_init(entries, params):
        params.seen.append("reduce")
        params.first = next(entries)

    def reduce(iter, params):
        yield "seen", params.seen
        yield "first", params.first
        yield "rest", sorted(iter)

    job = Job(map=lambda e, p: [(e, 1)], map_init=map_init, reduce_init=reduce_init, reduce=reduce)
    results = dict(cluster.run(job, input=["raw://a", "raw://b"], params=Params(seen=["client"])))
    assert results["seen"] == ["client", "reduce"]
    assert sorted([results["first"], *results["rest"]]) == [("a", 1), ("b", 1)]


def test_a_map_reader_makes_records_of_bytes(cluster: LocalCluster, write: Write) -> None:
    def reader(fd, size, url, params):
        assert size == 12 and url.endswith("data.bin")
        while data := fd.read(params["width"]):
            yield int.from_bytes(data, "big")

    path = write("data.bin", b"".join(n.to_bytes(3, "big") for n in (7, 70000, 7, 1)))
    job = Job(map=lambda n, p: [(n, 1)], map_reader=reader, reduce=sum_reduce, params={"width": 3})
    assert dict(cluster.run(job, input=[path])) == {7: 2, 70000: 1, 1: 1}


def test_a_reader_of_three_parameters_gets_no_params(cluster: LocalCluster) -> None:
    def reader(fd, size, url):
        yield size, url

    job = Job(map=lambda pair, p: [pair], map_reader=reader)
    assert list(cluster.run(job, input=["raw://abc"])) == [(3, "raw://abc")]


class JsonLines:
    """An output stream of one JSON text a line."""

    def __init__(self, stream):
        self.stream = stream

    def add(self, key, value):
        self.stream.write(json.dumps([key, value]).encode() + b"\n")

    def close(self):
        self.stream.flush()


def json_output_stream(stream, size, url, params):
    return JsonLines(stream)


def json_reader(fd, size, url, params):
    for line in fd:
        yield tuple(json.loads(line))


def test_map_output_and_reduce_input_may_have_a_format_of_their_own(cluster: LocalCluster, texts: list[str]) -> None:
    job = Job(
        map=words,
        map_output_stream=(task_output_stream, json_output_stream),
        reduce_reader=json_reader,
        reduce=sum_reduce,
    )
    assert dict(cluster.run(job, input=texts, partitions=3)) == oracle.words(TEXT_A, TEXT_B)


def test_results_may_have_a_format_of_their_own(cluster: LocalCluster, texts: list[str]) -> None:
    job = Job(map=words, reduce=sum_reduce, reduce_output_stream=[task_output_stream, json_output_stream])
    results = cluster.run(job, input=texts, partitions=2)
    assert dict(result_iterator(results.urls, reader=json_reader)) == oracle.words(TEXT_A, TEXT_B)
    lines = list(result_iterator(results.urls, reader=None))
    assert sorted(lines) == sorted(json.dumps([word, n]) + "\n" for word, n in oracle.words(TEXT_A, TEXT_B).items())


def test_plain_output_streams_are_netstrings_of_text(cluster: LocalCluster, texts: list[str]) -> None:
    job = Job(
        map=words,
        map_output_stream=(task_output_stream, plain_output_stream),
        reduce=lambda iter, params: ((k, int(v)) for k, v in iter),
        reduce_reader=old_netstr_reader,
    )

    def text(value: str | bytes) -> str:
        return value.decode() if isinstance(value, bytes) else value

    results = Counter(text(key) for key, _ in cluster.run(job, input=texts))
    assert results == oracle.words(TEXT_A, TEXT_B)


def test_an_input_chain_of_streams(cluster: LocalCluster, write: Write) -> None:
    def unscramble(stream, size, url, params):
        assert params.shift == 1 and size == 6
        data = bytes(byte - params.shift for byte in stream.read(-1))
        import io

        return io.BytesIO(data), len(data), url + "#plain"

    def numbered(stream, size, url):
        return ((number, line, url) for number, line in enumerate(stream))

    path = write("scrambled", bytes(byte + 1 for byte in b"ab\ncd\n"))
    job = Job(
        map=lambda entry, p: [(entry[0], entry[1:])],
        map_input_stream=(task_input_stream, unscramble, numbered),
        params=Params(shift=1),
    )
    assert sorted(cluster.run(job, input=[path])) == [(0, (b"ab\n", path + "#plain")), (1, (b"cd\n", path + "#plain"))]


def test_an_output_chain_may_have_other_parameters_of_the_library(cluster: LocalCluster, texts: list[str]) -> None:
    def small_hunks(stream, size, url, params):
        return disco_output_stream(stream, size, url, params, min_hunk_size=1, compression_level=9)

    job = Job(
        map=words,
        reduce=sum_reduce,
        map_output_stream=(task_output_stream, small_hunks),
        reduce_output_stream=(task_output_stream, small_hunks),
    )
    assert dict(cluster.run(job, input=texts, partitions=2)) == oracle.words(TEXT_A, TEXT_B)


@pytest.mark.own_events  # which of the inputs fails first is chance
def test_an_output_chain_without_add_is_an_error_that_names_it(cluster: LocalCluster, texts: list[str]) -> None:
    job = Job(map=words, map_output_stream=(task_output_stream,))
    with pytest.raises(JobError, match="task_output_stream"):
        cluster.run(job, input=texts)


# Combiners


def flushing(key, value, buffer, done, params):
    """Sums, and hands on what it has when three keys are there."""
    if done:
        return list(buffer.items())
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) < 3:
        return None
    full = list(buffer.items())
    buffer.clear()
    return full


def generator(key, value, buffer, done, params):
    if done:
        yield from buffer.items()
    else:
        buffer[key] = buffer.get(key, 0) + value


def doubling(key, value, buffer, done, params):
    if done:
        return None
    return [(key, value)]


@pytest.mark.sampled
@pytest.mark.parametrize("partitions", [None, 1, 4])
@pytest.mark.parametrize("combiner", [None, sum_combiner, flushing, generator, doubling])
def test_a_combiner_does_not_change_sums(
    cluster: LocalCluster, texts: list[str], combiner: Any, partitions: int | None
) -> None:
    job = Job(map=words, combiner=combiner, reduce=sum_reduce)
    assert dict(cluster.run(job, input=texts, partitions=partitions)) == oracle.words(TEXT_A, TEXT_B)


def test_a_combiner_has_a_buffer_for_each_partition(cluster: LocalCluster) -> None:
    def kept(key, value, buffer, done, params):
        if done:
            return [("keys", sorted(buffer))]
        buffer[key] = value
        return None

    entry = "a b c d e f g h"
    results = cluster.run(Job(map=words, combiner=kept, reduce=nop_reduce), input=[f"raw://{entry}"], partitions=3)
    groups: dict[int, list[str]] = {}
    for letter in entry.split():
        groups.setdefault(oracle.label(letter, 3), []).append(letter)
    assert sorted(keys for _, keys in results) == sorted(groups.values())


def test_what_a_combiner_gives_stays_in_the_partition_of_its_buffer(cluster: LocalCluster) -> None:
    def renamed(key, value, buffer, done, params):
        if done:
            return [("total", len(buffer))]
        buffer[key] = value
        return None

    entry = "a b c d e f g h"
    results = cluster.run(
        Job(map=words, combiner=renamed, reduce=key_and_partition), input=[f"raw://{entry}"], partitions=3
    )
    expected = Counter(oracle.label(letter, 3) for letter in entry.split())
    assert sorted(results) == sorted(((number, "total"), count) for number, count in expected.items())


def test_the_last_call_of_a_combiner_has_no_key(cluster: LocalCluster) -> None:
    def last(key, value, buffer, done, params):
        if done:
            yield "last", (key, value, dict(buffer))
        else:
            buffer["n"] = buffer.get("n", 0) + 1

    results = list(cluster.run(Job(map=words, combiner=last), input=["raw://x y z"]))
    assert results == [("last", (None, None, {"n": 3}))]


def test_sum_combiner_sums_what_can_be_added_to_zero(cluster: LocalCluster) -> None:
    values = {"int": [1, 2], "float": [0.5, 0.25], "bool": [True, True], "big": [2**70, 1]}

    def map(entry, params):
        for key, several in params.items():
            for value in several:
                yield key, value

    for partitions in (None, 3):
        job = Job(map=map, combiner=sum_combiner, params=values)
        results = cluster.run(job, input=["raw://x"], partitions=partitions)
        assert oracle.multiset(results) == oracle.multiset((key, sum(several)) for key, several in values.items())
