"""Classic jobs from input to records, in every way a worker can start (reference 3, 8.2 to 8.5)."""

from __future__ import annotations

import json
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, Params, PortabilityWarning, result_iterator
from discolocal.util import kvgroup
from discolocal.worker.classic.func import (
    chain_reader,
    default_partition,
    disco_output_stream,
    nop_map,
    nop_reduce,
    old_netstr_reader,
    plain_output_stream,
    sum_combiner,
    sum_reduce,
    task_input_stream,
    task_output_stream,
)
from discolocal.worker.classic.worker import Worker
from tests.behaviour import oracle

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
Write = Callable[[str, Any], str]

TEXT_A = "the quick brown fox\njumps over the lazy dog\n"
TEXT_B = "the end of\nthe story of fox and dog"


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def numbers(entry: str, params: Any) -> Iterator[tuple[int, int]]:
    for text in entry.split():
        yield int(text), 1


def key_and_partition(iter: Iterable[tuple[Any, Any]], params: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in iter:
        yield (this_partition(), key), value  # noqa: F821 (injected)


class WordCount(Job):
    partitions = 3
    sort = True
    combiner = staticmethod(sum_combiner)

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(iter, params):
        from discolocal.util import kvgroup

        for word, counts in kvgroup(iter):
            yield word, sum(counts)


@pytest.fixture
def texts(write: Write) -> list[str]:
    return [write("a.txt", TEXT_A), write("b.txt", TEXT_B)]


def test_the_example_of_the_main_job(start: str, texts: list[str]) -> None:
    expected = oracle.words(TEXT_A, TEXT_B)
    with LocalCluster(start=start) as cluster:
        results = cluster.run(WordCount(), input=texts)
        seen = {}
        for word, count in results:
            seen[word] = count
        assert seen == expected
        assert dict(results) == expected
        assert results.job.name.startswith("WordCount@")
        assert [url for (url,) in results.urls] and all(url.startswith("dir://") for (url,) in results.urls)
        assert results.job.name in repr(results)

        job = WordCount(master=cluster).run(input=texts[:1])
        assert dict(result_iterator(job.wait())) == oracle.words(TEXT_A)

    results = LocalCluster(start=start).run(
        Job(map=lambda e, p: [(e.strip(), 1)], reduce=sum_reduce), input=["raw://hello"]
    )
    assert list(results) == [("hello", 1)]


def test_a_job_may_be_a_class_an_instance_a_pack_or_the_path_of_a_pack(
    cluster: LocalCluster, texts: list[str], tmp_path: Path
) -> None:
    expected = oracle.words(TEXT_A, TEXT_B)
    assert dict(cluster.run(WordCount, input=texts)) == expected
    pack = WordCount().pack(input=texts).dumps()
    assert dict(cluster.run(pack)) == expected
    path = tmp_path / "job.pack"
    path.write_bytes(pack)
    assert dict(cluster.run(path)) == expected
    assert dict(cluster.run(str(path))) == expected
    with pytest.raises(TypeError, match="partitions"):
        cluster.run(pack, partitions=2)


def test_results_can_be_iterated_again_while_the_cluster_is_open_and_not_after(start: str, texts: list[str]) -> None:
    with LocalCluster(nodes=2, start=start) as cluster:
        results = cluster.run(WordCount(), input=texts)
        assert sorted(results) == sorted(results) != []
    with pytest.raises(DiscoError, match="closed"):
        list(results)
    with pytest.raises(DiscoError, match="closed"):
        cluster.run(WordCount(), input=texts)


def test_a_job_instance_may_run_twice_and_gets_two_names(cluster: LocalCluster, texts: list[str]) -> None:
    job = WordCount()
    first, second = cluster.run(job, input=texts), cluster.run(job, input=texts[1:])
    assert first.job.name != second.job.name
    assert dict(first) == oracle.words(TEXT_A, TEXT_B)
    assert dict(second) == oracle.words(TEXT_B)


# Partitions and stages


@pytest.mark.parametrize("partitions", [None, 1, 2, 7])
def test_records_go_to_the_partition_that_md5_says(
    cluster: LocalCluster, texts: list[str], partitions: int | None
) -> None:
    results = cluster.run(Job(map=words, reduce=key_and_partition), input=texts, partitions=partitions)
    expected = [((oracle.label(word, partitions or 1), word), 1) for word in (TEXT_A + "\n" + TEXT_B).split()]
    assert oracle.multiset(results) == oracle.multiset(expected)
    assert len(results.urls) == len({number for (number, _), _ in expected})


def test_there_are_only_as_many_reduces_as_partitions_that_occur(cluster: LocalCluster) -> None:
    results = cluster.run(
        Job(map=lambda e, p: [(e, 1)], partition=lambda k, n, p: 5, reduce=key_and_partition),
        partitions=9,
        input=["raw://x", "raw://y"],
    )
    assert sorted(results) == [((5, "x"), 1), ((5, "y"), 1)]
    assert len(results.urls) == 1


@pytest.mark.parametrize("partitions", [None, 1, 4])
def test_a_map_only_job_gives_the_pairs_of_map(
    cluster: LocalCluster, texts: list[str], partitions: int | None
) -> None:
    results = cluster.run(Job(map=words), input=texts, partitions=partitions)
    assert Counter(results) == Counter((word, 1) for word in (TEXT_A + "\n" + TEXT_B).split())
    assert [stage for stage, *_ in results.job.jobinfo()["pipeline"]] == ["map", "map_shuffle"]


def test_results_of_a_map_only_job_feed_a_reduce_only_job(cluster: LocalCluster, texts: list[str]) -> None:
    mapped = cluster.run(Job(map=words), input=texts, partitions=4)
    expected = [((oracle.label(word, 4), word), 1) for word in (TEXT_A + "\n" + TEXT_B).split()]
    for given in (mapped.urls, [url for (url,) in mapped.urls]):
        results = cluster.run(Job(reduce=key_and_partition), input=given)
        assert oracle.multiset(results) == oracle.multiset(expected)
        assert [stage for stage, *_ in results.job.jobinfo()["pipeline"]] == ["reduce"]
        assert len(results.urls) == len({number for (number, _), _ in expected})


def test_a_reduce_only_job_on_results_with_one_label_has_one_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    mapped = cluster.run(Job(map=words), input=texts)
    results = cluster.run(Job(reduce=sum_reduce), input=mapped.urls)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    assert len(results.urls) == 1


def test_results_of_a_job_are_input_of_the_next_map(cluster: LocalCluster, texts: list[str]) -> None:
    counted = cluster.run(WordCount(), input=texts)
    by_count = cluster.run(
        Job(map=lambda pair, p: [(pair[1], pair[0])], map_reader=chain_reader, reduce=nop_reduce), input=counted.urls
    )
    assert sorted(by_count) == sorted((n, word) for word, n in oracle.words(TEXT_A, TEXT_B).items())


def test_files_of_results_can_be_given_one_by_one(cluster: LocalCluster, texts: list[str]) -> None:
    from discolocal.util import parse_dir

    counted = cluster.run(WordCount(), input=texts)
    files = [file for (url,) in counted.urls for file in parse_dir(url)]
    assert files and all(file.startswith("disco://") for file in files)
    again = cluster.run(Job(map=nop_map, map_reader=chain_reader, reduce=sum_reduce), input=files)
    assert dict(again) == oracle.words(TEXT_A, TEXT_B)


def test_a_reduce_only_job_on_files_reads_them_all_in_one_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    def lines(iter, params):
        for line in iter:
            yield line, len(line)

    results = cluster.run(Job(reduce=lines, reduce_reader=None), input=texts)
    expected = [line + "\n" for line in TEXT_A.splitlines()] + ["the end of\n", "the story of fox and dog"]
    assert sorted(results) == sorted((line, len(line)) for line in expected)
    assert len(results.urls) == 1


def test_reduce_shuffle_adds_a_stage_that_joins_the_reduces_of_a_node(
    cluster: LocalCluster, texts: list[str]
) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, reduce_shuffle=True), input=texts, partitions=5)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    stages = [row[0] for row in results.job.jobinfo()["pipeline"]]
    assert stages == ["map", "map_shuffle", "reduce", "reduce_shuffle"]
    assert len(results.urls) <= 2, "one index for each node"


