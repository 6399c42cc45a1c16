"""The search for counterexamples: what it finds, how small it gets it, and that nothing of Hypothesis shows."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.testing import LawBroken, LawReport, searching
from discolocal.testing.laws.breaking import Words, python, raised
from discolocal.testing.searching import elements, search, sequences, whole


def broken(law: str, **example: Any) -> LawBroken:
    return LawBroken(law, "check_it(it)", example, expected=1, found=2, cluster="it fails", mend="mend it")


def too_big(numbers: list[int]) -> None:
    if len(numbers) > 2 and sum(numbers) > 10:
        raise broken("too big", numbers=numbers)


@pytest.fixture
def _no_default_seed() -> Iterator[None]:
    before, searching.default_seed = searching.default_seed, None
    yield
    searching.default_seed = before


def test_values_are_counted_and_a_law_that_holds_is_silent() -> None:
    seen: list[int] = []
    assert search(seen.append, st.integers(), examples=30) == len(seen) == 30
    assert search(seen.append, st.just(1), examples=30, first=[5, 6]) == 3
    assert seen[30:] == [5, 6, 1]


def test_the_smallest_counterexample_is_raised() -> None:
    with pytest.raises(LawBroken) as found:
        search(too_big, st.lists(st.integers()))
    assert found.value.counterexample == {"numbers": [0, 0, 11]}


def test_nothing_of_the_search_is_left_on_what_is_raised() -> None:
    with pytest.raises(LawBroken) as found:
        search(too_big, st.lists(st.integers()))
    assert not getattr(found.value, "__notes__", None)
    assert found.value.__cause__ is None
    assert found.value.__context__ is None


def test_the_cause_that_a_law_gave_is_kept() -> None:
    def check(number: int) -> None:
        try:
            1 // (number - 3)
        except ZeroDivisionError as error:
            raise broken("total", number=number) from error

    with pytest.raises(LawBroken) as found:
        search(check, st.integers(0, 9))
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def test_a_law_that_broke_is_not_exchanged_for_another_one_by_shrinking() -> None:
    def check(number: int) -> None:
        if number > 1000:
            raise broken("large", number=number)
        if number == 7:
            raise broken("seven", number=number)

    with pytest.raises(LawBroken) as found:
        search(check, st.integers(8, 10**6) | st.integers(0, 9), first=[2000])
    assert found.value.law == "large"


def test_other_exceptions_pass_unchanged() -> None:
    error = KeyError("x")

    def check(number: int) -> None:
        if number > 3:
            raise error

    with pytest.raises(KeyError) as found:
        search(check, st.integers())
    assert found.value is error


def test_an_exception_at_times_passes_as_well() -> None:
    calls = itertools.count()

    def check(number: int) -> None:
        if next(calls) in (5, 9):
            raise KeyError(number)

    with pytest.raises(KeyError):
        search(check, st.integers())


def test_what_breaks_a_law_at_times_is_not_deterministic() -> None:
    calls = itertools.count()

    def check(number: int) -> None:
        if next(calls) == 5:
            raise broken("odd", number=number)

    with pytest.raises(LawBroken, match="not deterministic") as found:
        search(check, st.integers())
    assert found.value.subject == "check_it(it)"
    assert "executed again" in found.value.cluster
    assert list(found.value.counterexample) == ["number"]


def test_a_failure_of_hypothesis_itself_does_not_hide_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis.internal.conjecture.shrinker import Shrinker

    def fails(self: Any) -> None:
        raise ValueError("48 is not in list")

    monkeypatch.setattr(Shrinker, "shrink", fails)
    with pytest.raises(LawBroken, match="too big"):
        search(too_big, st.lists(st.integers(), min_size=3))


@given(st.integers(3, 5))
@settings(max_examples=5, deadline=None, database=None)
def test_it_works_inside_of_a_test_of_hypothesis(size: int) -> None:
    def check(numbers: list[int]) -> None:
        if len(numbers) >= size:
            raise broken("long", numbers=numbers)

    with pytest.raises(LawBroken) as found:
        search(check, st.lists(st.integers()))
    assert found.value.counterexample == {"numbers": [0] * size}


def drawn(seed: int | None, examples: int = 40) -> list[int]:
    seen: list[int] = []
    search(seen.append, st.integers(), examples=examples, seed=seed)
    return seen


def test_a_seed_repeats_a_search(_no_default_seed: None) -> None:
    assert drawn(4) == drawn(4) != drawn(5)
    assert drawn(None) != drawn(None)
    searching.default_seed = 4
    assert drawn(None) == drawn(4)


def test_shrinking_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(searching.time, "monotonic", lambda: next(clock))
    calls: list[int] = []

    def check(numbers: list[int]) -> None:
        calls.append(1)
        too_big(numbers)

    with pytest.raises(LawBroken, match="too big"):
        search(check, st.lists(st.integers(), min_size=5))
    assert len(calls) < 150


# What users give


def test_given_elements_are_tried_whole_then_in_parts_and_other_orders() -> None:
    seen: list[tuple[str, ...]] = []
    given_list = ["a", "b", "c"]
    strategy = sequences(given_list, st.text())
    search(lambda value: seen.append(tuple(value)), strategy, first=whole(given_list), examples=200)
    assert seen[0] == ("a", "b", "c")
    assert {("c", "a"), ("b",), ()} <= set(seen)
    assert all(len(set(value)) == len(value) and set(value) <= set(given_list) for value in seen)


def test_equal_elements_may_come_as_often_as_they_were_given() -> None:
    seen: list[tuple[str, ...]] = []
    search(lambda value: seen.append(tuple(value)), sequences(["a", "a"], st.text()), examples=50)
    assert {(), ("a",), ("a", "a")} == set(seen)


def test_a_given_list_that_breaks_a_law_is_cut_down() -> None:
    numbers = list(range(100))
    with pytest.raises(LawBroken) as found:
        search(too_big, sequences(numbers, st.integers()), first=whole(numbers))
    assert len(found.value.counterexample["numbers"]) == 3

    def pair(value: tuple[list[int], int]) -> None:
        if 77 in value[0] and 5 in value[0]:
            raise broken("both", numbers=value[0])

    with pytest.raises(LawBroken) as found:
        search(pair, st.tuples(st.just([]), st.just(1)), first=[(numbers, 1)])
    assert found.value.counterexample == {"numbers": [5, 77]}


def test_what_can_be_left_out_only_after_something_else_is_left_out_too() -> None:
    def later(numbers: list[int]) -> None:
        if numbers in ([1, 2, 3], [1, 2], [2]):  # 1 cannot go before 3 has
            raise broken("two", numbers=numbers)

    with pytest.raises(LawBroken) as found:
        search(later, st.just([1, 2, 3]), first=[[1, 2, 3]])
    assert found.value.counterexample == {"numbers": [2]}


def test_parts_of_a_given_list_shrink() -> None:
    numbers = list(range(40))

    def check(value: list[int]) -> None:
        if len(value) > 2 and value[0] > value[1]:
            raise broken("order", numbers=value)

    with pytest.raises(LawBroken) as found:
        search(check, sequences(numbers, st.integers()))
    assert len(found.value.counterexample["numbers"]) == 3


def test_elements_are_those_given_or_the_default() -> None:
    def kinds(strategy: Any) -> set[Any]:
        seen: set[Any] = set()
        search(seen.add, strategy, examples=60)
        return seen

    assert kinds(elements([1, 2], st.text())) == {1, 2}
    assert kinds(elements(None, st.booleans())) == {True, False}
    assert kinds(elements(st.just(3), st.booleans())) == {3}
    assert kinds(elements(range(2), st.booleans())) == {0, 1}


@pytest.mark.parametrize(
    ("given_value", "error"), [("text", TypeError), (b"x", TypeError), (3, TypeError), ([], ValueError)]
)
def test_what_is_no_list_of_examples_is_refused(given_value: Any, error: type[Exception]) -> None:
    for use in (elements, sequences):
        with pytest.raises(error, match="^keys"):
            use(given_value, st.text(), name="keys")
    with pytest.raises(error, match="^keys"):
        whole(given_value, "keys")


# What is raised and returned


def test_the_text_of_a_broken_law() -> None:
    error = LawBroken(
        "it holds", "check_it(f)", {"a": "x\n", "b": [1] * 9}, expected=[1], found=Words("nothing"), cluster="it fails",
        mend="mend it", shown={"b": "[1] * 9"}, replay="check_it(f, seed=1)",
    )  # fmt: skip
    assert str(error).splitlines() == [
        "check_it(f): it holds",
        r"    a = 'x\n'",
        "    b = [1] * 9",
        "  expected: [1]",
        "  found: nothing",
        "  on a cluster: it fails",
        "  mend: mend it",
        "  replay: check_it(f, seed=1)",
    ]
    assert isinstance(error, AssertionError)


def test_a_broken_law_can_be_pickled() -> None:
    error = broken("it holds", a=1)
    error.add_note("a note") if sys.version_info >= (3, 11) else None
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is LawBroken
    assert str(again) == str(error)
    bare = pickle.loads(pickle.dumps(LawBroken("it holds", "f", {})))
    assert str(bare) == "f: it holds"


def test_values_are_shown_as_python_and_long_ones_are_cut() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert python("a\n") == r"'a\n'"
    assert python(Odd()) == "<Odd, whose repr raises RuntimeError>"
    assert len(python("x" * 10000)) < 2100
    assert raised(KeyError("a")) == "KeyError: 'a'"
    assert raised(StopIteration()) == "StopIteration"


def test_the_text_of_a_report() -> None:
    assert str(LawReport("check_it(f)", 12, ["n"])) == "check_it(f): holds, 12 examples tried\n  note: n"
    assert str(LawReport("check_it(f)", 1)) == "check_it(f): holds, 1 example tried"
    assert str(LawReport("check_it(f)", 0)) == "check_it(f): holds"


def test_a_search_leaves_no_directory(tmp_path: Path) -> None:
    code = (
        "from hypothesis import strategies as st; from discolocal.testing import searching;"
        " searching.search(lambda text: None, st.text(), examples=5)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HYPOTHESIS_STORAGE_DIRECTORY"}
    # Another process: this one knows the characters already.
    for made in (False, True):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True)
        assert bool(list(tmp_path.glob(".hypothesis/*"))) is made, "who has a directory goes on using it"
        (tmp_path / ".hypothesis").mkdir(exist_ok=True)


def test_asking_for_a_seed_does_not_import_hypothesis() -> None:
    code = "import sys; from discolocal.testing import searching; sys.exit('hypothesis' in sys.modules)"
    # Another process: this one has imported it.
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
