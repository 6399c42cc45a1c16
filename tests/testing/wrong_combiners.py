"""Combiners with a bug each, the jobs they are used in, and a part of the name of the law that each breaks."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from discolocal import Params
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_combiner, sum_reduce

Pairs = Iterable[tuple[Any, Any]]
Buffer = dict[Any, Any]


def words(entry: str, params: Any) -> Iterator[Any]:
    for word in entry.split():
        yield word, 1


def numbers(entry: str, params: Any) -> Iterator[Any]:
    parts = entry.replace(",", " ").split()
    if len(parts) == 2 and parts[1].lstrip("-").isdigit():
        yield parts[0], int(parts[1])


def lists(entry: str, params: Any) -> Iterator[Any]:
    for word in entry.split():
        yield word, [len(word)]


def maximum(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        yield key, max(values)


def mean(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        found = list(values)
        yield key, sum(found) / len(found)


def count(iter: Pairs, params: Any) -> Iterator[Any]:
    yield from Counter(key for key, _ in iter).items()


def all_lists(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        yield key, sorted(number for value in values for number in value)


# Bugs

KEPT: Buffer = {}
LIMIT = 300


def never_done(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if not done:
        buffer[key] = buffer.get(key, 0) + value
    return None


def not_emptied(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) >= 100:
        return list(buffer.items())
    return None


def trigger_dropped(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    if len(buffer) >= 1000:
        sums = list(buffer.items())
        buffer.clear()
        return sums
    buffer[key] = buffer.get(key, 0) + value
    return None


def cleared_before(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        yield from buffer.items()
        return
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) > LIMIT:
        buffer.clear()
        yield from buffer.items()


def drops_at_done(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [pair for pair in buffer.items() if pair[1] > 1]
    buffer[key] = buffer.get(key, 0) + value
    return None


def last_wins(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = value
    return None


def counts(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + 1
    return None


def averages(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [(key, sum(values) / len(values)) for key, values in buffer.items()]
    buffer.setdefault(key, []).append(value)
    return None


def max_from_zero(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = max(buffer.get(key, 0), value)
    return None


def minimum(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = min(buffer.get(key, value), value)
    return None


def one_key(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [("total", buffer.get("n", 0))]
    buffer["n"] = buffer.get("n", 0) + value
    return None


def other_keys(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    key = key.upper() + "!"
    buffer[key] = buffer.get(key, 0) + value
    return None


def extra_total(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [*buffer.items(), ("*", len(buffer))]
    buffer[key] = buffer.get(key, 0) + value
    return None


def returns_as_well(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    return [(key, value)]


def appended_twice(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer.setdefault(key, list(value)).extend(value)
    return None


def changes_values(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    if key in buffer:
        buffer[key].extend(value)
    else:
        buffer[key] = value
    return None


def in_a_global(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return list(KEPT.items())
    KEPT[key] = KEPT.get(key, 0) + value
    return None


def in_a_default(key: Any, value: Any, buffer: Buffer, done: bool, params: Any, kept: Buffer = {}) -> Any:  # noqa: B006
    if done:
        return list(kept.items())
    kept[key] = kept.get(key, 0) + value
    return None


def in_params(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    params.seen = getattr(params, "seen", 0) + 1
    buffer[key] = buffer.get(key, 0) + value
    return None


def popped_wrongly(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) > 50:
        buffer.popitem()
    return None


def first_fifty(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return sorted(buffer.items())[:50]
    buffer[key] = buffer.get(key, 0) + value
    return None


def many_of_one(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [(key, sum(values)) for key, values in buffer.items()]
    values = buffer.setdefault(key, [])
    values.append(value)
    if len(values) == 500:
        buffer[key] = [sum(values[:-1])]
    return None


def by_params(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) > params.size:
        return list(buffer.items())
    return None


def at_random(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    if random.random() < 0.9:
        buffer[key] = buffer.get(key, 0) + value
    return None


def wrong_pairs(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return list(buffer)
    buffer[key] = value
    return None


def fails_when_done(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done and len(buffer) > 2:
        raise KeyError(key)
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    return None


def counts_read_twice(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        counts = iter(buffer.values())
        total = sum(counts)
        if max(counts, default=0) > total:
            return []
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    return None


def only_beside_files(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items() if os.listdir(".") else []
    buffer[key] = buffer.get(key, 0) + value
    return None


SUM = {"map": words, "reduce": sum_reduce}
BUGS: list[tuple[Any, dict[str, Any], str]] = [
    (never_done, SUM, "with and without"),
    (never_done, {}, "when it is done at the latest"),
    (not_emptied, SUM, "with and without"),
    (not_emptied, {}, "combined again"),
    (trigger_dropped, SUM, "with and without"),
    (trigger_dropped, {}, "combined again"),
    (cleared_before, SUM, "with and without"),
    (drops_at_done, SUM, "with and without"),
    (last_wins, SUM, "with and without"),
    (last_wins, {"reduce": sum_reduce}, "with and without"),
    (counts, {"map": numbers, "reduce": sum_reduce}, "with and without"),
    (counts, {}, "combined again"),
    (sum_combiner, {"map": words, "reduce": count}, "with and without"),
    (averages, {"map": numbers, "reduce": mean}, "with and without"),
    (averages, {"reduce": mean}, "with and without"),
    (max_from_zero, {"map": numbers, "reduce": maximum}, "with and without"),
    (max_from_zero, {"reduce": maximum}, "with and without"),
    (minimum, {"map": numbers, "reduce": maximum}, "with and without"),
    (one_key, SUM, "partition of its buffer"),
    (one_key, {**SUM, "partitions": 1}, "with and without"),
    (other_keys, SUM, "combiner"),
    (extra_total, SUM, "partition of its buffer"),
    (returns_as_well, SUM, "with and without"),
    (appended_twice, {"map": lists, "reduce": all_lists}, "with and without"),
    (changes_values, {"map": lists, "reduce": all_lists}, "values it is given"),
    (in_a_global, SUM, "no state but its buffer"),
    (in_a_default, SUM, "no state but its buffer"),
    (in_params, SUM, "params as they are"),
    (popped_wrongly, SUM, "with and without"),
    (first_fifty, SUM, "with and without"),
    (many_of_one, SUM, "with and without"),
    (by_params, {**SUM, "params": Params(size=700)}, "with and without"),
    (at_random, SUM, "with"),
    (wrong_pairs, {"reduce": sum_reduce, "pairs": [("a", 1), ("abc", 2)]}, "copes with all pairs"),
    (fails_when_done, SUM, "copes with all pairs"),
    (counts_read_twice, SUM, "iterator after its end"),
    (only_beside_files, SUM, "every process"),
    (only_beside_files, {}, "every process"),
]
