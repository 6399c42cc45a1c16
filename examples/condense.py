"""Count words in a pipeline of three stages, with sums made on each node before anything crosses the network.

    python examples/condense.py FILE...
    discolocal run examples.condense.Condense FILE...

    files -> count (split) -> condense (group_node_label) -> total (group_label)

Each file is counted by a task, which spreads the words over a few labels. What the tasks of one node found for a label
is added up on that node; the last stage has one task for each label and adds up the nodes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import default_partition
from discolocal.worker.pipeline.worker import Stage, Worker


class Condense(Job):
    """Results are (word, how often it occurs). `params` is the number of labels, and of tasks of the last stage."""

    Worker = Worker
    params = 3

    @staticmethod
    def start(interface: Any, params: int) -> tuple[Counter[str], int]:
        """Begin with no words."""
        return Counter(), params

    @staticmethod
    def count(interface: Any, state: tuple[Counter[str], int], label: int, inp: Iterable[str]) -> None:
        """Count the words of one file."""
        for line in inp:
            state[0].update(line.split())

    @staticmethod
    def spread(interface: Any, state: tuple[Counter[str], int]) -> None:
        """Write each word into the label that is its own, whichever task has found it."""
        words, labels = state
        for word, number in words.items():
            interface.output(default_partition(word, labels, None)).add(word, number)

    @staticmethod
    def add(interface: Any, state: tuple[Counter[str], int], label: int, inp: Iterable[tuple[str, int]]) -> None:
        """Add up the counts of one earlier task."""
        for word, number in inp:
            state[0][word] += number

    @staticmethod
    def write(interface: Any, state: tuple[Counter[str], int]) -> None:
        """Write the sums, which are all of the label of this task."""
        output = interface.output(interface.taskinfo.label)
        for word, number in state[0].items():
            output.add(word, number)

    pipeline = [
        ("split", Stage("count", start, count, spread)),
        ("group_node_label", Stage("condense", start, add, write)),
        ("group_label", Stage("total", start, add, write)),
    ]


def main(files: list[str]) -> None:
    """Print `word<TAB>count`, the most frequent first."""
    with LocalCluster() as cluster:
        results = cluster.run(Condense, input=[[file] for file in files])
        counts = dict(results)
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        print(f"{word}\t{counts[word]}")


if __name__ == "__main__":
    main(sys.argv[1:])
