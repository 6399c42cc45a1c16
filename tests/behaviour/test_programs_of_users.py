"""What programs that people wrote for Disco do, beside calling functions of modules (reference 8.1, 8.3, 10, 11)."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, Params, PortabilityWarning, result_iterator
from discolocal.util import kvgroup
from discolocal.worker.classic.func import chain_reader, make_range_partition, nop_map, nop_reduce, sum_reduce
from discolocal.worker.task_io import task_input_stream, task_output_stream
from tests.behaviour.programs import Program

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

TEXT = ["raw://a-b-a", "raw://c-a"]
WORDS = {"a": 3, "b": 1, "c": 1}


def words(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in entry.split("-"):
        yield word, 1


def found(cluster: LocalCluster, job: Any, **arguments: Any) -> dict[Any, Any]:
    """The results of a job as a dict; each key is there once."""
    records = list(cluster.run(job, **{"input": TEXT, **arguments}))
    assert len(dict(records)) == len(records), records
    return dict(records)


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


def test_module_level_imports_are_used_inside_of_job_functions(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[str, Any]]:
        yield entry, (math.sqrt(16), json.dumps([1]), datetime.date(2020, 1, 2).isoformat(), Counter("aa")["a"])

    assert found(cluster, Job(map=map), input=["raw://x"]) == {"x": (4.0, "[1]", "2020-01-02", 2)}


# Modules that nobody imported


def nobody_imported_them(entry: str, params: Any) -> Iterator[tuple[str, Any]]:
    random.seed(entry)  # type: ignore[name-defined]  # noqa: F821 (supplied)
    yield "random", random.random()  # type: ignore[name-defined]  # noqa: F821 (supplied)
    yield "operator", functools.reduce(operator.mul, [2, 3, 7])  # type: ignore[name-defined]  # noqa: F821 (supplied)
    yield "re", re.sub("[a-c]", ".", entry)  # type: ignore[name-defined]  # noqa: F821 (supplied)
    yield "inner", [itertools.repeat(n, 1) for n in (1, 2)].__len__()  # type: ignore[name-defined]  # noqa: F821


def test_modules_of_python_that_nobody_imported_are_supplied_with_a_warning(cluster: LocalCluster) -> None:
    import random as oracle

    oracle.seed("a-b")
    expected = {"random": oracle.random(), "operator": 42, "re": ".-.", "inner": 2}
    with pytest.warns(PortabilityWarning) as caught:
        assert found(cluster, Job(map=nobody_imported_them), input=["raw://a-b"]) == expected
    texts = [str(one.message) for one in caught if "implied-module" in str(one.message)]
    assert len(texts) == 1
    assert all(f"nobody_imported_them names the module {name}" in texts[0] for name in ("random", "operator"))
    assert "module re" not in texts[0], "a cluster's worker has that one"


def test_required_modules_say_it_without_a_warning(cluster: LocalCluster) -> None:
    def reduce(iter: Any, params: Any) -> Iterator[tuple[str, int]]:
        yield "sum", functools.reduce(operator.add, [value for _key, value in iter])  # type: ignore[name-defined]  # noqa: F821

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = Job(map=words, reduce=reduce, required_modules=["operator"])
        assert found(cluster, job) == {"sum": 5}


def test_a_global_that_is_made_by_an_init_function_is_no_module(cluster: LocalCluster) -> None:
    def map_init(entries: Any, params: Any) -> None:
        global queue
        queue = ["made"]  # type: ignore[name-defined]  # noqa: F821

    def map(entry: str, params: Any) -> Iterator[tuple[str, Any]]:
        yield entry, queue.copy()  # type: ignore[name-defined]  # noqa: F821 (made by map_init)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(cluster, Job(map=map, map_init=map_init), input=["raw://x"]) == {"x": ["made"]}


def test_a_name_that_is_no_module_stays_an_error(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[str, Any]]:
        yield entry, no_such_thing.attribute  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(JobError, match="NameError.*no_such_thing"):
        found(cluster, Job(map=map), input=["raw://x"])


# Params, keys and values


def test_params_hold_functions_lambdas_and_containers_of_them(cluster: LocalCluster) -> None:
    limit = 2
    params = Params(
        split=words,
        keep=lambda word: word < "c",
        rules={"double": lambda n: n * limit},
        chain=[str.upper, lambda word: word + "!"],
    )

    def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        for word, one in params.split(entry, params):
            if params.keep(word):
                yield functools.reduce(lambda value, step: step(value), params.chain, word), params.rules["double"](one)

    assert found(cluster, Job(map=map, reduce=sum_reduce, params=params)) == {"A!": 6, "B!": 2}
    assert found(cluster, Job(map=map, reduce=sum_reduce), params=params) == {"A!": 6, "B!": 2}


@pytest.mark.parametrize("partitions", [1, 3])
def test_tuple_keys_and_dict_values(cluster: LocalCluster, partitions: int) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[Any, Any]]:
        for first, second in zip(entry.split("-"), entry.split("-")[1:]):
            yield (first, second), {"count": 1, "entries": [entry]}

    def reduce(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
        for pair, values in kvgroup(sorted(iter, key=lambda record: record[0])):
            values = list(values)
            yield pair, {"count": len(values), "entries": sorted(v["entries"][0] for v in values)}

    assert found(cluster, Job(map=map, reduce=reduce), partitions=partitions) == {
        ("a", "b"): {"count": 1, "entries": ["a-b-a"]},
        ("b", "a"): {"count": 1, "entries": ["a-b-a"]},
        ("c", "a"): {"count": 1, "entries": ["c-a"]},
    }


def test_a_range_partition_cuts_a_range_into_equal_parts(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[int, int]]:
        yield int(entry), 1

    def reduce(iter: Any, params: Any) -> Iterator[tuple[int, list[int]]]:
        yield this_partition(), sorted(key for key, _one in iter)  # type: ignore[name-defined]  # noqa: F821 (injected)

    job = Job(map=map, reduce=reduce, partition=make_range_partition(0, 9), partitions=3)
    inputs = [f"raw://{number}" for number in range(10)]
    assert found(cluster, job, input=inputs) == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6, 7, 8, 9]}


@pytest.mark.parametrize("sort", [None, False, True])
def test_sort_may_be_none(cluster: LocalCluster, sort: bool | None) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[bytes, int]]:
        for word, one in words(entry, params):
            yield word.encode(), one

    assert found(cluster, Job(map=map, reduce=sum_reduce, sort=sort)) == {b"a": 3, b"b": 1, b"c": 1}


def test_a_profiled_job(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, profile=True), input=TEXT)
    assert dict(results) == WORDS
    functions = {name for _file, _line, name in results.job.profile_stats().stats}  # type: ignore[attr-defined]
    assert {"words", "sum_reduce"} <= functions


def test_a_job_answers_what_a_master_is_asked_with_its_name(cluster: LocalCluster) -> None:
    def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        put("entry", entry.encode())  # type: ignore[name-defined]  # noqa: F821 (injected)
        yield entry, 1

    job = Job("Asked", map=map, reduce=sum_reduce, profile=True, master=cluster).run(input=["raw://x"])
    urls = job.wait(poll_interval=1, timeout=60)
    assert list(result_iterator(urls)) == [("x", 1)]
    assert job.results(timeout=10) == ("ready", urls)
    assert [url for (url,) in job.stageresults("reduce")] == [url for (url,) in urls]
    offset, (time, host, text) = next(iter(job.events()))
    assert offset > 0 and time and (host, text) == ("master", "New job initialized!")
    assert job.jobinfo()["active"] == "ready" and job.jobpack().jobdict["prefix"] == "Asked"
    assert "map" in {name for _file, _line, name in job.profile_stats("map").stats}
    assert "entry" in job.oob_list() and job.oob_get("entry") == b"x"
    job.kill()
    assert job.results()[0] == "ready", "it has ended already"
    job.clean()
    assert job.results() == ("unknown job", [])
    assert list(result_iterator(urls)) == [("x", 1)], "its files stay"
    other = Job("Other", map=words, master=cluster).run(input=["raw://x"])
    other.wait()
    assert list(Path(cluster.root).rglob(other.name))
    other.purge()
    assert not list(Path(cluster.root).rglob(other.name))


# Results as inputs


@pytest.fixture
def two(cluster: LocalCluster) -> tuple[Any, Any]:
    """The results of two jobs with several partitions, as `wait` gives them."""
    first = Job(master=cluster, map=words, partitions=3).run(input=TEXT)
    second = Job(master=cluster, map=words, partitions=2).run(input=["raw://d-e"])
    return first.wait(), second.wait()


COUNTED = {**WORDS, "d": 1, "e": 1}


@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
@pytest.mark.parametrize("kind", ["map", "reduce", "both"])
@pytest.mark.parametrize("form", ["added", "flat", "nested"])
def test_results_of_several_jobs_are_inputs(cluster: LocalCluster, two: tuple[Any, Any], kind: str, form: str) -> None:
    first, second = two
    inputs = {
        "added": first + second,
        "flat": [url for replicas in (*first, *second) for url in replicas],
        "nested": [*([url] for url in first), *([url] for url in second)],
    }[form]
    parts: dict[str, Any] = {"map": nop_map, "map_reader": chain_reader} if kind != "reduce" else {}
    if kind != "map":
        parts["reduce"] = sum_reduce
    records = cluster.run(Job(**parts), input=inputs)
    total: Counter[str] = Counter()
    for word, count in records:
        total[word] += count
    assert total == COUNTED


@pytest.mark.parametrize("reader", [None, chain_reader])
def test_a_list_in_a_list_is_replicas(cluster: LocalCluster, reader: Any) -> None:
    only = Job(master=cluster, map=words, reduce=sum_reduce).run(input=TEXT).wait()
    assert len(only) == 1
    job = Job(map=nop_map, map_reader=reader) if reader else Job(reduce=nop_reduce)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(cluster, job, input=[only]) == WORDS
        assert found(cluster, job, input=[only + only]) == WORDS, "the same data twice is read once"
        gone = "dir://node1/disco/node1/00/gone@1:2:3/.disco/x.results"
        assert found(cluster, job, input=[[gone, *only]] if reader else [[*only, gone]]) == WORDS


def test_results_of_different_jobs_in_one_list_are_warned_about(cluster: LocalCluster) -> None:
    first = Job(master=cluster, map=words, reduce=sum_reduce).run(input=TEXT).wait()
    second = Job(master=cluster, map=words, reduce=sum_reduce).run(input=["raw://d-e"]).wait()
    for job in (Job(map=nop_map, map_reader=chain_reader), Job(reduce=nop_reduce)):
        with pytest.warns(PortabilityWarning, match="index-replicas.*1 of its 2 results"):
            assert found(cluster, job, input=[first + second]) == WORDS
        with pytest.raises(PortabilityWarning, match="index-replicas"):
            cluster.run(job, input=[first + second], strict=True)


def double(iter: Any, params: Any) -> Iterator[tuple[str, int]]:
    for key, value in iter:
        yield key, value * 2


@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
def test_a_chain_of_six_jobs_with_steps_that_only_reduce(cluster: LocalCluster) -> None:
    urls = Job("Step1", map=words, master=cluster, partitions=4).run(input=TEXT).wait()
    urls = Job("Step2", reduce=sum_reduce, master=cluster).run(input=urls).wait()
    urls = Job("Step3", reduce=double, master=cluster).run(input=urls).wait()
    urls = Job("Step4", map=nop_map, map_reader=chain_reader, partitions=2, master=cluster).run(input=urls).wait()
    urls = Job("Step5", reduce=double, master=cluster).run(input=urls).wait()
    urls = Job("Step6", reduce=nop_reduce, master=cluster).run(input=urls).wait()
    assert dict(result_iterator(urls)) == {word: 4 * count for word, count in WORDS.items()}


class Iteration(Job):
    """One step of an iteration: halves what is more than one."""

    map_reader = staticmethod(chain_reader)
    reduce = staticmethod(nop_reduce)

    @staticmethod
    def map(entry: tuple[str, float], params: Any) -> Iterator[tuple[str, float]]:
        key, value = entry
        yield key, max(1.0, value / params["by"])


@pytest.mark.own_events  # how many results a map has depends on the nodes that its tasks ran on
def test_an_iteration_that_purges_what_it_has_read(cluster: LocalCluster) -> None:
    job = Job("Start", map=lambda entry, params: [(entry, float(entry))], master=cluster)
    job.run(input=["raw://3", "raw://16"])
    rounds = 0
    while True:
        records = dict(result_iterator(job.wait()))
        if max(records.values()) <= 1:
            break
        following = Iteration(master=cluster).run(input=job.wait(), params={"by": 2})
        following.wait()
        place = Path(cluster.root).rglob(job.name)
        job.purge()
        assert not list(place), "purged"
        job = following
        rounds += 1
    assert rounds == 4 and set(records) == {"3", "16"}
    job.purge()


# Streams and schemes


class Upper:
    """A stream that only iterates."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[str]:
        return (line.upper() for line in self.stream)


