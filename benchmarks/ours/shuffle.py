"""Word count without a combiner, so that every pair is shuffled; with `--sort` the reduce gets sorted records."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, option
from discolocal import Job, LocalCluster
from discolocal.util import kvgroup


class Hashed(Job):
    """Counts words of records in any order."""

    partitions = PARTITIONS

    @staticmethod
    def map(line: str, params: object) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(records: Iterable[tuple[str, int]], params: object) -> Iterable[tuple[str, int]]:
        """Sum per word in a dict."""
        counts: dict[str, int] = {}
        for word, n in records:
            counts[word] = counts.get(word, 0) + n
        return counts.items()


class Sorted(Hashed):
    """Counts words of sorted records."""

    sort = True

    @staticmethod
    def reduce(records: Iterable[tuple[str, int]], params: object) -> Iterator[tuple[str, int]]:
        """Sum each group of equal words."""
        for word, ones in kvgroup(records):
            yield word, sum(ones)


arguments = sys.argv[1:]
job = Sorted() if option("--sort", arguments) else Hashed()
with LocalCluster(nodes=PROCESSES) as cluster:
    counts = dict(cluster.run(job, input=arguments))
    result.counts(counts.items())
