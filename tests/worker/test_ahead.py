"""Jobs that are loaded ahead of their workers: which are, and that loading runs nothing of the user."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import gc
import importlib
import io
import json
import math
import operator
import os
import pickle
import random
import re
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from discolocal import Job
from discolocal.ddfs import DDFS
from discolocal.jobdata import jobdata
from discolocal.worker import Params, ahead
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from tests.worker import ahead_values
from tests.worker.ahead_values import (
    TRACES,
    Abstract,
    Answering,
    Bag,
    ByInstance,
    ByPartial,
    Called,
    Child,
    Color,
    Counts,
    Day,
    Deferred,
    Described,
    Descriptor,
    Heir,
    Helper,
    Iterable,
    Listed,
    Loud,
    Mapped,
    Mistake,
    Mortal,
    MortalHeir,
    New,
    OfMeta,
    OwnDict,
    Pair,
    Parent,
    Point,
    Queue,
    Record,
    Reduced,
    Registered,
    RegisteredState,
    Reloading,
    Slotted,
    Stamp,
    Stateful,
)

WORD = re.compile(r"\w+")
HERE = "/ahead/jobfile"


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """The collector is called often here, and looks at what these tests make alone."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    TRACES.clear()
    yield
    ahead.drop()


def pack(job: Job, **jobargs: Any) -> bytes:
    vars(job)["worker"] = job.Worker()
    cloudpickle.register_pickle_by_value(ahead_values)  # as if these were classes of the job's own module
    try:
        return jobdata(job, jobargs)
    finally:
        cloudpickle.unregister_pickle_by_value(ahead_values)


def is_loaded(job: Job, **jobargs: Any) -> bool:
    data = pack(job, **jobargs)
    before = set(sys.modules)
    TRACES.clear()  # pickling may run code of the user as well
    done = ahead.load(HERE, data)
    assert TRACES == []
    assert set(sys.modules) == before, "nothing is imported"
    assert (ahead.loaded(HERE) is not None) == done
    if not done:
        gc.collect()
        assert TRACES == [], "nor when the rest goes"
    return done


def of_params(params: Any) -> bool:
    return is_loaded(Job(map=split, params=params))


