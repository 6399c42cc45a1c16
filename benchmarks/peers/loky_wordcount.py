"""Word count by hand on loky, with partition files."""

import sys
from tempfile import TemporaryDirectory

from loky import get_reusable_executor

from benchmarks import result
from benchmarks.jobs import PROCESSES
from benchmarks.peers import handmade

if __name__ == "__main__":
    with TemporaryDirectory() as directory, get_reusable_executor(max_workers=PROCESSES) as executor:
        result.counts(handmade.count(executor.map, directory, sys.argv[1:]).items())
