"""Words as records through an external map in C that gives them back; counted in the caller."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import result
from benchmarks.jobs import PROCESSES
from discolocal import Job, LocalCluster
from discolocal.util import external

SOURCE = Path(__file__).resolve().parents[1] / "echo.c"


def words(stream: Any, size: int, url: str, params: object) -> Iterator[str]:
    """The words of each line."""
    for line in stream:
        yield from line.split()


def echo() -> dict[str, bytes]:
    """The program, compiled."""
    with TemporaryDirectory() as place:
        subprocess.run(["cc", "-O2", "-o", f"{place}/echo", str(SOURCE)], check=True)
        return external([f"{place}/echo"])


with LocalCluster(nodes=PROCESSES) as cluster:
    job = Job(map=echo(), map_reader=words, partitions=None)
    counts = Counter(word for _, word in cluster.run(job, input=sys.argv[1:]))
    result.counts([(word.decode(), count) for word, count in counts.items()])