def split(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in WORD.findall(line):
        yield word, 1


def total(entries: Any, params: Any) -> Iterator[tuple[str, int]]:
    from discolocal.util import kvgroup

    for word, counts in kvgroup(sorted(entries)):
        yield word, sum(counts)


class WordCount(Job):
    params = Params(least=2)

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        yield from split(line, params)

    @staticmethod
    def reduce(entries: Any, params: Any) -> Iterator[tuple[str, int]]:
        yield from total(entries, params)


def process(interface: Any, state: Any, label: int, lines: Any) -> None:
    for line in lines:
        interface.output(0).add(line, 1)


class Piped(Job):
    Worker = PipelineWorker
    pipeline = [("split", Stage("first", process=process)), ("group_all", Stage("second", process=process))]
    params = Params(names=["a"], nested={"b": (1, 2.5, None)})


def test_classic_and_pipeline_jobs_are_as_each_worker_would_load_them() -> None:
    assert is_loaded(WordCount(), input=["raw://a"])
    job, jobargs = ahead.loaded(HERE)
    assert jobargs == {"input": ["raw://a"]}
    assert list(job.map("a b", job.params)) == [("a", 1), ("b", 1)]
    assert list(job.reduce([("a", 1), ("a", 2)], job.params)) == [("a", 3)]
    assert type(job).__module__ == __name__ and type(job) is not WordCount
    assert is_loaded(Piped())
    job, _ = ahead.loaded(HERE)
    assert [stage.process.__name__ for _, stage in job.pipeline] == ["process", "process"]
    assert job.params == Params(names=["a"], nested={"b": (1, 2.5, None)})


def counter() -> Callable[..., Any]:
    captured = 7
    return lambda line, params: [(line, captured)]


@functools.lru_cache(maxsize=10)
def cached(n: int) -> int:
    return n + 1


def recursive(n: int) -> int:
    return n and 1 + recursive(n - 1)


def with_defaults(a: int, b: list[int] = [1], *, c: str = "c") -> Any:  # noqa: B006
    """Documented."""
    return a, b, c


with_defaults.attribute = 5  # type: ignore[attr-defined]


def test_functions_of_any_kind_are_what_they_were() -> None:
    given = [counter(), lambda x: x + 1, functools.partial(recursive, 3), cached, with_defaults, math.sqrt, str.lower]
    assert is_loaded(Job(map=counter(), params=given))
    job, _ = ahead.loaded(HERE)
    closure, plain, partial, cache, defaults, *names = job.params
    assert job.map("a", None) == closure("a", None) == [("a", 7)]
    assert (plain(1), partial(), cache(1), defaults(0), names) == (2, 3, 2, (0, [1], "c"), [math.sqrt, str.lower])
    assert (defaults.__doc__, defaults.attribute, defaults.__qualname__) == ("Documented.", 5, "with_defaults")
    assert (defaults.__module__, defaults.__name__) == (__name__, "with_defaults")
    assert defaults.__annotations__ == with_defaults.__annotations__
    mine, theirs = defaults.__code__, with_defaults.__code__
    assert (mine.co_code, mine.co_consts, mine.co_freevars) == (theirs.co_code, theirs.co_consts, theirs.co_freevars)


@pytest.mark.parametrize(
    "params",
    [
        Helper(1),
        {1: Helper(2), "list": [Helper(3)] * 2},
        Helper,
        Answering,
        Pair,
        *([Record, Record("a")] if sys.version_info < (3, 13) else []),  # their __repr__ names functions of threads
        Mistake("a", 1),
        Mistake,
        Loud,
        Descriptor(),
        Described(),
        Parent,
        Stateful,
        New,
        Mapped(),
        Mapped,
        Listed([]),
        Iterable(),
        Called(),
        collections.OrderedDict(a=1),
        collections.Counter("aab"),
        collections.deque([1, 2], 3),
        collections.defaultdict(list, a=[1]),
        {1, 2},
        frozenset("ab"),
        bytearray(b"x"),
        1 + 2j,
        decimal.Decimal("1.5"),
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
        datetime.datetime,
        re.compile("a+", re.IGNORECASE),
        types.SimpleNamespace(a=1),
        [operator.itemgetter(1), operator.attrgetter("a"), sorted, sum, len, "x".join, {"a": 1}.get],
        iter([1, 2]),
        range(5),
        slice(1, 2),
        json.loads,
        Path("a/b"),
        list[int],
        ValueError("x"),
        # What follows holds modules that are imported already.
        [os, sys, time, threading, random],
    ],
)
def test_loaded_ahead(params: Any) -> None:
    assert of_params(params)
    found, expected = ahead.loaded(HERE)[0].params, pickle.loads(pack(Job(map=split, params=params)))[0].params
    assert type(found).__qualname__ == type(expected).__qualname__
    assert repr(found).partition(" at 0x")[0] == repr(expected).partition(" at 0x")[0]


@pytest.mark.parametrize(
    "params",
    [
        Pair(1, 2),
        Point,
        Point(1),
        Answering(),
        Child,
        Loud("a"),
        {Helper(1): 1},
        {Helper(1)},
        OfMeta,
        OfMeta(),
        Abstract,
        Color.RED,
        Color,
        Stateful(),
        Heir(),
        New(),
        Reduced(),
        Reduced,
        Registered(),
        RegisteredState(),
        Mortal(),
        MortalHeir(),
        Mortal,
        Listed([1]),
        Listed([1, 2]),
        Mapped(a=1),
        Queue([1]),
        Bag([1]),
        Counts("a"),
        Deferred(list),
        Day(2020, 1, 1),
        OwnDict(),
        Reloading(),
        Reloading,
        ByInstance(),
        ByPartial(),
        Slotted(),
        Stamp(os.getpid),
        Stamp(time.time),
        Stamp(time.monotonic),
        Stamp(random.random),
        Stamp(random.Random),
        Stamp(threading.Lock),
        Stamp(threading.local),
        Stamp(threading.current_thread),
        Stamp(open, os.devnull),
        Stamp(os.getcwd),
        Stamp(os.urandom, 3),
        Stamp(datetime.datetime.now),
        Stamp(datetime.date.today),
        Stamp(getattr, sys, "stdout"),
        Stamp(getattr, Helper, "shared"),
        Stamp(eval, "1"),
        Stamp(exec, "1"),
        Stamp(print, "a"),
        Stamp(__import__, "this"),
        Stamp(importlib.import_module, "this"),
        Stamp(types.FunctionType, (lambda: 1).__code__, {}),
        random.Random(1),
        io.StringIO("a"),
        weakref.WeakSet(),
        getattr,
        [Helper, getattr],
        types.FunctionType,
        cloudpickle.cloudpickle.subimport,
        os.getpid,
        DDFS("http://nowhere:1"),
        time.struct_time(range(9)),
    ],
)
def test_not_loaded_ahead(params: Any) -> None:
    assert not of_params(params)


def test_what_a_class_or_a_function_holds_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Helper, "shared", [Registered()])
    assert not of_params(Helper(1))
    monkeypatch.undo()
    assert of_params(Helper(1))
    held = Stateful()
    assert not is_loaded(Job(map=lambda line, params: [held]))
    assert not is_loaded(Job(map=lambda line, params, held=held: [held]))


def test_what_is_refused_would_have_run_code_of_the_user() -> None:
    """The jobs above are no harmless ones: a worker that loads them runs that code."""
    loud = [
        Stateful(),
        Heir(),
        Answering(),
        Child,
        Loud("a"),
        {Helper(1)},
        OfMeta,
        Slotted(),
        New(),
        Reduced(),
        Registered(),
        RegisteredState(),
        Listed([1]),
        Mapped(a=1),
        Queue(),
        Bag(),
    ]
    for params in [*loud, Counts("a"), Deferred(), Day(2020, 1, 1), OwnDict(), Reloading(), ByInstance(), ByPartial()]:
        data = cloudpickle_by_value(params)
        TRACES.clear()
        pickle.loads(data)
        assert TRACES, params


