"""Count the words of text files.

    python examples/wordcount.py FILE...
    discolocal run examples.wordcount.WordCount FILE...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_combiner, sum_reduce


class WordCount(Job):
    """Results are (word, count), in three partitions."""

    partitions = 3
    combiner = staticmethod(sum_combiner)
    reduce = staticmethod(sum_reduce)

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        """Emit (word, 1) for every word of the line."""
        for word in line.split():
            yield word, 1


def main(files: list[str]) -> None:
    """Print `word<TAB>count`, the most frequent word first."""
    with LocalCluster() as cluster:
        counts = dict(cluster.run(WordCount, input=files))
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        print(word, counts[word], sep="\t")


if __name__ == "__main__":
    main(sys.argv[1:])