def test_reduce_shuffle_has_no_stage_when_there_is_one_partition(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, reduce_shuffle=True), input=texts)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    assert [row[0] for row in results.job.jobinfo()["pipeline"]] == ["map", "map_shuffle", "reduce"]


def test_both_signatures_of_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    def with_out(iter, out, params):
        for word, count in iter:
            out.add(word, count)

    def yielding(iter, params):
        yield from iter

    def returning(iter, params):
        return list(iter)

    expected = Counter((word, 1) for word in (TEXT_A + "\n" + TEXT_B).split())
    for reduce in (with_out, yielding, returning, nop_reduce):
        assert Counter(cluster.run(Job(map=words, reduce=reduce), input=texts)) == expected


def test_reduce_runs_once_for_a_partition_and_not_for_each_key(cluster: LocalCluster, texts: list[str]) -> None:
    def reduce(iter, params):
        yield "records", sum(1 for _ in iter)

    results = list(cluster.run(Job(map=words, reduce=reduce), input=texts, partitions=1))
    assert results == [("records", len((TEXT_A + "\n" + TEXT_B).split()))]


def test_a_reduce_that_gives_nothing_has_an_output_and_no_records(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=lambda iter, params: []), input=texts)
    assert list(results) == []
    assert len(results.urls) == 1


