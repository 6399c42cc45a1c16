"""Jobs with concurrent stages: tasks begin as those before them end, whatever else happens (reference 2.6, 3.2).

Worker processes but for the last test: in the caller's thread one task runs at a time. Tasks wait for files of each
other: where nothing runs at the same time, a test ends with a failure.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, PortabilityWarning, result_iterator
from discolocal.report import check
from discolocal.report.fidelity import check_pack
from discolocal.wire.portability import WARNING
from discolocal.worker.pipeline.worker import Stage, Worker


def wait_for(path: str) -> None:
    """Wait for a file, for a time after which it never comes."""
    end = time.monotonic() + 20
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise AssertionError(f"{path} does not appear")
        time.sleep(0.005)


def copy(interface: Any, state: Any, label: int, inp: Any) -> None:
    """The first stage: a record for each line, but not before the file that it names is there."""
    for line in inp:
        name, _, path = line.partition("@")
        if path:
            wait_for(path)
        interface.output(0).add(name, 1)


def touch(interface: Any, params: Any) -> list[Any]:
    """The second stage begins: now there is the file that some of the first wait for."""
    with open(params, "w"):
        pass
    return []


def collect(interface: Any, state: list[Any], label: int, inp: Any) -> None:
    state.extend(inp)


def write(interface: Any, state: list[Any]) -> None:
    interface.output(0).add(interface.taskinfo.stage, sorted(state))


def early(
    path: Path, *more: Any, grouping: str = "group_label", waiting: int = 3, **hooks: Any
) -> tuple[Job, list[Any]]:
    """A job whose first task is done at once and whose others wait for the second stage to begin, and its inputs."""
    stage = Stage("second", **{"init": touch, "process": collect, "done": write, **hooks})
    pipeline = [("split", Stage("first", process=copy)), (grouping, stage, True), *more]
    file = path / "begun"
    texts = ["a", *(f"b{number}@{file}" for number in range(waiting))]
    for number, text in enumerate(texts):
        (path / str(number)).write_text(text)
    # A master turns the inputs round: the first one of the job is the last one here.
    inputs = [[str(path / str(number))] for number in reversed(range(len(texts)))]
    return Job("Early", worker=Worker(pipeline=pipeline, params=str(file))), inputs


NAMES = [("a", 1), ("b0", 1), ("b1", 1), ("b2", 1)]


@pytest.fixture(params=["fork", "exec"], scope="module")
def parallel(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """Two nodes with one slot each, as they are by default: the second stage holds one while the first goes on."""
    with LocalCluster(nodes=2, start=request.param, seed=3) as cluster:
        yield cluster


@pytest.fixture(params=["fork", "exec"], scope="module")
def roomy(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """Two nodes with slots enough for tasks that start again on the other one."""
    with LocalCluster(nodes=2, workers_per_node=4, start=request.param, seed=3) as cluster:
        yield cluster


@pytest.mark.parametrize("grouping", ["group_label", "group_node", "group_all"])
def test_a_task_starts_before_those_that_feed_it_are_done(
    parallel: LocalCluster, tmp_path: Path, grouping: str
) -> None:
    job, inputs = early(tmp_path, grouping=grouping)
    results = parallel.run(job, input=inputs)
    assert sorted(pair for _, pairs in results for pair in pairs) == NAMES
    texts = [text for _, (_, _, text) in parallel.events(results.job.name)]
    begun = next(n for n, text in enumerate(texts) if text.startswith("second:"))
    assert begun < next(n for n, text in enumerate(texts) if text.startswith("Stage first finished"))
    assert not [text for text in texts if "Stage second scheduled" in text]


def test_inputs_of_a_split_are_worked_on_at_once(parallel: LocalCluster, tmp_path: Path) -> None:
    job, inputs = early(tmp_path, ("group_all", Stage("third", list_state, collect, write)), grouping="split")
    ((stage, groups),) = parallel.run(job, input=inputs)
    assert stage == "third" and sorted(pair for _, pairs in groups for pair in pairs) == NAMES


def list_state(interface: Any, params: Any) -> list[Any]:
    return []


def dies_once(interface: Any, params: Any) -> list[Any]:
    """The second stage begins, and ends, for the first time; the second time the others go on."""
    if not os.path.exists(params + "-died"):
        touch(interface, params + "-died")
        os.kill(os.getpid(), signal.SIGKILL)
    return touch(interface, params)


def test_a_worker_that_dies_while_it_waits_is_started_again_with_all_inputs(
    roomy: LocalCluster, tmp_path: Path
) -> None:
    job, inputs = early(tmp_path, init=dies_once)
    assert list(roomy.run(job, input=inputs)) == [("second", NAMES)]
    assert (tmp_path / "begun-died").exists()


def fails_once(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A task of the first stage that fails when the second has begun."""
    for line in inp:
        _, _, path = line.partition("@")
        if path:
            wait_for(path)
            if not os.path.exists(path + "-failed"):
                touch(interface, path + "-failed")
                raise OSError("this time not")
        copy(interface, state, label, [line])


@pytest.mark.filterwarnings(
    "ignore::discolocal.error.PortabilityWarning"
)  # a cluster does not try again after this one
def test_a_task_that_fails_and_runs_again_feeds_its_outputs_once(parallel: LocalCluster, tmp_path: Path) -> None:
    job, inputs = early(tmp_path)
    job.worker["pipeline"][0] = ("split", Stage("first", process=fails_once))
    assert list(parallel.run(job, input=inputs)) == [("second", NAMES)]
    assert (tmp_path / "begun-failed").exists()


def fails(interface: Any, state: Any, label: int, inp: Any) -> None:
    for line in inp:
        copy(interface, state, label, [line])
        if "@" in line:
            raise ValueError("never")


