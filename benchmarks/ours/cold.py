"""A trivial job as a user's whole script: count the words of a few lines."""

import sys
from collections.abc import Iterable, Iterator

from discolocal import Job, LocalCluster


class WordCount(Job):
    """Counts words."""

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


with LocalCluster() as cluster:
    print(sorted(cluster.run(WordCount(), input=sys.argv[1:])))
