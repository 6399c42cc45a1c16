"""What all contestants of a workload agree on: numbers of processes and partitions, keys and arguments."""

from __future__ import annotations

PROCESSES = 2
PARTITIONS = 2
CHAIN = 10  # stages
TIMES = 100  # jobs in memory
SPLIT_KEY = b"U"  # the middle of the alphabet of keys (benchmarks.gen.KEY_ALPHABET)


def key_range(key: bytes, partitions: int = PARTITIONS, params: object = None) -> int:
    """The partition of a key when partitions are ranges of keys: both together are one sorted whole."""
    return 0 if key < SPLIT_KEY else 1


def warm_inputs(paths: list[str]) -> list[list[str]]:
    """The inputs of each warm job: the paths in pairs."""
    return [paths[at : at + 2] for at in range(0, len(paths), 2)]


def small_inputs(paths: list[str]) -> list[list[str]]:
    """The lines of files, dealt to two inputs."""
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines += file.readlines()
    return [lines[::2], lines[1::2]]


def option(name: str, arguments: list[str]) -> bool:
    """Take an option out of the arguments; returns whether it was there."""
    given = name in arguments
    if given:
        arguments.remove(name)
    return given