def cloudpickle_by_value(value: Any) -> bytes:
    return pack(Job(map=split, params=value))


def test_a_module_that_is_not_imported_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ahead_user.py").write_text("import ahead_trace\nahead_trace.traces.append('import')\nname = len\n")
    (tmp_path / "ahead_user2.py").write_text("def f(): pass\nclass C: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    user = importlib.import_module("ahead_user")
    assert TRACES == ["import"]
    in_module = pack(Job(map=lambda line, params: [user.name]))
    other = importlib.import_module("ahead_user2")
    packed = [cloudpickle.dumps(value) for value in (other.f, other.C, other.C())]  # by reference
    del sys.modules["ahead_user"], sys.modules["ahead_user2"]
    TRACES.clear()
    assert not ahead.load(HERE, in_module)
    assert not any(ahead.load(HERE, data) for data in packed)
    assert TRACES == [] and not {"ahead_user", "ahead_user2"} & set(sys.modules)
    importlib.import_module("ahead_user2")
    assert not any(ahead.load(HERE, data) for data in packed), "nor is its code known where it was imported"


def test_what_only_seems_to_be_a_name_of_the_library_is_not_looked_up() -> None:
    for module, name in (("discolocal.util", "no_such_name"), ("discolocal.worker.base", "os.getpid")):
        with_lengths = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
        data = b"\x80\x04" + with_lengths + b"\x93."
        if "." in name:
            assert pickle.loads(data) is os.getpid
        assert not ahead.load(HERE, data)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x80\x05K\x01", b"\x80\x04\x82\x01.", b"\x80\x04K\x01Q.", b"cos\ngetpid\n)R."]
)
def test_what_is_no_pickle_of_a_job_is_left_to_the_worker(data: bytes) -> None:
    assert not ahead.load(HERE, data)
    assert ahead.loaded(HERE) is None


def test_only_the_last_job_is_kept_and_only_for_its_pack() -> None:
    assert not ahead.drop()
    assert ahead.load("/a/jobfile", pack(WordCount()))
    assert ahead.loaded("/b/jobfile") is None
    assert ahead.loaded("/a/jobfile") is ahead.loaded("/a/jobfile") is not None
    assert ahead.load("/b/jobfile", pack(Piped()))
    assert ahead.loaded("/a/jobfile") is None
    assert not ahead.load("/c/jobfile", pack(Job(map=split, params=Stateful())))
    assert ahead.loaded("/b/jobfile") is None
    assert ahead.load("/b/jobfile", pack(Piped()))
    assert ahead.drop() and not ahead.drop()
    assert ahead.loaded("/b/jobfile") is None


def test_what_is_dropped_is_gone() -> None:
    assert ahead.load(HERE, pack(Job(map=split, params=[Helper(1), "x" * 100])))
    job, _ = ahead.loaded(HERE)
    gone = [weakref.ref(found) for found in (job, job.map, type(job.params[0]), job.params[0])]
    del job
    ahead.drop()
    gc.collect()
    assert [found() for found in gone] == [None] * 4


class Changing:
    early = 1


def found_class(data: bytes) -> Any:
    """What a worker loads that is forked from this process now."""
    return pickle.loads(data)[0].params


@pytest.mark.parametrize("refused", [False, True])
def test_a_class_of_one_job_is_not_that_of_another(refused: bool) -> None:
    """cloudpickle knows a class again by its identity: what it had in another job must not be found in it."""
    Changing.early = 1
    first = pack(Job(map=split, params=[Changing, Stateful()] if refused else Changing))
    del Changing.early
    try:
        second = pack(Job(map=split, params=Changing))
    finally:
        Changing.early = 1
    tracked = dict(cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID)
    identity = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.pop(Changing)
    del cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID[identity]  # as in a process that did not make the job
    try:
        assert ahead.load(HERE, first) is not refused
        assert not hasattr(found_class(second), "early")
        if not refused:
            gc.collect()
            mine = ahead.loaded(HERE)[0].params
            assert mine.early == 1
            again = pickle.loads(cloudpickle.dumps(mine))
            assert again is mine, "a worker's records name the class as the job did"
            assert cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS[mine] == identity
    finally:
        ahead.drop()
        gc.collect()
        cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS[Changing] = identity
        cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.update(tracked)


EXAMPLES = ("condense", "grep", "inner_join", "kmeans", "pagerank", "sieve", "wordcount")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_jobs_of_the_examples_are_loaded_ahead(name: str) -> None:
    module = importlib.import_module(f"examples.{name}")
    jobs = [cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, Job) and cls is not Job]
    assert jobs
    for cls in jobs:
        assert is_loaded(cls(), input=["raw://a"])
