"""The command in a process of its own, and a module of jobs for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

JOBS = """
from discolocal import Job

class Show(Job):
    params = None
    input = ["raw://x"]

    @staticmethod
    def map(line, params):
        yield type(params).__name__, params

class Plain(Job):
    input = ["raw://x"]

    def map(line, params):
        return []

class Fine(Job):
    @staticmethod
    def map(line, params):
        return [(line, 1)]

class Fails(Job):
    input = ["raw://x"]

    @staticmethod
    def map(line, params):
        raise ValueError("on purpose")
"""


def command(there: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command with these arguments in a directory, as it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "discolocal", *arguments],
        cwd=there,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def packed(there: Path, *arguments: str) -> Path:
    """The path of the pack that `jobpack` writes."""
    done = command(there, "jobpack", *arguments, "-o", "a.jobpack")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return there / "a.jobpack"
