"""One map task per file with mrjob inline."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mrjob.job import MRJob

from benchmarks import result
from benchmarks.peers.mrjob_common import ran


class Square(MRJob):  # type: ignore[misc]
    """Squares numbers."""

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        """The number and its square."""
        yield line.strip(), int(line) ** 2


if __name__ == "__main__":
    with ran(Square, sys.argv[1:]) as pairs:
        result.counts(list(pairs))
