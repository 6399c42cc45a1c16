"""Job classes as people write them: methods, own constructors, decorators, subclasses (reference 8.1, 10)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from discolocal import Job, LocalCluster, PortabilityWarning, result_iterator
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour.programs import Program
from tests.behaviour.wordcounts import TEXT, WORDS, found, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


# Job classes


class Scaled(Job):
    """Methods of the instance and the class, an own constructor, state on self."""

    input = TEXT
    separators = ("-",)

    def __init__(self, factor: int, *, offset: int = 0) -> None:
        self.factor = factor
        self.offset = offset
        self.seen: list[str] = []

    @classmethod
    def split(cls, entry: str) -> list[str]:
        return entry.split(cls.separators[0])

    def map(self, entry: str, params: Any) -> Iterator[tuple[str, int]]:
        self.seen.append(entry)
        for word in self.split(entry):
            yield word, self.factor * len(self.seen)

    @classmethod
    def partition(cls, key: str, count: int, params: Any) -> int:
        return ord(key) % count

    def reduce(self, iter: Any, out: Any, params: Any) -> None:
        for key, total in sum_reduce(iter, params):
            out.add(key, total + self.offset)


@pytest.mark.parametrize("partitions", [1, 3])
def test_methods_use_the_state_of_the_job(cluster: LocalCluster, partitions: int) -> None:
    job = Scaled(10, offset=1)
    assert dict(cluster.run(job, partitions=partitions)) == {"a": 31, "b": 11, "c": 11}
    assert job.seen == [], "tasks work on copies"


class Other(Job):
    """A method need not call its first parameter self."""

    sign = "+"

    def map(this, entry: str, params: Any) -> Iterator[tuple[str, str]]:
        yield entry, this.sign

    def reduce(this, iter: Any, out: Any, params: Any) -> None:
        for key, value in iter:
            out.add(this.sign + key, value)


@pytest.mark.filterwarnings("error::discolocal.error.PortabilityWarning")
def test_a_method_is_known_by_its_parameters(cluster: LocalCluster) -> None:
    assert list(cluster.run(Other(), input=["raw://x"])) == [("+x", "+")]


class Reading(Job):
    """Methods that read, in the forms that a stream function has."""

    input = ["raw://a-b"]
    mark = "!"

    def open(self, stream: Any, size: Any, url: str) -> Any:
        return iter([url.partition("://")[2] + self.mark]), size, url

    def map_reader(self, fd: Any, size: Any, url: str, params: Any) -> Iterator[str]:
        yield from (entry + params["end"] for entry in fd)

    def map(self, entry: str, params: Any) -> Iterator[tuple[str, int]]:
        yield entry, 1

    @classmethod
    def reduce(cls, iter: Any, params: Any) -> Iterator[tuple[str, str]]:
        yield from ((key, cls.mark) for key, _ in iter)


def test_methods_may_be_stream_functions(cluster: LocalCluster) -> None:
    job = Reading()
    job.map_input_stream = (job.open,)
    named = "map_reader Reading.map_reader, map_input_stream Reading.open, reduce Reading.reduce:"
    with pytest.warns(PortabilityWarning, match=rf"\[method-parameters\] {named}"):
        assert list(cluster.run(job, params={"end": "?"})) == [("a-b!?", "!")]


@pytest.mark.filterwarnings("error::discolocal.error.PortabilityWarning")
def test_a_method_that_any_count_of_parameters_suits_is_not_warned_about(cluster: LocalCluster) -> None:
    assert dict(cluster.run(Scaled(10, offset=1), partitions=1))["a"] == 31


class Named(Job):
    """An own constructor that calls the one of Job."""

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(name="MyOwnName", **kwargs)
        self.path = path

    def map(self, entry: str, params: Any) -> Iterator[tuple[str, str]]:
        yield entry, self.path


def test_a_constructor_may_call_that_of_job(cluster: LocalCluster) -> None:
    job = Named("somewhere", master=cluster)
    job.run(input=["raw://x"])
    assert job.name.startswith("MyOwnName@")
    assert job.disco is cluster
    assert list(result_iterator(job.wait())) == [("x", "somewhere")]


def traced(*marks: str) -> Callable[..., Any]:
    """A decorator with arguments."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return [(f"{key}{''.join(marks)}", value) for key, value in function(*args, **kwargs)]

        return wrapper

    return decorate


