"""Sort with mrjob inline and its protocol of raw bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from mrjob.job import MRJob
from mrjob.protocol import BytesProtocol

from benchmarks import result
from benchmarks.jobs import option
from benchmarks.peers.mrjob_common import ran


class Sort(MRJob):  # type: ignore[misc]
    """Sorts by key."""

    INPUT_PROTOCOL = BytesProtocol
    INTERNAL_PROTOCOL = BytesProtocol
    OUTPUT_PROTOCOL = BytesProtocol

    def mapper(self, key: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The record as it is."""
        yield key, value

    def reducer(self, key: bytes, values: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """All records of a key."""
        for value in values:
            yield key, value


if __name__ == "__main__":
    arguments = sys.argv[1:]
    option("--default", arguments)
    with ran(Sort, arguments) as pairs:
        # mrjob leaves line ends; it cuts its sorted output into parts of its own and joins them in any order
        parts = 2 * (os.cpu_count() or 1) + 1
        result.records(((key, value.rstrip(b"\n")) for key, value in pairs), parts)
