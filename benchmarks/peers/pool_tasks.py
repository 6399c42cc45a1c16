"""One task per file on a multiprocessing.Pool, whose two processes do them all."""

import sys
from multiprocessing import get_context

from benchmarks import result
from benchmarks.jobs import PROCESSES
from benchmarks.peers import handmade

if __name__ == "__main__":
    with get_context("fork").Pool(PROCESSES) as pool:
        result.counts(pool.map(handmade.square, sys.argv[1:], chunksize=1))
