"""Word count with mrjob inline, counted in the mapper, which is mrjob's fastest way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from mrjob.job import MRJob

from benchmarks import result
from benchmarks.peers.mrjob_common import ran


class WordCount(MRJob):  # type: ignore[misc]
    """Counts words in a dict of the mapper."""

    def mapper_init(self) -> None:
        """No words yet."""
        self.counts: dict[str, int] = {}

    def mapper(self, _: None, line: str) -> None:
        """Count the words of a line."""
        counts = self.counts
        for word in line.split():
            counts[word] = counts.get(word, 0) + 1

    def mapper_final(self) -> Iterator[tuple[str, int]]:
        """The counts of one mapper."""
        yield from self.counts.items()

    def reducer(self, word: str, counts: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Sum per word."""
        yield word, sum(counts)


if __name__ == "__main__":
    with ran(WordCount, sys.argv[1:]) as pairs:
        result.counts(dict(pairs).items())
