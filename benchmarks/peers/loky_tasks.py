"""One task per file on loky."""

import sys

from loky import get_reusable_executor

from benchmarks import result
from benchmarks.jobs import PROCESSES
from benchmarks.peers import handmade

if __name__ == "__main__":
    with get_reusable_executor(max_workers=PROCESSES) as executor:
        result.counts(list(executor.map(handmade.square, sys.argv[1:])))
