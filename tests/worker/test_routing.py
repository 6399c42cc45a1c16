"""The quick loops of the map stage against the plain rule: every pair goes to the partition of its key."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from hashlib import md5
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.worker.classic import func, mapping
from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.func import default_labels, default_partition, sum_combiner

plain = st.one_of(
    st.text(st.characters(exclude_categories=())),  # surrogates as well
    st.binary(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
    st.fractions(),
    st.decimals(allow_nan=False),
    st.complex_numbers(),
)
keys = st.recursive(plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
# Few values, so that equal keys of different types meet.
near = st.sampled_from(
    [0, 0.0, -0.0, False, 1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j, "1", b"1", "", b"", None, (), (1,), (True,)]
    + [(1.0, "a"), (1, "a"), frozenset((1, 2)), frozenset((True, 2.0)), 2**70, float(2**70), "\udc80", b"\x80", "a"]
)
some_keys = st.one_of(near, keys)
numbers = st.integers(1, 9)


def text_rule(key: str | bytes, count: int) -> int:
    """The rule for texts, from the reference: md5 as a number."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")
    return int(md5(data).hexdigest(), 16) % count


@given(some_keys, numbers)
def test_the_quick_form_is_the_default_partition(key: Any, count: int) -> None:
    label = default_labels(count)(key)
    assert label == default_partition(key, count)
    assert type(label) is int and 0 <= label < count


@given(st.one_of(st.text(), st.binary()), numbers)
def test_the_rule_of_texts(key: Any, count: int) -> None:
    assert default_labels(count)(key) == text_rule(key, count)


@given(st.binary(), numbers)
def test_a_line_that_is_no_utf8_goes_where_its_bytes_go(data: bytes, count: int) -> None:
    assert default_labels(count)(data.decode("utf-8", "surrogateescape")) == text_rule(data, count)


@given(some_keys, some_keys, numbers)
def test_equal_keys_share_a_partition(first: Any, second: Any, count: int) -> None:
    if first == second:
        assert default_labels(count)(first) == default_labels(count)(second)


class Text(str):
    pass


class Octets(bytes):
    pass


def test_subclasses_of_texts_go_with_them() -> None:
    for count in (2, 3, 7):
        assert default_labels(count)(Text("word")) == text_rule("word", count)
        assert default_labels(count)(Octets(b"word")) == text_rule(b"word", count)


# The loops


class Task:
    """What the loops need of a task."""

    failure: Any = None

    def msg(self, text: str) -> None:
        raise AssertionError(text)


class Source:
    record = 0
    url = "raw://x"


class Sink:
    """An output that keeps what it gets, types and all."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, Any]] = []

    def add(self, key: Any, value: Any) -> None:
        self.records.append((key, value))

    def add_all(self, pairs: Any) -> None:
        self.records += pairs


def routed(
    entries: list[list[tuple[Any, Any]]],
    partitions: int | None,
    partition: Any = default_partition,
    combiner: Any = None,
) -> dict[int | None, list[tuple[Any, Any]]]:
    """What a map over `entries`, lists of pairs, sends to each label."""
    sinks: dict[int | None, Sink] = {}

    def open_label(label: int | None) -> Any:
        assert label not in sinks
        sinks[label] = Sink()
        return sinks[label]

    blame = Blame(Task(), Source())  # type: ignore[arg-type]
    router = mapping.Router(open_label, partition, partitions, None, blame)

    def given_entries() -> Iterator[Any]:
        yield from entries

    mapping.run_map(given_entries(), lambda entry, params: entry, combiner, router)
    return {label: sink.records for label, sink in sinks.items()}


def exact(records: dict[int | None, list[tuple[Any, Any]]]) -> dict[int | None, list[tuple[str, Any]]]:
    """With keys as their repr: 1, 1.0 and True are different records, and nan is one."""
    return {label: [(repr(key), value) for key, value in pairs] for label, pairs in records.items()}


def by_rule(entries: list[list[tuple[Any, Any]]], label_of: Any) -> dict[int | None, list[tuple[Any, Any]]]:
    want: dict[int | None, list[tuple[Any, Any]]] = {}
    for entry in entries:
        for key, value in entry:
            want.setdefault(label_of(key), []).append((key, value))
    return want


pairs = st.lists(st.lists(st.tuples(some_keys, st.integers(-9, 9)), max_size=6), max_size=8)


@pytest.mark.parametrize("known", [1, 3, mapping.MAX_KNOWN])
@given(entries=pairs, count=numbers)
@settings(max_examples=60)
def test_no_record_is_lost_or_changed(known: int, entries: list[Any], count: int) -> None:
    """With the keys remembered (all of them, or few before the plain loop takes over)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "MAX_KNOWN", known)
        got = routed(entries, count)
    assert exact(got) == exact(by_rule(entries, lambda key: default_partition(key, count)))


