"""What a cluster expects of every job: any split, order, repetition, number of nodes and partitions gives the same."""

from __future__ import annotations

from hypothesis import strategies as st

from discolocal.testing import (
    check_combiner,
    check_job,
    check_map,
    check_partitioner,
    check_portable,
    check_reduce,
)
from pageviews import BusiestUsers, PageViews

PAGES = st.sampled_from(["/", "/news/1", "/news/2", "/about", "/\u00fcber/uns"])
LINES = st.builds("{} {} {}\n".format, PAGES, st.sampled_from(["ada", "grace"]), st.integers(0, 100))
PAIRS = st.tuples(PAGES, st.tuples(st.integers(1, 5), st.integers(0, 100)))
INPUTS = [["/news/1 ada 10\n", "/about grace 40\n", "nonsense\n"], ["/news/1 grace 30\n", "/ ada 0\n"], []]


def test_map_has_no_state() -> None:
    check_map(PageViews, entries=LINES)


def test_pages_find_their_partition() -> None:
    check_partitioner(PageViews, keys=PAGES)


def test_the_combiner_changes_no_result() -> None:
    check_combiner(PageViews, pairs=PAIRS)


def test_reduce_does_not_depend_on_order() -> None:
    check_reduce(PageViews, pairs=PAIRS)


def test_the_jobs_survive_hostile_schedules() -> None:
    check_job(PageViews, INPUTS)
    check_job(BusiestUsers, INPUTS)


def test_the_jobs_are_portable() -> None:
    check_portable(PageViews)
    check_portable(BusiestUsers)
