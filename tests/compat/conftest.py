"""Scripts for Disco, run as their users run them: `discolocal script FILE ARGS...` in a process of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTS = ("fork", "exec", "inline")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment with the package to be found and no master in it."""
    environ = {name: value for name, value in os.environ.items() if name not in ("DISCO_MASTER", "PYTHONWARNINGS")}
    return environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | more


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest) -> str:
    """How workers start."""
    return str(request.param)


def _python(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in a directory."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Run:
    """Run the text of a script; `options` stand before the file, `arguments` behind it."""

    def run(
        text: str, *arguments: str, options: tuple[str, ...] = (), name: str = "program.py", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_text(text)
        command = ("-m", "discolocal", "script", "--nodes", "2", *options, name, *arguments)
        return _python(tmp_path, *command, **environ)

    return run


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run the text of a script by Python alone."""

    def run(text: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(text)
        return _python(tmp_path, "program.py", *arguments, **environ)

    return run


LINES = [
    "the cat and the hat",
    "the end of the world",
    "a cat may look at a king",
    "and so may the dog",
]


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Two files of lines; returns their paths."""
    for name, lines in (("one.txt", LINES[:2]), ("two.txt", LINES[2:])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    return ["one.txt", "two.txt"]


def counts() -> dict[str, int]:
    """How often each word occurs in the two files."""
    return dict(Counter(word for line in LINES for word in line.split()))


def printed(done: subprocess.CompletedProcess[str]) -> Any:
    """What a script printed last, as a value."""
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])