def triple(stream: Any, size: Any, url: str, params: Any) -> tuple[Any, int, str]:
    return [f"{params}{line}" for line in stream], 77, f"{url}#triple"


def pair(stream: Any, size: Any, url: str) -> tuple[Any, str]:
    assert size == 77 and url.endswith("#triple")
    return stream, f"{url}#pair"


def single(stream: Any, size: Any, url: str, params: Any) -> Upper:
    assert size == 77 and url.endswith("#pair")
    return Upper(stream)


def generated(stream: Any, size: Any, url: str) -> Iterator[tuple[str, str]]:
    for line in stream:
        yield line, url.partition("#")[2]


class Pairs:
    """An output stream with a separator of its own."""

    def __init__(self, stream: Any, mark: str) -> None:
        self.stream, self.mark = stream, mark

    def add(self, key: Any, value: Any) -> None:
        self.stream.write(f"{key}{self.mark}{value}\n".encode())


def marked(stream: Any, partition: Any, url: str, params: Any) -> tuple[Any, None, str]:
    assert partition is None
    return Pairs(stream, "="), None, url


def counted(stream: Any, partition: Any, url: str) -> tuple[Any, str]:
    stream.mark += "#"
    return stream, url


def test_streams_of_three_and_four_arguments_return_a_triple_a_pair_or_one_object(cluster: LocalCluster) -> None:
    job = Job(
        map=nop_map,
        map_input_stream=[task_input_stream, triple, pair, single],
        map_reader=generated,
        map_output_stream=(task_output_stream, marked, counted),
        params="p-",
        partitions=None,
    )
    urls = cluster.run(job, input=["raw://text"]).urls
    lines = list(result_iterator(urls, reader=None))
    assert [line.decode() if isinstance(line, bytes) else line for line in lines] == ["P-TEXT=#triple#pair\n"]


def test_a_chain_of_streams_before_a_reduce(cluster: LocalCluster) -> None:
    def only_short(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
        return (record for record in chain_reader(stream, size, url) if len(record[0]) <= params["length"])

    def doubled(stream: Any, size: Any, url: str) -> tuple[Any, str]:
        return [(key, 2 * value) for key, value in stream], url

    job = Job(map=words, reduce=sum_reduce, params={"length": 1})
    job.reduce_input_stream = [task_input_stream, only_short, doubled]
    job.reduce_reader = None
    assert found(cluster, job, input=["raw://a-bb-a"]) == {"a": 4}


def test_a_scheme_of_the_user_with_a_chain_behind_it(cluster: LocalCluster) -> None:
    module = (
        "import io\n"
        "def input_stream(stream, size, url, params):\n"
        "    text = url.partition('://')[2]\n"
        "    return io.StringIO(text * params['times']), None, url + '#seen'\n"
    )
    job = Job(map=nop_map, map_reader=generated, params={"times": 3})
    for place in ("discolocal", "disco"):
        files = {f"{place}/schemes/scheme_repeat.py": module}
        assert found(cluster, job, input=["repeat://ab"], required_files=files) == {"ababab": "seen"}


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
