"""check_partitioner: partition functions with one bug each are flagged, correct ones are not.

The bugs that only another process shows, and the functions that hold, start two interpreters each: that is the time
these tests take.
"""

from __future__ import annotations

import collections
import datetime
import functools
import hashlib
import itertools
import os
import random
import re
import time
import uuid
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from discolocal import DiscoError, Job, Params
from discolocal.func import default_partition, make_range_partition, partition
from discolocal.testing import LawBroken, LawReport, check_partitioner
from discolocal.testing.laws.keykinds import _MADE_UP
from discolocal.worker.pipeline.worker import Stage, Worker

RANGE, INT, TOTAL = "in range(nr_partitions)", "is an int", "every key has a partition"
TIME, PROCESS, EQUAL = "same partition each time", "same partition in every process", "equal keys"
CHANGED_PARAMS, CHANGED_KEY, BALANCE, ORDER = (
    "params unchanged",
    "key unchanged",
    "times the mean",
    "no smaller partition",
)
STABLE = (TIME, PROCESS)


def crc(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))


# Functions with a bug


def counter() -> Callable[..., int]:
    numbers = itertools.count()
    return lambda key, nr, params: next(numbers) % nr


def numbered() -> Callable[..., int]:
    seen: dict[str, int] = {}
    return lambda key, nr, params: seen.setdefault(key, len(seen)) % nr


def nonlocal_last() -> Callable[..., int]:
    last = ""

    def fn(key: str, nr: int, params: Any) -> int:
        nonlocal last
        last, before = key, last
        return (len(before) + crc(key)) % nr

    return fn


