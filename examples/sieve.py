"""Sieve primes in a chain of ten stages, one for each of the first ten primes; each line of the input is a number.

    python examples/sieve.py FILE...
    discolocal run examples.sieve.Sieve FILE...

A stage lets the numbers pass that its prime does not divide, and the prime itself. What is left of the numbers below
31 * 31 are the primes. Numbers stay on the node where they are: each stage has one task for each node.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.pipeline.worker import Stage, Worker

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def numbers(stream: Any, size: int | None, url: str, params: Any) -> Iterable[tuple[int, str]]:
    """Read the numbers of a file, each with the url of the file."""
    for line in stream:
        if line.strip():
            yield int(line), url


def sieve(prime: int, interface: Any, state: None, label: int, inp: Iterable[tuple[int, str]]) -> None:
    """Pass on the numbers from 2 that `prime` does not divide, and `prime`."""
    output = interface.output(0)
    for number, url in inp:
        if number == prime or (number > 1 and number % prime):
            output.add(number, url)


def stages() -> list[tuple[str, Stage]]:
    """The ten stages; the first has a task for each file."""
    from discolocal.worker.task_io import task_input_stream

    first = [task_input_stream, numbers]
    return [
        (
            "group_node" if place else "split",
            Stage(f"by{prime}", process=partial(sieve, prime), input_chain=[] if place else first),
        )
        for place, prime in enumerate(PRIMES)
    ]


class Sieve(Job):
    """Results are (prime, url of the file that has it)."""

    Worker = Worker
    pipeline = stages()


def main(files: list[str]) -> None:
    """Print the primes among the numbers, in their order."""
    with LocalCluster() as cluster:
        for number, _ in sorted(cluster.run(Sieve, input=[[file] for file in files])):
            print(number)


if __name__ == "__main__":
    main(sys.argv[1:])
