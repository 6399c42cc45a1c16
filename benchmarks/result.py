"""How a benchmark script says what it found: one line on its standard output, starting with `BENCH `.

The line holds a digest, by which the results of all contestants are compared, and the seconds that making the
digest took, which the runner takes off the time of the process. A script that measures itself also gives its own
seconds. Scripts that print no such line (those of the `cold` workload) are compared by what they print.

Only what is needed for a digest is imported, and only when it is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Record = tuple[bytes, bytes]


def counts(pairs: Collection[tuple[str, int]]) -> None:
    """Report (word, count) pairs in any order; all there already, so that making them is not taken for checking."""
    from time import perf_counter

    begin = perf_counter()
    lines = sorted(f"{word}\t{count}\n" for word, count in pairs)
    _report("".join(lines).encode("utf-8", "surrogateescape"), begin)


def several(results: Sequence[Collection[tuple[str, int]]], seconds: float) -> None:
    """Report the (word, count) pairs of several jobs in the order they ran, and the seconds one of them took."""
    from time import perf_counter

    begin = perf_counter()
    _report(repr([sorted(result) for result in results]).encode("utf-8"), begin, seconds)


def records(stream: Iterable[Record], partitions: int) -> None:
    """Report sorted (key, value) records, one partition after the other, partitions in any order.

    Records that are not at most `partitions` ascending runs give the digest of a text that says so.
    """
    from heapq import merge
    from operator import itemgetter
    from time import perf_counter

    begin = perf_counter()
    runs = _runs(stream)
    if len(runs) > partitions:
        _report(f"not sorted: {len(runs)} runs in {partitions} partitions".encode(), begin)
        return
    _report(b"".join(b"%s\t%s\n" % record for record in merge(*runs, key=itemgetter(0))), begin)


def sorted_file(path: Path) -> None:
    """Report a file of sorted records that are lines of `key TAB value` already."""
    from time import perf_counter

    begin = perf_counter()
    _report(path.read_bytes(), begin)


def content(pieces: Iterable[bytes]) -> None:
    """Report what was stored, read back piece by piece."""
    from time import perf_counter

    begin = perf_counter()
    _report(b"".join(pieces), begin)


def _runs(stream: Iterable[Record]) -> list[list[Record]]:
    """The stream cut wherever a key is smaller than the one before it."""
    runs: list[list[Record]] = []
    last = None
    for record in stream:
        if last is None or record[0] < last:
            runs.append([])
        runs[-1].append(record)
        last = record[0]
    return runs


def _report(data: bytes, begin: float, seconds: float | None = None) -> None:
    """Print the line; the time from `begin` to now is the cost of the digest."""
    from hashlib import sha256
    from json import dumps
    from time import perf_counter

    digest = sha256(data).hexdigest()[:16]
    print("BENCH " + dumps({"digest": digest, "check": perf_counter() - begin, "seconds": seconds}), flush=True)
