"""Print the lines of files in which a regular expression is found.

    python examples/grep.py PATTERN FILE...
    discolocal run examples.grep.Grep -P params PATTERN FILE...
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import nop_map


class Grep(Job):
    """A job without reduce: results are (url of the input, line). `params` is the pattern."""

    map = staticmethod(nop_map)
    params = ""

    @staticmethod
    def map_reader(fd: Any, size: int | None, url: str, params: str) -> Iterator[tuple[str, str]]:
        """Read one input and keep the lines that match."""
        pattern = re.compile(params)
        for line in fd:
            if pattern.search(line):
                yield url, line


def main(pattern: str, files: list[str]) -> None:
    """Print `file:line` for every match, sorted."""
    with LocalCluster() as cluster:
        for url, line in sorted(cluster.run(Grep, input=files, params=pattern)):
            print(url, line.rstrip("\n"), sep=":")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
