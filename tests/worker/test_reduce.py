"""Shuffle and reduce: order, both signatures, sort, and files that are not what they should be."""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discolocal.job import Job
from discolocal.wire import index, names
from discolocal.worker import Params
from discolocal.worker.classic.func import disco_output_stream, nop_map, nop_reduce, sum_reduce, task_output_stream
from discolocal.worker.task_io import task_input_stream
from tests.worker.harness import HOST, JOB, Node, TaskInput, TaskResult, ref_records, words


def as_list(iter: Any, params: Any) -> Any:
    yield from iter


def passing(tmp_path: Path, inputs: list[str], **parameters: Any) -> tuple[Node, TaskResult]:
    """Map and shuffle the inputs; returns the node and the shuffle's result."""
    node = Node(tmp_path / "data", Job(**{"map": words, "reduce": as_list, **parameters}))
    maps = [node.map(url) for url in inputs]
    assert all(m.kind == "done" for m in maps), [m.text for m in maps]
    shuffled = node.shuffle(*maps)
    assert shuffled.kind == "done", shuffled.text
    return node, shuffled


def reduced(tmp_path: Path, inputs: list[str], **parameters: Any) -> list[Any]:
    node, shuffled = passing(tmp_path, inputs, **parameters)
    result = node.reduce(shuffled)
    assert result.kind == "done", result.text
    return result.records()


# Shuffle


def test_shuffle_joins_the_files_of_a_label_in_order(tmp_path: Path) -> None:
    _node, shuffled = passing(tmp_path, ["raw://a b", "raw://c", "raw://d e"])
    assert shuffled.records() == [(word, 1) for word in "abcde"]
    assert shuffled.messages == ["Shuffled 3 inputs into 1 label(s)", "Results sent to master"]