def test_a_failure_of_the_first_stage_ends_those_that_wait_for_it(parallel: LocalCluster, tmp_path: Path) -> None:
    job, inputs = early(tmp_path)
    job.worker["pipeline"][0] = ("split", Stage("first", process=fails))
    began = time.monotonic()
    with pytest.raises(JobError, match="never"):
        parallel.run(job, input=inputs)
    assert time.monotonic() - began < 15
    assert parallel.worker_pids() == []


def waits(interface: Any, params: Any) -> list[Any]:
    """The second stage begins for the first time, and for the second, with which the others go on."""
    if not os.path.exists(params + "-first"):
        touch(interface, params + "-first")
        return []
    return touch(interface, params)


def test_a_lost_node_takes_a_waiting_task_with_it(tmp_path: Path) -> None:
    job, inputs = early(tmp_path, init=waits)
    with LocalCluster(nodes=2, workers_per_node=4, seed=3) as cluster:
        handle = cluster.submit(job, input=inputs)
        wait_for(str(tmp_path / "begun-first"))
        ran_on = [text for _, (_, _, text) in cluster.events(handle.name) if text.startswith("second:")]
        os.kill(cluster.nodeinfo()[ran_on[0].rpartition(" ")[2]]["pid"], signal.SIGKILL)
        assert list(result_iterator(handle.wait(timeout=30))) == [("second", NAMES)]
        ran_on = [text for _, (_, _, text) in cluster.events(handle.name) if text.startswith("second:")]
        assert len(ran_on) == 2


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_one_slot_is_enough(start: str, tmp_path: Path) -> None:
    """There is no room for a task that waits: it comes when those before it are done."""
    with LocalCluster(nodes=1, start=start) as cluster:
        job, inputs = early(tmp_path, ("group_all", Stage("third", list_state, collect, write), True), waiting=0)
        assert list(cluster.run(job, input=inputs * 5)) == [("third", [("second", [("a", 1)] * 5)])]


def test_a_stage_that_looks_at_no_inputs_misses_none(parallel: LocalCluster, tmp_path: Path) -> None:
    job, inputs = early(tmp_path, process=None)
    assert list(parallel.run(job, input=inputs)) == [("second", [])]


def spread(interface: Any, state: Any, label: int, inp: Any) -> None:
    for line in inp:
        for word in line.split("."):
            interface.output(len(word)).add(word, 1)


def count(interface: Any, state: list[Any]) -> None:
    for word in {word for word, _ in state}:
        interface.output(0).add(word, sum(number for other, number in state if other == word))


def test_results_and_events_are_those_of_stages_one_after_the_other(cluster: LocalCluster) -> None:
    """In every way in which workers start, also where nothing runs at the same time."""
    inputs = [["raw://a.bb.a"], ["raw://a.bb.ccc"], ["raw://bb"]]
    results = []
    for concurrent in (False, True):
        pipeline = [
            ("split", Stage("first", process=spread)),
            ("group_label", Stage("second", list_state, collect, count), concurrent),
            ("group_all", Stage("third", list_state, collect, write), concurrent),
        ]
        results.append(list(cluster.run(Job("Both", worker=Worker(pipeline=pipeline)), input=inputs)))
    assert results == [[("third", [("a", 3), ("bb", 3), ("ccc", 1)])]] * 2


# A first stage that is concurrent

FIRST = [("group_all", Stage("only", list_state, collect, write), True)]


def test_a_concurrent_first_stage_runs_and_warns(cluster: LocalCluster) -> None:
    job = Job("First", worker=Worker(pipeline=FIRST))
    with pytest.warns(PortabilityWarning, match="the first stage, only, is concurrent: a master") as seen:
        assert list(cluster.run(job, input=[["raw://x"]])) == [("only", ["x"])]
    assert len(seen) == 1
    with pytest.warns(PortabilityWarning):
        pack = job.pack(input=[["raw://x"]])
    with pytest.warns(PortabilityWarning, match="concurrent-first-stage"):
        assert list(cluster.run(pack)) == [("only", ["x"])]
    jobs = cluster.joblist()
    with pytest.raises(PortabilityWarning, match="concurrent-first-stage"):
        cluster.run(job, strict=True, input=[["raw://x"]])
    assert cluster.joblist() == jobs
    for report in (check(job, cluster, input=[["raw://x"]]), check_pack(pack.dumps())):
        assert [(finding.code, finding.level) for finding in report] == [("concurrent-first-stage", WARNING)]


def dies_at_first(interface: Any, params: Any) -> list[Any]:
    if not os.path.exists(params):
        touch(interface, params)
        os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_inputs_that_come_while_the_job_home_is_unpacked_are_not_lost(tmp_path: Path) -> None:
    job, inputs = early(tmp_path, init=dies_at_first, waiting=1)
    job.worker["params"] = str(tmp_path / "died")
    job.worker["required_files"] = {f"file{number}": b"x" for number in range(1500)}  # to unpack them takes its time
    with LocalCluster(nodes=3, start="exec") as cluster:
        handle = cluster.submit(job, input=inputs)
        end = time.monotonic() + 20
        # Its node first, where it has died, and the one with the other task: it goes to the third.
        while sum(text.startswith("second:2 assigned") for _, (_, _, text) in cluster.events(handle.name)) < 2:
            assert time.monotonic() < end
            time.sleep(0.001)
        (tmp_path / "begun").touch()
        assert list(result_iterator(handle.wait(timeout=30))) == [("second", NAMES[:2])]
        places = [text.split()[-1] for _, (_, _, text) in cluster.events(handle.name) if "assigned to" in text]
        assert len(places) == 4 and set(places) == {"node1", "node2", "node3"}
