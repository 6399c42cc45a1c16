"""`check_combiner` finds combiners that lose, double or move pairs, and leaves those alone that are right."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from discolocal import Job
from discolocal.error import DiscoError
from discolocal.testing import LawBroken, check_combiner
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_combiner, sum_reduce
from tests.testing.wrong_combiners import (
    BUGS,
    SUM,
    Buffer,
    Pairs,
    all_lists,
    averages,
    count,
    counts,
    lists,
    maximum,
    mean,
    numbers,
    only_beside_files,
    trigger_dropped,
    words,
)


def test_a_bug_is_found() -> None:
    missed = []
    for combiner, jobargs, law in BUGS:
        job = Job(combiner=combiner, **{key: value for key, value in jobargs.items() if key != "pairs"})
        try:
            check_combiner(job, pairs=jobargs.get("pairs"))
        except LawBroken as broken:
            if law not in broken.law or len(str(broken)) > 1500:
                missed.append((combiner, str(broken)))
        else:
            missed.append((combiner, "holds"))
    assert not missed


# What is right


def flushes(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    if len(buffer) >= 100:
        sums = list(buffer.items())
        buffer.clear()
        return sums
    return None


def flushes_by_yield(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if not done:
        buffer[key] = buffer.get(key, 0) + value
    if done or len(buffer) > 10:
        yield from list(buffer.items())
        buffer.clear()


def flushes_by_memory(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if not done:
        buffer[key] = buffer.get(key, 0) + value
    if done or sys.getsizeof(buffer) > 10_000:
        return [buffer.popitem() for _ in range(len(buffer))]
    return None


def passes_on(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    return None if done else [(key, value)]


def largest(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    if key not in buffer or value > buffer[key]:
        buffer[key] = value
    return None


def collects(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer.setdefault(key, []).extend(value)
    return None


def adds_lists(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, []) + value
    return None


def sums_and_counts(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    total, number = buffer.get(key, (0, 0))
    buffer[key] = total + value, number + 1
    return None


def mean_of_sums(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, values in kvgroup(sorted(iter)):
        totals, counted = zip(*values)
        yield key, sum(totals) / sum(counted)


def floats(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0.0) + value * 0.1
    return None


def rounded(iter: Pairs, params: Any) -> Iterator[Any]:
    for key, total in sum_reduce(iter, params):
        yield key, total if isinstance(total, float) else total * 0.1


def ones(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    """Right as long as map gives ones."""
    if done:
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + 1
    return None


def distinct(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return ((key, 1) for key in set(buffer))
    buffer[key] = None
    return None


def distinct_keys(iter: Pairs, params: Any) -> Iterator[Any]:
    for key in {key for key, _ in iter}:
        yield key, 1


def counted(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        Task.msg("%d keys" % len(buffer))  # type: ignore[name-defined]  # noqa: F821, UP031
        return buffer.items()
    buffer[key] = buffer.get(key, 0) + value
    return None


def totals(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if done:
        return [("total", buffer["n"])] if buffer else None
    buffer["n"] = buffer.get("n", 0) + value
    return None


def total(iter: Pairs, params: Any) -> Iterator[Any]:
    yield "total", sum(value for _, value in iter)


CALLS = itertools.count(1)


def flushes_now_and_then(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
    if not done:
        buffer[key] = buffer.get(key, 0) + value
    if not done and next(CALLS) % 7:
        return None
    pairs = list(buffer.items())
    buffer.clear()
    return pairs


INNOCENT: list[tuple[Any, dict[str, Any]]] = [
    (sum_combiner, SUM),
    (sum_combiner, {}),
    (flushes, SUM),
    (flushes, {}),
    (flushes_by_yield, SUM),
    (flushes_by_memory, SUM),
    (passes_on, SUM),
    (passes_on, {"reduce": count}),
    (largest, {"map": numbers, "reduce": maximum}),
    (largest, {}),
    (collects, {"map": lists, "reduce": all_lists}),
    (adds_lists, {"map": lists, "reduce": all_lists}),
    (sums_and_counts, {"map": numbers, "reduce": mean_of_sums}),
    (sums_and_counts, {"reduce": mean_of_sums}),
    (ones, SUM),
    (distinct, {"map": words, "reduce": distinct_keys}),
    (counted, {**SUM, "partitions": 3}),
    (totals, {"map": words, "reduce": total, "partitions": 1}),
    (totals, {"map": words, "reduce": total, "partitions": None}),
    (flushes_now_and_then, SUM),
]


@pytest.mark.parametrize(("combiner", "jobargs"), INNOCENT)
def test_what_is_right_is_not_accused(combiner: Any, jobargs: dict[str, Any]) -> None:
    assert check_combiner(Job(combiner=combiner, **jobargs), examples=30).examples


def test_a_combiner_may_be_a_function() -> None:
    assert check_combiner(sum_combiner, examples=20).subject == "check_combiner(sum_combiner)"
    assert check_combiner(sum_combiner, reduce=sum_reduce, examples=20).examples >= 20


def test_a_job_without_a_combiner_is_refused() -> None:
    with pytest.raises(DiscoError, match="has no combiner"):
        check_combiner(Job(map=words, reduce=sum_reduce))


def test_the_partition_function_of_the_job_counts() -> None:
    def by_first(key: str, nr_partitions: int, params: Any) -> int:
        return ord(key[:1] or "a") % nr_partitions

    def first_letters(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
        if done:
            return buffer.items()
        buffer[key[:1]] = buffer.get(key[:1], 0) + value
        return None

    def of_first_letters(iter: Pairs, params: Any) -> Iterator[Any]:
        return sum_reduce(((key[:1], value) for key, value in iter), params)

    jobargs = {"map": words, "reduce": of_first_letters}
    assert check_combiner(Job(combiner=first_letters, partition=by_first, **jobargs), examples=40).examples
    with pytest.raises(LawBroken, match="partition of its buffer"):
        check_combiner(Job(combiner=first_letters, **jobargs))


def test_given_pairs_are_tried_twice_over_where_the_job_can_take_that() -> None:
    pairs = [("a", 1), ("a", 3), ("b", 2)]
    with pytest.raises(LawBroken, match="with and without"):
        check_combiner(Job(combiner=averages, reduce=mean), pairs=pairs)

    def values_once(iter: Pairs, params: Any) -> Iterator[Any]:
        found = sorted(iter)
        assert len(set(found)) == len(found)
        return maximum(found, params)

    def keeps_all(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
        return None if done else [(key, value)]

    check_combiner(Job(combiner=keeps_all, reduce=values_once), pairs=pairs)


def test_given_pairs_that_the_combiner_cannot_take_break_the_law() -> None:
    with pytest.raises(LawBroken, match="copes with all pairs") as caught:
        check_combiner(sum_combiner, pairs=[("a", 1), ("b", "x"), ("c", 2)])
    assert caught.value.counterexample == {"pairs": [("b", "x")]}


def test_pairs_may_be_a_strategy() -> None:
    pairs = st.tuples(st.integers(0, 3), st.integers(0, 5))
    assert check_combiner(sum_combiner, pairs=pairs, examples=20).examples == 20
    with pytest.raises(LawBroken, match="combined again"):
        check_combiner(counts, pairs=pairs)


def test_a_combiner_that_takes_no_default_pair_asks_for_pairs() -> None:
    def strange(key: Any, value: Any, buffer: Buffer, done: bool, params: Any) -> Any:
        return None if done else [(key, value.no_such_attribute)]

    with pytest.raises(ValueError, match="give pairs=: the combiner of .*strange"):
        check_combiner(strange)


def test_many_pairs_are_told_as_an_expression_with_the_smallest_number() -> None:
    with pytest.raises(LawBroken) as caught:
        check_combiner(Job(combiner=trigger_dropped, **SUM))
    found = caught.value.counterexample["pairs"]
    pairs = eval(repr(found))
    assert pairs == found
    assert f"pairs = {found!r}" in str(caught.value)
    assert len({key for key, _ in pairs}) == 1000  # the next pair, of one of them, is lost


def test_the_counterexample_is_as_small_as_can_be() -> None:
    with pytest.raises(LawBroken) as caught:
        check_combiner(counts, seed=1, reduce=sum_reduce)
    assert len(caught.value.counterexample["pairs"]) == 1


def test_what_fresh_interpreters_find_is_as_small_as_can_be() -> None:
    with pytest.raises(LawBroken, match="every process") as caught:
        check_combiner(only_beside_files, pairs=[(key, 1) for key in "abcdef"], examples=0)
    assert len(caught.value.counterexample["pairs"]) == 1
