"""The functions of the word count in plain loops a hundred times, pairs pickled between them; seconds for all."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from time import perf_counter

from benchmarks import result
from benchmarks.jobs import TIMES, small_inputs
from examples.wordcount import WordCount


def evaluate(inputs: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
    """The records of the job."""
    pairs = [pickle.dumps(pair) for entries in inputs for entry in entries for pair in WordCount.map(entry, None)]
    return [pickle.loads(pickle.dumps(pair)) for pair in WordCount.reduce(map(pickle.loads, pairs), None)]


def main(arguments: list[str]) -> None:
    """Evaluate the job once, then again and again, and report the seconds of these."""
    inputs = small_inputs(arguments)
    evaluate(inputs)
    begin = perf_counter()
    found = [evaluate(inputs) for _ in range(TIMES)]
    result.several(found, perf_counter() - begin)


if __name__ == "__main__":
    main(sys.argv[1:])
