"""Join CSV files on their first column: one row for each combination of rows that share a key in every file.

    python examples/inner_join.py LEFT.csv RIGHT.csv [MORE.csv...]
    discolocal run examples.inner_join.InnerJoin LEFT.csv RIGHT.csv
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.util import kvgroup
from discolocal.worker.classic.func import nop_map

Row = tuple[str, ...]


class InnerJoin(Job):
    """Results are (key, row); columns stand in the order of the files' urls. `params` is the number of files."""

    partitions = 2
    sort = True
    params = 2
    map = staticmethod(nop_map)

    @staticmethod
    def map_reader(fd: Any, size: int | None, url: str, params: int) -> Iterator[tuple[bytes, tuple[str, Row]]]:
        """Read the rows of one file as (key, (url of the file, other columns)); a cluster sorts only bytes keys."""
        for key, *columns in csv.reader(fd):
            yield key.encode(), (url, tuple(columns))

    @staticmethod
    def reduce(iter: Iterable[tuple[bytes, tuple[str, Row]]], params: int) -> Iterator[tuple[str, Row]]:
        """Combine the rows of each key that occurs in all files."""
        for key, rows in kvgroup(iter):
            tables: dict[str, list[Row]] = {}
            for url, columns in rows:
                tables.setdefault(url, []).append(columns)
            if len(tables) == params:
                for combination in itertools.product(*(sorted(tables[url]) for url in sorted(tables))):
                    yield key.decode(), tuple(itertools.chain(*combination))


def main(files: list[str]) -> None:
    """Print the joined rows as CSV, sorted by key."""
    with LocalCluster() as cluster:
        rows = sorted(cluster.run(InnerJoin, input=files, params=len(files)))
    csv.writer(sys.stdout, lineterminator="\n").writerows((key, *columns) for key, columns in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
