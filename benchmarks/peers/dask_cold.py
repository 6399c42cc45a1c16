"""The trivial job as a Dask bag on two processes."""

# mypy: allow-untyped-calls

import sys

import dask.bag

if __name__ == "__main__":
    words = dask.bag.read_text(sys.argv[1:]).str.split().flatten()
    print(sorted(words.frequencies().compute(scheduler="processes", num_workers=2, chunksize=1)))
