"""Reduces with a bug each, and a part of the name of the law that it breaks."""

from __future__ import annotations

import functools
import heapq
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from discolocal import Job, Params
from discolocal.util import kvgroup

Pairs = Iterable[tuple[Any, Any]]
Records = Iterator[tuple[Any, Any]]

COUNT = 0
TOTALS: Counter[Any] = Counter()
SEEN: set[Any] = set()


def ungrouped(iter: Pairs, params: Any) -> Records:
    for key, values in kvgroup(iter):
        yield key, sum(values)


def ungrouped_by_itertools(iter: Pairs, params: Any) -> Records:
    for key, pairs in groupby(iter, key=lambda pair: pair[0]):
        yield key, len(list(pairs))


def last_value(iter: Pairs, params: Any) -> Records:
    yield from dict(iter).items()


def first_value(iter: Pairs, params: Any) -> Records:
    found: dict[Any, Any] = {}
    for key, value in iter:
        found.setdefault(key, value)
    yield from found.items()


def previous_key(iter: Pairs, params: Any) -> Records:
    last = object()
    for key, value in iter:
        if key != last:
            yield key, value
        last = key


def list_of_values(iter: Pairs, params: Any) -> Records:
    found: dict[Any, list[Any]] = {}
    for key, value in iter:
        found.setdefault(key, []).append(value)
    yield from found.items()