def test_a_map_that_gives_nothing_has_no_output(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=lambda e, p: [], reduce=sum_reduce), input=texts, partitions=3)
    assert list(results) == [] and results.urls == []


def test_no_inputs_are_no_tasks_but_one_reduce_of_a_reduce_only_job(cluster: LocalCluster) -> None:
    assert cluster.run(Job(map=words, reduce=sum_reduce), input=[]).urls == []
    assert cluster.run(Job(map=words), input=["", None, []]).urls == []
    results = cluster.run(Job(reduce=lambda iter, params: [("records", len(list(iter)))]), input=[])
    assert list(results) == [("records", 0)]


def test_a_job_without_map_and_reduce_gives_its_inputs_last_first(cluster: LocalCluster, texts: list[str]) -> None:
    assert cluster.run(Job(), input=texts).urls == [[texts[1]], [texts[0]]]


def test_values_of_a_key_come_from_all_maps_and_keep_their_order_within_one(cluster: LocalCluster) -> None:
    def enumerated(entry, params):
        for number, text in enumerate(entry.split()):
            yield "k", (text, number)

    results = list(cluster.run(Job(map=enumerated, reduce=nop_reduce), input=["raw://a a a", "raw://b b", "raw://c"]))
    for name, count in (("a", 3), ("b", 2), ("c", 1)):
        assert [n for _, (text, n) in results if text == name] == list(range(count))


