"""User functions that fail: what the error tells (reference 2.10, 4.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour import oracle
from tests.behaviour.classic import Write, words
from tests.behaviour.failing import bad_map, check, failure, traceback

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


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


@pytest.mark.sampled
@pytest.mark.parametrize("pair", ["'abc'", "(1, 2, 3)", "1", "None"])
def test_a_map_that_gives_something_else_than_pairs(cluster: LocalCluster, pair: str) -> None:
    value = eval(pair)
    error = failure(cluster, Job(map=lambda e, p: [value]), ["raw://x"])
    check(error, "map", "record 1", "raw://x")


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


@pytest.mark.parametrize("name", ["map_init", "reduce_init"])
def test_initialisation(cluster: LocalCluster, name: str) -> None:
    def init(entries, params):
        raise AttributeError("not ready")

    error = failure(cluster, Job(**{"map": words, "reduce": sum_reduce, name: init}), ["raw://x"])
    check(error, name.partition("_")[0], name, "AttributeError: not ready")


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
