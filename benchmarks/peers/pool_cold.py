"""The trivial job by hand on a multiprocessing.Pool."""

import sys
from multiprocessing import get_context
from tempfile import TemporaryDirectory

from benchmarks.peers import handmade

if __name__ == "__main__":
    with TemporaryDirectory() as directory, get_context("fork").Pool(2) as pool:
        print(sorted(handmade.count(pool.map, directory, sys.argv[1:]).items()))
