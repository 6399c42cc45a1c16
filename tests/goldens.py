"""Which golden files the tests have read: each recording is to be used by a test, or it proves nothing.

`watch` notes every file below a directory that is opened from now on. At the end of a run of all tests that use golden
files, those that nobody opened fail it (`conftest.py`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_opened: set[str] = set()
_watching: list[str] = []


def watch(root: Path) -> None:
    """Note from now on which files below `root` this process opens. A hook like this one cannot be taken away again."""
    if not _watching:
        sys.addaudithook(_note)
    _watching.append(os.path.join(os.path.abspath(root), ""))


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if any(path.startswith(root) for root in _watching):
            _opened.add(path)


def told() -> list[str]:
    """The files opened so far, for the process that collects what several test processes have done."""
    return sorted(_opened)


def heard(opened: list[str]) -> None:
    """Take what another test process has opened for opened."""
    _opened.update(opened)


def files(root: Path) -> list[Path]:
    """All golden files, without the text that describes them."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path != root / "INDEX.md")


def unread(root: Path) -> list[str]:
    """The golden files that were not opened yet, relative to `root`."""
    return [str(path.relative_to(root)) for path in files(root) if os.path.abspath(path) not in _opened]


def users(tests: Path) -> set[Path]:
    """The files of tests that ask for golden files."""
    return {path for path in tests.rglob("test_*.py") if "golden" in path.read_text(encoding="utf-8")}


def is_whole(session: pytest.Session, tests: Path) -> bool:
    """Whether all tests that ask for golden files were collected, and none left out by name, mark or an early end."""
    option = session.config.option
    chosen = option.keyword or option.markexpr or option.deselect or option.collectonly
    parts = any("::" in str(argument) for argument in session.config.args)
    early = session.shouldstop or session.shouldfail
    last_failed = getattr(option, "lf", False) or getattr(option, "stepwise", False)
    collected = {item.path for item in getattr(session, "items", ())}
    return not (chosen or parts or early or last_failed) and users(tests) <= collected
