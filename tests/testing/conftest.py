"""Fixtures of the tests of the pytest plugin: pytest runs as it does for a user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# What has state must be there before pytest runs in this process: it forgets all modules that such a run imports.
import discolocal.cluster.exec
import discolocal.cluster.inline
import discolocal.cluster.master
import discolocal.cluster.tags
import discolocal.testing.clusters
import discolocal.testing.feeding
import discolocal.testing.searching  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ("-p", "discolocal.testing.plugin", "-p", "no:cacheprovider")
Run = Callable[..., pytest.RunResult]
Spawn = Callable[..., "subprocess.CompletedProcess[str]"]

JOBS = '''
"""Jobs."""

from discolocal import Job, Params
from discolocal.util import kvgroup
from discolocal.worker.pipeline.worker import Stage, Worker


class Count(Job):
    """Counts words."""

    partitions = 3

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(pairs, params):
        for word, ones in kvgroup(sorted(pairs)):
            yield word, sum(ones)


class Bad(Count):
    @staticmethod
    def map(line, params):
        word = line.strip().upper()
        print("looking at", word)
        raise ValueError(word)


def lengths(interface, state, label, inp):
    for record in inp:
        interface.output(0).add(record, len(record))


class Piped(Job):
    Worker = Worker
    pipeline = [("split", Stage("lengths", process=lengths))]
'''


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run pytest in this process on a test module with this text, beside a module of jobs."""
    pytester.makepyfile(jobs=JOBS)
    pytester.syspathinsert()

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_inner=text)
        return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:xdist", "--basetemp=temp", *arguments)

    return run


@pytest.fixture
def spawn(pytester: pytest.Pytester) -> Spawn:
    """Run a Python with these arguments in a process of its own, beside a module of jobs."""
    pytester.makepyfile(jobs=JOBS)

    def spawn(*arguments: str, said: str = "", cwd: Path = pytester.path) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            input=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    return spawn
