"""Sort by hand on a multiprocessing.Pool: pickled runs and a merge; with `--default` partitions by a hash."""

import sys
from multiprocessing import get_context
from tempfile import TemporaryDirectory

from benchmarks import result
from benchmarks.jobs import PARTITIONS, PROCESSES, option
from benchmarks.peers import handmade

if __name__ == "__main__":
    arguments = sys.argv[1:]
    by_range = not option("--default", arguments)
    with TemporaryDirectory() as directory, get_context("fork").Pool(PROCESSES) as pool:
        paths = handmade.sort(pool.map, directory, arguments, by_range)
        result.records((record for path in paths for record in handmade.pairs(path)), PARTITIONS)
