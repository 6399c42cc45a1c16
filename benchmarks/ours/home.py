"""Zip the job home of a job that takes modules along, again and again in one process; the median of all but the first.

What Job.pack does besides, such as expanding inputs and pickling the job, is not in it.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from benchmarks import result
from benchmarks.jobs import key_range
from examples.wordcount import WordCount

TIMES = 101


class Ranges(WordCount):
    """Words by ranges of keys: its functions are of three modules."""

    partition = staticmethod(key_range)


def main() -> None:
    """Report the seconds that one job home takes."""
    job = Ranges()
    job.worker = job.Worker()
    homes, times = set(), []
    for _ in range(TIMES):
        begin = perf_counter()
        homes.add(job.worker.jobhome(job))
        times.append(perf_counter() - begin)
    result.several([[(f"{len(homes)} different", 1)]], median(times[1:]))


main()
