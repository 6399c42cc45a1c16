"""`check_partitioner` on each partition function of the library; seconds for the slowest, from a first call."""

from __future__ import annotations

from time import perf_counter

from benchmarks import result
from discolocal.func import default_partition, make_range_partition
from discolocal.testing import check_partitioner

FUNCTIONS = (default_partition, make_range_partition(-10, 30))


def main() -> None:
    """Report the seconds that the slowest of them takes."""
    times, found = [], []
    for function in FUNCTIONS:
        begin = perf_counter()
        report = check_partitioner(function)
        times.append(perf_counter() - begin)
        found.append([(type(function).__name__, int(report.examples > 0))])
    result.several(found, max(times))


main()
