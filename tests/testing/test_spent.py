"""Iterators that are used after their end are found; functions that look alike and are right are not."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from itertools import groupby, islice, takewhile, tee
from typing import Any

import pytest

from discolocal.testing.spent import Once, Spent, watched
from discolocal.util import kvgroup

PAIRS = [("a", 1), ("b", 2), ("a", 3), ("c", 5), ("b", 4)]
Pairs = Iterable[tuple[Any, Any]]


def of_reduce(function: Callable[..., Any]) -> list[Spent]:
    def call(log: list[Spent]) -> object:
        return list(function(Once(PAIRS, "iter", log), None))

    return watched(call, [])[1]


def of_map(function: Callable[..., Any]) -> list[Spent]:
    return watched(lambda log: list(function("a b  c\nd e", None)))[1]


# Reduces that are wrong


def twice(iter: Pairs, params: Any) -> Iterator[Any]:
    total = sum(v for _, v in iter)
    for k, v in iter:
        yield k, v / total


def twice_by_loops(iter: Pairs, params: Any) -> Iterator[Any]:
    total = 0
    for _, v in iter:
        total += v
    for k, v in iter:
        yield k, v / total


def passes(iter: Pairs, params: Any) -> Iterator[Any]:
    best = 0
    for _ in range(2):
        for _k, v in iter:
            best = max(best, v)
    yield "best", best


def passes_of_lists(iter: Pairs, params: Any) -> Iterator[Any]:
    for turn in (1, 2):
        rows = list(iter)
        yield turn, len(rows)


def length_and_list(iter: Pairs, params: Any) -> Iterator[Any]:
    yield "n", len(list(iter))
    yield from dict(iter).items()


def group_twice(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        yield key, (sum(values), len(list(values)))


def group_mean(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        n = sum(1 for _ in values)
        yield key, sum(values) / n


def groups_kept(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in list(kvgroup(sorted(iter))):
        yield key, sum(values)


def groups_in_a_dict(iter: Pairs, params: Any) -> Iterator[Any]:
    groups = dict(kvgroup(sorted(iter)))
    for key in groups:
        yield key, sum(groups[key])


def groups_by_itertools(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, pairs in kvgroup(sorted(iter)):
        low = min(pairs)
        yield key, (low, max(pairs, default=None))


class Statistics:
    def __init__(self, source: Pairs) -> None:
        self.source = source

    def total(self) -> int:
        return sum(v for _, v in self.source)


def by_attribute(iter: Pairs, params: Any) -> Iterator[Any]:
    statistics = Statistics(iter)
    total = statistics.total()
    for k, v in statistics.source:
        yield k, v / total


def helper_twice(iter: Pairs, params: Any) -> Iterator[Any]:
    yield "keys", len(_keys(iter))
    yield "again", len(_keys(iter))


def _keys(pairs: Pairs) -> set[Any]:
    return {k for k, _ in pairs}


def counted_then_grouped(iter: Pairs, params: Any) -> Iterator[Any]:
    counts = Counter(k for k, _ in iter)
    for key, values in kvgroup(sorted(iter)):
        yield key, (counts[key], sum(values))


def generator_of_its_own(iter: Pairs, params: Any) -> Iterator[Any]:
    doubled = ((k, v * 2) for k, v in iter)
    total = sum(v for _, v in doubled)
    for k, v in doubled:
        yield k, v / total


REDUCES = [
    twice, twice_by_loops, passes, passes_of_lists, length_and_list, group_twice, group_mean, groups_kept,
    groups_in_a_dict, groups_by_itertools, by_attribute, helper_twice, counted_then_grouped, generator_of_its_own,
]  # fmt: skip

# Maps that are wrong


def map_twice(entry: str, params: Any) -> Iterator[Any]:
    words = (word for word in entry.split())
    n = sum(1 for _ in words)
    for word in words:
        yield word, n


def mapped_twice(entry: str, params: Any) -> Iterator[Any]:
    words = map(str.upper, entry.split())
    yield "n", len(list(words))
    yield "all", " ".join(words)


def filtered_twice(entry: str, params: Any) -> Iterator[Any]:
    words = filter(None, entry.split(" "))
    for word in words:
        yield word, 1
    yield "distinct", len(set(words))


def zip_twice(entry: str, params: Any) -> Iterator[Any]:
    words = entry.split()
    bigrams = zip(words, words[1:])
    yield "bigrams", sum(1 for _ in bigrams)
    for pair in bigrams:
        yield pair, 1


def matches_twice(entry: str, params: Any) -> Iterator[Any]:
    words = re.finditer(r"\w+", entry)
    yield "words", sum(1 for _ in words)
    for word in words:
        yield word.group(), 1


def iterator_twice(entry: str, params: Any) -> list[Any]:
    words = iter(entry.split())
    counts = [(word, 1) for word in words]
    return counts + [("longest", max(words, key=len, default=""))]


def inner_loop(entry: str, params: Any) -> Iterator[Any]:
    letters = reversed(entry)
    for word in entry.split():
        for letter in letters:
            yield word, letter


def by_generator_function(entry: str, params: Any) -> Iterator[Any]:
    parts = _parts(entry)
    n = len(list(parts))
    yield from ((part, n) for part in parts)


def _parts(entry: str) -> Iterator[str]:
    yield from entry.split()


def enumerated(entry: str, params: Any) -> Iterator[Any]:
    numbered = enumerate(entry.split())
    last = max(numbered)
    for number, word in numbered:
        yield word, number == last


MAPS = [
    map_twice, mapped_twice, filtered_twice, zip_twice, matches_twice, iterator_twice, inner_loop,
    by_generator_function, enumerated,
]  # fmt: skip

# Reduces that are right


def chunks(iter: Pairs, params: Any) -> Iterator[Any]:
    while True:
        chunk = list(islice(iter, 2))
        if not chunk:
            break
        yield from chunk


def chunks_by_loop(iter: Pairs, params: Any) -> Iterator[Any]:
    while True:
        chunk = []
        for pair in iter:
            chunk.append(pair)
            if len(chunk) == 3:
                break
        if not chunk:
            return
        yield from chunk


def by_next(iter: Iterator[Any], params: Any) -> Iterator[Any]:
    while True:
        pair = next(iter, None)
        if pair is None:
            break
        yield pair
    assert next(iter, None) is None


def header(iter: Iterator[Any], params: Any) -> Iterator[Any]:
    try:
        first = next(iter)
    except StopIteration:
        return
    yield first
    for key, value in iter:
        yield key, value + 1


def search_and_rest(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, _ in iter:
        if key == "nowhere":
            break
    for key, value in iter:
        yield key, value + 1


def any_and_rest(iter: Pairs, params: Any) -> Iterator[Any]:
    if any(key == "nowhere" for key, _ in iter):
        yield from iter
    yield "rest", sum(1 for _ in iter)


def taken_and_rest(iter: Pairs, params: Any) -> Iterator[Any]:
    small = list(takewhile(lambda pair: pair[1] < 100, iter))
    yield from small
    yield from iter


def drained(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, value in iter:
        yield key, value + 1
    for _ in iter:
        pass
    deque(iter, maxlen=0)


def groups_in_turn(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        yield key, sum(values)


def first_of_groups(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        yield key, next(values)


def lists_of_groups(iter: Pairs, params: Any) -> list[Any]:
    return [(key, max(values)) for key, values in [(key, list(values)) for key, values in kvgroup(sorted(iter))]]


def keys_of_groups(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, _values in list(kvgroup(sorted(iter))):
        yield key, None


def by_tee(iter: Pairs, params: Any) -> Iterator[Any]:
    one, other = tee(iter)
    total = sum(v for _, v in one)
    for k, v in other:
        yield k, v / total


def a_list_twice(iter: Pairs, params: Any) -> Iterator[Any]:
    rows = list(iter)
    total = sum(v for _, v in rows)
    for k, v in rows:
        yield k, v / total


def pairwise(iter: Pairs, params: Any) -> Iterator[Any]:
    yield from zip(iter, iter)


def best_of_group(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        best = next(values)
        for value in values:
            best = max(best, value)
        yield key, best


def by_groupby(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, pairs in groupby(sorted(iter), key=lambda pair: pair[0]):
        yield key, sum(v for _, v in pairs)


RIGHT_REDUCES = [
    chunks, chunks_by_loop, by_next, header, search_and_rest, any_and_rest, taken_and_rest, drained, groups_in_turn,
    first_of_groups, lists_of_groups, keys_of_groups, by_tee, a_list_twice, pairwise, best_of_group, by_groupby,
]  # fmt: skip

# Maps that are right


def map_list_twice(entry: str, params: Any) -> Iterator[Any]:
    words = entry.split()
    for word in words:
        yield word, len(list(words))


def map_after_marker(entry: str, params: Any) -> Iterator[Any]:
    words = iter(entry.split())
    for word in words:
        if word == "MARK":
            break
    for word in words:
        yield word, 1


def map_first_and_rest(entry: str, params: Any) -> Iterator[Any]:
    words = iter(entry.split())
    first = next(words, "")
    yield first, sum(1 for _ in words)


def map_chunks(entry: str, params: Any) -> Iterator[Any]:
    words = iter(entry.split())
    while chunk := tuple(islice(words, 2)):
        yield chunk, 1


def map_empty_twice(entry: str, params: Any) -> Iterator[Any]:
    words = (word for word in entry.split() if word.isdigit())
    yield from ((word, 1) for word in words)
    yield "more", len(list(words))


def map_csv(entry: str, params: Any) -> Iterator[Any]:
    for row in csv.reader(StringIO(entry)):
        yield row[0], row


def map_matches_in_turns(entry: str, params: Any) -> Iterator[Any]:
    words = re.finditer(r"\w+", entry)
    first = next(words, None)
    yield "first", first and first.group()
    for word in words:
        yield word.group(), 1


def map_new_each_time(entry: str, params: Any) -> Iterator[Any]:
    for word in entry.split():
        letters = iter(word)
        for letter in letters:
            yield letter, 1


def map_header(entry: str, params: Any) -> Iterator[Any]:
    lines = iter(entry.splitlines())
    head = list(takewhile(str.strip, lines))
    body = list(lines)
    yield len(head), len(body)


def map_closed(entry: str, params: Any) -> Iterator[Any]:
    words = (word for word in entry.split())
    yield "n", sum(1 for _ in words)
    words.close()


RIGHT_MAPS = [
    map_list_twice, map_after_marker, map_first_and_rest, map_chunks, map_empty_twice, map_csv, map_new_each_time,
    map_header, map_closed, map_matches_in_turns,
]  # fmt: skip


@pytest.mark.parametrize("function", REDUCES)
def test_a_reduce_that_uses_what_has_ended_is_found(function: Callable[..., Any]) -> None:
    found = of_reduce(function)
    assert found
    assert found[0].function in (function.__name__, "_keys", "total", "<genexpr>")


@pytest.mark.parametrize("function", MAPS)
def test_a_map_that_uses_what_has_ended_is_found(function: Callable[..., Any]) -> None:
    found = of_map(function)
    assert [spent.function for spent in found][:1] == [function.__name__]


@pytest.mark.parametrize("function", RIGHT_REDUCES)
def test_a_reduce_that_is_right_is_not_accused(function: Callable[..., Any]) -> None:
    assert of_reduce(function) == []


@pytest.mark.parametrize("function", RIGHT_MAPS)
def test_a_map_that_is_right_is_not_accused(function: Callable[..., Any]) -> None:
    assert of_map(function) == []


def test_the_text_names_function_line_and_thing() -> None:
    (spent,) = of_reduce(twice_by_loops)
    line = twice_by_loops.__code__.co_firstlineno + 4
    assert str(spent) == f"twice_by_loops (line {line}) uses iter again, which has ended: it gives nothing any more"


def test_the_trace_function_and_kvgroup_are_as_before_after_an_error() -> None:
    def fails(iter: Pairs, params: Any) -> Iterator[Any]:
        yield 1 // 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        return None

    code, before = kvgroup.__code__, sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(ZeroDivisionError):
            of_reduce(fails)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert kvgroup.__code__ is code


def test_kvgroup_of_other_threads_is_as_ever_while_a_function_is_watched() -> None:
    def call(log: list[Spent]) -> object:
        import threading

        found: list[Any] = []
        other = threading.Thread(target=lambda: found.extend((k, type(vs), list(vs)) for k, vs in kvgroup(PAIRS[:2])))
        other.start()
        other.join()
        return found

    assert watched(call)[0] == [("a", map, [1]), ("b", map, [2])]
