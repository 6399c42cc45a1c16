"""Word count by hand on a multiprocessing.Pool, with partition files."""

import sys
from multiprocessing import get_context
from tempfile import TemporaryDirectory

from benchmarks import result
from benchmarks.jobs import PROCESSES
from benchmarks.peers import handmade

if __name__ == "__main__":
    with TemporaryDirectory() as directory, get_context("fork").Pool(PROCESSES) as pool:
        result.counts(handmade.count(pool.map, directory, sys.argv[1:]).items())
