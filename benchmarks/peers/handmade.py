"""What a programmer writes by hand over a pool of processes: map and reduce functions, pickles in files between them.

The user's map is that of the other contestants, a generator; the rest is as lean as plain Python allows. Shared by
the scripts of multiprocessing.Pool and of loky. Files `map-<task>-<partition>` lie in `directory`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Protocol
from zlib import crc32

from benchmarks.jobs import PARTITIONS, key_range

BATCH = 1000
first = itemgetter(0)


class Map(Protocol):
    """`map` of a pool of processes: results in order, a list or an iterator."""

    def __call__(self, function: Any, jobs: Any, /) -> Any: ...


def words(line: str) -> Iterator[tuple[str, int]]:
    """The user's map."""
    for word in line.split():
        yield word, 1


def partition_of(word: str) -> int:
    """Equal in all processes."""
    return crc32(word.encode("utf-8", "surrogateescape")) % PARTITIONS


def reading(path: str) -> IO[str]:
    """A text file as the other contestants read it."""
    return open(path, encoding="utf-8", errors="surrogateescape")


def dump(thing: object, directory: str, task: int, part: int) -> None:
    """Write what task `task` has for partition `part`."""
    with open(f"{directory}/map-{task}-{part}", "wb") as out:
        pickle.dump(thing, out, -1)


def batches(path: str) -> Iterator[list[tuple[Any, Any]]]:
    """The lists of pairs in a file."""
    with open(path, "rb") as stream:
        try:
            while True:
                yield pickle.load(stream)
        except EOFError:
            return


def pairs(path: str) -> Iterator[tuple[Any, Any]]:
    """The pairs in a file."""
    for batch in batches(path):
        yield from batch


# Word count, counted in the map


def map_count(directory: str, job: tuple[int, str]) -> None:
    """Count a file; write the counts of each partition."""
    task, path = job
    counts: dict[str, int] = {}
    with reading(path) as lines:
        for line in lines:
            for word, n in words(line):
                counts[word] = counts.get(word, 0) + n
    parts: list[dict[str, int]] = [{} for _ in range(PARTITIONS)]
    for word, n in counts.items():
        parts[partition_of(word)][word] = n
    for part, some in enumerate(parts):
        dump(some, directory, task, part)


def reduce_count(directory: str, tasks: int, part: int) -> dict[str, int]:
    """Add up the counts of all maps."""
    total: dict[str, int] = {}
    for task in range(tasks):
        with open(f"{directory}/map-{task}-{part}", "rb") as stream:
            for word, n in pickle.load(stream).items():
                total[word] = total.get(word, 0) + n
    return total


# Word count with every pair shuffled


def map_pairs(directory: str, job: tuple[int, str]) -> None:
    """Write every pair of a file to its partition, in batches."""
    task, path = job
    outs = [open(f"{directory}/map-{task}-{part}", "wb") for part in range(PARTITIONS)]
    parts: list[list[tuple[str, int]]] = [[] for _ in range(PARTITIONS)]
    with reading(path) as lines:
        for line in lines:
            for pair in words(line):
                part = partition_of(pair[0])
                batch = parts[part]
                batch.append(pair)
                if len(batch) == BATCH:
                    pickle.dump(batch, outs[part], -1)
                    batch.clear()
    for batch, out in zip(parts, outs, strict=True):
        pickle.dump(batch, out, -1)
        out.close()


def reduce_hash(directory: str, tasks: int, part: int) -> dict[str, int]:
    """Add up pairs in a dict."""
    total: dict[str, int] = {}
    for task in range(tasks):
        for word, n in pairs(f"{directory}/map-{task}-{part}"):
            total[word] = total.get(word, 0) + n
    return total


def reduce_sort(directory: str, tasks: int, part: int) -> dict[str, int]:
    """Sort pairs and add up the groups."""
    everything: list[tuple[str, int]] = []
    for task in range(tasks):
        for batch in batches(f"{directory}/map-{task}-{part}"):
            everything += batch
    everything.sort(key=first)
    return {word: sum(n for _, n in group) for word, group in groupby(everything, first)}


# Sort


def hash_of(key: bytes) -> int:
    """The partition of a key where partitions are no ranges."""
    return crc32(key) % PARTITIONS


def map_runs(by_range: bool, directory: str, job: tuple[int, str]) -> None:
    """Write a sorted run of a file's records for each partition."""
    task, path = job
    parts: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    choose = key_range if by_range else hash_of
    with open(path, "rb") as lines:
        for line in lines:
            key, value = line[:-1].split(b"\t", 1)
            parts[choose(key)].append((key, value))
    for part, run in enumerate(parts):
        run.sort(key=first)
        with open(f"{directory}/map-{task}-{part}", "wb") as out:
            for at in range(0, len(run), BATCH):
                pickle.dump(run[at : at + BATCH], out, -1)


def reduce_runs(directory: str, tasks: int, part: int) -> str:
    """Merge the runs of a partition into one file; returns its path."""
    path = f"{directory}/sorted-{part}"
    batch = []
    with open(path, "wb") as out:
        for record in merge(*(pairs(f"{directory}/map-{task}-{part}") for task in range(tasks)), key=first):
            batch.append(record)
            if len(batch) == BATCH:
                pickle.dump(batch, out, -1)
                batch.clear()
        pickle.dump(batch, out, -1)
    return path


# One task per file


def square(path: str) -> tuple[str, int]:
    """The number in a file and its square."""
    line = Path(path).read_text(encoding="utf-8")
    return line.strip(), int(line) ** 2


# Whole jobs over any pool's map


def count(spread: Map, directory: str, paths: list[str]) -> dict[str, int]:
    """Word count, counted in the map."""
    return _job(spread, directory, paths, map_count, reduce_count)


def shuffle(spread: Map, directory: str, paths: list[str], in_order: bool) -> dict[str, int]:
    """Word count with every pair shuffled, through a hash or a sorting reduce."""
    return _job(spread, directory, paths, map_pairs, reduce_sort if in_order else reduce_hash)


def sort(spread: Map, directory: str, paths: list[str], by_range: bool) -> list[str]:
    """Sort records; returns the paths of the sorted partitions."""
    list(spread(partial(map_runs, by_range, directory), list(enumerate(paths))))
    return list(spread(partial(reduce_runs, directory, len(paths)), range(PARTITIONS)))


def _job(spread: Map, directory: str, paths: list[str], mapper: Any, reducer: Any) -> dict[str, int]:
    """Maps, then reduces, then all counts in one dict."""
    list(spread(partial(mapper, directory), list(enumerate(paths))))
    total: dict[str, int] = {}
    for some in spread(partial(reducer, directory, len(paths)), range(PARTITIONS)):
        total.update(some)
    return total
