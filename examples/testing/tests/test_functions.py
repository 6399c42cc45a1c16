"""Functions of the jobs on plain lists: no file, no process."""

from __future__ import annotations

import pytest

from discolocal.testing import (
    assert_same_records,
    reference_run,
    run_combiner,
    run_job,
    run_map,
    run_partition,
    run_reduce,
)
from pageviews import BusiestUsers, PageViews, parse

INPUTS = [["/news/1 ada 10\n", "/about grace 40\n", "nonsense\n"], ["/news/1 grace 30\n"], []]
VIEWS = [("/news/1", (2, 20.0)), ("/about", (1, 40.0))]


@pytest.mark.parametrize("line", ["", "/page", "/page ada", "/page ada x", "/page ada -1", "/page ada 1 2"])
def test_lines_of_something_else_are_none(line: str) -> None:
    assert parse(line) is None


def test_map_counts_one_view() -> None:
    assert run_map(PageViews, INPUTS[0]) == [("/news/1", (1, 10)), ("/about", (1, 40))]


def test_combiner_adds_up() -> None:
    pairs = [("/a", (1, 10)), ("/b", (1, 5)), ("/a", (2, 30))]
    assert_same_records(run_combiner(PageViews, pairs), {"/a": (3, 40), "/b": (1, 5)})


def test_sections_stay_together() -> None:
    first, second, other = run_partition(PageViews, ["/news/1", "/news/2", "/about"], 100)
    assert first == second != other


def test_reduce_gives_averages() -> None:
    pairs = [("/b", (1, 5)), ("/a", (1, 10)), ("/a", (3, 50))]
    assert run_reduce(PageViews, pairs) == [("/a", (4, 15.0)), ("/b", (1, 5.0))]


def test_rare_pages_can_be_left_out() -> None:
    params = PageViews.params.__class__(fewest=2)
    assert run_reduce(PageViews, [("/b", (1, 5)), ("/a", (2, 10))], params=params) == [("/a", (2, 5.0))]


def test_the_whole_job() -> None:
    assert_same_records(run_job(PageViews, INPUTS), VIEWS)
    assert_same_records(reference_run(PageViews, INPUTS), VIEWS)


def test_the_pipeline() -> None:
    assert run_job(BusiestUsers, INPUTS) == [("grace", 2), ("ada", 1)]
