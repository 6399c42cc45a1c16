"""Every pair shuffled by a Dask bag's groupby, through partd on disk."""

# mypy: allow-untyped-calls

from __future__ import annotations

import sys
from operator import itemgetter
from tempfile import TemporaryDirectory

import dask
import dask.bag

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, option


def pair(word: str) -> tuple[str, int]:
    """The pair of a word."""
    return word, 1


def total(group: tuple[str, list[tuple[str, int]]]) -> tuple[str, int]:
    """Sum of one word."""
    word, pairs = group
    return word, sum(n for _, n in pairs)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    option("--sort", arguments)
    with TemporaryDirectory() as directory, dask.config.set(temporary_directory=directory):
        pairs = dask.bag.read_text(arguments).str.split().flatten().map(pair)
        groups = pairs.groupby(itemgetter(0), npartitions=PARTITIONS, shuffle="disk")
        counts = dict(groups.map(total).compute(scheduler="processes", num_workers=PROCESSES, chunksize=1))
        result.counts(counts.items())