def test_the_seed_decides_the_order_of_reduce_inputs(start: str) -> None:
    inputs = [f"raw://{number}" for number in range(8)]

    def order(seed: int) -> list[str]:
        # One node, several workers: one map_shuffle would join the files, so the job reads them itself.
        with LocalCluster(nodes=1, start=start, seed=seed) as cluster:
            mapped = [cluster.run(Job(map=lambda e, p: [("k", e)]), input=[url]).urls[0] for url in inputs]
            return [value for _, value in cluster.run(Job(reduce=nop_reduce), input=mapped)]

    orders = [order(seed) for seed in (1, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len({tuple(o) for o in orders}) > 1
    assert all(sorted(o) == [str(n) for n in range(8)] for o in orders)


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
    assert sorted(lines) == sorted(
        json.dumps([word, n]) + "\n" for word, n in oracle.words(TEXT_A, TEXT_B).items()
    )


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
    results = cluster.run(Job(map=words, combiner=renamed, reduce=key_and_partition), input=[f"raw://{entry}"], partitions=3)
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


# Params, messages, files, names


@pytest.mark.parametrize("params", [Params(word="x"), {"word": "x"}, "x", ("x",), None], ids=lambda p: type(p).__name__)
def test_params_may_be_anything(cluster: LocalCluster, params: Any) -> None:
    def map(entry, params):
        yield entry, params.word if hasattr(params, "word") else params

    def partition(key, nr, params):
        return int(params is None)

    def reduce(iter, params):
        for key, value in iter:
            yield key, (value, params.word if hasattr(params, "word") else params)

    job = Job(map=map, partition=partition, reduce=reduce, params=params, partitions=2)
    seen = params.word if isinstance(params, Params) else params
    assert list(cluster.run(job, input=["raw://e"])) == [("e", (seen, seen))]


def test_params_hold_functions(cluster: LocalCluster) -> None:
    factor = 3
    params = Params(scale=lambda n: n * factor)
    job = Job(map=lambda e, p: [(e, p.scale(len(e)))], params=params)
    assert list(cluster.run(job, input=["raw://four"])) == [("four", 12)]


def messages(job: Job) -> list[str]:
    return [text.partition("] ")[2] for _, (_, _, text) in job.events() if text.startswith("MSG:")]


def test_status_messages_come_every_interval_and_are_not_shown(
    cluster: LocalCluster, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("lines", "x\n" * 5)
    results = cluster.run(Job(map=words, reduce=nop_reduce), input=[path], status_interval=2)
    mapped = [text for text in messages(results.job) if "mapped" in text]
    reduced = [text for text in messages(results.job) if "reduced" in text]
    assert mapped == ["2 entries mapped", "4 entries mapped", "Done: 5 entries mapped"]
    assert reduced == ["2 entries reduced", "4 entries reduced", "Done: 5 entries reduced"]
    assert "entries" not in "".join(capfd.readouterr())


def test_status_interval_zero_is_no_messages_in_between(cluster: LocalCluster, write: Write) -> None:
    path = write("lines", "x\n" * 5)
    results = cluster.run(Job(map=words), input=[path], status_interval=0)
    assert [text for text in messages(results.job) if "entries" in text] == ["Done: 5 entries mapped"]


def test_prints_and_logging_reach_the_user_with_their_task(
    cluster: LocalCluster, capfd: pytest.CaptureFixture[str]
) -> None:
    def map(entry, params):
        import logging
        import sys

        print("seen", entry)
        print("complaint", file=sys.stderr)
        log = logging.getLogger("job")
        log.addHandler(handler := logging.StreamHandler())
        log.warning("careful")
        log.removeHandler(handler)
        print("half", end="")
        yield entry, 1

    results = cluster.run(Job(map=map), input=["raw://it"])
    shown = "".join(capfd.readouterr())
    for line in ("seen it", "complaint", "careful", "half"):
        assert f"[map:0] {line}\n" in shown
        assert line in messages(results.job)


def test_this_names_of_a_task(cluster: LocalCluster) -> None:
    def map(entry, params):
        yield "map", (this_name(), this_host(), this_partition(), this_inputs())  # noqa: F821

    def reduce(iter, params):
        yield from iter
        yield "reduce", (this_name(), this_host(), this_partition())  # noqa: F821

    results = cluster.run(Job(map=map, reduce=reduce, partition=lambda k, n, p: 1), partitions=2, input=["raw://e"])
    found = dict(results)
    name = results.job.name
    assert found["map"][0] == name and found["map"][2:] == (0, [["raw://e"]])
    assert found["reduce"][0] == name and found["reduce"][2] == 1
    assert {found["map"][1], found["reduce"][1]} <= {"node1", "node2"}


def test_names_of_the_library_are_there_and_the_users_own_win(cluster: LocalCluster) -> None:
    space = {"re_reader": "mine"}
    source = """
def map(entry, params):
    yield "mine", re_reader
    yield "theirs", [chain_reader.__name__, DataError.__name__, os.sep, sys.version_info[0], re.escape("a.b")]
"""
    exec(source, space)
    assert dict(cluster.run(Job(map=space["map"]), input=["raw://e"])) == {
        "mine": "mine",
        "theirs": ["disco_input_stream", "DataError", "/", 3, "a\\.b"],
    }


def test_required_files_lie_in_the_working_directory_of_the_task(cluster: LocalCluster, write: Write) -> None:
    def map(entry, params):
        with open(entry, "rb") as file:
            yield entry, file.read()

    contents = {"data/first.txt": "text \u00e9", "second": b"\x00\xff"}
    results = cluster.run(Job(map=map), input=["raw://data/first.txt", "raw://second"], required_files=contents)
    assert dict(results) == {"data/first.txt": "text \u00e9".encode(), "second": b"\x00\xff"}

    path = write("deep/inside/table.txt", "x y")
    results = cluster.run(Job(map=map), input=["raw://lib/table.txt"], required_files=[path])
    assert dict(results) == {"lib/table.txt": b"x y"}


def test_a_required_file_that_is_missing_is_named_at_submission(cluster: LocalCluster, tmp_path: Path) -> None:
    with pytest.raises((DiscoError, OSError), match="nothing-here"):
        cluster.run(Job(map=words), input=["raw://x"], required_files=[str(tmp_path / "nothing-here")])
    for bad in ("one.txt", {"a": 3}):
        with pytest.raises(DiscoError, match="required_files"):
            cluster.run(Job(map=words), input=["raw://x"], required_files=bad)


@pytest.mark.parametrize("name", ["/abs", "../up", "a/../../up"])
def test_required_files_cannot_leave_the_job_home(cluster: LocalCluster, name: str) -> None:
    with pytest.raises(DiscoError):
        cluster.run(Job(map=words), input=["raw://x"], required_files={name: "content"})


def test_required_modules_are_imported_under_their_last_name(cluster: LocalCluster, write: Write) -> None:
    path = write("modules/measure.py", "def size(text):\n    return len(text)\n")

    def map(entry, params):
        yield entry, measure.size(decoder.JSONDecoder().decode(entry))  # noqa: F821 (injected)

    job = Job(map=map, required_modules=["json.decoder", ("measure", path)])
    assert list(cluster.run(job, input=['raw://"four"'])) == [('"four"', 4)]


def test_a_required_module_that_is_missing_is_named_at_submission(cluster: LocalCluster) -> None:
    with pytest.raises(DiscoError, match="no_such_module"):
        cluster.run(Job(map=words), input=["raw://x"], required_modules=["no_such_module"])


@pytest.mark.parametrize("argument", [{"save": True}, {"save_results": True}])
def test_saving_is_refused_clearly(cluster: LocalCluster, argument: dict[str, bool]) -> None:
    with pytest.raises(DiscoError, match=f"{next(iter(argument))}.*DDFS"):
        cluster.run(Job(map=words), input=["raw://x"], **argument)


def test_tags_are_refused_clearly(cluster: LocalCluster) -> None:
    for inputs in (["tag://data:x"], [["tag://data:x"]]):
        with pytest.raises(DiscoError, match="tag://data:x.*DDFS"):
            cluster.run(Job(map=words), input=inputs)
        with pytest.raises(DiscoError, match="tag://data:x.*DDFS"):
            cluster.run(Job(reduce=sum_reduce), input=inputs)


@pytest.mark.parametrize("parameter", ["map", "reduce"])
def test_external_programs_are_refused_clearly(cluster: LocalCluster, parameter: str) -> None:
    with pytest.raises(DiscoError, match=f"{parameter}.*external"):
        cluster.run(Job(**{parameter: {"op": b"#!"}}), input=["raw://x"])


def test_name_and_owner(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    results = cluster.run(WordCount(), input=[], name="Other", owner="ada@host")
    assert results.job.name.startswith("Other@")
    assert results.job.jobinfo()["owner"] == "ada@host"
    assert cluster.run(WordCount("Third"), input=[]).job.name.startswith("Third@")
    monkeypatch.setenv("DISCO_JOB_OWNER", "grace@home")
    assert cluster.run(WordCount(), input=[]).job.jobinfo()["owner"] == "grace@home"
    for bad in ("a/b", "a.b"):
        with pytest.raises(DiscoError, match="name"):
            cluster.run(WordCount(), input=[], name=bad)


def spans(entry, params):
    start = time.monotonic()
    time.sleep(0.02)
    yield entry, (start, time.monotonic())


def test_max_cores_limits_the_tasks_at_once(start: str) -> None:
    inputs = [f"raw://{n}" for n in range(4)]
    with LocalCluster(nodes=2, workers_per_node=2, start=start) as cluster:
        results = cluster.run(Job(map=spans), input=inputs, scheduler={"max_cores": 1})
        times = sorted(value for _, value in results)
        assert len(times) == 4
        assert all(before[1] <= after[0] for before, after in zip(times, times[1:]))
        for bad in ({"max_cores": 0}, {"max_cores": -1}):
            with pytest.raises(DiscoError, match="max_cores"):
                cluster.run(Job(map=spans), input=inputs, scheduler=bad)
        with pytest.raises(DiscoError, match="scheduler"):
            cluster.run(Job(map=spans), input=inputs, scheduler="fast")


def test_workers_of_all_nodes_work_at_once(forked: LocalCluster) -> None:
    times = sorted(value for _, value in forked.run(Job(map=spans), input=["raw://a", "raw://b"]))
    assert times[1][0] < times[0][1]


# How parameters are found


def test_a_parameter_comes_from_run_then_job_then_worker_then_default(cluster: LocalCluster) -> None:
    class Shown(Job):
        @staticmethod
        def map(entry, params):
            yield "params", params

    class Own(Shown):
        params = "attribute"

    def value(job: Job, **arguments: Any) -> Any:
        return dict(cluster.run(job, input=["raw://x"], **arguments))["params"]

    assert value(Own(worker=Worker(params="item")), params="argument") == "argument"
    assert value(Own(worker=Worker(params="item"))) == "attribute"
    assert value(Shown(worker=Worker(params="item"))) == "item"
    assert isinstance(value(Shown()), Params)
    assert value(Own(), params=None) is None, "a false value counts as given"


def test_a_worker_class_of_the_job_has_defaults_of_its_own(cluster: LocalCluster) -> None:
    class TwoPartitions(Worker):
        def defaults(self):
            return {**super().defaults(), "partitions": 2, "partition": lambda key, n, params: n - 1}

    class Special(Job):
        Worker = TwoPartitions

    results = cluster.run(Special(map=words, reduce=key_and_partition), input=["raw://x"])
    assert list(results) == [((1, "x"), 1)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("partitons", "partitions"), ("combine", "combiner"), ("inputs", "input"), ("reduce_int", "reduce_init")],
)
def test_an_unknown_argument_is_an_error_that_suggests_the_nearest(
    cluster: LocalCluster, wrong: str, right: str
) -> None:
    with pytest.raises(TypeError, match=f"{wrong}.*{right}"):
        cluster.run(Job(map=words), **{"input": ["raw://x"], wrong: 3})
    with pytest.raises(TypeError, match=f"{wrong}.*{right}"):
        Job(map=words, **{wrong: 3})


def test_an_argument_that_the_job_class_knows_is_accepted(cluster: LocalCluster) -> None:
    class Extended(Job):
        flavour = "plain"

        @staticmethod
        def map(entry, params):
            yield entry, 1

    assert list(cluster.run(Extended(), input=["raw://x"], flavour="fancy")) == [("x", 1)]


@pytest.mark.parametrize(
    "argument",
    [
        {"partitions": -1},
        {"partitions": 1.5},
        {"partitions": True},
        {"partitions": "2"},
        {"map": "function"},
        {"reduce": 3},
        {"combiner": []},
        {"status_interval": -1},
        {"status_interval": None},
        {"sort_buffer_size": "much"},
        {"encoding": "no-such-codec"},
        {"map_input_stream": "stream"},
        {"reduce_output_stream": ()},
        {"map_shuffle": lambda: None},
        {"ext_params": {"a": 1}},
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_refused_at_submission(cluster: LocalCluster, argument: dict[str, Any]) -> None:
    before = cluster.joblist()
    with pytest.raises(DiscoError, match=next(iter(argument))):
        cluster.run(Job(map=words, reduce=sum_reduce), **{"input": ["raw://x"], **argument})
    assert cluster.joblist() == before


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


KEYS: list[Any] = [None, True, False, 0, 1, -7, 2**80, 0.5, -0.0, 1.5e300, "", "text", "\u00fc\n", b"", b"\x00\xff", (), (1, "a"), ((None,), 2.5), frozenset({1, "x"})]


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