def test_a_single_file_keeps_its_bytes(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://a b"])
    (joined,) = [node.home / path for _label, path, _size in shuffled.outputs]
    (single,) = node.home.rglob("map-0-*")
    assert joined.read_bytes() == single.read_bytes()
    assert joined.name == f"map_shuffle-0-{HOST}-0"


def test_no_inputs_give_no_outputs(tmp_path: Path) -> None:
    _node, shuffled = passing(tmp_path, [])
    assert shuffled.outputs == []


@pytest.mark.parametrize("damage", ["shorter", "longer", "gone", "empty"])
@pytest.mark.parametrize("stage", ["shuffle", "reduce"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, damage: str, stage: str, alone: bool) -> None:
    node = Node(tmp_path / "data", Job(map=words, reduce=as_list))
    maps = [node.map(url) for url in (["raw://a b"] if alone else ["raw://a b", "raw://c"])]
    source = maps[0] if stage == "shuffle" else node.shuffle(*maps)
    path = node.home / source.outputs[0][1]
    data = path.read_bytes()
    url = node.index(source)
    path.unlink()
    if damage != "gone":
        path.write_bytes({"shorter": data[:-1], "longer": data + b"x", "empty": b""}[damage])
    result = node.shuffle(url, *maps[1:]) if stage == "shuffle" else node.reduce(url)
    assert result.kind == "error"
    assert str(path) in result.text


def test_a_missing_index_is_an_error_that_names_it(tmp_path: Path) -> None:
    node = Node(tmp_path / "data", Job(map=words, reduce=as_list))
    url = names.dir_url(HOST, JOB, ".disco/none.results")
    for result in (node.shuffle(url), node.reduce(url)):
        assert result.kind == "error" and url in result.text
        assert any(frame.startswith(b"INPUT_ERR") for frame in result.frames)


def test_uncompressed_files_are_joined_without_loss_and_with_a_warning(tmp_path: Path) -> None:
    streams = (task_output_stream, partial(disco_output_stream, compression_level=0))
    node, shuffled = passing(tmp_path, ["raw://a b", "raw://c", "raw://d"], map_output_stream=streams)
    assert [w.split("]")[0] for w in shuffled.warnings] == ["PortabilityWarning [uncompressed-shuffle"]
    data = shuffled.data(0)
    assert data.count(b"\x81" + bytes(13)) == 1 and data.endswith(b"\x81" + bytes(13))
    assert ref_records(data) == [(word, 1) for word in "abcd"]
    assert node.reduce(shuffled).records() == [(word, 1) for word in "abcd"]


# Reduce


def test_a_reduce_of_three_parameters_adds(tmp_path: Path) -> None:
    def three(iter: Any, out: Any, params: Any) -> None:
        for key, value in iter:
            out.add(key, value + params.more)

    got = reduced(tmp_path, ["raw://a b"], reduce=three, params=Params(more=1))
    assert got == [("a", 2), ("b", 2)]


@pytest.mark.parametrize("kind", ["partial", "method", "callable", "returned list", "nop"])
def test_the_signature_is_found_behind_wrappers(tmp_path: Path, kind: str) -> None:
    def with_more(more: int, iter: Any, params: Any) -> Any:
        return [(key, value + more) for key, value in iter]

    class Caller:
        def method(self, iter: Any, params: Any) -> Any:
            return with_more(0, iter, params)

        def __call__(self, iter: Any, params: Any) -> Any:
            return with_more(0, iter, params)

    function = {
        "partial": partial(with_more, 0),
        "method": Caller().method,
        "callable": Caller(),
        "returned list": lambda iter, params: list(iter),
        "nop": nop_reduce,
    }[kind]
    assert reduced(tmp_path, ["raw://a b"], reduce=function) == [("a", 1), ("b", 1)]


def test_a_reduce_gets_its_partition_only(tmp_path: Path) -> None:
    text = " ".join(f"w{i}" for i in range(50))
    node, shuffled = passing(tmp_path, [f"raw://{text}"], partitions=4, reduce=sum_reduce)
    seen: list[str] = []
    for label in range(4):
        records = node.reduce(shuffled, label=label).records()
        assert records
        seen += [key for key, _count in records]
    assert sorted(seen) == sorted(text.split())


def test_an_empty_partition_still_has_an_output(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://a"], partitions=2)
    empty = 1 - shuffled.outputs[0][0]
    result = node.reduce(shuffled, label=empty)
    assert [(label, size) for label, _path, size in result.outputs] == [(0, 22)]
    assert result.messages[0] == "Done: 0 entries reduced"


def test_reduce_init_and_reader(tmp_path: Path) -> None:
    def init(entries: Any, params: Any) -> None:
        params.first = next(entries)

    def reader(fd: Any, size: int, url: str) -> Any:
        from discolocal.worker.classic.func import chain_reader

        for key, value in chain_reader(fd, size, url):
            yield key.upper(), value

    def result(iter: Any, params: Any) -> Any:
        return [params.first, *iter]

    got = reduced(tmp_path, ["raw://a b"], reduce=result, reduce_init=init, reduce_reader=reader, params=Params())
    assert got == [("A", 1), ("B", 1)]


def test_a_reduce_without_map_reads_lines(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    job = Job(reduce=lambda iter, params: [(line, 1) for line in iter], reduce_reader=None)
    node = Node(tmp_path / "data", job)
    result = node.task("reduce", [TaskInput(0, [str(tmp_path / "in.txt")])], "group_all", (0, ""))
    assert result.records() == [("a\n", 1), ("b\n", 1)]


def test_the_seed_decides_the_order_of_files_and_records_stay_in_order(tmp_path: Path) -> None:
    orders = []
    for number, seed in enumerate((1, 1, 2, 3, 4)):
        local = {"seed": seed, "start": "inline", "strict": False}
        node = Node(tmp_path / f"data{number}", Job(map=words, reduce=as_list), local=local)
        maps = [node.map(f"raw://{c}1 {c}2") for c in "abcdef"]
        node.taskid = 10
        result = node.reduce(*maps)
        records = [key for key, _one in result.records()]
        files = [records[i][0] for i in range(0, 12, 2)]
        assert records == [f"{c}{n}" for c in files for n in (1, 2)]
        orders.append(tuple(files))
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1


def test_params_of_one_task_are_not_seen_by_another(tmp_path: Path) -> None:
    def counts(line: str, params: Any) -> Any:
        params.seen.append(line)
        return [(len(params.seen), line)]

    node = Node(tmp_path / "data", Job(map=counts, params=Params(seen=[])))
    assert [node.map(f"raw://{c}").records() for c in "ab"] == [[(1, "a")], [(1, "b")]]


def test_a_reduce_that_fails_says_where(tmp_path: Path) -> None:
    def fails(iter: Any, params: Any) -> Any:
        for number, _record in enumerate(iter, 1):
            if number == 3:
                raise ValueError("third")
        return []

    node, shuffled = passing(tmp_path, ["raw://a b c d"], reduce=fails)
    result = node.reduce(shuffled)
    assert result.kind == "fatal"
    assert result.headline.startswith("reduce failed in partition 0, last at record 3 of disco://node1/")
    assert result.headline.endswith(": ValueError: third")
    assert not list(node.home.rglob("*.partial"))


def test_a_reduce_that_gives_nothing_iterable(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://a"], reduce=lambda iter, params: None)
    result = node.reduce(shuffled)
    assert "must yield or return (key, value) pairs, not None" in result.headline


@pytest.mark.parametrize("damage", ["flip", "magic"])
def test_damaged_records_are_an_error(tmp_path: Path, damage: str) -> None:
    node, shuffled = passing(tmp_path, ["raw://a b c"])
    path = node.home / shuffled.outputs[0][1]
    data = bytearray(path.read_bytes())
    data[0 if damage == "magic" else 20] ^= 0x40
    path.unlink()  # it may be another name of the map's file
    path.write_bytes(data)
    result = node.reduce(shuffled)
    assert result.kind == "error"
    assert result.headline.startswith("reading the input failed")


def test_damage_is_not_ignored_because_params_are_true(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://a b c"], params=Params(x=1), map=words)
    path = node.home / shuffled.outputs[0][1]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert node.reduce(shuffled).kind == "error"


# Sort


def by_key_bytes(key: Any) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")


def sorted_keys(tmp_path: Path, keys: list[Any], **parameters: Any) -> tuple[list[Any], TaskResult]:
    pairs = [(key, number) for number, key in enumerate(keys)]
    node, shuffled = passing(tmp_path, ["raw://x"], map=lambda e, p: pairs, sort=True, **parameters)
    result = node.reduce(shuffled)
    assert result.kind == "done", result.text
    return result.records(), result


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ([b"b", b"a", b"", b"aa", b"a b", b"a\n", b"B"], []),
        (["b", "a", "é", "z", "", "aa", "日本", "\U0001f600", "\udc80", "\ud800"], ["sort-text-keys"]),
        ([b"a\x00", b"a", b"a\xff", b"a\x01", b"a\xfe\xff", b"\x00", b"\xff\xff"], ["sort-special-bytes"]),
        ([b"b" * 20000, b"a" * 2_000_000, b"a" * 20000], ["sort-long-records"]),
    ],
)
def test_keys_come_in_the_order_of_their_bytes(tmp_path: Path, keys: list[Any], codes: list[str]) -> None:
    random.Random(1).shuffle(keys)
    got, result = sorted_keys(tmp_path, keys)
    encodable = [k for k in keys if not (isinstance(k, str) and "\ud800" in k)]
    want = sorted(encodable, key=by_key_bytes)
    assert [key for key, _number in got if key in encodable] == want
    assert sorted(number for _key, number in got) == list(range(len(keys)))
    assert all(keys[number] == key for key, number in got)
    assert [w.split("]")[0].split("[")[1] for w in result.warnings] == codes


def test_text_with_the_byte_ff_in_its_pickle(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://x"], map=lambda e, p: [(b"k", "ÿ"), (b"j", b"\xff")], sort=True)
    result = node.reduce(shuffled)
    assert result.records() == [(b"j", b"\xff"), (b"k", "ÿ")]
    assert "[sort-high-bytes]" in result.warnings[0]


def test_equal_keys_are_consecutive_whatever_the_values(tmp_path: Path) -> None:
    source = random.Random(5)
    pairs = [(f"k{source.randrange(9)}", source.choice([None, 1.5, "x", (1, [2])])) for _ in range(500)]
    node, shuffled = passing(tmp_path, ["raw://x"], map=lambda e, p: pairs, sort=True)
    records = node.reduce(shuffled).records()
    keys = [key for key, _value in records]
    assert keys == sorted(keys)
    assert Counter(map(repr, records)) == Counter(map(repr, pairs))


def test_other_keys_are_refused(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://x"], map=lambda e, p: [(1, 1)], sort=True, partitions=None)
    result = node.reduce(shuffled)
    assert result.kind == "fatal"
    assert "Keys must be bytes for external sort" in result.headline and "1" in result.headline


def test_sort_ignores_the_locale_and_leaves_its_file_in_the_tasks_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    got, result = sorted_keys(tmp_path, [b"a", b"B", b"b", b"A"])
    assert [key for key, _n in got] == [b"A", b"B", b"a", b"b"]
    (scratch,) = result.node.home.rglob("sort.dl")
    assert scratch.parent.name.startswith("reduce:0-")


def test_sort_buffer_size_is_passed_on(tmp_path: Path) -> None:
    keys = [b"%06d" % ((n * 7919) % 10007) for n in range(3000)]
    got, _result = sorted_keys(tmp_path, list(keys), sort_buffer_size="64k")
    assert [key for key, _n in got] == sorted(keys)


def test_a_bad_buffer_size_is_named(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://x"], sort=True, sort_buffer_size="many")
    result = node.reduce(shuffled)
    assert result.kind == "fatal"
    assert "sort_buffer_size='many'" in result.headline


def test_a_missing_sort_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, shuffled = passing(tmp_path, ["raw://x"], sort=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = node.reduce(shuffled)
    assert result.kind == "fatal"
    assert "needs the program `sort`" in result.headline


@pytest.mark.parametrize(("script", "why"), [("echo no space >&2; exit 2", "no space"), ("kill -9 $$", "signal 9")])
def test_a_failing_sort_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    node, shuffled = passing(tmp_path, ["raw://x"], sort=True)
    fake = tmp_path / "bin" / "sort"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    result = node.reduce(shuffled)
    assert result.kind == "error"
    assert "failed: " in result.headline and why in result.headline


def test_a_sort_that_loses_data_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, shuffled = passing(tmp_path, ["raw://x y"], sort=True)
    fake = tmp_path / "bin" / "sort"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor last; do :; done\n: > "$last"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    assert node.reduce(shuffled).kind == "error"


def test_a_map_over_the_results_of_a_job(tmp_path: Path) -> None:
    from discolocal.worker.classic.func import chain_reader

    node, shuffled = passing(tmp_path, ["raw://a b"])
    url = names.disco_url(HOST, JOB, shuffled.outputs[0][1])
    second = Node(tmp_path / "second", Job(map=nop_map, map_reader=chain_reader, map_input_stream=task_input_stream))
    # The second job's node has its own data; a replica elsewhere is found through the roots of this process.
    from discolocal import schemes

    schemes.data_roots.append(str(node.root))
    try:
        assert second.map(url).records() == [("a", 1), ("b", 1)]
    finally:
        schemes.data_roots.remove(str(node.root))


def test_sizes_in_an_index_of_two_columns_are_not_checked(tmp_path: Path) -> None:
    node, shuffled = passing(tmp_path, ["raw://a b"])
    line = index.Line(0, names.disco_url(HOST, JOB, shuffled.outputs[0][1]), 0)
    location = ".disco/old.results"
    (node.home / location).write_text(f"{line.label} {line.url}\n")
    assert node.reduce(names.dir_url(HOST, JOB, location)).records() == [("a", 1), ("b", 1)]
