"""The small job again and again as a Dask bag on one pool of processes."""

# mypy: allow-untyped-calls

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from time import perf_counter

import dask.bag

from benchmarks import result
from benchmarks.jobs import PROCESSES, warm_inputs


def main(arguments: list[str]) -> None:
    """Run the jobs and report the median time of all but the first."""
    times, found = [], []
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for paths in warm_inputs(arguments):
            begin = perf_counter()
            words = dask.bag.read_text(paths).str.split().flatten()
            found.append(words.frequencies().compute(scheduler="processes", pool=pool, chunksize=1))
            times.append(perf_counter() - begin)
    result.several(found, median(times[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
