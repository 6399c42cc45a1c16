"""External programs as map and reduce, alone and beside functions, however workers start (reference 8.12)."""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest

import discolocal
from discolocal import Job, LocalCluster
from discolocal.util import external
from discolocal.worker.classic.external import package
from tests.behaviour.actor import acting, actor, compiled, script
from tests.behaviour.classic import Write

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

TEXTS = ("the quick brown fox\njumps over the lazy dog\n", "the end of\nthe story of fox and dog")
COUNTS = {word.encode(): count for word, count in Counter(" ".join(TEXTS).split()).items()}

PYTHON_MAP = script("for _, line in pairs(): answer(*[(word, b'1') for word in line.split()])")
PYTHON_REDUCE = script(
    "sums = {}\n"
    "for word, count in pairs(): sums[word] = sums.get(word, 0) + int(count)\n"
    "for word, count in sorted(sums.items()): answer((word, str(count).encode()))\n"
)
PERL = r"""#!/usr/bin/perl
use strict;
binmode(STDIN); binmode(STDOUT); $| = 1;
sub bytes { my ($n) = @_; my $d = ""; read(STDIN, $d, $n) if $n; return $d; }
sub item { my $n = bytes(4); return length($n) ? bytes(unpack("V", $n)) : undef; }
sub answer { my $d = pack("V", @_ / 2); $d .= pack("V/a*", $_) for @_; syswrite(STDOUT, $d); }
bytes(<STDIN> + 0);
my %sums;
while (defined(my $key = item())) {
    my $value = item();
    if ($ARGV[0] eq "map") { answer(map { ($_, "1") } split(" ", $value)); }
    else { $sums{$key} += $value; }
}
if ($ARGV[0] eq "reduce") { answer($_, $sums{$_}) for sort keys %sums; }
"""
SHELL = {
    "op": "#!/bin/sh\nset -e\ntest \"$1\" = map\necho '**<MSG>' in sh >&2\nexec ./worker.py $1 < /dev/stdin\n",
    "worker.py": PYTHON_MAP["op"],
}


def words(line: str, params: Any) -> Any:
    for word in line.split():
        yield word, "1"


def total(records: Any, params: Any) -> Any:
    sums: Counter[Any] = Counter()
    for word, count in records:
        sums[word] += int(count)
    yield from sums.items()


def numbers(results: Any) -> dict[Any, int]:
    found = [(key if isinstance(key, bytes) else key.encode(), int(value)) for key, value in results]
    assert len(found) == len(dict(found)), "a key is in two results"
    return dict(found)


