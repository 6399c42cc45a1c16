"""What a task of three stages costs, one for each of many files of one line; for `benchmarks.versions`.

It imports nothing of the benchmarks: the version that is measured is another one than that of this file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.pipeline.worker import Stage, Worker

_STAGES = 3
_TICK = 1000 / os.sysconf("SC_CLK_TCK")  # milliseconds


def number(interface: Any, state: None, label: int, inp: Iterable[Any]) -> None:
    """The records as they are."""
    out = interface.output(0)
    for record in inp:
        out.add(record, 1)


class Chain(Job):
    """Hands its records on from stage to stage."""

    Worker = Worker
    pipeline = tuple(("split", Stage(f"stage{place}", process=number)) for place in range(_STAGES))


def spent() -> tuple[float, int]:
    """Milliseconds of processor time of this process, its children and theirs; page faults without its own."""
    own = os.times()
    milliseconds, faults = 1000 * (own.user + own.system), 0
    for thread in Path("/proc/self/task").iterdir():
        for child in (thread / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            faults += int(fields[7]) + int(fields[8])
            milliseconds += _TICK * sum(map(int, fields[11:15]))
    return milliseconds, faults


inputs = [[path] for path in sys.argv[1:]]
with LocalCluster(nodes=1) as cluster:
    list(cluster.run(Chain(), input=inputs[:100]))  # the start of the node does not count
    before = spent()
    list(cluster.run(Chain(), input=inputs))
    after = spent()
tasks = _STAGES * len(inputs)
print((after[0] - before[0]) / tasks, (after[1] - before[1]) / tasks)
