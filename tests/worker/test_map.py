"""The map stage: partitions, combiners, input streams, names in the functions, keys and files."""

from __future__ import annotations

import gzip
from collections import Counter
from fractions import Fraction
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from discolocal.job import Job
from discolocal.worker import Params
from discolocal.worker.classic.func import (
    make_range_partition,
    nop_map,
    re_reader,
    sum_combiner,
    sum_reduce,
    task_input_stream,
)
from discolocal.worker.task_io import gzip_reader, gzip_stream
from tests.worker.harness import HOST, JOB, TEXT, Node, words


def label_of(key: str, count: int) -> int:
    """The rule for text keys, from the reference: md5 of the text as a number."""
    return int(md5(key.encode()).hexdigest(), 16) % count


def mapped(tmp_path: Path, url: str, **parameters: Any) -> dict[int, list[Any]]:
    result = Node(tmp_path / "data", Job(**{"map": words, **parameters})).map(url)
    assert result.kind == "done", result.text
    return result.by_label()


def test_records_go_to_the_partition_of_their_key_in_order(tmp_path: Path, text: str) -> None:
    want: dict[int, list[Any]] = {}
    for word in TEXT.split():
        want.setdefault(label_of(word, 4), []).append((word, 1))
    got = mapped(tmp_path, text, partitions=4)
    assert got == want
    assert list(got) == list(want)  # outputs in order of first use


def test_without_partitions_there_is_one_output(tmp_path: Path, text: str) -> None:
    assert mapped(tmp_path, text, partitions=None) == {0: [(word, 1) for word in TEXT.split()]}


def test_a_partition_function_of_the_user_is_called_with_params(tmp_path: Path, text: str) -> None:
    def by_length(key: str, count: int, params: Any) -> int:
        return (len(key) + params.shift) % count

    got = mapped(tmp_path, text, partitions=3, partition=by_length, params=Params(shift=1))
    want: dict[int, list[Any]] = {}
    for word in TEXT.split():
        want.setdefault((len(word) + 1) % 3, []).append((word, 1))
    assert got == want


@pytest.mark.parametrize("partitions", [None, 1, 3])
def test_sum_combiner_sums_by_key(tmp_path: Path, text: str, partitions: int | None) -> None:
    got = mapped(tmp_path, text, partitions=partitions, combiner=sum_combiner)
    want: dict[int, dict[str, int]] = {}
    for word, count in Counter(TEXT.split()).items():
        want.setdefault(label_of(word, partitions) if partitions else 0, {})[word] = count
    assert got == {label: list(counts.items()) for label, counts in want.items()}


def test_sum_combiner_hands_sums_on_before_they_fill_the_memory(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discolocal.worker.classic.mapping.MAX_SUMS", 2)
    got = mapped(tmp_path, text, combiner=sum_combiner)
    sums: Counter[str] = Counter()
    for word, count in got[0]:
        sums[word] += count
    assert sums == Counter(TEXT.split())
    assert len(got[0]) > len(sums)


def test_the_same_sums_with_the_function_called_by_a_combiner_of_the_user(tmp_path: Path, text: str) -> None:
    def wrapped(key: Any, value: Any, buffer: Any, done: bool, params: Any) -> Any:
        return sum_combiner(key, value, buffer, done, params)

    want = mapped(tmp_path / "1", text, combiner=sum_combiner, partitions=3)
    assert mapped(tmp_path / "2", text, combiner=wrapped, partitions=3) == want


def test_a_combiner_has_a_buffer_for_each_partition_and_a_last_call(tmp_path: Path, text: str) -> None:
    def flushing(key: Any, value: Any, buffer: Any, done: bool, params: Any) -> Any:
        if done:
            assert key is None and value is None
            yield "rest", sorted(buffer)
            return
        buffer[key] = True
        if len(buffer) == 2:
            yield "two", sorted(buffer)
            buffer.clear()

    got = mapped(tmp_path, text, combiner=flushing, partitions=2)
    for label, records in got.items():
        held: set[str] = set()
        want = []
        for word in (w for w in TEXT.split() if label_of(w, 2) == label):
            held.add(word)
            if len(held) == 2:
                want.append(("two", sorted(held)))
                held.clear()
        assert records == [*want, ("rest", sorted(held))]


def test_a_map_that_gives_nothing_has_no_output(tmp_path: Path, text: str) -> None:
    assert mapped(tmp_path, text, map=lambda line, params: []) == {}


def test_map_init_may_take_entries_and_set_params(tmp_path: Path, text: str) -> None:
    def init(entries: Any, params: Any) -> None:
        params.header = next(entries)

    def with_header(line: str, params: Any) -> Any:
        return [(line, params.header)]

    node = Node(tmp_path / "data", Job(map=with_header, map_init=init, params=Params()))
    result = node.map(text)
    lines = TEXT.splitlines(keepends=True)
    assert result.records() == [(line, lines[0]) for line in lines[1:]]
    assert f"Done: {len(lines)} entries mapped" in result.messages


def test_readers_and_streams_form_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))

    def numbered(stream: Any, size: Any, url: str, params: Any) -> Any:
        return enumerate(stream, params), 5, "new://url"

    def reader(stream: Any, size: int, url: str) -> Any:
        for number, line in stream:
            yield (url, size), (number, line)

    got = mapped(
        tmp_path,
        str(path),
        map=nop_map,
        map_input_stream=(task_input_stream, gzip_reader, numbered),
        map_reader=reader,
        params=7,
    )
    lines = TEXT.splitlines(keepends=True)
    assert got[0] == [(("new://url", 5), (number, line)) for number, line in enumerate(lines, 7)]


