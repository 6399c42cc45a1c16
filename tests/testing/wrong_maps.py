"""Map functions with a bug each, and a part of the name of the law that it breaks."""

from __future__ import annotations

import functools
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from discolocal import Job, Params

Pairs = Iterator[Any]

COUNT = 0
SEEN: set[str] = set()
BUFFER: list[str] = []
LAST = ""
TOTALS: Counter[str] = Counter()
NUMBERS = itertools.count()
STOP = map(str.lower, ["The", "A", "B"])
CHANCE = random.Random(5)


def global_counter(entry: str, params: Any) -> Pairs:
    global COUNT
    COUNT += 1
    yield entry.strip(), COUNT


def seen_words(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        if word not in SEEN:
            SEEN.add(word)
            yield word, 1


def global_buffer(entry: str, params: Any) -> Pairs:
    BUFFER.append(entry)
    if len(BUFFER) >= 3:
        for line in BUFFER:
            yield line, 1
        BUFFER.clear()


def previous_line(entry: str, params: Any) -> Pairs:
    global LAST
    if entry != LAST:
        yield entry, 1
    LAST = entry


def running_totals(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        TOTALS[word] += 1
        yield word, TOTALS[word]


def default_list(entry: str, params: Any, words: list[str] = []) -> Pairs:  # noqa: B006
    words.extend(entry.split())
    yield from ((word, 1) for word in words)


def default_dict(entry: str, params: Any, ids: dict[str, int] = {}) -> Pairs:  # noqa: B006
    for word in entry.split():
        yield ids.setdefault(word, len(ids)), 1


def attribute(entry: str, params: Any) -> Pairs:
    attribute.lines = getattr(attribute, "lines", 0) + 1  # type: ignore[attr-defined]
    if attribute.lines > 1:  # type: ignore[attr-defined]
        yield entry, 1


def closure() -> Callable[..., Any]:
    number = 0

    def numbered(entry: str, params: Any) -> Pairs:
        nonlocal number
        number += 1
        yield number, entry

    return numbered


def numbers(entry: str, params: Any) -> Pairs:
    yield next(NUMBERS), entry


def spent_stop_words(entry: str, params: Any) -> Pairs:
    for word in entry.lower().split():
        if word not in STOP:
            yield word, 1


def seeded_once(entry: str, params: Any) -> Pairs:
    if CHANCE.random() < 0.5:
        yield entry, 1


class Counting(Job):
    lines = 0

    @staticmethod
    def map(entry: str, params: Any) -> Pairs:
        Counting.lines += 1
        yield entry, Counting.lines


class Callee:
    def __init__(self) -> None:
        self.number = 0

    def __call__(self, entry: str, params: Any) -> Pairs:
        self.number += 1
        yield entry, self.number


def header_once(entry: str, params: Any) -> Pairs:
    if not hasattr(header_once, "names"):
        header_once.names = entry.split(",")  # type: ignore[attr-defined]
        return
    yield from zip(header_once.names, entry.split(","))  # type: ignore[attr-defined]


def at_random(entry: str, params: Any) -> Pairs:
    if random.random() < 0.5:
        yield entry, 1


def salted(entry: str, params: Any) -> Pairs:
    yield f"{entry.strip()}#{random.randrange(4)}", 1


def clock(entry: str, params: Any) -> Pairs:
    yield entry, time.time()


def address(entry: str, params: Any) -> Pairs:
    yield str(object()), entry


def process(entry: str, params: Any) -> Pairs:
    yield os.getpid(), entry


def by_hash(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        yield hash(word) % 1000, word


def any_of_a_set(entry: str, params: Any) -> Pairs:
    words = set(entry.split())
    if words:
        yield next(iter(words)), 1


def list_of_a_set(entry: str, params: Any) -> list[Any]:
    return [("words", list(set(entry.split())))]


def relative_path(entry: str, params: Any) -> Pairs:
    if os.path.exists("setup.cfg") or os.path.exists("conftest.py") or len(os.listdir(".")) > 0:
        yield entry, 1


def shared_list(entry: str, params: Any) -> Pairs:
    words: list[str] = []
    for word in entry.split():
        words.append(word)
        yield word, words


def shared_dict(entry: str, params: Any) -> Pairs:
    row: dict[str, int] = {}
    for number, word in enumerate(entry.split()):
        row["number"] = number
        yield word, row


SCRATCH = [0]


def scratch(entry: str, params: Any) -> Pairs:
    SCRATCH[0] = len(entry)
    yield entry, SCRATCH


def none_for_empty(entry: str, params: Any) -> Any:
    if not entry.strip():
        return None
    return [(word, 1) for word in entry.split()]


def no_pairs(entry: str, params: Any) -> Pairs:
    yield from entry.split()


def triples(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        yield word, 1, len(word)


def returns_pair(entry: str, params: Any) -> Any:
    return entry.strip(), 1


def generator_as_value(entry: str, params: Any) -> Pairs:
    yield "words", (word for word in entry.split())


def file_as_value(entry: str, params: Any) -> Pairs:
    with open(os.devnull) as file:
        yield entry, file


def count_in_params(entry: str, params: Any) -> Pairs:
    params.count = getattr(params, "count", 0) + 1
    yield entry, 1


def nested_params(entry: str, params: Any) -> Pairs:
    params.seen["n"] = params.seen.get("n", 0) + len(entry)
    yield entry, 1


def popped_params(entry: str, params: Any) -> Pairs:
    yield entry, params.weights.pop() if params.weights else 0


def generator_twice(entry: str, params: Any) -> Pairs:
    words = (word.lower() for word in entry.split())
    total = sum(1 for _ in words)
    for word in words:
        yield word, total


BUGS: list[tuple[Any, dict[str, Any], str]] = [
    (global_counter, {}, "no state"),
    (seen_words, {}, "no state"),
    (global_buffer, {}, "no state"),
    (previous_line, {}, "no state"),
    (running_totals, {}, "no state"),
    (default_list, {}, "no state"),
    (default_dict, {}, "no state"),
    (attribute, {}, "no state"),
    (closure(), {}, "no state"),
    (numbers, {}, "no state"),
    (spent_stop_words, {}, "no state"),
    (seeded_once, {}, "no state"),
    (Counting, {}, "no state"),
    (Callee(), {}, "no state"),
    (functools.partial(default_list, words=[]), {}, "no state"),
    (header_once, {}, "no state"),
    (at_random, {}, "deterministic"),
    (salted, {}, "deterministic"),
    (clock, {}, "deterministic"),
    (address, {}, "deterministic"),
    (process, {}, "every process"),
    (by_hash, {}, "every process"),
    (any_of_a_set, {}, "every process"),
    (list_of_a_set, {}, "every process"),
    (relative_path, {}, "every process"),
    (shared_list, {}, "not changed later"),
    (shared_dict, {}, "not changed later"),
    (scratch, {}, "not changed later"),
    (none_for_empty, {}, "iterable of (key, value) pairs"),
    (no_pairs, {}, "iterable of (key, value) pairs"),
    (triples, {}, "iterable of (key, value) pairs"),
    (returns_pair, {}, "iterable of (key, value) pairs"),
    (generator_as_value, {}, "iterable of (key, value) pairs"),
    (file_as_value, {}, "iterable of (key, value) pairs"),
    (count_in_params, {}, "params as they are"),
    (nested_params, {"params": Params(seen={})}, "params as they are"),
    (popped_params, {"params": Params(weights=[1, 2, 3])}, "params as they are"),
    (generator_twice, {}, "iterator after its end"),
]
