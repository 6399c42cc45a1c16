"""Sort with a Dask bag: groupby of the partition, each group sorted and written to a file."""

# mypy: allow-untyped-calls

from __future__ import annotations

import pickle
import sys
from functools import partial
from operator import itemgetter
from tempfile import TemporaryDirectory

import dask
import dask.bag

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, key_range, option
from benchmarks.peers import handmade

Record = tuple[bytes, bytes]


def load(path: str) -> list[Record]:
    """The records of a file."""
    with open(path, "rb") as lines:
        return [(line[:10], line[11:-1]) for line in lines]


def part_of(by_range: bool, record: Record) -> int:
    """The partition of a record."""
    return key_range(record[0]) if by_range else handmade.hash_of(record[0])


def write(directory: str, group: tuple[int, list[Record]]) -> str:
    """Sort a partition into a file; returns its path."""
    part, records = group
    path = f"{directory}/sorted-{part}"
    with open(path, "wb") as out:
        pickle.dump(sorted(records, key=itemgetter(0)), out, -1)
    return path


if __name__ == "__main__":
    arguments = sys.argv[1:]
    by_range = not option("--default", arguments)
    with TemporaryDirectory() as directory, dask.config.set(temporary_directory=directory):
        records = dask.bag.from_sequence(arguments, npartitions=len(arguments)).map(load).flatten()
        groups = records.groupby(partial(part_of, by_range), npartitions=PARTITIONS, shuffle="disk")
        written = groups.map(partial(write, directory))
        paths = written.compute(scheduler="processes", num_workers=PROCESSES, chunksize=1)
        result.records((record for path in paths for record in handmade.pairs(path)), PARTITIONS)