def joined(iter: Pairs, params: Any) -> Records:
    for key, pairs in groupby(sorted(iter, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        yield key, ",".join(str(value) for _, value in pairs)


def differences(iter: Pairs, params: Any) -> Records:
    last: dict[Any, int] = {}
    for key, value in iter:
        yield key, value - last.get(key, 0)
        last[key] = value


def numbered(iter: Pairs, params: Any) -> Records:
    yield from enumerate(iter)


def ranks(iter: Pairs, params: Any) -> Records:
    for rank, (key, total) in enumerate(sorted(sums(iter, params))):
        yield key, (rank, total)


def sums(iter: Pairs, params: Any) -> Records:
    found: Counter[Any] = Counter()
    for key, value in iter:
        found[key] += value
    return iter_of(found)


def iter_of(found: dict[Any, Any]) -> Records:
    return iter(sorted(found.items()))


def top_three(iter: Pairs, params: Any) -> Records:
    totals = dict(sums(iter, params))
    for key in heapq.nlargest(3, totals, key=lambda key: (totals[key], key)):
        yield key, totals[key]


def top_hundred(iter: Pairs, params: Any) -> Records:
    totals = dict(sums(iter, params))
    yield from sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:100]


def total(iter: Pairs, params: Any) -> Records:
    yield "total", sum(value for _, value in iter)


def shares(iter: Pairs, params: Any) -> Records:
    records = list(iter)
    whole = sum(abs(value) for _, value in records) or 1
    for key, value in sums(records, params):
        yield key, value / whole


def most_frequent(iter: Pairs, params: Any) -> list[Any]:
    counts = Counter(key for key, _ in iter)
    return [max(counts.items(), key=lambda pair: (pair[1], pair[0]))] if counts else []


def distinct_count(iter: Pairs, params: Any, n: list[int] = [0]) -> Records:  # noqa: B006
    for key in {key for key, _ in iter}:
        n[0] += 1
        yield key, n[0]


def numbers_keys(iter: Pairs, params: Any, *, n: list[int] = [0]) -> Records:  # noqa: B006
    for key in sorted({key for key, _ in iter}):
        n[0] += 1
        yield key, n[0]


def global_totals(iter: Pairs, params: Any) -> Records:
    for key, value in iter:
        TOTALS[key] += value
    yield from TOTALS.items()


def global_seen(iter: Pairs, params: Any) -> Records:
    for key, _ in sorted(iter):
        if key not in SEEN:
            SEEN.add(key)
            yield key, 1


def call_count(iter: Pairs, params: Any) -> Records:
    global COUNT
    COUNT += 1
    for key, value in iter:
        yield key, value * COUNT


def first_next(iter: Iterator[Any], params: Any) -> Records:
    key, value = next(iter)
    yield key, value
    yield from iter


def max_of_all(iter: Pairs, params: Any) -> Records:
    low = min(value for _, value in iter)
    yield "low", low


def by_out_next(iter: Iterator[Any], out: Any, params: Any) -> None:
    first = next(iter)
    out.add(*first)
    for key, value in iter:
        out.add(key, value)


def twice(iter: Pairs, params: Any) -> Records:
    keys = {key for key, _ in iter}
    for key, value in iter:
        yield key, (value, len(keys))


def group_twice(iter: Pairs, params: Any) -> Records:
    for key, values in kvgroup(sorted(iter)):
        yield key, (sum(values), max(values, default=0))


def groups_kept(iter: Pairs, params: Any) -> Records:
    for key, values in list(kvgroup(sorted(iter))):
        yield key, sum(values)


def sampled(iter: Pairs, params: Any) -> Records:
    for key, value in iter:
        if random.random() < 0.5:
            yield key, value


def stamped(iter: Pairs, params: Any) -> Records:
    for key, value in sorted(iter):
        yield key, (value, time.time())


def hashed(iter: Pairs, params: Any) -> Records:
    for key, value in sorted(iter):
        yield hash(key) % 100, value


def count_in_params(iter: Pairs, params: Any) -> Records:
    for key, value in iter:
        params.counts[key] = params.counts.get(key, 0) + value
    yield from params.counts.items()


def only_a_thousand(iter: Pairs, params: Any) -> Records:
    yield from sorted(sums(islice(iter, 1000), params))


def flushes(iter: Pairs, params: Any) -> Records:
    buffer: Counter[Any] = Counter()
    for key, value in iter:
        buffer[key] += value
        if len(buffer) > 200:
            yield from buffer.items()
            buffer.clear()
    yield from buffer.items()


def merges_case(iter: Pairs, params: Any) -> Records:
    found: Counter[Any] = Counter()
    for key, value in iter:
        found[str(key).strip()] += value
    yield from found.items()


def no_pairs(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, _ in iter:
        yield key, 1, 2


class LastOfLines(Job):
    @staticmethod
    def map(entry: str, params: Any) -> Iterator[Any]:
        words = entry.split(",")
        if len(words) == 2:
            yield words[0], int(words[1])

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Records:
        found: dict[Any, Any] = {}
        for key, value in iter:
            found[key] = value
        yield from found.items()


BUGS: list[tuple[Any, dict[str, Any], str]] = [
    (ungrouped, {}, "any order"),
    (ungrouped_by_itertools, {}, "any order"),
    (last_value, {}, "any order"),
    (first_value, {}, "any order"),
    (previous_key, {}, "any order"),
    (list_of_values, {}, "any order"),
    (joined, {}, "any order"),
    (differences, {}, "any order"),
    (numbered, {}, "any order"),
    (LastOfLines, {}, "any order"),
    (functools.partial(last_value), {}, "any order"),
    (lambda iter, params: [(key, next(values)) for key, values in kvgroup(iter)], {}, "any order"),
    (flushes, {}, "any order"),
    (only_a_thousand, {}, "any order"),
    (ranks, {}, "spread over partitions"),
    (top_three, {}, "spread over partitions"),
    (top_hundred, {}, "spread over partitions"),
    (total, {}, "spread over partitions"),
    (total, {"partitions": 3}, "spread over partitions"),
    (shares, {}, "spread over partitions"),
    (most_frequent, {}, "spread over partitions"),
    (merges_case, {"pairs": [("1", 1), (1, 2), ("2", 3)]}, "spread over partitions"),
    (ranks, {"sort": True}, "spread over partitions"),
    (numbers_keys, {}, "no state"),
    (distinct_count, {}, "pairs that can be written"),
    (global_totals, {}, "no state"),
    (global_seen, {}, "no state"),
    (call_count, {}, "no state"),
    (first_next, {}, "partition without records"),
    (max_of_all, {}, "partition without records"),
    (by_out_next, {}, "partition without records"),
    (twice, {}, "iterator after its end"),
    (group_twice, {}, "iterator after its end"),
    (groups_kept, {}, "iterator after its end"),
    (sampled, {}, "deterministic"),
    (stamped, {}, "deterministic"),
    (hashed, {}, "every process"),
    (count_in_params, {"params": Params(counts={})}, "params as they are"),
    (no_pairs, {"pairs": [("a", 1)]}, "copes with all records"),
]
