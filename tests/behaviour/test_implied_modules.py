"""Modules and globals that job functions use (reference 8.3, 8.11)."""

from __future__ import annotations

import datetime
import functools
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, PortabilityWarning
from tests.behaviour.wordcounts import found, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


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
