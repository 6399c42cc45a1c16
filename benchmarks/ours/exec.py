"""One map task for each of many files of one line, each a program of its own in the job home; seconds for a task."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import perf_counter

from benchmarks import result
from discolocal import Job, LocalCluster


class Square(Job):
    """Squares numbers."""

    @staticmethod
    def map(line: str, params: object) -> Iterator[tuple[str, int]]:
        """The number and its square."""
        yield line.strip(), int(line) ** 2


def main(paths: list[str]) -> None:
    """Compare a job of all files with a job of one file: what is left is the cost of the other tasks."""
    with LocalCluster(nodes=1, start="exec") as cluster:
        seconds = []
        for some in (paths[:1], paths[:1], paths):
            begin = perf_counter()
            squares = list(cluster.run(Square(), input=some))
            seconds.append(perf_counter() - begin)
        result.several([squares], (seconds[2] - seconds[1]) / (len(paths) - 1))


main(sys.argv[1:])
