"""The main job as a demonstration: word count over the sources of Python's standard library.

`discolocal demo` calls `main`. Importing this module costs nothing, because every task imports it for `words`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TOP = 20


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    """Emit (word, 1) for every word of a line (a `map` function, reference 8.4)."""
    for word in line.split():
        yield word, 1


def sources() -> list[str]:
    """The `*.py` files of the standard library, without those of installed packages; paths, sorted."""
    import os
    import sysconfig

    found = []
    for folder, folders, files in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = [name for name in folders if name not in ("site-packages", "dist-packages")]
        found += [os.path.join(folder, name) for name in files if name.endswith(".py")]
    return sorted(path for path in found if os.path.isfile(path))


def main(**options: Any) -> int:
    """Count the words and print the most frequent ones, the time and the throughput.

    Parameters: `options` are the arguments of `LocalCluster`. Returns the exit status, 0.
    Raises: JobError when the job fails.
    """
    import os
    import time
    from heapq import nsmallest

    from discolocal import Job, LocalCluster
    from discolocal.worker.classic.func import sum_combiner, sum_reduce

    files = sources()
    size = sum(map(os.path.getsize, files))
    job = Job("demo", map=words, combiner=sum_combiner, reduce=sum_reduce, partitions=2)
    start = time.perf_counter()
    with LocalCluster(**options) as cluster:
        counts = dict(cluster.run(job, input=files))
    seconds = time.perf_counter() - start
    for word, count in nsmallest(TOP, counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:9,}  {word}")
    print(f"{sum(counts.values()):,} words, {len(counts):,} of them distinct, in {len(files):,} files")
    print(f"{size / 1e6:.1f} MB in {seconds:.2f} s: {size / 1e6 / seconds:.1f} MB/s")
    return 0
