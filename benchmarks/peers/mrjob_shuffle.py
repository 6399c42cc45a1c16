"""Every pair shuffled by mrjob inline, which always sorts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from mrjob.job import MRJob

from benchmarks import result
from benchmarks.jobs import option
from benchmarks.peers.mrjob_common import ran


class WordCount(MRJob):  # type: ignore[misc]
    """Counts words without a combiner."""

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1

    def reducer(self, word: str, counts: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Sum per word."""
        yield word, sum(counts)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    option("--sort", arguments)
    with ran(WordCount, arguments) as pairs:
        result.counts(dict(pairs).items())
