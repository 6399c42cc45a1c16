"""What the package shows to its users is there, is documented, and the tree keeps its own rules of tidiness."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import discolocal

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "discolocal"
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")

GENERATED = {".git", ".tox", ".venv", "build", "dist", "__pycache__", ".hypothesis"}
GENERATED |= {".mypy_cache", ".ruff_cache", ".pytest_cache"}
TEXT = {".py", ".md", ".cfg", ".ini", ".toml", ".txt", ".json", ".in", ".c", ".h", ".sh", ""}

MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/")
"""A path of the machine that somebody worked on."""

UNFINISHED = re.compile(r"\b(?:TO" "DO|FIX" r"ME|XX" r"X|HA" r"CK|WI" r"P)\b")
"""Marks of work that was put off."""


def tree() -> Iterator[Path]:
    """The text files of the project, without what tools have made."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in GENERATED and not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in files if Path(name).suffix in TEXT)


def documented(name: str) -> bool:
    """Whether docs/reference.md names it in code spans: `name`, `name(...)` or `module.name`."""
    return re.search(rf"`(?:[\w.]+\.)?{re.escape(name)}\b[^`]*`", REFERENCE) is not None


@pytest.mark.parametrize("name", sorted(discolocal.__all__))
def test_a_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(discolocal, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"{name} has no docstring"
    assert documented(name), f"docs/reference.md does not name {name}"


def test_dir_lists_the_public_names() -> None:
    assert set(discolocal.__all__) <= set(dir(discolocal))


@pytest.mark.parametrize("name", sorted(n for n in discolocal.__all__ if inspect.isclass(getattr(discolocal, n))))
def test_public_methods_have_docstrings(name: str) -> None:
    classes = [c for c in inspect.getmro(getattr(discolocal, name)) if c.__module__.startswith("discolocal")]
    public = [(c.__name__, n, m) for c in classes for n, m in vars(c).items() if not n.startswith("_")]
    documentable = (staticmethod, classmethod, property)
    own = [(c, n, m) for c, n, m in public if inspect.isroutine(m) or isinstance(m, documentable)]
    assert [f"{c}.{n}" for c, n, m in own if not inspect.getdoc(m)] == []


def test_every_argument_of_a_cluster_is_documented() -> None:
    arguments = list(inspect.signature(discolocal.LocalCluster).parameters)
    assert [name for name in arguments if not documented(name)] == []


@pytest.mark.parametrize("kind", ["classic", "pipeline"])
def test_every_job_parameter_is_documented(kind: str) -> None:
    worker = importlib.import_module(f"discolocal.worker.{kind}.worker").Worker()
    assert [name for name in worker if not documented(name)] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_one_room(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    assert text.startswith(('"""', "#!")), "a module starts with what it is for"


def test_no_file_names_a_place_of_one_machine_or_puts_work_off() -> None:
    found = []
    for path in tree():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE.search(line) or UNFINISHED.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


def test_the_change_log_names_the_version() -> None:
    assert f"## {discolocal.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
