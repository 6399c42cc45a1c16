"""The examples of `ext/examples`, each fed by hand: programs with the C library, and some that need nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import REQUIRED, golden_root
from tests.ext import wire
from tests.ext.conftest import EXT
from tests.ext.wire import SOME, Done, error, listed, lists, netstrings, pairs, parsed

EXAMPLES = EXT / "examples"
LANGUAGES = ("c", "python", "perl")
TEXTS = [
    b"the cat and the hat\n",
    b"",
    b" \t\n\x0b\x0c\r",
    b"a" * 5000 + b" \xff\xfe na\xc3\xafve the",
    b"\xa0\x85 \x1c \0 the",
]


@pytest.fixture(params=LANGUAGES)
def words(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The map and the reduce of a word count."""
    if request.param == "c":
        build: Path = request.getfixturevalue("checked")
        return build / "wordcount_map", build / "wordcount_reduce"
    if request.param == "perl" and shutil.which("perl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("perl is not here")
    program = EXAMPLES / ("wordcount.py" if request.param == "python" else "wordcount.pl")
    return program, program


def test_a_map_answers_each_text_with_its_words(words: tuple[Path, Path]) -> None:
    done = wire.run(words[0], "map", data=b"0\n" + pairs(*((b"", text) for text in TEXTS)))
    assert (done.code, done.lines) == (0, [])
    assert parsed(done.output) == [[(word, b"1") for word in text.split()] for text in TEXTS]


@pytest.mark.parametrize("least", [None, 1, 2, 3])
def test_a_reduce_adds_up(words: tuple[Path, Path], least: int | None) -> None:
    given = [(b"the", b"2"), (b"", b"0"), (b"a\0b", b"5"), (b"the", b"1"), (b"a\0c", b"2"), (b"\xff", b"1")]
    params = netstrings({} if least is None else {b"other": b"x\n", b"at least": b"%d" % least})
    done = wire.run(words[1], "reduce", data=params + pairs(*given))
    sums = Counter[bytes]()
    for key, number in given:
        sums[key] += int(number)
    found = [pair for entries in parsed(done.output) for pair in entries]
    assert sorted(found) == sorted((key, b"%d" % total) for key, total in sums.items() if total >= (least or 0))
    assert (
        done.code == 0 and len(done.lines) == 1 and re.fullmatch(r"\*\*<MSG> 5 different (words|keys)", done.lines[0])
    )


def test_no_input_at_all(words: tuple[Path, Path]) -> None:
    assert wire.run(words[0], "map", data=b"0\n") == Done(0, b"", [])
    done = wire.run(words[1], "reduce", data=b"0\n")
    assert done.code == 0 and parsed(done.output) in ([], [[]])


def test_input_that_is_cut_off_is_an_error(words: tuple[Path, Path]) -> None:
    whole = b"0\n" + pairs((b"key", b"12"))
    for cut in (3, 5, 6, 8, 9, 12, 13, 14):  # within and between all parts of the pair
        assert cut < len(whole)
        stage, program = ("map", words[0]) if cut % 2 else ("reduce", words[1])
        assert "input ends" in error(wire.run(program, stage, data=whole[:cut]))


def test_values_that_are_no_numbers_end_the_reduce_in_c(checked: Path) -> None:
    for value in (b"", b"x", b"1x", b"-1", b" 1", b"1\0", b"9" * 30):
        done = wire.run(checked / "wordcount_reduce", data=b"0\n" + pairs((b"key", value)))
        assert error(done).startswith("not a number: <")
    many = [(b"key", b"18446744073709551615"), (b"key", b"1")]
    assert error(wire.run(checked / "wordcount_reduce", data=b"0\n" + pairs(*many))) == "the sum of <key> is too large"


def test_the_program_in_python_needs_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(EXAMPLES / "wordcount.py"), "map"],
        input=b"0\n" + pairs((b"", b"a b")),
        capture_output=True,
    )
    assert done.stdout == listed((b"a", b"1"), (b"b", b"1"))


def test_scripts_are_programs() -> None:
    for name in ("wordcount.py", "wordcount.pl"):
        assert (EXAMPLES / name).stat().st_mode & 0o111 == 0o111
        assert (EXAMPLES / name).read_text().startswith("#!/usr/bin/env p")


# The example of Disco's documentation


def test_the_echo_program_gives_back_what_it_gets(checked: Path) -> None:
    entries = [*SOME, *((b"%d" % n, b"") for n in range(20_000))]
    done = wire.run(checked / "echo", "map", data=netstrings({b"some parameter": b"x"}) + pairs(*entries))
    assert (done.code, done.output) == (0, lists(*entries))
    assert done.lines == [
        "**<MSG> Got key <> val <>",
        "**<MSG> Got key <9992> val <>",
        "**<MSG> Got key <19992> val <>",
        "**<MSG> 20008 key-value pairs read ok",
    ]


@pytest.mark.parametrize("params", [b"0\n", netstrings({b"some paramete": b"", b"some parameter ": b""})])
def test_the_echo_program_wants_its_parameter(checked: Path, params: bytes) -> None:
    assert error(wire.run(checked / "echo", data=params + pairs(*SOME))) == "parameter missing"


def test_the_echo_program_is_the_documented_one_word_for_word() -> None:
    golden = golden_root()
    place = golden.parent / "reference" / "seeds" if golden is not None else None
    if place is None or not place.is_dir():
        (pytest.fail if REQUIRED else pytest.skip)("the documents of Disco are not here: set DISCOLOCAL_GOLDEN")
    documented = {
        match[0]
        for path in place.glob("*.txt")
        for match in re.finditer(r"^#include <disco\.h>\n(?:.*\n)*?}\n", path.read_text(encoding="utf-8"), re.MULTILINE)
        if match[0].count("{") == match[0].count("}")  # one of the documents has lost lines
    }
    assert documented == {(EXAMPLES / "echo.c").read_text(encoding="utf-8")}