@pytest.fixture
def inputs(write: Write) -> list[str]:
    return [write(f"{number}.txt", text) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    """For what does not depend on how workers start."""
    with LocalCluster(nodes=1, start="inline", seed=3) as started:
        yield started


COMBINATIONS = {
    "map": {"map": PYTHON_MAP, "reduce": total},
    "reduce": {"map": words, "reduce": PYTHON_REDUCE},
    "reduce, sorted": {"map": words, "reduce": PYTHON_REDUCE, "sort": True},
    "both": {"map": PYTHON_MAP, "reduce": PYTHON_REDUCE},
    "perl": {"map": {"op": PERL}, "reduce": {"op": PERL}},
    "shell": {"map": SHELL, "reduce": total},
}


@pytest.mark.parametrize("what", COMBINATIONS)
def test_word_counts(inline: LocalCluster, inputs: list[str], what: str) -> None:
    if what == "perl" and shutil.which("perl") is None:
        pytest.skip("there is no perl")
    assert numbers(inline.run(Job(**COMBINATIONS[what], partitions=3), input=inputs)) == COUNTS


def test_a_word_count_by_programs_alone(cluster: LocalCluster, inputs: list[str]) -> None:
    job = Job(map=PYTHON_MAP, reduce=PYTHON_REDUCE, sort=True, partitions=2)
    assert numbers(cluster.run(job, input=inputs)) == COUNTS


def test_a_sorted_reduce_gets_its_pairs_in_order(inline: LocalCluster, inputs: list[str]) -> None:
    in_order = script("for key, value in pairs(): answer((key, value))")
    got = list(inline.run(Job(map=words, reduce=in_order, sort=True), input=inputs))
    assert got == sorted((word.encode(), b"1") for text in TEXTS for word in text.split())


def by_length(key: bytes, count: int, params: Any) -> int:
    return len(key) % count


def adding(key: bytes, value: bytes, buffer: dict[bytes, int], done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + int(value)
    return None


def labelled(records: Any, params: Any) -> Any:
    for word, count in records:
        yield word, (this_partition(), count)  # type: ignore[name-defined]  # noqa: F821 (injected)


def test_partition_and_combiner_get_the_pairs_of_a_program(inline: LocalCluster, inputs: list[str]) -> None:
    job = Job(map=PYTHON_MAP, reduce=labelled, partition=by_length, combiner=adding, partitions=3)
    sums: Counter[bytes] = Counter()
    for word, (label, count) in inline.run(job, input=inputs):
        assert label == len(word) % 3
        sums[word] += count
    assert dict(sums) == COUNTS


def pairs_of_lines(stream: Any, size: Any, url: str, params: Any) -> Any:
    for number, line in enumerate(stream):
        yield (str(number), line.rstrip("\n").encode()) if number % 2 else line


def skipping(entries: Any, params: Any) -> None:
    next(entries)


def test_entries_are_single_strings_or_pairs_of_text_or_bytes(inline: LocalCluster, write: Write) -> None:
    lines = write("lines", "a\nb\nc\né\n".encode() + b"\xff")
    assert list(inline.run(acting("E"), input=[lines])) == [
        (b"", line) for line in (b"a\n", b"b\n", b"c\n", "é\n".encode(), b"\xff")
    ]
    assert list(inline.run(acting("E", map_reader=pairs_of_lines, map_init=skipping), input=[lines])) == [
        (b"1", b"b"),
        (b"", b"c\n"),
        (b"3", "é".encode()),
        (b"", b"\xff"),
    ]
    assert list(inline.run(acting("E", encoding=None), input=[lines]))[0] == (b"", b"a\n")


def test_a_task_without_records(inline: LocalCluster, write: Write) -> None:
    assert list(inline.run(acting("E"), input=[write("empty", "")])) == []
    reduce = acting("Rw01000000010000006100000000", "reduce", reduce_reader=None)
    assert list(inline.run(reduce, input=[write("empty", "")])) == [(b"a", b"")]


def test_a_reduce_may_write_before_it_reads_and_nothing_at_all(inline: LocalCluster) -> None:
    assert list(inline.run(acting("R", "reduce", map=words), input=["raw://a-b"])) == []
    early = acting("w01000000010000006100000000R", "reduce", map=words)
    assert list(inline.run(early, input=["raw://a-b"])) == [(b"a", b"")]


WHERE = script(
    "read = lambda name: open(name, 'rb').read()\n"
    "for _ in pairs():\n"
    "    answer((sys.argv[1].encode(), params), (b'conf', read('conf') + read('ext.map/conf')),\n"
    "           (b'lib', read('lib/shared')), (b'deep', read('deep/er/data')))\n"
)


def test_what_a_program_finds_around_it(cluster: LocalCluster) -> None:
    files = {"lib/shared": b"of all", "deep/er/data": "far"}
    job = Job(map={**WHERE, "conf": b"mine "}, ext_params={"a b": "c"}, required_files=files)
    assert dict(cluster.run(job, input=["raw://x"])) == {
        b"map": b"3 a b 1 c\n",
        b"conf": b"mine mine ",
        b"lib": b"of all",
        b"deep": b"far",
    }


def test_two_programs_have_files_of_their_own(inline: LocalCluster) -> None:
    source = "for key, value in pairs(): answer((key, value + open('name', 'rb').read()))"
    job = Job(map={**script(source), "name": b"map"}, reduce={**script(source), "name": "reduce"})
    assert list(inline.run(job, input=["raw://x-"])) == [(b"", b"x-mapreduce")]


PARAMS = [
    ({}, b"0\n"),
    (None, b"0\n"),
    ({"k": "v w", "é": ""}, b"18\n1 k 3 v w\n2 \xc3\xa9 0 \n"),
    ("text of\nmine", b"text of\nmine"),
    (b"\0\xff", b"\0\xff"),
    ("", b""),
]


@pytest.mark.parametrize(("params", "given"), PARAMS)
def test_parameters_come_first(inline: LocalCluster, params: Any, given: bytes) -> None:
    reading = (
        f"#!{sys.executable} -IS\nimport struct, sys\n"
        f"data = sys.stdin.buffer.read({len(given) + 9})\n"
        "sys.stdout.buffer.write(struct.pack('<III', 1, 0, len(data)) + data)\n"
    )
    (record,) = inline.run(Job(map={"op": reading}, ext_params=params), input=["raw://x"])
    assert record == (b"", given + b"\0\0\0\0" + b"\1\0\0\0x")


def test_what_is_on_standard_error_becomes_messages(cluster: LocalCluster) -> None:
    do = "t**<MSG> of form~without form~**<MSG>~  ~**<MSG> caf\xe9~no end;E"
    results = cluster.run(acting(do), input=["raw://x"])
    assert list(results) == [(b"", b"x")]
    texts = [text for _, (_, _, text) in results.job.events()]
    told = [match[1] for text in texts if (match := re.fullmatch(r"MSG: \[map:0\] (.*)", text))]
    assert [text for text in told if "entries" not in text and "Results" not in text and "Portab" not in text] == [
        "of form",
        "without form",
        "café",
        "no end",
    ]


SIZE = 50_000_000
BOTH_FULL = script(
    f"answer((b'early', bytes({SIZE})))\n"
    "for key, value in pairs(): answer((b'late', b'%d' % len(value)), (b'whole', value))\n"
)


def great(line: str, params: Any) -> Any:
    yield "k", bytes(SIZE)


def sizes(records: Any, params: Any) -> Any:
    for key, value in records:
        yield key, len(value)


def test_big_records_go_through_while_both_pipes_are_full(forked: LocalCluster) -> None:
    """In worker processes alone: what they need is given back."""
    found = forked.run(Job(map=great, reduce=BOTH_FULL), input=["raw://x"])
    assert [(key, value if key == b"late" else len(value)) for key, value in found] == [
        (b"early", SIZE),
        (b"late", b"%d" % SIZE),
        (b"whole", SIZE),
    ]


def test_a_big_record_goes_through_a_map(forked: LocalCluster, write: Write) -> None:
    whole = write("big", bytes(SIZE))
    assert list(forked.run(acting("E", reduce=sizes), input=[whole])) == [(b"", SIZE)]


def stripped(stream: Any, size: Any, url: str, params: Any) -> Any:
    for line in stream:
        yield "key", line.strip()


def test_the_c_functions_of_the_documents(inline: LocalCluster, write: Write) -> None:
    job = Job(map={"op": compiled("documented.c")}, map_reader=stripped, ext_params={"a": "b"})
    results = inline.run(job, input=[write("lines", "one\n\ntwo\n\n")])
    assert list(results) == [(b"", b"")] * 2
    assert [text for _, (_, _, text) in results.job.events() if "all read" in text] == ["MSG: [map:0] all read"]
    with pytest.raises(discolocal.JobError, match="ended the task: no value at all"):
        inline.run(job, input=[write("empty", "\n\n")])


def test_the_names_of_disco(write: Write) -> None:
    paths = [write("some/program", b"\x7fELF"), write("other/config", b"c")]
    assert discolocal.external is external
    assert external(paths) == package(paths) == {"op": b"\x7fELF", "config": b"c"}


def test_a_home_has_the_programs() -> None:
    job = Job(map={**actor(), "x": "é"}, reduce=actor(), input=["raw://x"])
    with ZipFile(BytesIO(job.pack().jobhome)) as home:
        names = {name for name in home.namelist() if name.startswith("ext")}
        assert names == {"ext.map/op", "ext.map/x", "ext.reduce/op"}
        assert home.read("ext.map/op") == actor()["op"] and home.read("ext.map/x") == "é".encode()
