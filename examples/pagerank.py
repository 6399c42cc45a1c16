"""Rank the nodes of a graph by its links; each line of the input is `node link link...`.

    python examples/pagerank.py [-n ITERATIONS] FILE...
    discolocal run examples.pagerank.PageRank FILE...       (one iteration)

A node's rank is 0.15 + 0.85 times the sum, over the nodes that link to it, of their rank divided by their number of
links. All ranks start at 1. A node that is only linked to gets a rank as well. Each iteration is a job whose input is
the result of the one before.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from discolocal import Job, LocalCluster, Results
from discolocal.util import kvgroup
from discolocal.worker.task_io import chain_reader

Page = tuple[str, tuple[float, list[str]]]


class PageRank(Job):
    """One iteration: results are (node, (rank, links)). `params` is the damping factor."""

    partitions = 2
    params = 0.85

    @staticmethod
    def map_reader(fd: Any, size: int | None, url: str, params: float) -> Iterator[Page]:
        """Read pages from text; every rank starts at 1."""
        for line in fd:
            node, *links = line.split()
            yield node, (1.0, links)

    @staticmethod
    def map(page: Page, params: float) -> Iterator[tuple[str, float | list[str]]]:
        """Emit the node's links to itself, and its rank in equal parts to the nodes it links to."""
        node, (rank, links) = page
        yield node, links
        for link in links:
            yield link, rank / len(links)

    @staticmethod
    def reduce(iter: Iterable[tuple[str, float | list[str]]], params: float) -> Iterator[Page]:
        """Put links and new rank of each node together; what one partition has fits into memory here."""
        for node, values in kvgroup(sorted(iter, key=itemgetter(0))):
            links: list[str] = []
            received = 0.0
            for value in values:
                if isinstance(value, list):
                    links += value
                else:
                    received += value
            yield node, (1 - params + params * received, links)


def rank(cluster: LocalCluster, files: list[str], iterations: int) -> Results:
    """Run the iterations; the results of the last one."""
    results = cluster.run(PageRank, input=files)
    for _ in range(iterations - 1):
        results = cluster.run(PageRank, input=results.urls, map_reader=chain_reader)
    return results


def main(arguments: list[str] | None = None) -> None:
    """Print `node<TAB>rank`, the highest rank first."""
    parser = argparse.ArgumentParser(description="Rank the nodes of a graph by its links.")
    parser.add_argument("-n", type=int, default=10, dest="iterations", help="number of iterations (default: 10)")
    parser.add_argument("files", nargs="+", help="files of lines `node link link...`")
    options = parser.parse_args(arguments)
    with LocalCluster() as cluster:
        ranks = {node: value for node, (value, links) in rank(cluster, options.files, options.iterations)}
    for node in sorted(ranks, key=lambda node: (-ranks[node], node)):
        print(f"{node}\t{ranks[node]:.6f}")


if __name__ == "__main__":
    main()
