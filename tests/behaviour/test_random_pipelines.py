"""Random pipelines of one to six stages, with every grouping, against an evaluation in memory (reference 3)."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discolocal import Job, LocalCluster
from discolocal.wire.names import preferred_host
from discolocal.worker.pipeline.worker import Stage, Worker
from tests.behaviour import steps
from tests.behaviour.pipelines import Case, Played, cases, evaluate
from tests.behaviour.steps import Task, digest

COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def somewhere(level: int, task: Task) -> str:
    """The node that a played task leaves its outputs on: any, but always the same for a task."""
    return f"node{digest(level, task) % 3 + 1}"


@settings(COMMON, max_examples=2000)
@given(
    cases,
    st.integers(0, 2**32),
    st.sampled_from([2, 3, 1]),
    st.sampled_from([2, 3, 1]),
    st.sampled_from([100, 100, 2, 1]),
    st.sampled_from([0.0, 0.2]),
)
def test_every_pipeline_equals_its_evaluation_in_memory(
    case: Case, seed: int, nodes: int, slots: int, max_cores: int, trouble: float
) -> None:
    played = Played(case, random.Random(seed), nodes, slots, max_cores, trouble, somewhere)
    played.play()
    stages, results = evaluate(case, somewhere)
    assert [sorted(tasks, key=repr) for tasks in played.stages] == [sorted(tasks, key=repr) for tasks in stages]
    assert played.results == results
    rows = [(f"stage{n}", 0, 0, 0, len(tasks)) for n, tasks in enumerate(stages)]
    assert [row[:5] for row in played.state.counts()] == rows


# With nodes and the pipeline worker


@pytest.fixture(scope="module")
def clusters(start: str) -> Iterator[list[LocalCluster]]:
    """Clusters with few slots and with many."""
    opened = [LocalCluster(nodes=2, workers_per_node=slots, start=start, seed=5) for slots in (1, 3)]
    yield opened
    for cluster in opened:
        cluster.close()


def reported(cluster: LocalCluster, jobname: str) -> dict[tuple[int, Task], str]:
    """The nodes that the tasks of a job ran on, as they say themselves."""
    found = [re.search(r"did (\d) (\(.*\)) on (\w+)", text) for _, (_, _, text) in cluster.events(jobname)]
    return {(int(said[1]), ast.literal_eval(said[2])): said[3] for said in found if said}


def check_on(cluster: LocalCluster, case: Case) -> None:
    """Run a case and compare its tasks and its result with the evaluation in memory."""
    # A record occurs once, so that no two tasks are alike; the host of a text is the text.
    known = [(label, f"raw://{n}." + ".".join(map(str, some))) for n, (label, _, some) in enumerate(case.inputs)]
    numbers = [[int(number) for number in re.findall(r"\d+", url)] for _, url in known]
    case = Case(case.steps, [(label, preferred_host(url), some) for (label, url), some in zip(known, numbers)])
    pipeline = [
        (step.grouping, Stage(f"stage{n}", steps.begin, steps.gather, steps.finish), step.concurrent and n > 0)
        for n, step in enumerate(case.steps)
    ]
    params = {f"stage{n}": (n, step.labels) for n, step in enumerate(case.steps)}
    job = Job("Random", worker=Worker(pipeline=pipeline, params=params))
    results = cluster.run(job, input=[(label, [url]) for label, url in known])
    places = reported(cluster, results.job.name)

    stages, pieces = evaluate(case, lambda level, task: places[level, task])
    assert sorted((level, task) for level, tasks in enumerate(stages) for task in tasks) == sorted(places)
    assert sorted(results) == sorted((record, label) for label, records in pieces for record in records)
    rows = [(f"stage{n}", 0, 0, 0, len(tasks)) for n, tasks in enumerate(stages)]
    assert [tuple(row[:5]) for row in cluster.jobinfo(results.job.name)["pipeline"]] == rows
    results.job.purge()


@pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
def test_pipelines_on_clusters_equal_their_evaluation_in_memory(clusters: list[LocalCluster], start: str) -> None:
    @settings(COMMON, max_examples={"inline": 60, "fork": 25, "exec": 4}[start])
    @given(cases, st.sampled_from([0, 1]))
    def each(case: Case, which: int) -> None:
        check_on(clusters[which], Case([step._replace(far=0) for step in case.steps], case.inputs))

    each()
