"""Find k groups among points with k-means; each line of the input is a point, its coordinates with commas between them.

    python examples/kmeans.py -k 3 [-n ITERATIONS] FILE...

Every iteration is a job: each file's points go to the centre that is nearest and are added up there, a task on each
node adds up what its files gave, and the last task moves the centres to the middle of their points. The first k points
of the first file are the centres to begin with; a centre that gets no point stays where it is.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from typing import Any

from discolocal import Job, LocalCluster
from discolocal.worker.pipeline.worker import Stage, Worker

Point = tuple[float, ...]
Sums = dict[int, tuple[int, list[float]]]


class KMeans(Job):
    """One iteration: results are (number, (centre, how many points it has)). `params` has the centres before it."""

    Worker = Worker

    @staticmethod
    def start(interface: Any, params: list[Point]) -> tuple[list[Point], Sums]:
        """The centres, and for each the number and the sum of its points."""
        return params, {number: (0, [0.0] * len(centre)) for number, centre in enumerate(params)}

    @staticmethod
    def assign(interface: Any, state: tuple[list[Point], Sums], label: int, inp: Iterable[str]) -> None:
        """Add each point of a file to the sum of the nearest centre, of several the first."""
        centres, sums = state
        for line in inp:
            if not line.strip():
                continue
            point = [float(text) for text in line.split(",")]
            distances = [sum((a - b) ** 2 for a, b in zip(point, centre)) for centre in centres]
            nearest = distances.index(min(distances))
            count, total = sums[nearest]
            sums[nearest] = count + 1, [a + b for a, b in zip(total, point)]

    @staticmethod
    def add(interface: Any, state: tuple[list[Point], Sums], label: int, inp: Iterable[Any]) -> None:
        """Add up the sums of an earlier task."""
        _, sums = state
        for number, (more, point) in inp:
            count, total = sums[number]
            sums[number] = count + more, [a + b for a, b in zip(total, point)]

    @staticmethod
    def write_sums(interface: Any, state: tuple[list[Point], Sums]) -> None:
        """Write the sums as they are."""
        output = interface.output(0)
        for number, found in state[1].items():
            output.add(number, found)

    @staticmethod
    def write_centres(interface: Any, state: tuple[list[Point], Sums]) -> None:
        """Write the middle of each centre's points."""
        centres, sums = state
        output = interface.output(0)
        for number, (count, total) in sums.items():
            centre = tuple(value / count for value in total) if count else centres[number]
            output.add(number, (centre, count))

    pipeline = [
        ("split", Stage("assign", start, assign, write_sums)),
        ("group_node", Stage("condense", start, add, write_sums)),
        ("group_all", Stage("centres", start, add, write_centres)),
    ]


def first_points(file: str, k: int) -> list[Point]:
    """The first `k` points of a file."""
    with open(file) as lines:
        points = (line for line in lines if line.strip())
        return [tuple(map(float, line.split(","))) for line in itertools.islice(points, k)]


def cluster_points(cluster: LocalCluster, files: list[str], k: int, iterations: int) -> list[tuple[Point, int]]:
    """Run at most so many iterations, until nothing moves; returns the centres and how many points each has."""
    found: list[tuple[Point, int]] = [(centre, 0) for centre in first_points(files[0], k)]
    for _ in range(iterations):
        centres = [centre for centre, _ in found]
        results = dict(cluster.run(KMeans, input=[[file] for file in files], params=centres))
        found = [results[number] for number in range(k)]
        if [centre for centre, _ in found] == centres:
            break
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print `coordinates<TAB>number of points` for each centre, in the order of the coordinates."""
    parser = argparse.ArgumentParser(description="Find groups among points with k-means.")
    parser.add_argument("-k", type=int, default=2, help="number of centres (default: 2)")
    parser.add_argument("-n", type=int, default=20, dest="iterations", help="most iterations (default: 20)")
    parser.add_argument("files", nargs="+", help="files of lines `x,y,...`")
    options = parser.parse_args(arguments)
    with LocalCluster() as cluster:
        for centre, count in sorted(cluster_points(cluster, options.files, options.k, options.iterations)):
            print(",".join(f"{value:g}" for value in centre), count, sep="\t")


if __name__ == "__main__":
    main()
