"""`check_map` finds map functions with state and the like, and leaves those alone that only look like it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from discolocal import Job, Params
from discolocal.testing import LawBroken, check_map

Pairs = Iterator[Any]

# Bugs: each with a part of the name of the law that it breaks

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
    before = COUNT
    with pytest.raises(LawBroken):
        check_map(global_counter)
    assert before == COUNT