def slow_counter() -> Callable[..., int]:
    calls = itertools.count()
    return lambda key, nr, params: (next(calls) // 40) % nr


def mutable_default(key: str, nr: int, params: Any, seen: list[str] = []) -> int:  # noqa: B006
    seen.append(key)
    return len(seen) % nr


def attribute(key: str, nr: int, params: Any) -> int:
    attribute.calls = getattr(attribute, "calls", 0) + 1  # type: ignore[attr-defined]
    return int(attribute.calls % nr)  # type: ignore[attr-defined]


TOTALS: collections.Counter[str] = collections.Counter()


def of_global(key: str, nr: int, params: Any) -> int:
    TOTALS[key] += 1
    return TOTALS[key] % nr


class RoundRobin:
    """Class attributes and self are state too."""

    turn = 0

    def __call__(self, key: str, nr: int, params: Any) -> int:
        self.turn += 1
        return self.turn % nr


def counts_in_params(key: str, nr: int, params: Any) -> int:
    params.calls = getattr(params, "calls", 0) + 1
    return crc(key) % nr


def nested_params(key: str, nr: int, params: Any) -> int:
    params.seen.append(key)
    return crc(key) % nr


def state_in_params(key: str, nr: int, params: Any) -> int:
    params.turn += 1
    return int(params.turn % nr)


def salted(key: str, nr: int, params: Any) -> int:
    return crc(key + os.environ.get("PYTHONHASHSEED", "")) % nr


def first_of_set(key: str, nr: int, params: Any) -> int:
    return crc(next(iter({key, "other", "third"}))) % nr


def by_cwd(key: str, nr: int, params: Any) -> int:
    return crc(key + os.getcwd()) % nr


def local_import(key: str, nr: int, params: Any) -> int:
    from random import random as chance

    return int(chance() * nr)


def vowels_only(key: str, nr: int, params: Any) -> Any:
    if key[:1] in ("a", "e", "i", "o", "u"):
        return 0
    if key[:1].isalpha():
        return nr - 1
    return None


def pops(key: list[Any], nr: int, params: Any) -> int:
    return crc(str(key.pop())) % nr


def sorts(key: list[Any], nr: int, params: Any) -> int:
    key.sort()
    return len(key) % nr


START = time.time()
BUGS: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("hash", lambda key, nr, params: hash(key) % nr, PROCESS, {}),
    ("hash of a tuple", lambda key, nr, params: hash((key, 1)) % nr, PROCESS, {}),
    ("object's hash", lambda key, nr, params: hash(object()) // 16 % nr, STABLE, {}),
    ("id", lambda key, nr, params: id(key) // 16 % nr, STABLE, {}),
    ("repr of an object", lambda key, nr, params: crc(repr(SimpleNamespace(f=lambda: key))) % nr, STABLE, {}),
    ("random", lambda key, nr, params: random.randrange(nr), TIME, {}),
    ("urandom", lambda key, nr, params: os.urandom(1)[0] % nr, TIME, {}),
    ("uuid", lambda key, nr, params: uuid.uuid4().int % nr, TIME, {}),
    ("local import of random", local_import, TIME, {}),
    ("process id", lambda key, nr, params: (crc(key) + os.getpid()) % nr, PROCESS, {}),
    ("time in ns", lambda key, nr, params: time.perf_counter_ns() % nr, TIME, {}),
    ("hour", lambda key, nr, params: (crc(key) + int(time.time() - 1e9) // 3600) % nr, PROCESS, {}),
    ("day", lambda key, nr, params: (crc(key) + datetime.date.today().toordinal()) % nr, PROCESS, {}),
    ("environment", salted, PROCESS, {}),
    ("directory", by_cwd, PROCESS, {}),
    ("first of a set", first_of_set, PROCESS, {}),
    ("round robin", counter(), TIME, {}),
    ("slow round robin", slow_counter(), TIME, {}),
    ("numbers as they come", numbered(), STABLE, {}),
    ("the key before", nonlocal_last(), TIME, {}),
    ("mutable default", mutable_default, TIME, {}),
    ("function attribute", attribute, TIME, {}),
    ("global counter", of_global, TIME, {}),
    ("object with state", RoundRobin(), TIME, {}),
    ("counts in params", counts_in_params, CHANGED_PARAMS, {}),
    ("nested params", nested_params, CHANGED_PARAMS, {"params": Params(seen=[])}),
    ("turn in params", state_in_params, CHANGED_PARAMS, {"params": Params(turn=0)}),
    ("negative", lambda key, nr, params: -len(key), RANGE, {}),
    ("negative remainder", lambda key, nr, params: -(crc(key) % nr), RANGE, {}),
    ("as many as there are", lambda key, nr, params: min(len(key), nr), RANGE, {}),
    ("from one", lambda key, nr, params: crc(key) % nr + 1, RANGE, {}),
    ("no remainder", lambda key, nr, params: crc(key), RANGE, {}),
    ("a number of its own", lambda key, nr, params: crc(key) % 8, RANGE, {}),
    ("one more", lambda key, nr, params: len(key) % (nr + 1), RANGE, {}),
    ("for long keys", lambda key, nr, params: nr if len(key) > 4 else 0, RANGE, {}),
    ("letter of the alphabet", lambda key, nr, params: (ord(key[:1] or "a") - 97) * nr // 26, RANGE, {}),
    ("divided", lambda key, nr, params: crc(key) % nr / 1, INT, {}),
    ("half", lambda key, nr, params: len(key) / 2 % nr, INT, {}),
    ("bool", lambda key, nr, params: key > "m", INT, {}),
    ("text", lambda key, nr, params: str(crc(key) % nr), INT, {}),
    ("None for some", vowels_only, INT, {}),
    ("print", lambda key, nr, params: print(end=""), INT, {}),
    ("divides by nothing", lambda key, nr, params: crc(key) % (nr - 1), TOTAL, {}),
    ("first letter", lambda key, nr, params: ord(key[0]) % nr, TOTAL, {}),
    ("second letter", lambda key, nr, params: ord((key + " ")[1]) % nr, TOTAL, {}),
    ("ASCII alone", lambda key, nr, params: zlib.crc32(key.encode("ascii")) % nr, TOTAL, {}),
    ("bytes of what is text", lambda key, nr, params: zlib.crc32(key) % nr, TOTAL, {"keys": ["a", "b"]}),
    ("known keys", lambda key, nr, params: {"a": 0, "b": 0}[key], TOTAL, {"keys": st.sampled_from("abc")}),
    ("two parameters", lambda key, nr: 0, TOTAL, {}),
    ("a name that is none", lambda key, nr, params: crk(key) % nr, TOTAL, {}),  # type: ignore[name-defined]  # noqa: F821
    ("params that are not there", lambda key, nr, params: crc(key) % params.parts, TOTAL, {}),
    ("repr", lambda key, nr, params: crc(repr(key)) % nr, EQUAL, {"keys": st.integers(0, 3) | st.booleans()}),
    ("numbers as they are", lambda key, nr, params: crc(f"{abs(key)}") % nr, EQUAL, {}),
    ("text of given numbers", lambda key, nr, params: crc(str(key)) % nr, EQUAL, {"keys": [1, 1.0, 2, True]}),
    ("type", lambda key, nr, params: crc(f"{type(key)}{key:g}") % nr, EQUAL,
     {"keys": st.integers(0, 9) | st.floats(0, 9)}),
    ("zeros", lambda key, nr, params: crc(str(key)) % nr, EQUAL, {"keys": st.floats(-5, 5)}),
    ("text in tuples", lambda key, nr, params: crc(str(key)) % nr, EQUAL, {"keys": [("a", 1), ("a", 1.0)]}),
    ("pops", pops, CHANGED_KEY, {"keys": [[1, 2], [3]]}),
    ("sorts", sorts, CHANGED_KEY, {"keys": st.lists(st.integers(0, 3))}),
    ("all in one", lambda key, nr, params: 0, BALANCE, {"balance": 1.5}),
    ("length", lambda key, nr, params: len(key) % nr, BALANCE, {"balance": 1.5}),
    ("first letters", lambda key, nr, params: ord(key[:1] or "a") % nr, BALANCE, {"balance": 3, "nr_partitions": 7}),
    ("no order", default_partition, ORDER, {"monotone": True}),
    ("order of texts", lambda key, nr, params: min(int(str(key)[0]) * nr // 10, nr - 1), ORDER,
     {"monotone": True, "keys": st.integers(0, 99)}),
    ("descending", lambda key, nr, params: nr - 1 - bisect_right([3, 6], key) * nr // 3, ORDER,
     {"monotone": True, "keys": list(range(9))}),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_a_key_that_passed_before_an_equal_one_of_another_type_occurred_is_no_chance(seed: int) -> None:
    with pytest.raises(LawBroken, match="equal keys"):
        check_partitioner(
            lambda key, nr, params: crc(repr(key)) % nr, keys=st.integers(0, 3) | st.booleans(), seed=seed
        )


@pytest.mark.parametrize(("function", "laws", "options"), [bug[1:] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_a_bug_is_found(function: Any, laws: str | tuple[str, ...], options: dict[str, Any]) -> None:
    with pytest.raises(LawBroken) as broken:
        check_partitioner(function, **options)
    law = broken.value.law
    assert any(text in law for text in ([laws] if isinstance(laws, str) else laws)), law
    assert broken.value.cluster and broken.value.mend


# Functions without one


@functools.lru_cache(maxsize=1000)
def cached(key: str, nr: int) -> int:
    return crc(key) % nr


def with_cache(key: str, nr: int, params: Any) -> int:
    return cached(key, nr)


MEMORY: dict[Any, int] = {}


def with_memory(key: str, nr: int, params: Any) -> int:
    if (key, nr) not in MEMORY:
        MEMORY[key, nr] = crc(key) % nr
    return MEMORY[key, nr]


class Seeded:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, key: str, nr: int, params: Any) -> int:
        return random.Random(f"{self.seed}{key}").randrange(nr)


def of_params(key: str, nr: int, params: Any) -> int:
    return int(bisect_right(params.bounds, key) * nr // (len(params.bounds) + 1))


def letters(key: str, nr: int, params: Any) -> int:
    letter = key[:1].lower()
    return (ord(letter) - 97) * nr // 26 if "a" <= letter <= "z" else 0


def by_prefix(key: str, nr: int, params: Any) -> int:
    match = re.match(r"\w+", key)
    return default_partition(match.group() if match else "", nr)


def normalized(key: Any, nr: int, params: Any) -> int:
    if isinstance(key, (int, float, Fraction)):
        key = f"{float(key) + 0.0:.6g}"
    return crc(str(key)) % nr


def closure(table: dict[str, int]) -> Callable[..., int]:
    return lambda key, nr, params: table.get(key, crc(key)) % nr


def sorted_set(key: str, nr: int, params: Any) -> int:
    return crc("".join(sorted(set(key)))) % nr


def sums_a_set(key: str, nr: int, params: Any) -> int:
    return sum(ord(letter) for letter in set(key)) % nr


def by_md5(key: str, nr: int, params: Any) -> int:
    return int(hashlib.md5(key.encode("utf-8", "replace")).hexdigest(), 16) % nr


def tells(key: str, nr: int, params: Any) -> int:
    print("partition", key, nr)
    return crc(key) % nr


def copies(key: list[int], nr: int, params: Any) -> int:
    return sum(sorted(key)[:1]) % nr


class Index(int):
    """As numpy's integers are: no int of Python's, but an index."""


class ByYear(Job):
    partitions = 4

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[int, int]]:
        for word in line.split():
            yield 1900 + len(word), 1

    @staticmethod
    def partition(key: int, nr: int, params: Any) -> int:
        return key % nr


class TwoHalves(Job):
    partitions = 2

    @staticmethod
    def partition(key: str, nr: int, params: Any) -> int:
        return 1 if key > "m" else 0


class Words(Job):
    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        for word in line.split():
            yield word, 1

    @staticmethod
    def partition(key: str, nr: int, params: Any) -> int:
        return ord(key[0]) % nr


GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    ("default", default_partition, {"balance": 1.5}),
    ("interface", partition, {}),
    ("range", make_range_partition(0, 20), {"monotone": True}),
    ("range of floats", make_range_partition(0.0, 1.0), {"keys": st.floats(0, 1), "monotone": True}),
    ("balanced range", make_range_partition(0, 1000), {"keys": list(range(1000)), "balance": 1.5, "examples": 10}),
    ("crc32", lambda key, nr, params: crc(key) % nr, {"balance": 1.5}),
    ("md5", by_md5, {}),
    ("lru_cache", with_cache, {}),
    ("memory", with_memory, {}),
    ("seeded random", Seeded(3), {}),
    ("bounds in params", of_params, {"params": Params(bounds=["b", "k", "t"]), "monotone": True}),
    ("bounds of numbers", of_params, {"params": Params(bounds=[3, 6]), "keys": st.integers(-1, 10), "monotone": True}),
    ("letters", letters, {}),
    ("prefix", by_prefix, {}),
    ("normalized", normalized, {"keys": st.integers(-9, 9) | st.floats(-9, 9) | st.fractions(-9, 9) | st.booleans()}),
    ("text of anything", lambda key, nr, params: crc(str(key)) % nr, {}),
    ("closure", closure({"the": 0, "a": 1}), {}),
    ("sorted set", sorted_set, {}),
    ("sum over a set", sums_a_set, {}),
    ("prints", tells, {}),
    ("copies the key", copies, {"keys": st.lists(st.integers(0, 5))}),
    ("constant", lambda key, nr, params: 0, {}),
    ("index", lambda key, nr, params: Index(crc(key) % nr), {}),
    ("numbers alone", lambda key, nr, params: key % nr, {}),
    ("bytes alone", lambda key, nr, params: zlib.crc32(key) % nr, {}),
    ("pairs alone", lambda key, nr, params: crc(key[0]) % nr, {"keys": st.tuples(st.text(), st.integers())}),
    ("partial", functools.partial(lambda salt, key, nr, params: crc(salt + key) % nr, "salt"), {}),
    ("text of whole numbers", lambda key, nr, params: crc(str(key)) % nr, {"keys": st.integers(0, 99)}),
    ("keys of a job's map", ByYear, {}),
    ("never an empty word", Words, {}),
    ("the job has two", TwoHalves, {}),
    ("given counts", TwoHalves.partition, {"nr_partitions": [2, 3]}),
]  # fmt: skip


@pytest.mark.parametrize(("function", "options"), [good[1:] for good in GOOD], ids=[good[0] for good in GOOD])
def test_a_correct_function_is_not_flagged(function: Any, options: dict[str, Any]) -> None:
    report = check_partitioner(function, **{"examples": 40, **options})
    assert isinstance(report, LawReport)
    assert report.examples > 0


# What is said


def test_the_counterexample_is_the_smallest_one_and_can_be_pasted() -> None:
    with pytest.raises(LawBroken) as broken:
        check_partitioner(lambda key, nr, params: nr if "b" in key else 0, keys=st.text("abc"))
    assert broken.value.counterexample == {"key": "b", "nr_partitions": 2}
    assert str(broken.value).splitlines() == [
        f"check_partitioner({test_the_counterexample_is_the_smallest_one_and_can_be_pasted.__qualname__}"
        ".<locals>.<lambda>): the partition of a key is in range(nr_partitions)",
        "    key = 'b'",
        "    nr_partitions = 2",
        "  expected: an int in range(2)",
        "  found: 2",
        "  on a cluster: the number is used as it is, and with one partition the pairs are lost",
        "  mend: return number % nr_partitions",
    ]


def test_what_a_function_raises_is_the_cause() -> None:
    with pytest.raises(LawBroken, match="IndexError") as broken:
        check_partitioner(lambda key, nr, params: ord(key[0]) % nr)
    assert isinstance(broken.value.__cause__, IndexError)
    assert broken.value.counterexample["key"] == ""


def test_params_are_part_of_the_counterexample() -> None:
    params = Params(turn=0)
    with pytest.raises(LawBroken) as broken:
        check_partitioner(state_in_params, params=params)
    assert broken.value.counterexample["params"] == Params(turn=0)
    assert params == Params(turn=0)


def test_a_seed_makes_a_search_repeatable() -> None:
    def fails(seed: int) -> tuple[list[Any], str]:
        asked: list[Any] = []

        def fn(key: str, nr: int, params: Any) -> int:
            asked.append((key, nr))
            return 0 if len(key) < 6 else nr

        with pytest.raises(LawBroken) as broken:
            check_partitioner(fn, seed=seed)
        return asked, str(broken.value)

    assert fails(1) == fails(1)
    assert fails(1)[0] != fails(2)[0]


def test_of_given_keys_no_others_are_tried() -> None:
    asked: set[Any] = set()

    def fn(key: Any, nr: int, params: Any) -> int:
        asked.add(key)
        return 0

    check_partitioner(fn, keys=["a", "b", 3], nr_partitions=3)
    assert asked == {"a", "b", 3}


def test_a_function_that_takes_nothing_of_what_is_tried_asks_for_keys() -> None:
    def fn(key: datetime.date, nr: int, params: Any) -> int:
        return key.toordinal() % nr

    with pytest.raises(ValueError, match="give keys=.*AttributeError"):
        check_partitioner(fn)
    assert check_partitioner(fn, keys=st.dates(), examples=20).examples > 0


def test_notes_tell_what_was_tried() -> None:
    assert "every text" in str(check_partitioner(lambda key, nr, params: key % nr, examples=10))
    assert "its map gives" in str(check_partitioner(Words, examples=10))
    assert "are equal and have different" in str(check_partitioner(lambda key, nr, params: crc(str(key)) % nr))
    assert "every key has the partition 0" in str(check_partitioner(lambda key, nr, params: 0, examples=20))


def test_python_for_made_up_keys_makes_them() -> None:
    for text, made in _MADE_UP.values():
        assert eval(f"[{text} for n in range(5)]") == [made(number) for number in range(5)]


def test_an_object_that_cannot_be_sent_is_flagged(tmp_path: Any) -> None:
    with open(tmp_path / "file", "wb") as file, pytest.raises(LawBroken, match="sent"):
        check_partitioner(lambda key, nr, params: file.fileno() % nr)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="keys must be a list"):
        check_partitioner(default_partition, keys="abc")
    with pytest.raises(ValueError, match="keys is empty"):
        check_partitioner(default_partition, keys=[])
    with pytest.raises(ValueError, match="at least 1"):
        check_partitioner(default_partition, nr_partitions=[0])
    with pytest.raises(TypeError, match="balances"):
        check_partitioner(default_partition, balances=1)
    with pytest.raises(TypeError, match="function"):
        check_partitioner(3)
    with pytest.raises(DiscoError, match="pipeline"):
        check_partitioner(Job(worker=Worker(), pipeline=[("split", Stage("read", process=lambda *arguments: None))]))
