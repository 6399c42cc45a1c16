"""User functions that fail: what the error tells, and what is tried again (reference 2.10, 4.1, 4.2)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, DataError, DiscoError, Job, JobError, LocalCluster
from discolocal.error import RemoteTraceback
from discolocal.worker.classic.func import chain_reader, nop_reduce, sum_combiner, sum_reduce, task_input_stream
from tests.behaviour import oracle

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
Write = Callable[[str, Any], str]


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def failure(cluster: LocalCluster, job: Job, inputs: list[Any], **jobargs: Any) -> JobError:
    """Run a job that must fail. The next job on the cluster must work."""
    with pytest.raises(JobError) as caught:
        cluster.run(job, input=inputs, **jobargs)
    error = caught.value
    assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://a b a"])) == {"a": 2, "b": 1}
    return error


def traceback(error: JobError) -> str:
    assert isinstance(error.__cause__, RemoteTraceback)
    return str(error.__cause__)


def check(error: JobError, stage: str, *parts: str) -> None:
    """The error names job, stage, task, host and seed, and all of `parts`."""
    text = str(error)
    assert re.match(r"Job \w+@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+ failed: task \w+:\d+ of stage \w+ failed", text)
    assert f"of stage {stage} " in text and f"task {stage}:" in text
    assert re.search(r"on node[12]: ", text)
    assert "seed" in text and re.search(r"seed=\d+", text)
    for part in parts:
        assert part in text, (part, text)


# What fails, and what the error says


def bad_map(line, params):
    for word in line.split():
        if word == "bad":
            raise ValueError("cannot be good")
        yield word, 1


def test_map(cluster: LocalCluster, write: Write) -> None:
    path = write("input.txt", "fine\nfine too\nso bad a line\nnever seen\n")
    error = failure(cluster, Job("Failing", map=bad_map), [path])
    check(error, "map", "Job Failing@", path, "record 3", repr("so bad a line\n"), "ValueError: cannot be good")
    assert 'raise ValueError("cannot be good")' in traceback(error) and "in bad_map" in traceback(error)
    assert error.job.startswith("Failing@") and "times" not in str(error)
    assert f"seed={cluster.seed}" in str(error)


def test_a_map_that_returns_nothing(cluster: LocalCluster) -> None:
    error = failure(cluster, Job(map=lambda e, p: None), ["raw://x"])
    check(error, "map", "record 1", "raw://x", "TypeError")


@pytest.mark.parametrize("pair", ["'abc'", "(1, 2, 3)", "1", "None"])
def test_a_map_that_gives_something_else_than_pairs(cluster: LocalCluster, pair: str) -> None:
    value = eval(pair)
    error = failure(cluster, Job(map=lambda e, p: [value]), ["raw://x"])
    check(error, "map", "record 1", "raw://x")


def test_a_long_or_odd_entry_is_cut_to_a_line(cluster: LocalCluster, write: Write) -> None:
    class Odd:
        def __repr__(self):
            raise RuntimeError("no repr")

    def reader(fd, size, url):
        yield Odd()

    def map(entry, params):
        raise ValueError("line one\nline two " + "x" * 5000)

    error = failure(cluster, Job(map=map), [write("f", "y" * 10_000 + "\n" + "z" * 10)])
    headline = str(error).splitlines()[0]
    assert "'yyyy" in headline and len(headline) < 2000 and "line one line two" in headline
    error = failure(cluster, Job(map=map, map_reader=reader), ["raw://x"])
    check(error, "map", "Odd")


def test_the_record_is_counted_within_its_input(cluster: LocalCluster) -> None:
    def reduce(iter, params):
        for _key, value in iter:
            if value == "bad":
                raise KeyError("the reason")
            yield value, 1

    mapped = [
        cluster.run(Job(map=lambda e, p: [("k", w) for w in e.split()]), input=[f"raw://{text}"]).urls[0]
        for text in ("a b", "c bad")
    ]
    error = failure(cluster, Job(reduce=reduce), mapped)
    check(error, "reduce", "record 2", "KeyError: 'the reason'", mapped[1][0])


def test_reduce(cluster: LocalCluster) -> None:
    def reduce(iter, out, params):
        for number, (_key, _value) in enumerate(iter, 1):
            if number == 4:
                raise ZeroDivisionError("four")

    error = failure(cluster, Job(map=words, reduce=reduce), ["raw://a b c d e f"])
    check(error, "reduce", "partition 0", "record 4", "ZeroDivisionError: four", "dir://")
    assert "in reduce" in traceback(error)


def test_a_reduce_that_returns_nothing(cluster: LocalCluster) -> None:
    error = failure(cluster, Job(map=words, reduce=lambda iter, params: None), ["raw://a"])
    check(error, "reduce", "TypeError")


def test_combiner(cluster: LocalCluster) -> None:
    def combiner(key, value, buffer, done, params):
        if key == "c":
            raise IndexError("the third")

    error = failure(cluster, Job(map=words, combiner=combiner), ["raw://a b c"])
    check(error, "map", "combiner", "'c'", "record 1", "IndexError: the third")

    def at_the_end(key, value, buffer, done, params):
        if done:
            raise IndexError("at the end")

    error = failure(cluster, Job(map=words, combiner=at_the_end), ["raw://a b c"], partitions=3)
    check(error, "map", "combiner", "at the end", "partition", "IndexError")


def test_a_value_that_sum_combiner_cannot_add(cluster: LocalCluster) -> None:
    error = failure(cluster, Job(map=lambda e, p: [("k", 1), ("k", e)], combiner=sum_combiner), ["raw://text"])
    check(error, "map", "sum_combiner", "raw://text", "TypeError")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("'1'", "'1'"),
        ("1.0", "1.0"),
        ("None", "None"),
        ("True", "True"),
        ("-1", "-1"),
        ("3", "3"),
        ("10**30", str(10**30)),
        ("(0,)", "(0,)"),
    ],
)
@pytest.mark.parametrize("combiner", [None, sum_combiner])
def test_a_partition_that_is_no_int_in_range(cluster: LocalCluster, result: str, shown: str, combiner: Any) -> None:
    value = eval(result)
    job = Job(map=words, partition=lambda key, nr, params: value, reduce=nop_reduce, combiner=combiner)
    error = failure(cluster, job, ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "'the-key'", shown)


def test_a_partition_function_that_raises_or_has_other_parameters(cluster: LocalCluster) -> None:
    def partition(key, nr, params):
        raise LookupError("nowhere")

    error = failure(cluster, Job(map=words, partition=partition), ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "'the-key'", "LookupError: nowhere", "record 1")
    error = failure(cluster, Job(map=words, partition=lambda key: 0), ["raw://the-key"], partitions=3)
    check(error, "map", "partition", "TypeError")


def test_the_partition_function_is_not_asked_without_partitions(cluster: LocalCluster) -> None:
    job = Job(map=words, partition=lambda key, nr, params: 1 / 0, reduce=sum_reduce)
    assert dict(cluster.run(job, input=["raw://a"], partitions=None)) == {"a": 1}


def test_an_int_of_another_type_is_a_partition(cluster: LocalCluster) -> None:
    class Index:
        def __init__(self, n):
            self.n = n

        def __index__(self):
            return self.n

    def reduce(iter, params):
        yield this_partition(), len(list(iter))  # noqa: F821

    job = Job(map=words, partition=lambda key, nr, params: Index(2), reduce=reduce)
    assert list(cluster.run(job, input=["raw://a b"], partitions=3)) == [(2, 2)]


@pytest.mark.parametrize("name", ["map_init", "reduce_init"])
def test_initialisation(cluster: LocalCluster, name: str) -> None:
    def init(entries, params):
        raise AttributeError("not ready")

    error = failure(cluster, Job(**{"map": words, "reduce": sum_reduce, name: init}), ["raw://x"])
    check(error, name.partition("_")[0], name, "AttributeError: not ready")


def test_readers_and_streams(cluster: LocalCluster, write: Write) -> None:
    path = write("lines", "1\n2\nthree\n")

    def reader(fd, size, url, params):
        for line in fd:
            yield int(line)

    def stream(stream, size, url, params):
        raise TypeError("no stream today")

    error = failure(cluster, Job(map=lambda e, p: [(e, 1)], map_reader=reader), [path])
    check(error, "map", path, "record 2", "ValueError", "three")
    error = failure(cluster, Job(map=words, map_input_stream=(task_input_stream, stream)), [path])
    check(error, "map", "TypeError: no stream today")
    error = failure(cluster, Job(map=words, reduce=sum_reduce, reduce_reader=reader), [path])
    check(error, "reduce", "ValueError")
    error = failure(cluster, Job(map=words, map_output_stream=(stream,)), [path])
    check(error, "map", "no stream today")


def test_a_reader_that_meets_other_data_says_so(cluster: LocalCluster, write: Write) -> None:
    path = write("text", "plain text\n")
    with LocalCluster(nodes=2, start=cluster.start, max_failures=0) as once:
        error = failure(once, Job(map=lambda e, p: [e], map_reader=chain_reader), [path])
    check(error, "map", path, "DataError")


def test_a_record_that_cannot_be_pickled_is_named(cluster: LocalCluster) -> None:
    def map(entry, params):
        import threading

        yield "a key", threading.Lock()

    error = failure(cluster, Job(map=map), ["raw://x"])
    check(error, "map", "raw://x", "lock")
    assert "a key" in str(error) + traceback(error)


def test_records_whose_unpickling_fails(cluster: LocalCluster) -> None:
    class Trap:
        def __setstate__(self, state):
            raise OverflowError("cannot come back")

    def map(entry, params):
        trap = Trap()
        trap.state = 1
        yield entry, trap

    with LocalCluster(nodes=2, start=cluster.start, max_failures=1) as twice:
        error = failure(twice, Job(map=map, reduce=nop_reduce), ["raw://x"])
    check(error, "reduce", "cannot come back")


def test_an_exception_that_cannot_be_pickled_or_printed(cluster: LocalCluster) -> None:
    class Awkward(Exception):
        def __init__(self, one, two):
            super().__init__(one)

        def __str__(self):
            raise RuntimeError("no text")

        def __reduce__(self):
            raise RuntimeError("no pickle")

    def map(entry, params):
        raise Awkward(1, 2)

    error = failure(cluster, Job(map=map), ["raw://x"])
    check(error, "map", "Awkward")


def test_a_chain_of_exceptions_is_in_the_traceback(cluster: LocalCluster) -> None:
    def map(entry, params):
        try:
            {}["first"]
        except KeyError as error:
            raise RuntimeError("second") from error

    text = traceback(failure(cluster, Job(map=map), ["raw://x"]))
    assert "KeyError: 'first'" in text and "direct cause" in text and "RuntimeError: second" in text


def test_the_task_function_of_a_class_in_another_module_fails_with_its_source_line(cluster: LocalCluster) -> None:
    error = failure(cluster, Job(map=lambda e, p: [(oracle.label(None, 3), 1)]), ["raw://x"])
    assert "oracle.py" in traceback(error) and "hashlib.md5" in traceback(error)


def test_a_syntax_error_in_a_lazily_imported_module(cluster: LocalCluster, write: Write) -> None:
    broken = write("broken.py", "def (:\n")

    def map(entry, params):
        import broken  # noqa: F401

        yield entry, 1

    error = failure(cluster, Job(map=map), ["raw://x"], required_modules=[("os", broken)])
    check(error, "map", "SyntaxError")


def test_one_failure_ends_the_job_and_its_other_tasks(forked: LocalCluster) -> None:
    import time

    def map(entry, params):
        import time

        if entry == "bad":
            raise ValueError("bad")
        time.sleep(60)
        yield entry, 1

    start = time.monotonic()
    with pytest.raises(JobError, match="bad"):
        forked.run(Job(map=map), input=["raw://slow", "raw://bad", "raw://other"])
    assert time.monotonic() - start < 5
    assert forked.worker_pids() == []


# What is tried again


def failing_times(directory: str, times: int, error: Callable[[], BaseException]) -> Callable[..., Any]:
    """A map that raises in its first `times` attempts; attempts are counted by files."""

    def map(entry, params):
        import os

        number = len(os.listdir(directory))
        with open(os.path.join(directory, f"{entry}-{number}"), "x"):
            pass
        if number < times:
            raise error()
        yield entry, number

    return map


RETRIED: dict[str, Callable[[], BaseException]] = {
    "OSError": lambda: OSError(28, "No space left"),
    "FileNotFoundError": lambda: FileNotFoundError("not there"),
    "MemoryError": lambda: MemoryError("too much"),
    "DataError": lambda: DataError("damaged", "http://x/y"),
    "CommError": lambda: CommError("gone", "http://x/y", 404),
}


@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize(("times", "limit"), [(1, 1), (2, 3), (0, 0)])
def test_errors_that_may_pass_are_tried_again(start: str, tmp_path: Path, kind: str, times: int, limit: int) -> None:
    map = failing_times(str(tmp_path), times, RETRIED[kind])
    with LocalCluster(nodes=2, start=start, max_failures=limit) as cluster:
        results = cluster.run(Job(map=map), input=["raw://x"])
        assert list(results) == [("x", times)]
        hosts = [text.split()[-1] for _, (_, _, text) in results.job.events() if text.startswith("map:0 assigned to")]
        assert len(hosts) == times + 1
        assert hosts[:1] != hosts[1:2], "the second attempt is on another node"
        failed = [text for _, (_, _, text) in results.job.events() if "failures so far" in text]
        assert failed == [
            f'Task map:0 failed on "{host}", {number}th failures so far. Sleeping 0 seconds before retrying.'
            for number, host in enumerate(hosts[:-1], 1)
        ]
        assert results.job.jobinfo()["pipeline"][0] == ["map", 0, 0, 0, 1, times]


@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize("limit", [0, 2])
def test_errors_that_do_not_pass_end_the_job(start: str, tmp_path: Path, kind: str, limit: int) -> None:
    map = failing_times(str(tmp_path), 99, RETRIED[kind])
    with LocalCluster(nodes=2, start=start, max_failures=limit) as cluster:
        job = cluster.submit(Job(map=map), input=["raw://x"])
        with pytest.raises(JobError) as caught:
            job.wait()
        check(caught.value, "map", kind, "raw://x")
        if limit:
            assert f"failed {limit + 1} times" in str(caught.value)
        assert kind in traceback(caught.value)
        events = [text for _, (_, _, text) in job.events()]
        limit_text = f"Task map:0 failed {limit + 1} times. At most {limit} failures are allowed."
        assert f"ERROR: [map:0] {limit_text}" in events
        assert job.jobinfo()["pipeline"][0] == ["map", 0, 1, 0, 0, limit + 1]
        assert job.jobinfo()["active"] == "dead"
    assert len(os.listdir(tmp_path)) == limit + 1


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, AssertionError, DiscoError, EOFError])
def test_other_errors_are_not_tried_again(start: str, tmp_path: Path, kind: type[Exception]) -> None:
    map = failing_times(str(tmp_path), 99, lambda: kind("once"))
    with LocalCluster(nodes=2, start=start) as cluster, pytest.raises(JobError, match="once"):
        cluster.run(Job(map=map), input=["raw://x"])
    assert len(os.listdir(tmp_path)) == 1


def test_a_task_that_is_tried_again_delivers_its_records_once(start: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def map(entry, params):
        import os

        for word in entry.split():
            yield word, 1
        if entry.startswith("a") and not os.path.exists(flag):
            with open(flag, "x"):
                pass
            raise OSError("after all pairs were given")

    with LocalCluster(nodes=2, start=start) as cluster:
        results = cluster.run(Job(map=map, reduce=sum_reduce), input=["raw://a b", "raw://b c"], partitions=3)
        assert dict(results) == {"a": 1, "b": 2, "c": 1}


def test_a_reduce_that_is_tried_again_delivers_its_records_once(start: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def reduce(iter, out, params):
        import os

        for key, value in iter:
            out.add(key, value)
        if not os.path.exists(flag):
            with open(flag, "x"):
                pass
            raise OSError("after all pairs were given")

    for sort in (False, True):
        flag.unlink(missing_ok=True)
        with LocalCluster(nodes=2, start=start) as cluster:
            job = Job(map=words, reduce=reduce, reduce_shuffle=True, sort=sort)
            results = cluster.run(job, input=["raw://a b", "raw://b c"], partitions=3)
            assert sorted(results) == [("a", 1), ("b", 1), ("b", 1), ("c", 1)]


# The job as seen from outside


def test_a_failed_job_is_dead_and_can_be_asked_about(cluster: LocalCluster) -> None:
    job = cluster.submit(Job(map=bad_map), input=["raw://bad"])
    for _ in range(2):
        with pytest.raises(JobError, match="cannot be good"):
            job.wait()
    assert job.results() == ("dead", [])
    assert job.jobinfo()["active"] == "dead"
    texts = [text for _, (_, _, text) in job.events()]
    assert texts[-1] == "WARN: Job killed"
    assert any(text.startswith("FATAL: [map:0] ") and "cannot be good" in text for text in texts)


def test_an_error_of_a_job_can_be_raised_twice_and_pickled(cluster: LocalCluster) -> None:
    import pickle

    error = failure(cluster, Job(map=bad_map), ["raw://bad"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_unknown_jobs(cluster: LocalCluster) -> None:
    assert cluster.results("Nobody@1:2:3") == ("unknown job", [])
    for method in (cluster.wait, cluster.jobinfo, cluster.jobpack, cluster.stageresults, cluster.events):
        with pytest.raises(JobError, match="Nobody@1:2:3.*unknown job"):
            method("Nobody@1:2:3")
    for harmless in (cluster.kill, cluster.purge, cluster.clean):  # reference 4.5
        harmless("Nobody@1:2:3")


def test_a_job_without_a_master_says_what_to_do() -> None:
    with pytest.raises(JobError, match="LocalCluster"):
        Job(map=words).run(input=["raw://x"])
    with pytest.raises(DiscoError, match="LocalCluster"):
        Job(map=words, master="local://somewhere").run(input=["raw://x"])


@pytest.mark.parametrize(
    "argument",
    [
        {"nodes": 0},
        {"nodes": 1.5},
        {"nodes": True},
        {"workers_per_node": 0},
        {"max_failures": -1},
        {"start": "spawn"},
        {"start": "Exec"},
        {"timeouts": 0},
        {"timeouts": True},
        {"timeouts": "1"},
        {"timeouts": float("nan")},
        {"python": "no-such-python"},
    ],
    ids=str,
)
def test_parameters_of_a_cluster_out_of_range(argument: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(argument))):
        LocalCluster(**argument)


SEVEN = 7


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("equal", "AssertionError: assert 5 == 7"),
        ("call", "AssertionError: assert 5 == 6\n  where 5 = len('hello')"),
        ("chain", "AssertionError: assert 5 < 3"),
        ("both", "AssertionError: assert (5 > 9 or 5 == 7)"),
        ("message", "AssertionError: told so\n  assert 5 > 9"),
        ("name", "AssertionError: assert not <function"),
    ],
)
def test_asserts_of_test_modules_say_what_was_not_so(cluster: LocalCluster, claim: str, text: str) -> None:
    def map(line, claim):
        size = len(line)
        if claim == "equal":
            assert size == SEVEN
        elif claim == "call":
            assert len(line) == 6
        elif claim == "chain":
            assert 1 < size < 3
        elif claim == "both":
            assert size > 9 or size == SEVEN
        elif claim == "message":
            assert size > 9, "told so"
        elif claim == "name":
            assert not map
        yield line, size

    with pytest.raises(JobError) as caught:
        cluster.run(Job("Asserts", map=map, params=claim), input=["raw://hello"])
    found = str(caught.value.__cause__)
    assert text.partition("\n")[0] in found
    for line in text.splitlines():
        assert line.strip() in found


def test_a_task_may_change_its_directory(cluster: LocalCluster, tmp_path: Path) -> None:
    def map(entry, where):
        import os

        os.chdir(where)
        yield entry, 1

    def reduce(entries, where):
        import os

        os.chdir(where)
        yield from entries

    job = Job("Moves", map=map, reduce=reduce, sort=True, params=str(tmp_path))
    assert list(cluster.run(job, input=["raw://a"])) == [("a", 1)]
    assert list(tmp_path.iterdir()) == []
