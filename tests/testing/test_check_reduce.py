"""`check_reduce` finds reduces that trust order, partitions and the like, and leaves those alone that are right."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import strategies as st

from discolocal import Job
from discolocal.testing import LawBroken, check_reduce
from discolocal.util import kvgroup
from tests.testing.wrong_reduces import (
    BUGS,
    Pairs,
    Records,
    hashed,
    last_value,
    list_of_values,
    top_hundred,
    top_three,
    total,
)


def test_a_bug_is_found() -> None:
    missed = []
    for job, jobargs, law in BUGS:
        try:
            check_reduce(job, **jobargs)
        except LawBroken as broken:
            if law not in broken.law or len(str(broken)) > 2500:
                missed.append((job, str(broken)))
        else:
            missed.append((job, "holds"))
    assert not missed


# What is right

COUNT = 0
TOTALS: Counter[Any] = Counter()


def by_dict(iter: Pairs, params: Any) -> Records:
    found: defaultdict[Any, int] = defaultdict(int)
    for key, value in iter:
        found[key] += value
    yield from found.items()


def by_out(iter: Pairs, out: Any, params: Any) -> None:
    for key, values in kvgroup(sorted(iter)):
        out.add(key, sum(values))


def by_sort(iter: Pairs, params: Any) -> Records:
    for key, values in kvgroup(iter):
        yield key, list(values)


def previous_key_of_sorted(iter: Pairs, params: Any) -> Records:
    last = None
    for key, value in iter:
        if key != last:
            yield key, value
        last = key


def means(iter: Pairs, params: Any) -> Records:
    for key, values in kvgroup(sorted(iter)):
        listed = list(values)
        yield key, sum(listed) / len(listed)


def float_sums(iter: Pairs, params: Any) -> Records:
    found: defaultdict[Any, float] = defaultdict(float)
    for key, value in iter:
        found[key] += value * 0.1
    yield from found.items()


def sets_of_values(iter: Pairs, params: Any) -> Records:
    found: defaultdict[Any, set[Any]] = defaultdict(set)
    for key, value in iter:
        found[key].add(value)
    for key in set(found):
        yield key, found[key]


def sorted_lists(iter: Pairs, params: Any) -> Records:
    found: dict[Any, list[Any]] = {}
    for key, value in iter:
        found.setdefault(key, []).append(value)
    for key, values in found.items():
        yield key, sorted(values)


def passes_on(iter: Pairs, params: Any) -> Records:
    yield from iter


def with_next(iter: Iterator[Any], params: Any) -> Records:
    try:
        first = next(iter)
    except StopIteration:
        return
    yield first
    while (pair := next(iter, None)) is not None:
        yield pair


def in_chunks(iter: Pairs, params: Any) -> Records:
    while True:
        chunk = list(islice(iter, 100))
        if not chunk:
            break
        yield from chunk


def top_of_each_key(iter: Pairs, params: Any) -> Records:
    best: dict[Any, list[Any]] = {}
    for key, value in iter:
        heap = best.setdefault(key, [])
        heapq.heappush(heap, value)
        if len(heap) > 2:
            heapq.heappop(heap)
    for key, heap in best.items():
        yield key, sorted(heap)


def resets(iter: Pairs, params: Any) -> Records:
    TOTALS.clear()
    for key, value in iter:
        TOTALS[key] += value
    yield from TOTALS.items()


def told(iter: Pairs, params: Any) -> Records:
    global COUNT
    for key, value in iter:
        COUNT += 1
        if COUNT % 3 == 0:
            Task.msg("so far %d" % COUNT)  # type: ignore[name-defined]  # noqa: F821, UP031
        yield key, value


def remembers(iter: Iterator[Any], params: Any) -> None:
    params.factor = 3


def factored(iter: Pairs, params: Any) -> Records:
    for key, value in iter:
        yield key, value * params.factor


def starts_totals(iter: Iterator[Any], params: Any) -> None:
    params.totals = {}


def adds_to_totals(iter: Pairs, params: Any) -> Records:
    for key, value in iter:
        params.totals[key] = params.totals.get(key, 0) + value
    yield from params.totals.items()


class Lines(Job):
    """All keys of this job are one."""

    @staticmethod
    def map(entry: str, params: Any) -> Iterator[Any]:
        yield "lines", 1

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Records:
        yield "lines", sum(value for _, value in iter)


class Distinct(Job):
    """All values of this job are one."""

    @staticmethod
    def map(entry: str, params: Any) -> Iterator[Any]:
        for word in entry.split():
            yield word, ""

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Records:
        yield from dict(iter).items()


class Averages(Job):
    """Values are (sum, count), as the combiner leaves them."""

    @staticmethod
    def map(entry: str, params: Any) -> Iterator[Any]:
        for word in entry.split():
            yield word, len(word)

    @staticmethod
    def combiner(key: Any, value: Any, buffer: dict[Any, Any], done: bool, params: Any) -> Any:
        if done:
            return buffer.items()
        total, count = buffer.get(key, (0, 0))
        buffer[key] = total + value, count + 1
        return None

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Records:
        for key, values in kvgroup(sorted(iter)):
            totals, counts = zip(*values)
            yield key, sum(totals) / sum(counts)


INNOCENT: list[tuple[Any, dict[str, Any]]] = [
    (by_dict, {}),
    (by_out, {}),
    (by_sort, {"sort": True}),
    (previous_key_of_sorted, {"sort": True}),
    (means, {}),
    (float_sums, {}),
    (sets_of_values, {}),
    (sorted_lists, {}),
    (passes_on, {}),
    (with_next, {}),
    (in_chunks, {}),
    (top_of_each_key, {}),
    (resets, {}),
    (told, {}),
    (factored, {"reduce_init": remembers}),
    (adds_to_totals, {"reduce_init": starts_totals}),
    (total, {"partitions": 1}),
    (top_three, {"partitions": None}),
    (Lines, {}),
    (Distinct, {}),
    (Averages, {}),
    (lambda iter, params: ((key, sum(values)) for key, values in kvgroup(sorted(iter))), {}),
]


@pytest.mark.parametrize(("job", "jobargs"), INNOCENT)
def test_what_is_right_is_not_accused(job: Any, jobargs: dict[str, Any]) -> None:
    assert check_reduce(job, examples=40, **jobargs).examples


def test_given_pairs_that_reduce_cannot_take_break_the_law() -> None:
    with pytest.raises(LawBroken, match="copes with all records") as caught:
        check_reduce(by_dict, pairs=[("a", 1), ("a", "x"), ("b", 2)])
    assert isinstance(caught.value.__cause__, TypeError)
    assert len(caught.value.counterexample["pairs"]) == 1


def test_a_default_that_makes_reduce_one_of_three_parameters_is_found() -> None:
    def seen_before(iter: Pairs, params: Any, seen: set[Any] = set()) -> list[Any]:  # noqa: B006
        return [(key, 1) for key, _ in iter if key not in seen and key not in params and not seen.add(key)]

    with pytest.raises(LawBroken, match="as many arguments as it has positional parameters"):
        check_reduce(seen_before)


def test_pairs_may_be_a_strategy() -> None:
    pairs = st.tuples(st.sampled_from(["x", "y"]), st.tuples(st.integers(0, 3), st.text("ab", max_size=2)))
    assert check_reduce(sorted_lists, pairs=pairs, examples=20).examples == 20
    with pytest.raises(LawBroken, match="any order"):
        check_reduce(list_of_values, pairs=pairs)


def test_a_reduce_that_takes_no_default_pair_asks_for_pairs() -> None:
    def strange(iter: Pairs, params: Any) -> Records:
        for key, value in iter:
            yield key, value.no_such_attribute

    with pytest.raises(ValueError, match="give pairs=: reduce of .*strange raises AttributeError"):
        check_reduce(strange)


def test_many_pairs_are_told_as_an_expression_with_about_the_smallest_number() -> None:
    with pytest.raises(LawBroken) as caught:
        check_reduce(top_hundred, seed=3)
    found = caught.value.counterexample["pairs"]
    pairs = eval(repr(found))
    assert pairs == found
    assert f"pairs = {found!r}" in str(caught.value)
    assert 100 < len({key for key, _ in pairs}) < 110


def test_the_counterexample_is_as_small_as_can_be() -> None:
    with pytest.raises(LawBroken) as caught:
        check_reduce(last_value, seed=1)
    assert len(caught.value.counterexample["pairs"]) == 2


def test_what_fresh_interpreters_find_is_as_small_as_can_be() -> None:
    with pytest.raises(LawBroken, match="every process") as caught:
        check_reduce(hashed, pairs=[(key, 1) for key in "abcdef"], examples=0)
    assert len(caught.value.counterexample["pairs"]) == 1


def test_a_reduce_that_holds_everything_and_need_not_gets_a_note() -> None:
    def holds(iter: Pairs, params: Any) -> Records:
        yield from list(iter)

    (note,) = check_reduce(holds, examples=20).notes
    assert "reads all its records before it gives the first one" in note
    assert check_reduce(passes_on, examples=20).notes == []
    assert check_reduce(by_dict, examples=20).notes == []
    assert check_reduce(by_dict, pairs=[("a", 1), ("b", 2), ("c", 3)]).notes == [], "a key may occur again"
