"""One map task for each of many files of one line, a fresh process for each task; the results end in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import result
from benchmarks.jobs import PROCESSES
from discolocal import Job, LocalCluster


class Square(Job):
    """Squares numbers."""

    @staticmethod
    def map(line: str, params: object) -> Iterator[tuple[str, int]]:
        """The number and its square."""
        yield line.strip(), int(line) ** 2


with LocalCluster(nodes=PROCESSES) as cluster:
    squares = list(cluster.run(Square(), input=sys.argv[1:]))
    result.counts(squares)
