"""`check_map` finds map functions with state and the like, and leaves those alone that only look like it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from discolocal import Job, Params
from discolocal.testing import LawBroken, check_map
from tests.testing import wrong_maps
from tests.testing.wrong_maps import BUGS, Pairs, global_counter, previous_line


def test_a_bug_is_found() -> None:
    missed = []
    for job, jobargs, law in BUGS:
        try:
            check_map(job, **jobargs)
        except LawBroken as broken:
            if law not in broken.law or len(str(broken)) > 1500:
                missed.append((job, str(broken)))
        else:
            missed.append((job, "holds"))
    assert not missed


# What only looks like a bug

COUNT = 0
MEMO: dict[str, str] = {}
PATTERN = re.compile(r"\w+")
STOP_WORDS = frozenset(["the", "a"])


def word_count(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        yield word, 1


def memo(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        if word not in MEMO:
            MEMO[word] = word.strip(",.").lower()
        yield MEMO[word], 1


@functools.lru_cache(maxsize=2)
def _stem(word: str) -> str:
    return word[:3]


def cached(entry: str, params: Any) -> Pairs:
    return ((_stem(word), 1) for word in entry.split())


def counted_for_messages(entry: str, params: Any) -> Pairs:
    global COUNT
    COUNT += 1
    if COUNT % 10 == 0:
        Task.msg("so far %d" % COUNT)  # type: ignore[name-defined]  # noqa: F821, UP031
        print("lines", COUNT, time.time())
    yield from ((word, 1) for word in PATTERN.findall(entry))


def by_set(entry: str, params: Any) -> Pairs:
    for word in set(entry.split()) - STOP_WORDS:
        yield word, 1


def set_as_value(entry: str, params: Any) -> Pairs:
    yield "words", set(entry.split())
    yield "counts", Counter(entry.split())


def seeded_by_entry(entry: str, params: Any) -> Pairs:
    if random.Random(entry).random() < 0.5:
        yield entry, 1


def fields(entry: str, params: Any) -> list[Any]:
    name, number = entry.strip().split(",")
    return [(name, float(number))]


def guarded(entry: str, params: Any) -> Pairs:
    try:
        name, number = entry.split(",")
        yield name, int(number)
    except ValueError:
        pass


def new_lists(entry: str, params: Any) -> Pairs:
    words = []
    for word in entry.split():
        words.append(word)
        yield word, list(words)


def shared_but_unchanged(entry: str, params: Any) -> Pairs:
    words = entry.split()
    for word in words:
        yield word, words


def constant_value(entry: str, params: Any) -> list[Any]:
    return [(word, SHARED) for word in entry.split()]


SHARED = [1]


def copies_entry(entry: Any, params: Any) -> Pairs:
    row = dict(entry)
    row["n"] = row.get("n", 0) + 1
    yield row["n"], row


def init_params(iter: Iterator[str], params: Any) -> None:
    params.weights = {"a": 2}
    params.total = 0


def init_memo(iter: Iterator[str], params: Any) -> None:
    params.lengths = {}


def memo_of_init(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        if word not in params.lengths:
            params.lengths[word] = len(word)
        yield word, params.lengths[word]


def weighted(entry: str, params: Any) -> Pairs:
    for word in entry.split():
        yield word, params.weights.get(word, 1)


class Header(Job):
    """The first entry of each task says what the others are."""

    @staticmethod
    def map_init(iter: Iterator[str], params: Any) -> None:
        params.names = next(iter, "").strip().split(",")

    @staticmethod
    def map(entry: str, params: Any) -> Pairs:
        yield from zip(params.names, entry.strip().split(","))


class Methods(Job):
    least = 2

    @classmethod
    def map(cls, entry: str, params: Any) -> Pairs:
        return ((word, 1) for word in entry.split() if len(word) >= cls.least)


def marked(entry: str, params: Any) -> Pairs:
    words = iter(entry.split())
    for word in words:
        if word == "END":
            break
        yield word, 1
    yield "rest", sum(1 for _ in words)


def chunked(entry: str, params: Any) -> Pairs:
    words = iter(entry.split())
    while True:
        chunk = list(itertools.islice(words, 2))
        if not chunk:
            return
        yield tuple(chunk), 1


def nothing(entry: str, params: Any) -> list[Any]:
    return []


def put_aside(entry: str, params: Any) -> Pairs:
    put(f"line-{len(entry)}", entry.encode())  # type: ignore[name-defined]  # noqa: F821
    yield this_name(), len(entry)  # type: ignore[name-defined]  # noqa: F821


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Weird:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weird) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def own_classes(entry: str, params: Any) -> Pairs:
    yield Point(len(entry), 0.5), {Level.HIGH if entry else Level.LOW}
    yield Weird(entry), [Weird(word) for word in entry.split()]


INNOCENT: list[tuple[Any, dict[str, Any]]] = [
    (word_count, {}),
    (memo, {}),
    (cached, {}),
    (counted_for_messages, {}),
    (by_set, {}),
    (set_as_value, {}),
    (seeded_by_entry, {}),
    (fields, {}),
    (guarded, {}),
    (new_lists, {}),
    (shared_but_unchanged, {}),
    (constant_value, {}),
    (copies_entry, {"entries": [{"n": 1}, {}, {"m": [1]}]}),
    (weighted, {"map_init": init_params}),
    (memo_of_init, {"map_init": init_memo}),
    (memo_of_init, {"map_init": init_memo, "params": Params(lengths=None)}),
    (Header, {}),
    (Methods, {}),
    (marked, {}),
    (chunked, {}),
    (nothing, {}),
    (put_aside, {}),
    (own_classes, {}),
    (lambda entry, params: [(entry, len(entry))], {}),
]


@pytest.mark.parametrize(("job", "jobargs"), INNOCENT)
def test_what_is_right_is_not_accused(job: Any, jobargs: dict[str, Any]) -> None:
    assert check_map(job, examples=50, **jobargs).examples


# Entries that are given


def test_given_entries_that_map_cannot_take_break_the_law() -> None:
    with pytest.raises(LawBroken, match="copes with every entry") as caught:
        check_map(fields, entries=["a,1", "b;2", "c,3"])
    assert caught.value.counterexample == {"entry": "b;2"}
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_changed_entry_is_found_in_a_list_and_by_a_strategy() -> None:
    def grows(entry: list[int], params: Any) -> Pairs:
        entry.append(0)
        yield len(entry), 1

    for entries in ([[1], [2, 3]], st.lists(st.integers(), max_size=3)):
        with pytest.raises(LawBroken, match="leaves its entry as it is"):
            check_map(grows, entries=entries)


def test_entries_of_other_shapes_are_tried_when_map_takes_no_text() -> None:
    def sorts(entry: list[int], params: Any) -> Pairs:
        entry.sort(key=lambda item: -item)
        yield entry[0], 1

    def by_name(entry: dict[str, Any], params: Any) -> Pairs:
        entry["user"] = entry["user"] * 2
        yield entry["user"], 1

    for function in (sorts, by_name):
        with pytest.raises(LawBroken, match="leaves its entry as it is"):
            check_map(function)


def test_a_map_that_takes_no_default_entry_asks_for_entries() -> None:
    def strange(entry: Any, params: Any) -> Pairs:
        yield entry.no_such_attribute, 1

    with pytest.raises(ValueError, match="give entries=: map of .*strange raises AttributeError"):
        check_map(strange)


def test_the_counterexample_is_as_small_as_can_be() -> None:
    with pytest.raises(LawBroken) as caught:
        check_map(previous_line, seed=1)
    (entries,) = caught.value.counterexample.values()
    assert len(entries) == 2


def test_the_text_says_what_where_and_how_to_mend_it() -> None:
    with pytest.raises(LawBroken) as caught:
        check_map(global_counter, entries=["x"])
    assert str(caught.value).splitlines() == [
        "check_map(global_counter): map keeps no state between entries",
        "    entries = ['x', 'x']",
        "  expected: [('x', 1)]",
        "  found: [('x', 2)]",
        "  on a cluster: which entries share a task depends on how the input is cut, and a task may be executed again:"
        " the results differ from run to run",
        "  mend: let the pairs depend on entry and params alone: no global, default argument, attribute or closure that"
        " is changed; add up in reduce",
        "  replay: the last entry, 'x', gives `expected` when it is alone",
    ]


def test_what_the_functions_keep_is_not_touched() -> None:
    before = wrong_maps.COUNT
    with pytest.raises(LawBroken):
        check_map(global_counter)
    assert before == wrong_maps.COUNT
