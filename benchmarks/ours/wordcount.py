"""Word count with a combiner; the counts end in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES
from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_combiner, sum_reduce


class WordCount(Job):
    """Counts words."""

    partitions = PARTITIONS
    combiner = staticmethod(sum_combiner)
    reduce = staticmethod(sum_reduce)

    @staticmethod
    def map(line: str, params: object) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1


with LocalCluster(nodes=PROCESSES) as cluster:
    counts = dict(cluster.run(WordCount(), input=sys.argv[1:]))
    result.counts(counts.items())
