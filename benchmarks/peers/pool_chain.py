"""The same numbers with multiprocessing.Pool: each of ten steps is a map over all of them."""

from __future__ import annotations

import multiprocessing
import sys

from benchmarks import result
from benchmarks.jobs import CHAIN, PROCESSES


def parse(path: str) -> tuple[str, int]:
    """The number in a file."""
    with open(path) as file:
        line = file.read().strip()
    return line, int(line)


def increment(pair: tuple[str, int]) -> tuple[str, int]:
    """One more."""
    return pair[0], pair[1] + 1


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        pairs = pool.map(parse, sys.argv[1:], chunksize=1)
        for _ in range(1, CHAIN):
            pairs = pool.map(increment, pairs, chunksize=1)
    result.counts(pairs)
