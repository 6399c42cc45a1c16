"""The small job again and again by hand on one multiprocessing.Pool; with `--new` on a new one each time."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from multiprocessing import get_context
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks import result
from benchmarks.jobs import PROCESSES, option, warm_inputs
from benchmarks.peers import handmade


def main(arguments: list[str]) -> None:
    """Run the jobs and report the median time of all but the first."""
    new = option("--new", arguments)
    context = get_context("fork")
    times, found = [], []
    with context.Pool(PROCESSES) as shared:
        for paths in warm_inputs(arguments):
            begin = perf_counter()
            with TemporaryDirectory() as directory, context.Pool(PROCESSES) if new else nullcontext(shared) as pool:
                found.append(handmade.count(pool.map, directory, paths).items())
            times.append(perf_counter() - begin)
    result.several(found, median(times[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
