"""Scripts for Disco, run as their users run them: `discolocal script FILE ARGS...` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def script(tmp_path: Path) -> Run:
    """Run the text of a script; `options` stand before the file, `arguments` behind it."""

    def run(
        text: str, *arguments: str, options: tuple[str, ...] = (), name: str = "program.py", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "discolocal", "script", "--nodes", "2", *options, name, *arguments],
            cwd=tmp_path,
            env=environment(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run the text of a script by Python alone."""

    def run(text: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(text)
        return subprocess.run(
            [sys.executable, "program.py", *arguments],
            cwd=tmp_path,
            env=environment(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
