"""The same small job with new input again and again in one process; with `--new` on a new cluster each time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from time import perf_counter

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, option, warm_inputs
from discolocal import Job, LocalCluster


class WordCount(Job):
    """Counts words."""

    partitions = PARTITIONS

    @staticmethod
    def map(line: str, params: object) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(records: Iterable[tuple[str, int]], params: object) -> Iterable[tuple[str, int]]:
        """Sum per word."""
        counts: dict[str, int] = {}
        for word, n in records:
            counts[word] = counts.get(word, 0) + n
        return counts.items()


def main(arguments: list[str]) -> None:
    """Run the jobs, the first of which is the cold one, and report the median time of the others."""
    new = option("--new", arguments)
    times, found = [], []
    with LocalCluster(nodes=PROCESSES) as shared:
        for paths in warm_inputs(arguments):
            begin = perf_counter()
            own: AbstractContextManager[LocalCluster] = LocalCluster(nodes=PROCESSES) if new else nullcontext(shared)
            with own as cluster:
                found.append(list(cluster.run(WordCount(), input=paths)))
            times.append(perf_counter() - begin)
    result.several(found, median(times[1:]))


main(sys.argv[1:])
