"""Sort by hand on loky: pickled runs and a merge; with `--default` partitions by a hash."""

import sys
from tempfile import TemporaryDirectory

from loky import get_reusable_executor

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, option
from benchmarks.peers import handmade

if __name__ == "__main__":
    arguments = sys.argv[1:]
    by_range = not option("--default", arguments)
    with TemporaryDirectory() as directory, get_reusable_executor(max_workers=PROCESSES) as executor:
        paths = handmade.sort(executor.map, directory, arguments, by_range)
        result.records((record for path in paths for record in handmade.pairs(path)), PARTITIONS)