class Decorated(Job):
    """Decorated functions of a class, and one called by another."""

    @staticmethod
    @traced("!", "?")
    def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        yield from words(entry, params)

    @staticmethod
    def reduce(iter: Any, params: Any) -> Iterator[tuple[str, int]]:
        for key, values in kvgroup(sorted(iter)):
            yield key, sum(values)


def test_decorated_functions(cluster: LocalCluster) -> None:
    assert found(cluster, Decorated()) == {"a!?": 3, "b!?": 1, "c!?": 1}
    mapped = found(cluster, Job(map=traced("+")(words), reduce=sum_reduce))
    assert mapped == {"a+": 3, "b+": 1, "c+": 1}


class Guard(contextlib.ContextDecorator):
    """A decorator whose wrapper is a function of another module."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *error: object) -> None:
        """Nothing to do."""


def test_decorated_functions_find_the_names_of_disco(cluster: LocalCluster) -> None:
    @Guard()
    def guarded(entry: str, params: Any) -> Any:
        return [(entry, this_name())]  # type: ignore[name-defined]  # noqa: F821 (injected)

    @functools.lru_cache(maxsize=10)
    def cached(entry: str, params: Any) -> Any:
        return [(entry, this_name())]  # type: ignore[name-defined]  # noqa: F821 (injected)

    for map in (guarded, cached):
        results = cluster.run(Job(map=map, params="hashable"), input=["raw://x"])
        assert list(results) == [("x", results.job.name)]


class Base(Job):
    """A job whose subclasses change a part of it, as programs with several similar jobs have it."""

    weight = 1

    @classmethod
    def weigh(cls, word: str) -> int:
        return cls.weight

    def map(self, entry: str, params: Any) -> Iterator[tuple[str, int]]:
        for word, _one in words(entry, params):
            yield word, self.weigh(word)

    reduce = staticmethod(sum_reduce)


class Heavier(Base):
    """Another weight, and the inherited map."""

    weight = 5


def test_subclasses_of_a_job_class(cluster: LocalCluster) -> None:
    assert found(cluster, Base) == WORDS
    assert found(cluster, Heavier()) == {word: 5 * count for word, count in WORDS.items()}


# A file that is a program and a module at once


SCRIPT = """
import sys, warnings
from discolocal import LocalCluster, PortabilityWarning
from discolocal.core import result_iterator
from discolocal.job import Job

warnings.simplefilter("ignore", PortabilityWarning)

HELLO = "hello "

def greet(name):
    return HELLO + name

class Greeter(Job):
    @staticmethod
    def map(entry, params):
        yield greet(entry), Greeter.__module__

if __name__ == "__main__":
    from greeter import Greeter

    with LocalCluster(nodes=2, start=sys.argv[1]) as cluster:
        job = Greeter(master=cluster).run(input=["raw://you"])
        for greeting, module in result_iterator(job.wait()):
            print(greeting, module)
"""


def test_a_job_that_imports_itself_from_its_own_file(program: Program, start: str) -> None:
    path = program.write("greeter.py", SCRIPT)
    assert program.run(path, start) == "hello you greeter\n"
    assert program.gone_within(10) == []


class Patched(Job):
    """Its map uses a global."""

    @staticmethod
    def map(entry, params):
        yield GREETING, entry


GREETING = "hello"


def test_a_class_of_jobs_stays_as_it_is(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(vars(Patched))
    monkeypatch.setitem(globals(), "GREETING", "good evening")
    assert list(cluster.run(Patched, input=["raw://a"])) == [("good evening", "a")]
    monkeypatch.undo()
    assert list(cluster.run(Patched, input=["raw://a"])) == [("hello", "a")]
    assert dict(vars(Patched)) == before
    assert list(Patched.map("b", None)) == [("hello", "b")]
