"""The table of portability codes, the page about it, and the source agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from discolocal.wire.portability import CLIENT, CODES, NOTE, REFUSED, WARNING

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "discolocal"
PAGE = (ROOT / "docs" / "portability.md").read_text(encoding="utf-8")

SECTIONS = {
    WARNING: "What a run warns of",
    CLIENT: "What only Disco's own client cannot send",
    REFUSED: "What is an error here as well",
    NOTE: "What only a check mentions",
}

ADVISED = {
    1,
    2,
    3,
    4,
    5,
    8,
    9,
    10,
    13,
    14,
    17,
    18,
    19,
    20,
    23,
    24,
    25,
    27,
    30,
    31,
    32,
    33,
    36,
    38,
    43,
    45,
    46,
    47,
    51,
    53,
}
"""The traps of section 9 for which the description of Disco advises to work and to warn (24: to show it)."""

NAMING = {"warn", "notice", "refusal", "portability", "_finding", "PortabilityWarning"}
"""Functions whose first argument is a code."""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def literals() -> Iterator[tuple[str, str]]:
    """(place, code) for each code that the source names."""
    for path in PACKAGE.rglob("*.py"):
        if path.name == "portability.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in NAMING and isinstance(node.args[0], ast.Constant):
                    yield place, str(node.args[0].value)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("portability", "finding"):
                first = node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value
                if isinstance(first, ast.Constant) and first.value:
                    yield place, str(first.value)
            elif isinstance(node, ast.Tuple):  # a table of codes
                texts = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
                yield from ((place, text) for text in texts if text in CODES)


def test_the_source_names_codes_of_the_table_and_all_of_them() -> None:
    named = list(literals())
    assert [(place, code) for place, code in named if code not in CODES] == []
    assert {code for _, code in named} == set(CODES)


@pytest.mark.parametrize("level", SECTIONS)
def test_the_page_says_what_the_table_says(level: str) -> None:
    expected = [
        [f"`{code}`", ", ".join(map(str, known.traps)) or "-", known.consequence, known.change]
        for code, known in sorted(CODES.items())
        if known.level == level
    ]
    assert expected
    assert rows(section(SECTIONS[level])) == expected


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_a_stable_name_with_a_consequence_and_a_change(code: str) -> None:
    known = CODES[code]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", code)
    assert known.level in SECTIONS
    assert known.consequence and known.change
    assert not known.change.endswith(".") and "|" not in known.consequence + known.change
    assert all(0 < trap <= 55 for trap in known.traps)


def test_the_page_goes_through_the_traps_one_by_one() -> None:
    table = rows(section("Trap by trap"))
    assert [int(row[0]) for row in table] == sorted(ADVISED)
    assert all(row[1] and row[2] for row in table)


def test_the_table_of_traps_names_the_codes_of_each_trap() -> None:
    for number, _, answer in rows(section("Trap by trap")):
        codes = {text for text in re.findall(r"`([a-z-]+)`", answer) if "-" in text}
        assert codes <= set(CODES), number
        expected = {code for code, known in CODES.items() if int(number) in known.traps}
        assert codes & expected or (not codes and not expected), (number, codes, expected)
        assert all(known in answer for known in expected), (number, expected)


def test_every_code_of_a_trap_that_is_advised_is_in_the_table_of_traps() -> None:
    text = section("Trap by trap")
    assert [code for code, known in CODES.items() if ADVISED & set(known.traps) and f"`{code}`" not in text] == []
