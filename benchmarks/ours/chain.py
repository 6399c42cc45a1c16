"""A pipeline of ten stages with a task each for each of many files of one line; the results end in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from benchmarks import result
from benchmarks.jobs import CHAIN, PROCESSES
from discolocal import Job, LocalCluster
from discolocal.worker.pipeline.worker import Stage, Worker


def parse(interface: Any, state: None, label: int, inp: Iterable[str]) -> None:
    """The number in each line."""
    for line in inp:
        interface.output(0).add(line.strip(), int(line))


def increment(interface: Any, state: None, label: int, inp: Iterable[tuple[str, int]]) -> None:
    """One more."""
    out = interface.output(0)
    for name, number in inp:
        out.add(name, number + 1)


class Chain(Job):
    """Counts up from each number."""

    Worker = Worker
    pipeline = (
        ("split", Stage("parse", process=parse)),
        *(("split", Stage(f"increment{number}", process=increment)) for number in range(1, CHAIN)),
    )


paths = [path for path in sys.argv[1:] if path != "--inline"]
start = "fork" if len(paths) == len(sys.argv) - 1 else "inline"
with LocalCluster(nodes=PROCESSES, start=start) as cluster:
    results = cluster.run(Chain(), input=[[path] for path in paths])
    result.counts(list(results))
