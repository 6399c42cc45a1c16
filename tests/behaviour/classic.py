"""What the tests of classic jobs share: two texts, and the functions that count their words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discolocal import Job
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_combiner

Write = Callable[[str, Any], str]
"""The fixture `write`."""

TEXT_A = "the quick brown fox\njumps over the lazy dog\n"
TEXT_B = "the end of\nthe story of fox and dog"


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def key_and_partition(iter: Iterable[tuple[Any, Any]], params: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in iter:
        yield (this_partition(), key), value  # noqa: F821 (injected)


class WordCount(Job):
    partitions = 3
    sort = True
    combiner = staticmethod(sum_combiner)

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word, 1

    @staticmethod
    def reduce(iter, params):
        for word, counts in kvgroup(iter):
            yield word, sum(counts)
