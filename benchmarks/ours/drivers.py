"""`run_job` of `discolocal.testing` a hundred times in one process, on two small inputs; seconds for all of them."""

from __future__ import annotations

import sys
from time import perf_counter

from benchmarks import result
from benchmarks.jobs import TIMES, small_inputs
from discolocal.testing import run_job
from examples.wordcount import WordCount


def main(arguments: list[str]) -> None:
    """Run the job once, then again and again, and report the seconds of these."""
    inputs = small_inputs(arguments)
    run_job(WordCount, inputs)
    begin = perf_counter()
    found = [run_job(WordCount, inputs) for _ in range(TIMES)]
    result.several(found, perf_counter() - begin)


main(sys.argv[1:])
