"""Processor time and page faults of a quick task in several versions of this library, which run at the same time.

    python -m benchmarks.versions CHECKOUT CHECKOUT... [--rounds 4]

A machine that others share may be a quarter slower a minute later. Versions that run side by side are slowed down
alike: the ratio of their processor times comes out the same within a hundredth. Needs Linux.
The packages are compiled first, into their own directories: one that is compiled in memory has other faults.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.gen import write_singles

INPUTS = 1000


class Cost(NamedTuple):
    """What a task costs: milliseconds of processor time of all processes, page faults of the node and its workers."""

    milliseconds: float
    faults: float


def cost(said: str) -> Cost:
    """What `ours/processor.py` has printed."""
    milliseconds, faults = map(float, said.split())
    return Cost(milliseconds, faults)


def side_by_side(checkouts: list[Path], paths: list[str]) -> list[Cost]:
    """One run of each version, all at the same time. Raises RuntimeError when one fails."""
    command = [sys.executable, str(Path(__file__).parent / "ours" / "processor.py"), *paths]
    running = [
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(path)}, stdout=subprocess.PIPE, text=True)
        for path in checkouts
    ]
    said = [process.communicate()[0] for process in running]
    if failed := [path for path, process in zip(checkouts, running) if process.returncode]:
        raise RuntimeError(f"failed: {', '.join(map(str, failed))}")
    return list(map(cost, said))


def main() -> None:
    """Compare versions and print a line for each, with its ratio to the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkouts", nargs="+", type=Path, metavar="CHECKOUT", help="a directory with `discolocal`")
    parser.add_argument("--rounds", type=int, default=4, help="how often; medians are shown (default: %(default)s)")
    options = parser.parse_args()
    checkouts = [path.resolve() for path in options.checkouts]
    for path in checkouts:
        compileall.compile_dir(path / "discolocal", quiet=1)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        paths = list(map(str, write_singles(Path(directory), INPUTS)))
        rounds = [side_by_side(checkouts, paths) for _ in range(options.rounds)]
    for place, path in enumerate(checkouts):
        milliseconds = statistics.median(costs[place].milliseconds for costs in rounds)
        faults = statistics.median(costs[place].faults for costs in rounds)
        ratio = statistics.median(costs[place].milliseconds / costs[0].milliseconds for costs in rounds)
        print(f"{milliseconds:6.2f} ms  {faults:5.0f} faults  {ratio:.3f} x  {path}")


if __name__ == "__main__":
    main()