def test_a_reader_gets_bytes_and_a_size(tmp_path: Path, text: str) -> None:
    def reader(fd: Any, size: int, url: str, params: Any) -> Any:
        yield url, (size, fd.read(9), next(iter(fd)), fd.read(3))

    got = mapped(tmp_path, text, map=nop_map, map_reader=reader)
    assert got[0] == [(text, (len(TEXT), b"the quick", " brown fox\n", b"jum"))]


def test_csv_reads_a_file_of_the_task(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('a,"b\n c",d\r\n1,é,3\n')

    def rows(fd: Any, size: int, url: str, params: Any) -> Any:
        import csv

        yield from csv.reader(fd)

    got = mapped(tmp_path, str(path), map=lambda row, params: [(row[0], row)], map_reader=rows)
    assert got[0] == [("a", ["a", "b\n c", "d"]), ("1", ["1", "é", "3"])]


def test_re_reader_as_in_the_documents(tmp_path: Path, text: str) -> None:
    def reader(fd: Any, size: int, url: str, params: Any) -> Any:
        return re_reader(rb"(.*?)\n", fd, size, url)

    got = mapped(tmp_path, text, map=lambda groups, params: [(groups[0], None)], map_reader=reader)
    assert got[0] == [(line.encode(), None) for line in TEXT.splitlines()]


def test_status_messages(tmp_path: Path, text: str) -> None:
    for interval, want in ((4, ["4 entries mapped", "8 entries mapped"]), (0, [])):
        node = Node(tmp_path / f"data{interval}", Job(map=words, status_interval=interval))
        assert node.map(text).messages == [*want, "Done: 9 entries mapped", "Results sent to master"]


def test_names_of_disco_are_there_unless_the_user_has_them(tmp_path: Path) -> None:
    space: dict[str, Any] = {"this_host": lambda: "mine"}
    exec(
        "def f(line, params):\n"
        "    yield this_name(), this_master()\n"
        "    yield this_host(), this_partition()\n"
        "    yield Task.taskid, this_inputs()\n"
        "    yield re.sub('a', 'b', 'a'), list(util.flatten([[1], 2]))\n"
        "    yield list(map(str, [1])), chain_reader.__name__\n",
        space,
    )
    got = mapped(tmp_path, "raw://x", map=space["f"], partitions=None)
    assert got[0] == [
        ("Test@703:3c361:b91aa", "http://localhost:8989"),
        ("mine", 0),
        (0, [["raw://x"]]),
        ("b", [1, 2]),
        (["1"], "disco_input_stream"),
    ]


def test_required_modules_are_names_in_the_functions(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec("def f(line, params):\n    yield path.basename(line), colorsys.__name__\n", space)
    got = mapped(tmp_path, "raw://a/b", map=space["f"], required_modules=["os.path", "colorsys"])
    assert got[0] == [("b", "colorsys")]


def test_functions_of_a_job_class(tmp_path: Path) -> None:
    class Mixed(Job):
        offset = 3

        def map(self, line: str, params: Any) -> Any:  # a method: gets the job
            return [(line, self.offset)]

        def partition(key: str, count: int, params: Any) -> int:  # a plain function: called without the job
            return count - 1

        partitions = 2

        @classmethod
        def map_init(cls, entries: Any, params: Any) -> None:
            cls.offset = 4

    result = Node(tmp_path / "data", Mixed()).map("raw://x")
    assert result.by_label() == {1: [("x", 4)]}, result.text


def test_put_keeps_a_value_for_the_node_to_commit(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec("def f(line, params):\n    put('k', b'1')\n    return [(get('k'), 1)]\n", space)
    node = Node(tmp_path / "data", Job(map=space["f"]))
    assert node.map("raw://x").kind == "done"
    (path,) = (path for path in (tmp_path / "ddfs").rglob("*") if path.is_file())
    assert path.relative_to(tmp_path / "ddfs").as_posix() == f"oob/.{JOB}/0-0/k"
    assert path.read_bytes() == b"k 0\n1"


# Keys of other types


def test_equal_numbers_share_a_partition_and_cause_a_warning(tmp_path: Path) -> None:
    keys = [1, 1.0, True, 2.5, None, (1, "a"), (1.0, "a"), frozenset([1, 2]), "text", b"text", -0.0, 0]
    result = Node(tmp_path / "data", Job(map=lambda e, p: [(k, 0) for k in keys], partitions=5)).map("raw://x")
    assert result.kind == "done", result.text
    labels = {(k.__class__.__name__, repr(k)): label for label, recs in result.by_label().items() for k, _ in recs}
    for equal in (
        [("int", "1"), ("float", "1.0"), ("bool", "True")],
        [("str", "'text'"), ("bytes", "b'text'")],
        [("float", "-0.0"), ("int", "0")],
        [("tuple", "(1, 'a')"), ("tuple", "(1.0, 'a')")],
    ):
        assert len({labels[key] for key in equal}) == 1, equal
    assert [w.split("]")[0] for w in result.warnings] == ["PortabilityWarning [key-type"]


def test_in_a_strict_cluster_the_warning_is_an_error(tmp_path: Path) -> None:
    node = Node(tmp_path / "data", Job(map=lambda e, p: [(1, 0)]), local={"strict": True, "start": "inline"})
    result = node.map("raw://x")
    assert result.kind == "fatal"
    assert "PortabilityWarning: [key-type]" in result.headline


def test_a_key_without_a_stable_form_is_refused_by_name(tmp_path: Path) -> None:
    result = Node(tmp_path / "data", Job(map=lambda e, p: [([1, 2], 0)], partitions=2)).map("raw://x")
    assert result.kind == "fatal"
    assert "TypeError" in result.headline and "[1, 2]" in result.headline


def test_range_partition(tmp_path: Path) -> None:
    job = Job(map=lambda e, p: [(k, 0) for k in (-5, 0, 4.9, 5, 10, 99)], partition=make_range_partition(0, 10))
    result = Node(tmp_path / "data", job, partitions=2).map("raw://x")
    assert result.by_label() == {0: [(-5, 0), (0, 0), (4.9, 0)], 1: [(5, 0), (10, 0), (99, 0)]}


@pytest.mark.parametrize("key", [-2.220446049250313e-16, 0.1, 29.999999999999996, 9.999999999999998])
def test_range_partition_rounds_equal_numbers_alike(key: float) -> None:
    partition = make_range_partition(-10, 30)
    assert {partition(Fraction(key), count) - partition(key, count) for count in range(1, 50)} == {0}


@pytest.mark.parametrize(
    ("value", "why"),
    [(3, "range(3), not 3"), (-1, "not -1"), (True, "True"), (1.0, "1.0"), ("1", "'1'"), (None, "None")],
)
def test_a_bad_partition_is_refused_with_its_key(tmp_path: Path, value: Any, why: str) -> None:
    job = Job(map=words, partitions=3, partition=lambda key, count, params: value)
    result = Node(tmp_path / "data", job).map("raw://word")
    assert result.kind == "fatal"
    assert result.headline.startswith("partition failed at record 1 of raw://word: ")
    assert why in result.headline and "'word'" in result.headline


def test_a_partition_function_that_fails(tmp_path: Path) -> None:
    result = Node(tmp_path / "data", Job(map=words, partition=lambda k, n, p: 1 // 0)).map("raw://word")
    assert result.headline == (
        "partition failed at record 1 of raw://word: ZeroDivisionError: integer division or modulo by zero"
        " (key: 'word')"
    )


# Names of files


def test_text_of_raw_urls_in_file_names(tmp_path: Path) -> None:
    job = Job(map=words)
    for number, (host, part, warned) in enumerate(
        (
            ("plain", "map-0-plain-0", False),
            ("a,b", "map-0-a,b-0", False),
            ("hello world", "map-0-hello_world-0", True),
            ("é", "map-0-_-0", True),
            ("x" * 300, f"map-0-{'x' * 100}-0", True),
        )
    ):
        result = Node(tmp_path / f"data{number}", job).map(f"raw://{host}", host=host)
        assert result.kind == "done", result.text
        assert result.outputs[0][1].rsplit("/", 1)[1] == part
        assert bool(result.warnings) is warned
        shuffled = result.node.shuffle(result)
        assert shuffled.kind == "done", shuffled.text


def test_two_attempts_of_a_task_do_not_share_a_directory(tmp_path: Path) -> None:
    node = Node(tmp_path / "data", Job(map=words))
    seen = set()
    for _ in range(20):
        node.taskid = -1
        seen.add(node.map("raw://a").outputs[0][1])
    assert len(seen) == 20


def test_files_of_gzip_stream(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    got = mapped(tmp_path, str(path), map_input_stream=gzip_stream, combiner=sum_combiner)
    assert dict(got[0]) == Counter(TEXT.split())


def test_intermediate_files_are_stored_and_results_compressed(tmp_path: Path) -> None:
    data = "raw://" + "word " * 2000
    between = Node(tmp_path / "1", Job(map=words, reduce=sum_reduce)).map(data, host=HOST).outputs[0][2]
    result = Node(tmp_path / "2", Job(map=words)).map(data, host=HOST).outputs[0][2]
    assert result * 10 < between
