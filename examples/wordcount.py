"""Count the words of text files.

    python examples/wordcount.py FILE...
    discolocal run examples.wordcount.WordCount FILE...
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_combiner


class WordCount(Job):
    """Results are (word, count), each of the three partitions sorted by word."""

    partitions = 3
    sort = True
    combiner = staticmethod(sum_combiner)

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        """Emit (word, 1) for every word of the line."""
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(iter: Iterable[tuple[str, int]], params: Any) -> Iterator[tuple[str, int]]:
        """Add up the counts of each word; `sort` has brought equal words together."""
        for word, counts in kvgroup(iter):
            yield word, sum(counts)


def main(files: list[str]) -> None:
    """Print `word<TAB>count`, the most frequent word first."""
    with LocalCluster() as cluster:
        counts = dict(cluster.run(WordCount, input=files))
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        print(word, counts[word], sep="\t")


if __name__ == "__main__":
    main(sys.argv[1:])
