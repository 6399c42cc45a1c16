"""One task per file as a Dask bag on two processes."""

# mypy: allow-untyped-calls

import sys

import dask.bag

from benchmarks import result
from benchmarks.jobs import PROCESSES
from benchmarks.peers import handmade

if __name__ == "__main__":
    paths = sys.argv[1:]
    squares = dask.bag.from_sequence(paths, npartitions=len(paths)).map(handmade.square)
    result.counts(squares.compute(scheduler="processes", num_workers=PROCESSES))
