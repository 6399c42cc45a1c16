"""Every pair shuffled by hand on a multiprocessing.Pool: hash reduce, or with `--sort` sorting reduce."""

import sys
from multiprocessing import get_context
from tempfile import TemporaryDirectory

from benchmarks import result
from benchmarks.jobs import PROCESSES, option
from benchmarks.peers import handmade

if __name__ == "__main__":
    arguments = sys.argv[1:]
    in_order = option("--sort", arguments)
    with TemporaryDirectory() as directory, get_context("fork").Pool(PROCESSES) as pool:
        result.counts(handmade.shuffle(pool.map, directory, arguments, in_order).items())
