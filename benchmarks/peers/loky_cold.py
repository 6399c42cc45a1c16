"""The trivial job by hand on loky."""

import sys
from tempfile import TemporaryDirectory

from loky import get_reusable_executor

from benchmarks.peers import handmade

if __name__ == "__main__":
    with TemporaryDirectory() as directory, get_reusable_executor(max_workers=2) as executor:
        print(sorted(handmade.count(executor.map, directory, sys.argv[1:]).items()))
