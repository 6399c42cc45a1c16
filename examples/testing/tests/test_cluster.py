"""Whole jobs on a local cluster, as files and processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import LocalCluster, Params
from discolocal.testing import Faults, assert_same_records, reference_run
from pageviews import BusiestUsers, PageViews

LOG = "/news/1 ada 10\n/about grace 40\nnonsense\n/news/1 grace 30\n"
VIEWS = {"/news/1": (2, 20.0), "/about": (1, 40.0)}
USERS = [("grace", 2), ("ada", 1)]


def test_entries_as_inputs(run_job: Callable[..., list[Any]]) -> None:
    inputs = [LOG.splitlines()[:2], LOG.splitlines()[2:]]
    assert_same_records(run_job(PageViews, inputs), reference_run(PageViews, inputs))
    assert run_job(BusiestUsers, inputs) == USERS


def test_texts_and_files_as_inputs(run_job: Callable[..., list[Any]], tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(LOG)
    assert_same_records(run_job(PageViews, [log]), VIEWS)
    assert_same_records(run_job(PageViews, [log, LOG], params=Params(fewest=4)), {"/news/1": (4, 20.0)})


def test_results_can_be_inputs_of_another_job(disco_cluster: LocalCluster, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(LOG)
    views = disco_cluster.run(PageViews, input=[str(log)])
    assert len(disco_cluster.nodes) == 3, "as pyproject.toml says"
    assert [stage.name for stage in views.stages] == ["map", "map_shuffle", "reduce"]


@pytest.mark.disco(start="exec", nodes=2, strict=True)
def test_the_job_is_portable(run_job: Callable[..., list[Any]]) -> None:
    assert_same_records(run_job(PageViews, [LOG]), VIEWS)


@pytest.mark.disco(faults=Faults(7))
def test_workers_may_die(run_job: Callable[..., list[Any]]) -> None:
    assert_same_records(run_job(PageViews, [LOG, LOG]), {"/news/1": (4, 20.0), "/about": (2, 40.0)})


def test_inline_jobs_see_what_is_patched(disco_inline: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pageviews.parse", lambda line: (line.upper(), "ada", 5))
    assert_same_records(disco_inline.run(PageViews, input=["raw://page"]), {"PAGE": (1, 5.0)})
    monkeypatch.undo()
    assert_same_records(disco_inline.run(PageViews, input=["raw://page"]), [])


@pytest.mark.parametrize("nodes", [1, 4])
def test_any_number_of_nodes(disco_cluster_factory: Callable[..., LocalCluster], nodes: int, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(LOG)
    cluster = disco_cluster_factory(nodes=nodes, start="inline")
    assert list(cluster.run(BusiestUsers, input=[[str(log)], [str(log)]])) == [("grace", 4), ("ada", 2)]
