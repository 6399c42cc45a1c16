"""Records as multisets, and what is said of those that differ."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import random
from collections import Counter
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.testing import assert_same_records
from discolocal.testing.records import canonical, close, difference

NAN = float("nan")
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "1", b"a", 0.5])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.tuples(inner, inner)),
    max_leaves=5,
)


@given(st.lists(plain, max_size=8), st.randoms(use_true_random=False))
def test_order_makes_no_difference(records: list[Any], chance: random.Random) -> None:
    shuffled = copy.deepcopy(records)
    chance.shuffle(shuffled)
    assert difference(shuffled, records) is None


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_how_often_a_record_occurs_makes_one(left: list[str], right: list[str]) -> None:
    found = difference(left, right)
    assert (found is None) == (Counter(left) == Counter(right))
    if found is not None:
        counted = Counter(right)
        for record, times in found.extra:
            counted[record] += times
        for record, times in found.missing:
            counted[record] -= times
        for record, wanted, got in found.counts:
            assert (wanted, got) == (right.count(record), left.count(record))
            counted[record] += got - wanted
        assert +counted == Counter(left)


class Colour(Enum):
    RED = 1
    BLUE = 2


class Unequal:
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclasses.dataclass
class Point:
    x: float
    y: float


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, True),
        (1, "1", False),
        ("a", b"a", False),
        (NAN, NAN, True),
        ((1, NAN), (1, NAN), True),
        (0.1 + 0.2, 0.3, True),
        ((0.1 + 0.2, "a"), (0.3, "a"), True),
        ((0.1 + 0.2, "a"), (0.3, "b"), False),
        ({"k": [0.1 + 0.2]}, {"k": [0.3]}, True),
        ({"k": 1}, {"j": 1}, False),
        (0.3001, 0.3, False),
        (10**17, 10**17 + 1, False),
        (float("inf"), float("inf"), True),
        (float("inf"), 1e300, False),
        (0.1 + 0.2 - 0.3, 0, True),
        ((1, [2]), (1, (2,)), False),
        ({1, 2}, {2, 1}, True),
        ({1: 2, 3: 4}, {3: 4, 1: 2}, True),
        (Unequal(3), Unequal(3), True),
        (Unequal(3), Unequal(4), False),
        (Unequal(0.1 + 0.2), Unequal(0.3), False),
        (Point(1, 2), Point(1, 2), True),
        (Point(1, 2), Point(2, 1), False),
        (Colour.RED, Colour.RED, True),
        (Colour.RED, Colour.BLUE, False),
        (bytearray(b"a"), bytearray(b"a"), True),
        (None, 0, False),
    ],
)
def test_values_are_equal_as_python_says_but_for_roundings(left: Any, right: Any, same: bool) -> None:
    assert (difference([("k", left)], [("k", right)]) is None) == same
    assert (difference([left], [right]) is None) == same


def test_a_record_may_be_a_list_where_a_tuple_is_expected() -> None:
    assert difference([("a", 1)], [["a", 1]]) is None
    assert difference([("a", 1)], {"a": 1}.items()) is None
    assert_same_records([("a", 1)], {"a": 1})


def test_objects_of_a_class_that_travelled_by_value_are_equal() -> None:
    other = type("Unequal", (), {"__module__": Unequal.__module__, "__qualname__": Unequal.__qualname__})()
    other.value = 3
    assert canonical(Unequal(3)) == canonical(other)
    assert difference([("k", other)], [("k", Unequal(3))]) is None


def test_sums_in_another_order_are_the_same() -> None:
    chance = random.Random(4)
    numbers = [chance.uniform(-1000, 1000) for _ in range(1000)]
    assert close(sum(numbers), sum(sorted(numbers)))
    many = [(key, sum(numbers[key::7])) for key in range(7)]
    again = [(key, sum(sorted(numbers[key::7]))) for key in range(7)]
    assert difference(again, many) is None
    assert difference(again, [(key, value * (1 + 1e-6)) for key, value in many]) is not None


def test_the_diff_names_what_is_missing_extra_and_of_another_count() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_same_records([("a", 1), ("a", 1), ("b", 2)], [("a", 1), ("c", 3)])
    assert str(failed.value).splitlines() == [
        "the records are not the expected ones",
        "missing (1):",
        "    ('c', 3)",
        "extra (1):",
        "    ('b', 2)",
        "wrong count (1):",
        "    ('a', 1): 2 instead of 1",
    ]


def test_a_long_diff_is_cut() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_same_records([(number, "x" * 1000) for number in range(100)], [])
    lines = str(failed.value).splitlines()
    assert lines[1] == "extra (100):"
    assert lines[-1] == "    ... and 80 more"
    assert len(lines) == 23
    assert all(len(line) < 220 for line in lines)
    assert [line.split(",")[0] for line in lines[2:5]] == ["    (0", "    (1", "    (2"]


@pytest.mark.parametrize(
    ("results", "expected", "hint"),
    [
        ([("a", [1, 2])], [("a", [2, 1])], "only in the order of the elements of lists"),
        ([("1", 1)], [(1, 1)], "only in the types of keys or values"),
        ([(b"a", 1)], [("a", 1)], "only in the types of keys or values"),
        ([("a\n", 1)], [("a", 1)], "only in the ends of lines"),
    ],
)
def test_a_hint_says_what_alone_differs(results: Any, expected: Any, hint: str) -> None:
    with pytest.raises(AssertionError, match=f"hint: the records differ {hint}"):
        assert_same_records(results, expected)
    with pytest.raises(AssertionError, match=f"hint: 1 of them differ {hint}"):
        assert_same_records([*results, ("x", 1)], [*expected, ("y", 2)])


def test_there_is_no_hint_where_there_is_no_reason() -> None:
    found = difference([("a", 1)], [("b", 2)])
    assert found is not None
    assert found.hints == []


def test_any_iterable_will_do_and_the_tolerance_can_be_set() -> None:
    assert_same_records(iter([("a", 1.0)]), (("a", 1.04) for _ in "x"), tolerance=0.1)
    with pytest.raises(AssertionError):
        assert_same_records(iter([("a", 1.0)]), (("a", 1.0 + 1e-12) for _ in "x"), tolerance=0)


def test_objects_that_have_no_repr_are_shown() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise ValueError("no")

    found = difference([Silent()], [])
    assert "Silent whose repr fails" in str(found)


def test_canonical_forms_can_be_hashed_and_survive_a_pickle() -> None:
    for value in ([1, {2: [3]}], {"a": {1, 2}}, Unequal([1]), Point(1, 2), (NAN, b"", None), bytearray(b"x")):
        again = pickle.loads(pickle.dumps(value))
        assert hash(canonical(value)) == hash(canonical(again))
        assert canonical(value) == canonical(again)
