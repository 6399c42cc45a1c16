"""Every pair shuffled by hand on loky: hash reduce, or with `--sort` sorting reduce."""

import sys
from tempfile import TemporaryDirectory

from loky import get_reusable_executor

from benchmarks import result
from benchmarks.jobs import PROCESSES, option
from benchmarks.peers import handmade

if __name__ == "__main__":
    arguments = sys.argv[1:]
    in_order = option("--sort", arguments)
    with TemporaryDirectory() as directory, get_reusable_executor(max_workers=PROCESSES) as executor:
        result.counts(handmade.shuffle(executor.map, directory, arguments, in_order).items())