@given(entries=pairs, count=numbers)
@settings(max_examples=60)
def test_a_users_partition_is_asked_for_every_pair(entries: list[Any], count: int) -> None:
    """One that tells equal keys of different types apart."""

    def by_type(key: Any, nr_partitions: int, params: Any) -> int:
        return len(repr(key)) % nr_partitions

    assert exact(routed(entries, count, by_type)) == exact(by_rule(entries, lambda key: len(repr(key)) % count))


@given(entries=pairs)
@settings(max_examples=30)
def test_without_partitions(entries: list[Any]) -> None:
    assert exact(routed(entries, None)) == exact(by_rule(entries, lambda key: None))


@pytest.mark.parametrize("most", [1, 2, func.MAX_SUMS])
@pytest.mark.parametrize("counts", [(1,), (4,), (None,)])
@given(entries=pairs)
@settings(max_examples=40)
def test_sums(most: int, counts: Any, entries: list[Any]) -> None:
    """Added up as a reduce does it, the sums of a map are those of its pairs, each in the partition of its key."""
    (count,) = counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "MAX_SUMS", most)
        got = routed(entries, count, combiner=sum_combiner)
    want = by_rule(entries, (lambda key: default_partition(key, count)) if count else (lambda key: None))
    assert {label: summed(records) for label, records in got.items()} == {
        label: summed(records) for label, records in want.items()
    }
    if most == func.MAX_SUMS:
        for records in got.values():
            assert len(records) == len(dict(records))  # one record for a key


def summed(records: list[tuple[Any, Any]]) -> dict[Any, int]:
    sums: dict[Any, int] = {}
    for key, value in records:
        key = "nan" if key != key else key
        sums[key] = sums.get(key, 0) + value
    return {repr(key) if "nan" in repr(key) else key: value for key, value in sums.items()}


@given(entries=pairs, count=numbers)
@settings(max_examples=40)
def test_a_users_combiner_gets_every_pair(entries: list[Any], count: int) -> None:
    def passes(key: Any, value: Any, buffer: Any, done: bool, params: Any) -> Any:
        return None if done else [(key, value)]

    got = routed(entries, count, combiner=passes)
    assert exact(got) == exact(by_rule(entries, lambda key: default_partition(key, count)))


class Unhashable:
    """A number that cannot be hashed, like an array of one element."""

    __hash__ = None  # type: ignore[assignment]

    def __index__(self) -> int:
        return 5

    def __repr__(self) -> str:
        return "five"


@pytest.mark.parametrize("known", [1, mapping.MAX_KNOWN])
def test_a_key_that_cannot_be_hashed(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(key: Any, value: Any, buffer: Any, done: bool, params: Any) -> Any:
        return None if done else [(key, value)]

    monkeypatch.setattr(mapping, "MAX_KNOWN", known)
    entries = [[(Unhashable(), 1), ("a", 2), (Unhashable(), 3)]]
    want = exact(by_rule(entries, lambda key: default_partition(key, 4)))
    assert exact(routed(entries, 4)) == want
    assert exact(routed(entries, 4, combiner=passes)) == want
    with pytest.raises(TypeError, match="A key of type list has no partition"):
        routed([[([], 1)]], 4)
