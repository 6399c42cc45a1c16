"""The main job as a demonstration: word count over the sources of Python's standard library.

    sources() --batches of about equal size--> lists of paths, the job's inputs
    map task: paths -> lines -> words, summed -> two partitions -> reduce tasks -> counts

Most of the files are small, and a task for each would mostly measure the start of processes. So an input is a
list of files, and a `map_reader` reads the files on it. `discolocal demo` calls `main`. Importing this
module costs nothing, because every task does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

TOP = 20
BATCHES = 8


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    """Emit (word, 1) for every word of a line (a `map` function, reference 8.4)."""
    for word in line.split():
        yield word, 1


def lines_of_files(fd: Iterable[str], size: int | None, url: str, params: Any) -> Iterator[str]:
    """Yield the lines of the files that an input lists (a `map_reader`, reference 8.8).

    The sources of the standard library are not all UTF-8: bytes that are none become surrogates.
    """
    for path in fd:
        with open(path.rstrip("\n"), encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            yield from file


def sources() -> list[str]:
    """The `*.py` files of the standard library, without those of installed packages; paths, sorted."""
    import os
    import sysconfig

    found = []
    for folder, folders, files in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = [name for name in folders if name not in ("site-packages", "dist-packages")]
        found += [os.path.join(folder, name) for name in files if name.endswith(".py")]
    return sorted(path for path in found if os.path.isfile(path))


def batches(sizes: dict[str, int]) -> list[list[str]]:
    """Divide files into at most `BATCHES` lists of about equal size. `sizes` maps paths to bytes."""
    lists: list[list[str]] = [[] for _ in range(BATCHES)]
    loads = [0] * BATCHES
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        least = loads.index(min(loads))
        lists[least].append(path)
        loads[least] += sizes[path]
    return [paths for paths in lists if paths]


def main(**options: Any) -> int:
    """Count the words and print the most frequent ones, the time and the throughput.

    Parameters: `options` are the arguments of `LocalCluster`. Returns the exit status, 0.
    Raises: JobError when the job fails.
    """
    import os
    import time
    from heapq import nsmallest

    sizes = {path: os.path.getsize(path) for path in sources()}
    start = time.perf_counter()
    counts = _count(batches(sizes), options)
    seconds = time.perf_counter() - start
    for word, count in nsmallest(TOP, counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:9,}  {word}")
    megabytes = sum(sizes.values()) / 1e6
    print(f"{sum(counts.values()):,} words, {len(counts):,} of them distinct, in {len(sizes):,} files")
    print(f"{megabytes:.1f} MB in {seconds:.2f} s: {megabytes / seconds:.1f} MB/s")
    return 0


def _count(lists: list[list[str]], options: dict[str, Any]) -> dict[str, int]:
    """Run the job, with the lists of files among the cluster's own files; the count of every word."""
    import os
    import tempfile

    from discolocal import Job, LocalCluster
    from discolocal.worker.classic.func import sum_combiner, sum_reduce

    job = Job("demo", map_reader=lines_of_files, map=words, combiner=sum_combiner, reduce=sum_reduce, partitions=2)
    with LocalCluster(**options) as cluster:
        directory = tempfile.mkdtemp(prefix="sources-", dir=cluster.root)
        inputs = [os.path.join(directory, str(number)) for number in range(len(lists))]
        for name, paths in zip(inputs, lists):
            with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{path}\n" for path in paths)
        return dict(cluster.run(job, input=inputs))
