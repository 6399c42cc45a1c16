"""Which functions a job may have, and what they see where they run (reference 1.8, 8.1, 8.3)."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from discolocal import DiscoError, Job, LocalCluster
from discolocal.worker.classic.func import nop_reduce, sum_combiner, sum_reduce
from discolocal.worker.classic.worker import Worker
from tests.behaviour import oracle

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

TEXT = "b a c a"
WORDS = Counter(TEXT.split())
SEPARATOR = " "
CALLS: list[str] = []


def split(text: str) -> list[str]:
    return text.split(SEPARATOR)


def with_helper(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in split(entry):
        yield word, 1


def scaled(factor: int, entry: str, params: Any, extra: int = 0) -> Iterator[tuple[str, int]]:
    for word in entry.split():
        yield word, factor + extra


class Splitter:
    def __init__(self, step: int) -> None:
        self.step = step

    def method(self, entry, params):
        for word in entry.split():
            yield word, self.step

    def reduce(self, iter, params):
        for key, total in sum_reduce(iter, params):
            yield key, total * self.step

    def reduce_out(self, iter, out, params):
        for key, total in sum_reduce(iter, params):
            out.add(key, total * self.step)

    def __call__(self, entry, params):
        return self.method(entry, params)

    @classmethod
    def of_class(cls, entry, params):
        return cls(1).method(entry, params)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return list(function(*args, **kwargs))

    return wrapper


@logged
def decorated(entry, params):
    for word in entry.split():
        yield word, 1


def closure(number: int) -> Callable[..., Any]:
    def inner(entry, params):
        return [(word, number) for word in entry.split()]

    number += 1
    return inner


def recursive(entry, params):
    head, _, tail = entry.partition(" ")
    return [(head, 1), *(recursive(tail, params) if tail else [])]


def run(cluster: LocalCluster, job: Job, **jobargs: Any) -> dict[Any, Any]:
    results = list(cluster.run(job, input=[f"raw://{TEXT}"], **jobargs))
    assert len(dict(results)) == len(results)
    return dict(results)


MAPS: dict[str, tuple[Any, int]] = {
    "lambda": (lambda entry, params: [(word, 1) for word in entry.split()], 1),
    "module function with helper and global": (with_helper, 1),
    "closure": (closure(2), 3),
    "partial": (functools.partial(scaled, 4), 4),
    "partial with keyword": (functools.partial(scaled, 4, extra=1), 5),
    "partial of partial": (functools.partial(functools.partial(scaled, extra=2), 1), 3),
    "partial of a method": (functools.partial(Splitter.method, Splitter(6)), 6),
    "bound method": (Splitter(7).method, 7),
    "callable object": (Splitter(8), 8),
    "classmethod": (Splitter.of_class, 1),
    "decorated": (decorated, 1),
    "recursive": (recursive, 1),
}


@pytest.mark.parametrize("kind", MAPS)
def test_kinds_of_functions(cluster: LocalCluster, kind: str) -> None:
    function, factor = MAPS[kind]
    expected = {word: count * factor for word, count in WORDS.items()}
    assert run(cluster, Job(map=function, reduce=sum_reduce)) == expected
    assert run(cluster, Job(reduce=sum_reduce), map=function) == expected
    assert run(cluster, Job(worker=Worker(map=function, reduce=sum_reduce))) == expected


@pytest.mark.parametrize("partitions", [None, 3])
def test_bound_methods_as_reduce_count_their_parameters_without_self(
    cluster: LocalCluster, partitions: int | None
) -> None:
    expected = {word: count * 3 for word, count in WORDS.items()}
    for reduce in (Splitter(3).reduce, Splitter(3).reduce_out, functools.partial(Splitter.reduce_out, Splitter(3))):
        assert run(cluster, Job(map=with_helper, reduce=reduce), partitions=partitions) == expected


class AllKinds(Job):
    """A job whose functions are methods of each kind."""

    factor = 2
    combiner = sum_combiner

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shift = 1

    def map(self, entry, params):
        for word in entry.split():
            yield word, self.factor

    @classmethod
    def partition(cls, key, nr, params):
        return cls.factor % nr

    @staticmethod
    def map_init(entries, params):
        params.ready = True

    def reduce(iter, params):  # noqa: N805 (without self: meant as a static method)
        yield from sum_reduce(iter, params)


class Inherited(AllKinds):
    factor = 5

    def map(self, entry, params):
        for key, value in super().map(entry, params):
            yield key, value + self.shift


def test_methods_of_the_job_class(cluster: LocalCluster) -> None:
    assert run(cluster, AllKinds()) == {word: count * 2 for word, count in WORDS.items()}
    assert run(cluster, AllKinds(), partitions=3) == {word: count * 2 for word, count in WORDS.items()}
    assert run(cluster, Inherited()) == {word: count * 6 for word, count in WORDS.items()}


def test_attributes_of_the_job_instance_travel(cluster: LocalCluster) -> None:
    job = AllKinds()
    job.factor = 10
    assert run(cluster, job) == {word: count * 10 for word, count in WORDS.items()}


def test_a_function_sees_globals_as_they_were_at_submission(cluster: LocalCluster) -> None:
    global SEPARATOR
    SEPARATOR = "a"
    try:
        found = run(cluster, Job(map=with_helper, reduce=sum_reduce))
    finally:
        SEPARATOR = " "
    assert found == Counter(TEXT.split("a"))


def test_a_closure_sees_the_last_value_of_its_variable(cluster: LocalCluster) -> None:
    value = 1

    def map(entry, params):
        yield entry, value

    value = 2
    assert run(cluster, Job(map=map)) == {TEXT: 2}


def test_functions_of_another_module_of_the_users_own(cluster: LocalCluster) -> None:
    job = Job(map=lambda entry, params: oracle.words(entry).items(), reduce=sum_reduce)
    assert run(cluster, job) == WORDS
    job = Job(map=with_helper, partition=lambda key, n, params: oracle.label(key, n), reduce=sum_reduce)
    assert run(cluster, job, partitions=4) == WORDS


def remember(entry, params):
    CALLS.append(entry)
    yield entry, len(CALLS)


def test_tasks_share_no_state_with_each_other_or_with_the_client(cluster: LocalCluster) -> None:
    CALLS.clear()
    results = cluster.run(Job(map=remember), input=["raw://a", "raw://b", "raw://c"])
    assert sorted(results) == [("a", 1), ("b", 1), ("c", 1)]
    assert CALLS == []


def test_every_task_has_params_of_its_own(cluster: LocalCluster) -> None:
    def map(entry, params):
        params.append(entry)
        yield entry, list(params)

    params = ["start"]
    results = dict(cluster.run(Job(map=map, params=params), input=["raw://a", "raw://b"]))
    assert results == {"a": ["start", "a"], "b": ["start", "b"]}
    assert params == ["start"]


@dataclasses.dataclass(frozen=True)
class Record:
    name: str
    size: int


Pair = namedtuple("Pair", "left right")


class Colour(enum.Enum):
    RED = 1


@pytest.mark.own_events  # a local class of a module that cannot be imported on a node is taken for one of the module
@pytest.mark.parametrize("partitions", [None, 1, 3])
def test_records_may_hold_objects_of_classes_of_this_module(cluster: LocalCluster, partitions: int | None) -> None:
    class Local:
        def __init__(self, value):
            self.value = value

    def map(entry, params):
        yield "record", Record(entry, 1)
        yield "pair", Pair(entry, Record("x", 2))
        yield "colour", Colour.RED
        yield "local", Local(entry)
        yield "class", Record

    def reduce(iter, params):
        for key, value in iter:
            if key == "record":
                assert isinstance(value, Record) and value == Record(TEXT, 1)
            yield key, value

    found = run(cluster, Job(map=map, reduce=reduce), partitions=partitions)
    assert found["local"].value == TEXT
    assert (found["record"].name, found["record"].size) == (TEXT, 1)
    assert tuple(found["pair"])[0] == TEXT and found["pair"].right.size == 2
    assert found["colour"].name == "RED"


def test_records_need_not_be_hashable_or_ordered(cluster: LocalCluster) -> None:
    def map(entry, params):
        yield entry, {"list": [1, {2}], "bytes": bytearray(b"x"), "complex": 1j, "range": range(3)}

    assert run(cluster, Job(map=map, reduce=nop_reduce)) == {
        TEXT: {"list": [1, {2}], "bytes": bytearray(b"x"), "complex": 1j, "range": range(3)}
    }


# What cannot be sent


class Unpicklable:
    def __reduce__(self):
        raise TypeError("this one stays at home")


@pytest.mark.parametrize("name", ["params", "map", "combiner", "map_reader", "reduce"])
def test_what_cannot_be_pickled_is_named_with_the_reason(cluster: LocalCluster, name: str) -> None:
    thing = Unpicklable()
    value = thing if name == "params" else lambda *args: [thing]
    before = cluster.joblist()
    arguments: dict[str, Any] = {"map": with_helper, "reduce": sum_reduce, name: value}
    for run_it in (lambda: run(cluster, Job(**arguments)), lambda: run(cluster, Job(), **arguments)):
        with pytest.raises(DiscoError) as error:
            run_it()
        assert repr(name) in str(error.value) and "this one stays at home" in str(error.value)
    assert cluster.joblist() == before


def test_a_lock_and_a_cluster_cannot_be_sent(cluster: LocalCluster) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(DiscoError, match="'map'.*lock"):
        run(cluster, Job(map=lambda e, p: [(lock, 1)]))
    with pytest.raises(DiscoError, match="'map'.*LocalCluster"):
        run(cluster, Job(map=lambda e, p: [(cluster.seed, 1)]))


def test_a_job_that_ran_may_be_referred_to(cluster: LocalCluster) -> None:
    job = Job("Known", map=with_helper, master=cluster).run(input=["raw://x"])
    job.wait()
    assert run(cluster, Job(map=lambda e, p: [(e, job.name)])) == {TEXT: job.name}
