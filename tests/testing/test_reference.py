"""The reference: small, and what it says of jobs is what anybody would work out by hand."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import discolocal.testing.reference
import discolocal.testing.reference_pipelines
from discolocal import Job, Params
from discolocal.testing import reference_run
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from tests.testing import jobs

INPUTS = [["a b a\n", "bcd a\n"], [], ["b\n"]]


def lines_of_code(path: Path) -> int:
    """The lines of a module without imports, docstrings, comments and blank lines."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if words or isinstance(node, (ast.Import, ast.ImportFrom)):
            assert isinstance(node, ast.stmt)
            left_out.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and number not in left_out for number, line in lines)


@pytest.mark.parametrize("module", [discolocal.testing.reference, discolocal.testing.reference_pipelines])
def test_the_evaluation_is_under_sixty_lines_and_knows_no_driver(module: Any) -> None:
    path = Path(module.__file__)
    assert 30 < lines_of_code(path) < 60
    imported = {
        name.split(".")[-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
    }
    assert not imported & {"drivers", "pipelines", "mapping", "reducing", "running", "grouping"}


def test_word_count() -> None:
    found = reference_run(jobs.WordCount, INPUTS)
    assert sorted(found) == [("a", 3), ("b", 2), ("bcd", 1)]
    assert Counter(reference_run(jobs.MapOnly, INPUTS)) == {("a", 1): 3, ("b", 1): 2, ("bcd", 1): 1}


def test_it_uses_no_combiner() -> None:
    def broken(*arguments: Any) -> Any:
        raise AssertionError("called")

    assert len(reference_run(jobs.WordCount, INPUTS, combiner=broken)) == 3


def test_a_reduce_without_records_runs_in_a_job_without_map_alone() -> None:
    assert reference_run(jobs.OneReduce, [["a"]]) == [("total", 1)]
    assert reference_run(jobs.OneReduce, [[""]]) == reference_run(jobs.OneReduce, []) == []
    assert reference_run(jobs.TotalOnly, [[]]) == reference_run(jobs.TotalOnly, []) == [("total", 0)]


def test_every_partition_has_its_reduce() -> None:
    def parted(key: str, nr_partitions: int, params: Any) -> int:
        return params.labels[key]

    found = reference_run(
        jobs.OneReduce, INPUTS, partitions=3, partition=parted, params=Params(labels={"a": 2, "b": 0, "bcd": 2})
    )
    assert sorted(found) == [("total", 2), ("total", 4)]


def test_init_functions_take_entries_and_set_params() -> None:
    found = reference_run(jobs.WithParams, [["header", "x"], ["y", "z", "w"]])
    assert sorted(found) == [("> w", "w" * 3), ("> x", "x" * 3), ("> z", "z" * 3)]


def test_sort_orders_by_key_and_value() -> None:
    class AsItCame(Job):
        sort = True

        @staticmethod
        def reduce(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
            yield "order", list(iter)

    pairs = [(b"b", 1), ("a", 2), (b"a", 9), (b"a", 10), (b"", 0)]
    assert reference_run(AsItCame, [pairs]) == [
        ("order", [(b"", 0), (b"a", 10), (b"a", 9), ("a", 2), (b"b", 1)]),
    ]


def test_pipelines_by_hand() -> None:
    assert sorted(reference_run(jobs.Piped, INPUTS)) == [("a", 3), ("b", 2), ("bcd", 1)]
    assert sorted(reference_run(jobs.NodePiped, INPUTS)) == [("A", 3), ("B", 2), ("BCD", 1)]
    assert reference_run(jobs.Informed, INPUTS) == [("informed", 0)] * 3


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("split", [[(0, 1)], [(0, 1)], [(1, 1)], [(1, 1)]]),
        ("group_label", [[(0, 2)], [(1, 2)]]),
        ("group_node_label", [[(0, 2)], [(1, 2)]]),
        ("group_node", [[(0, 2), (1, 2)]]),
        ("group_all", [[(0, 2), (1, 2)]]),
    ],
)
def test_groupings_on_a_single_node(grouping: str, expected: list[Any]) -> None:
    """Two tasks with two labels each: the labels and the number of inputs that the tasks after them have."""

    def both(interface: Any, state: Any, label: int, inp: Any) -> None:
        for entry in inp:
            interface.output(0).add(entry, 0)
            interface.output(1).add(entry, 1)

    def start(interface: Any, params: Any) -> Counter[int]:
        return Counter()

    def count(interface: Any, state: Counter[int], label: int, inp: Any) -> None:
        state[label] += 1

    def done(interface: Any, state: Counter[int]) -> None:
        interface.output(0).add("labels", sorted(state.items()))

    class Grouped(Job):
        Worker = PipelineWorker
        pipeline = [("split", Stage("both", process=both)), (grouping, Stage("it", start, count, done))]

    assert sorted(value for _, value in reference_run(Grouped, [["x"], ["y"]])) == expected


def test_exceptions_pass_with_the_entry() -> None:
    def broken(entry: str, params: Any) -> Any:
        return [(1 / len(entry), 1)]

    with pytest.raises(ZeroDivisionError):
        reference_run(Job(map=broken), [["a"], [""]])
