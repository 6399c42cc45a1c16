"""Word count as a Dask bag: frequencies per partition, then added up."""

# mypy: allow-untyped-calls

import sys

import dask.bag

from benchmarks import result
from benchmarks.jobs import PROCESSES

if __name__ == "__main__":
    words = dask.bag.read_text(sys.argv[1:]).str.split().flatten()
    counts = dict(words.frequencies().compute(scheduler="processes", num_workers=PROCESSES, chunksize=1))
    result.counts(counts.items())
