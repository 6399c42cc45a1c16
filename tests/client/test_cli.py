"""The command: how values are given to it, and what it shows when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

JOBS = '''
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

class Fails(Job):
    input = ["raw://x"]

    @staticmethod
    def map(line, params):
        raise ValueError("on purpose")
'''


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def command(there: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "discolocal", *arguments],
        cwd=there,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_can_be_run(there: Path) -> None:
    done = command(there, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: discolocal ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3", "int\t3\n"),
        ("None", "NoneType\tNone\n"),
        ("['a', 1]", "list\t['a', 1]\n"),
        ("'3'", "str\t3\n"),
        ("plain text", "str\tplain text\n"),
        ("__import__('os')", "str\t__import__('os')\n"),
        ("(", "str\t(\n"),
    ],
)
def test_a_parameter_is_a_literal_or_text(there: Path, text: str, shown: str) -> None:
    done = command(there, "run", "--start", "inline", "-P", "params", text, "jobs.Show")
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--strict", "jobs.Plain"], "[plain-function]"),
        (["--root", "jobs.py", "jobs.Show"], "jobs.py"),
        (["--root", "jobs.py/below", "jobs.Show"], "jobs.py"),
        (["-P", "parms", "3", "jobs.Show"], "did you mean 'params'"),
        (["-P", "master", "3", "jobs.Show"], "'master'"),
        (["-P", "scheduler", "{'max_cores': 0}", "jobs.Show"], "max_cores"),
        (["-n", "a b", "jobs.Show"], "'a b'"),
        (["jobs.Show", "missing.txt"], "missing.txt"),
    ],
)
def test_what_is_wrong_is_shown_once_and_without_a_traceback(there: Path, arguments: list[str], shown: str) -> None:
    done = command(there, "run", "--start", "inline", *arguments)
    assert done.returncode != 0
    assert "Error: " in done.stderr and shown in done.stderr
    assert "Traceback" not in done.stderr
    text = done.stderr.rpartition("Error: ")[2].strip()
    assert text.count(text[:30]) == 1


def test_what_is_wrong_is_shown_by_the_demonstration_too(there: Path) -> None:
    done = command(there, "demo", "--start", "inline", "--root", "jobs.py/below")
    assert done.returncode == 1
    assert "jobs.py" in done.stderr and "Traceback" not in done.stderr


def test_the_traceback_of_a_task_is_shown_once(there: Path) -> None:
    done = command(there, "run", "--start", "inline", "jobs.Fails")
    assert done.returncode == 1
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert 'raise ValueError("on purpose")' in done.stderr
    assert "discolocal/cli.py" not in done.stderr
