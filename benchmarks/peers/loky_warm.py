"""The small job again and again by hand on loky's reusable executor."""

from __future__ import annotations

import sys
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from loky import get_reusable_executor

from benchmarks import result
from benchmarks.jobs import PROCESSES, warm_inputs
from benchmarks.peers import handmade


def main(arguments: list[str]) -> None:
    """Run the jobs and report the median time of all but the first."""
    times, found = [], []
    for paths in warm_inputs(arguments):
        begin = perf_counter()
        executor = get_reusable_executor(max_workers=PROCESSES)
        with TemporaryDirectory() as directory:
            found.append(handmade.count(executor.map, directory, paths).items())
        times.append(perf_counter() - begin)
    executor.shutdown()
    result.several(found, median(times[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
