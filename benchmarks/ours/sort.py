"""Sort key/value records of bytes; the sorted partitions end in files.

Partitions are ranges of keys by a function of the user, or with `--default` what the built-in partition function says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, key_range, option
from discolocal import Job, LocalCluster


class Sort(Job):
    """Sorts by key, partitions by the built-in function."""

    partitions = PARTITIONS
    sort = True
    encoding = None

    @staticmethod
    def map(line: bytes, params: object) -> Iterator[tuple[bytes, bytes]]:
        """Split key and value."""
        key, value = line[:-1].split(b"\t", 1)
        yield key, value

    @staticmethod
    def reduce(records: Iterable[tuple[bytes, bytes]], params: object) -> Iterable[tuple[bytes, bytes]]:
        """All records as they come."""
        return records


class RangeSort(Sort):
    """Sorts by key, each partition a range of keys."""

    partition = staticmethod(key_range)


arguments = sys.argv[1:]
job = Sort() if option("--default", arguments) else RangeSort()
with LocalCluster(nodes=PROCESSES) as cluster:
    results = cluster.run(job, input=arguments)
    result.records(results, PARTITIONS)
