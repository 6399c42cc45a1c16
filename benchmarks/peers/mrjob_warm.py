"""The small job again and again in one process with mrjob inline."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from statistics import median
from time import perf_counter

from mrjob.job import MRJob

from benchmarks import result
from benchmarks.jobs import warm_inputs
from benchmarks.peers.mrjob_common import ran


class WordCount(MRJob):  # type: ignore[misc]
    """Counts words."""

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1

    def reducer(self, word: str, counts: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Sum per word."""
        yield word, sum(counts)


def main(arguments: list[str]) -> None:
    """Run the jobs and report the median time of all but the first."""
    times, found = [], []
    for paths in warm_inputs(arguments):
        begin = perf_counter()
        with ran(WordCount, paths) as pairs:
            found.append(list(pairs))
        times.append(perf_counter() - begin)
    result.several(found, median(times[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
