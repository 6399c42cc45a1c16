"""Whole jobs of external programs, in C, Python and Perl: real processes, real pipes."""

from __future__ import annotations

import os
import random
import re
import shutil
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster
from discolocal.util import external
from discolocal.worker.classic.func import sum_combiner, sum_reduce
from tests.conftest import REQUIRED, ROOT
from tests.ext.conftest import EXT
from tests.test_docs import FILES

EXAMPLES = EXT / "examples"
TEXT = "the cat and the hat\n\n  a cat\tna\u00efve \u2603\n"

pytestmark = [
    pytest.mark.filterwarnings("error::discolocal.PortabilityWarning"),
    pytest.mark.filterwarnings("ignore:.external-program.:discolocal.PortabilityWarning"),
]


@pytest.fixture(scope="module", params=["fork", "exec", "inline"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, start=request.param, seed=3) as started:
        yield started


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=1, start="inline") as started:
        yield started


@pytest.fixture
def in_c(programs: Path) -> dict[str, dict[str, bytes]]:
    """The map and the reduce of a word count in C."""
    return {stage: external([str(programs / f"wordcount_{stage}")]) for stage in ("map", "reduce")}


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(TEXT * (number + 1), encoding="utf-8")
    return [str(path) for path in sorted(tmp_path.glob("*.txt"))]


def counted(records: Iterable[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """The records of results as a count; a word that comes twice is an error."""
    counts: dict[bytes, int] = {}
    for word, number in records:
        assert word not in counts
        counts[word] = int(number)
    return counts


def test_words_are_counted(cluster: LocalCluster, in_c: dict[str, Any], texts: list[str]) -> None:
    results = cluster.run(Job(**in_c, partitions=3, ext_params={"at least": "10"}), input=texts)
    assert counted(results) == {b"the": 12, b"cat": 12}
    said = [text for _, (_, _, text) in cluster.events(results.job.name) if "different" in text]
    assert len(said) == 3


@pytest.mark.parametrize("name", ["wordcount.py", "wordcount.pl"])
def test_words_are_counted_by_scripts(inline: LocalCluster, name: str, texts: list[str]) -> None:
    if name.endswith(".pl") and shutil.which("perl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("perl is not here")
    script = external([str(EXAMPLES / name)])
    for least, words in [("0", Counter(TEXT.encode().split() * 6)), ("10", {b"the": 12, b"cat": 12})]:
        job = Job(map=script, reduce=script, ext_params={"at least": least})
        assert counted(inline.run(job, input=texts)) == words


def test_a_sorted_reduce_in_another_language(inline: LocalCluster, programs: Path, texts: list[str]) -> None:
    job = Job(
        map=external([str(programs / "wordcount_map")]),
        reduce=external([str(EXAMPLES / "wordcount.py")]),
        sort=True,
        partitions=1,
    )
    records = list(inline.run(job, input=texts))
    assert counted(records) == Counter(TEXT.encode().split() * 6)
    assert [word for word, _ in records] == sorted(word for word, _ in records), "a dict keeps the order it met"


def test_the_echo_program(inline: LocalCluster, programs: Path, texts: list[str]) -> None:
    echo = external([str(programs / "echo")])

    def pairs(lines: Iterable[str], size: object, url: object, params: object) -> Iterator[tuple[str, str]]:
        for line in lines:
            yield line.strip(), "\u2603"

    job = Job(map=echo, reduce=echo, map_reader=pairs, ext_params={"some parameter": ""})
    expected = [(line.strip().encode(), "\u2603".encode()) for line in (TEXT * 6).split("\n")[:-1]]
    assert sorted(inline.run(job, input=texts)) == sorted(expected)


def words_of(line: str, params: object) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def random_text(size: int, seed: int) -> bytes:
    """Lines of words of which few are frequent."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(string.ascii_letters, k=chance.randrange(20, 81))) for _ in range(3000)]
    shares = [1 / rank for rank in range(1, 3001)]
    lines = [" ".join(chance.choices(words, shares, k=10)) for _ in range(2000)]
    text = "\n".join(chance.choices(lines, k=size // 300))[:size]
    assert len(text) == size
    return text.encode()


def test_a_word_count_in_c_agrees_with_the_one_in_python_on_20_megabytes(in_c: dict[str, Any], tmp_path: Path) -> None:
    inputs = [str(tmp_path / str(number)) for number in range(4)]
    expected = Counter[bytes]()
    for number, path in enumerate(inputs):
        text = random_text(5_000_000, number)
        Path(path).write_bytes(text)
        expected.update(text.split())
    with LocalCluster(nodes=2) as cluster:
        in_python = cluster.run(Job(map=words_of, combiner=sum_combiner, reduce=sum_reduce, partitions=2), input=inputs)
        assert {word.encode(): number for word, number in in_python} == expected
        assert counted(cluster.run(Job(**in_c, partitions=2), input=inputs)) == expected


# The page about external programs


PAGE = (ROOT / "docs" / "external.md").read_text(encoding="utf-8")


def block(beginning: str) -> str:
    """The code block of the page that begins like that."""
    (found,) = re.findall(rf"^```\w+\n({re.escape(beginning)}.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout with the small files of the documents."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    shutil.copytree(EXT, tmp_path / "ext", ignore=shutil.ignore_patterns("build"))
    return tmp_path


def shell(commands: str, place: Path) -> None:
    done = subprocess.run(["sh", "-e", "-c", commands], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr


def python(script: str, place: Path) -> str:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::DeprecationWarning"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_program_on_the_page_is_the_example() -> None:
    assert block("#!/usr/bin/env python3") == (EXAMPLES / "wordcount.py").read_text(encoding="utf-8")


def test_the_program_in_c_on_the_page(compiler: Path, place: Path) -> None:
    (place / "grep.c").write_text(block("#include <disco.h>"))
    shell(block("make -C ext\n"), place)
    script = re.findall(r"^```text\n(from discolocal import.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert python(script[0], place) == block("a cat\n")


def test_the_c_function_on_the_page(compiler: Path, place: Path) -> None:
    (place / "shout.c").write_text(block("#include <ctype.h>"))
    shell(block("cc -shared"), place)
    script = re.findall(r"^```text\n(from discolocal import.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert python(script[1], place) == block("A CAT\n")


def drawn(beginning: str) -> bytes:
    """The bytes of a drawing."""
    (cells,) = [line for line in block(beginning).splitlines() if line.startswith("| ")]
    found = b""
    for cell in cells.strip("|").split("|"):
        name = cell.strip()
        found += (
            bytes.fromhex(name) if len(name) == 2 and name != "\\n" else {"": " ", "\\n": "\n"}.get(name, name).encode()
        )
    return found


def test_the_drawings_are_the_formats() -> None:
    from tests.ext.wire import listed, netstrings, pairs

    assert drawn("  size of the key") == pairs((b"cat", b"1"))
    assert drawn("  number of pairs") == listed((b"", b"a"), (b"", b"b"))
    assert drawn("+---+---+----+---+---+") == netstrings({b"at least": b"2"})


ANSWER = r"printf '\0\0\0\0'"
MISTAKES = {
    "cannot be started": [("#!/no/such/interpreter\n", "the interpreter"), ("words\n", "Exec format error")],
    "writes an `**<ERR>` line": [("#!/bin/sh\ncat >/dev/null\necho '**<ERR> no licence' >&2\n", "ended the task: no")],
    "exits too early": [("#!/bin/sh\n", "exited with status 0 after 0 answers, before it had answered all records")],
    "dies": [("#!/bin/sh\nkill -SEGV $$\n", "was killed by signal SIGSEGV")],
    "has another exit code than 0": [
        (f"#!/bin/sh\ncat >/dev/null\n{ANSWER}\nexit 4\n", "exited with status 4 after it had read all its input")
    ],
    "writes other things than lists": [
        ("#!/bin/sh\nhead -c 7 >/dev/null\necho words and words\ncat >/dev/null\n", "External key size exceeded"),
        (f"#!/bin/sh\ncat >/dev/null\n{ANSWER}\n{ANSWER}\n", "gave more lists than the 1 records that it was sent"),
    ],
    "stops within a list": [("#!/bin/sh\ncat >/dev/null\nprintf '\\2\\0\\0\\0'\n", "in the middle of its output")],
    "writes before it has read": [
        (f"#!/bin/sh\n{ANSWER}\nsleep 0.3\ncat >/dev/null\n", "wrote an answer before it had read anything")
    ],
}


def mistakes() -> list[list[str]]:
    """The rows of the table of errors."""
    table = PAGE.split("| the program | the error says |\n")[1].split("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]


def test_all_mistakes_on_the_page_are_tried() -> None:
    assert [row[0] for row in mistakes()] == list(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_as_the_page_says(inline: LocalCluster, mistake: str) -> None:
    said = dict(mistakes())[mistake]
    for program, words in MISTAKES[mistake]:
        with pytest.raises(JobError) as failed:
            inline.run(Job(map={"op": program}), input=["raw://abc"])
        text = str(failed.value)
        assert words in text
        quoted = re.findall(r"`(.*?)`", said)
        assert any(re.sub(r"\d+", "1", part) in re.sub(r"\d+", "1", text) for part in quoted), text
        assert " times" not in text
