"""Looking at what the stages of a job did: `Results.stages`, `Results.stage`, `LocalCluster.stages` (reference 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster
from discolocal.cluster.grouping import DataOutput, DirOutput, Group, GroupInput
from discolocal.cluster.stages import StageFacts, StageOutput, Stages, TaskFacts
from discolocal.cluster.stages import facts as facts_of
from discolocal.cluster.state import JobState
from discolocal.cluster.transitions import Begin, TaskAssigned, TaskDone, TaskFailed
from discolocal.worker.classic.func import sum_reduce
from discolocal.worker.pipeline.worker import Stage, Worker
from discolocal.worker.simple import Worker as SimpleWorker
from tests.behaviour.classic import TEXT_A, TEXT_B

WORDS = (TEXT_A + "\n" + TEXT_B).split()


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def fails_once(line: str, params: Any) -> Iterator[tuple[str, int]]:
    """Leave a mark in the directory `params` and fail; the next attempt finds it."""
    import os

    try:
        os.mkdir(os.path.join(params, "mark"))
    except FileExistsError:
        yield line, 1
    else:
        raise OSError("the first attempt")


def fails(line: str, params: Any) -> Any:
    raise ValueError("no")


@pytest.fixture
def counted(cluster: LocalCluster, texts: list[str]) -> Any:
    """The results of a word count into three partitions."""
    return cluster.run(Job(map=words, reduce=sum_reduce), input=texts, partitions=3)


def test_the_records_of_every_stage(counted: Any) -> None:
    assert Counter(word for word, _ in counted.stage("map")) == Counter(WORDS)
    assert sorted(counted.stage("map_shuffle")) == sorted(counted.stage("map"))
    assert dict(counted.stage("reduce")) == Counter(WORDS)
    assert list(counted.stage("reduce")) == list(counted)
    assert counted.stage("map").records == len(WORDS)


def test_what_each_task_did(counted: Any, texts: list[str], cluster: LocalCluster) -> None:
    stages = counted.stages
    assert [(stage.name, stage.grouping) for stage in stages] == [
        ("map", "split"),
        ("map_shuffle", "group_node"),
        ("reduce", "group_label"),
    ]
    assert [task.id for stage in stages for task in stage.tasks] == list(range(sum(len(s.tasks) for s in stages)))
    # A master gives the last input to the first task.
    assert [found.urls for found in stages["map"].inputs] == [(path,) for path in reversed(texts)]
    for stage in stages:
        for task in stage.tasks:
            assert (task.stage, task.status, task.attempts) == (stage.name, "done", 1)
            assert task.host in cluster.nodes
            assert 0 < task.seconds <= stage.seconds
    assert [task.label for task in stages["reduce"].tasks] == stages["map_shuffle"].labels
    assert {task.group_host for task in stages["map_shuffle"].tasks} == {task.host for task in stages["map"].tasks}


def test_outputs_have_the_labels_and_sizes_of_the_index(counted: Any) -> None:
    from discolocal.schemes.scheme_dir import read_index

    for stage in counted.stages:
        for task in stage.tasks:
            (url,) = {url for output in task.outputs for url in output.urls}
            sizes: Counter[int] = Counter()
            for line in read_index(url):
                sizes[line.label] += line.size
            assert {output.label: output.size for output in task.outputs} == sizes
            assert (task.labels, task.size) == (sorted(sizes), sum(sizes.values()))
    assert counted.stages["map"].size == sum(output.size for output in counted.stages["map"].outputs)


def test_the_outputs_of_a_stage_are_the_inputs_of_the_next(counted: Any, cluster: LocalCluster) -> None:
    for before, after in zip(counted.stages, counted.stages[1:]):
        made = {url for output in before.outputs for url in output.urls}
        assert {url for found in after.inputs for url in found.urls} == made
        urls = cluster.stageresults(counted.job.name, before.name)
        assert made == {url for replicas in urls for url in replicas}


def test_the_records_of_a_label(counted: Any) -> None:
    stage = counted.stage("map_shuffle")
    by_label = {label: Counter(word for word, _ in stage.read(label)) for label in stage.labels}
    assert sum(by_label.values(), Counter()) == Counter(WORDS)
    for task in counted.stages["reduce"].tasks:
        assert {word for word, _ in task} == set(by_label[task.label])
    assert list(stage.read(99)) == []


def test_the_records_of_a_task(counted: Any) -> None:
    tasks = counted.stage("map").tasks
    assert [Counter(word for word, _ in task) for task in tasks] == [Counter(TEXT_B.split()), Counter(TEXT_A.split())]
    assert [task.records for task in tasks] == [len(TEXT_B.split()), len(TEXT_A.split())]


def test_a_stage_is_read_with_another_reader(cluster: LocalCluster, texts: list[str]) -> None:
    def sizes(fd: Any, size: int, url: str, params: Any) -> Iterator[Any]:
        yield params, size

    results = cluster.run(Job(map=words), input=texts, partitions=2)
    stage = results.stage("map")
    read = list(stage.read(reader=sizes, params="here"))
    assert sorted(size for _, size in read) == sorted(output.size for output in stage.outputs)
    assert {name for name, _ in read} == {"here"}


def test_a_stage_is_printed_as_a_table(counted: Any) -> None:
    lines = str(counted.stages).splitlines()
    columns = "stage grouping tasks done attempts inputs outputs labels bytes seconds"
    assert lines[0].split() == columns.split()
    assert [line.split()[:3] for line in lines[1:]] == [
        [stage.name, stage.grouping, str(len(stage.tasks))] for stage in counted.stages
    ]
    tasks = repr(counted.stage("map")).splitlines()
    assert [line.split()[0] for line in tasks] == ["task", "map:0", "map:1"]
    assert f"<td>{counted.stage('map').size:,}</td>" in counted.stages._repr_html_()


def test_a_stage_that_there_is_not(counted: Any) -> None:
    with pytest.raises(DiscoError, match="no stage 'shuffle' that has started: those that have are map, map_sh"):
        counted.stage("shuffle")


@pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
def test_a_task_that_was_tried_again(cluster: LocalCluster, tmp_path: Path) -> None:
    results = cluster.run(Job(map=fails_once), input=["raw://a"], params=str(tmp_path))
    (task,) = results.stage("map").tasks
    assert (task.attempts, task.status, list(task)) == (2, "done", [("a", 1)])


def test_the_stages_of_a_job_by_its_name(cluster: LocalCluster, texts: list[str]) -> None:
    job = cluster.submit(Job(map=words, reduce=sum_reduce), input=texts)
    job.wait()
    for stages in (cluster.stages(job), cluster.stages(job.name)):
        assert Counter(word for word, _ in stages["map"]) == Counter(WORDS)
    cluster.clean(job.name)
    with pytest.raises(JobError, match="unknown job"):
        cluster.stages(job.name)


def test_a_job_that_failed(cluster: LocalCluster, texts: list[str]) -> None:
    job = cluster.submit(Job(map=words, reduce=fails), input=texts)
    with pytest.raises(JobError):
        job.wait()
    stages = cluster.stages(job)
    assert Counter(word for word, _ in stages["map"]) == Counter(WORDS)
    (task,) = stages["reduce"].tasks
    assert (task.status, task.attempts, task.outputs, stages["reduce"].seconds) == ("failed", 1, [], None)


def test_stages_outlive_clean_and_tell_of_purge(counted: Any, cluster: LocalCluster) -> None:
    cluster.clean(counted.job.name)
    assert counted.stage("map").records == len(WORDS)
    cluster.purge(counted.job.name)
    assert len(counted.stage("map").tasks) == 2
    with pytest.raises(DiscoError, match="are gone, it was purged"):
        list(counted.stage("map"))


def test_a_file_that_is_damaged_is_no_purged_job(counted: Any) -> None:
    from discolocal.schemes.scheme_dir import read_index
    from discolocal.schemes.scheme_disco import find_local

    (output, *_) = counted.stage("map").outputs
    path = find_local(read_index(output.urls[0])[0].url, None)
    assert path is not None
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="its index says"):
        list(counted.stage("map"))


def test_stages_of_a_closed_cluster(texts: list[str]) -> None:
    with LocalCluster(nodes=2, start="inline") as own:
        results = own.run(Job(map=words), input=texts)
    with pytest.raises(DiscoError, match="is closed and its files are gone"):
        list(results.stage("map"))


def test_saved_results_are_the_outputs_of_the_last_stage(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce), input=texts, save_results=True)
    last = results.stage("reduce")
    assert dict(last) == Counter(WORDS)
    assert all(url.partition("/ddfs/")[1] for output in last.outputs for url in output.urls)
    cluster.purge(results.job.name)
    assert dict(last) == Counter(WORDS)


def test_a_pipeline_of_version_2(cluster: LocalCluster, texts: list[str]) -> None:
    """Labels of job inputs, and a stage without tasks."""

    class Copy(SimpleWorker):
        def run(self, task: Any, job: Any, **jobargs: Any) -> None:
            if task.stage == "first":
                for _ in self.get_inputs(task):
                    self.output(task, task.group_label).file.append((task.group_label, 1))

    pack = Job(worker=Copy(map=words)).pack(input=texts)
    pack.version = 2
    pack.jobdict = {
        key: pack.jobdict[key] for key in ("prefix", "worker", "scheduler", "owner", "save_results", "save_info")
    } | {
        "inputs": [[7, 0, [texts[0]]], [8, 0, [texts[1]]]],
        "pipeline": [["first", "split", False], ["second", "group_label", False], ["third", "split", False]],
    }
    stages = cluster.run(pack).stages
    assert sorted(stages["first"]) == [(7, 1), (8, 1)]
    assert [(task.label, list(task.read(8))) for task in stages["first"].tasks] == [(8, [(8, 1)]), (7, [])]
    assert [task.label for task in stages["second"].tasks] == [7, 8]
    assert [list(stages["second"]), stages["second"].labels] == [[], []]
    assert (stages["third"].tasks, stages["third"].seconds) == ([], 0.0)


def spread(interface: Any, state: Any, label: int, inp: Any) -> None:
    for line in inp:
        for word in line.split():
            interface.output(len(word) % 2).add(word, 1)


def copy(interface: Any, state: Any, label: int, inp: Any) -> None:
    for word, number in inp:
        interface.output(label).add(word, number)


@pytest.mark.own_events
@pytest.mark.parametrize("concurrent", [False, True])
def test_a_pipeline(cluster: LocalCluster, texts: list[str], concurrent: bool) -> None:
    pipeline = [
        ("split", Stage("spread", process=spread)),
        ("group_node_label", Stage("near", process=copy), concurrent),
        ("group_label", Stage("far", process=copy)),
    ]
    results = cluster.run(Job(worker=Worker(pipeline=pipeline)), input=[[path] for path in texts])
    stages = results.stages
    for stage in stages:
        assert Counter(word for word, _ in stage) == Counter(WORDS)
        assert stage.labels == [0, 1]
        for label in stage.labels:
            assert all(len(word) % 2 == label for word, _ in stage.read(label))
    assert [(task.label, task.group_host) for task in stages["far"].tasks] == [(0, None), (1, None)]
    for task in stages["near"].tasks:
        assert {found.host for found in task.inputs} == {task.group_host}
        assert {found.label for found in task.inputs} == {task.label}
    assert sum(len(task.inputs) for task in stages["near"].tasks) == len(stages["spread"].outputs)


# What a job knows of its stages, without a cluster


def a_state() -> JobState:
    inputs = [DataOutput(0, 0, (f"raw://{name}",), None) for name in "ab"]
    pipeline = [("one", "split", False), ("two", "group_all", False)]
    return JobState("job", pipeline, inputs, ["node1", "node2"], 1, 100.0)


def test_stages_while_the_job_runs() -> None:
    state = a_state()
    state.handle(Begin(), 100.0)
    assert [task.status for task in facts_of(state, {})[0].tasks] == ["waiting", "waiting"]
    assert [task.attempts for task in facts_of(state, {})[0].tasks] == [0, 0]
    state.handle(TaskAssigned(0, 0, "node1"), 101.0)
    output = DirOutput("dir://node1/x", "node1", ((0, 5), (2, 6)))
    state.handle(TaskDone(0, 0, (output,)), 102.0)
    state.handle(TaskAssigned(1, 0, "node2"), 102.0)
    (stage,) = facts_of(state, {0: 0.5})
    assert stage.seconds is None
    assert [(task.status, task.host, task.seconds) for task in stage.tasks] == [
        ("done", "node1", 0.5),
        ("running", "node2", None),
    ]
    state.handle(TaskFailed(1, 0, "no"), 103.0)
    assert facts_of(state, {})[0].tasks[1][3:6] == ("waiting", 1, None)
    state.handle(TaskAssigned(1, 1, "node1"), 103.0)
    state.handle(TaskDone(1, 1, ()), 105.5)
    first, second = facts_of(state, {})
    assert (first.seconds, first.tasks[1].attempts, second.seconds) == (5.5, 2, None)
    assert second.tasks[0].group.inputs == (GroupInput("all", ("dir://node1/x",), "node1"),)


def test_tasks_of_a_job_that_ended_early() -> None:
    state = a_state()
    state.handle(Begin(), 100.0)
    for run in (0, 1):
        state.handle(TaskAssigned(0, run, "node1"), 101.0)
        state.handle(TaskFailed(0, run, "no"), 102.0)
    assert state.status == "dead"
    (stage,) = facts_of(state, {})
    assert [(task.status, task.attempts) for task in stage.tasks] == [("failed", 2), ("dropped", 0)]


def test_outputs_of_both_kinds() -> None:
    """An index is an output for each of its labels, data with replicas is one."""
    outputs = (DataOutput(5, 10, ("raw://x", "raw://y"), None), DirOutput("dir://index", "n", ((0, 2), (4, 3))))
    task = TaskFacts(0, Group(0, None, ()), outputs, "done", 1, "node1", 0.1)
    with LocalCluster(nodes=1, start="inline") as own:
        (stage,) = Stages("job", [StageFacts("s", "split", 0.2, [task])], own)
    assert stage.outputs == [
        StageOutput(5, 10, ("raw://x", "raw://y")),
        StageOutput(0, 2, ("dir://index",)),
        StageOutput(4, 3, ("dir://index",)),
    ]
    assert (stage.labels, stage.size) == ([0, 4, 5], 15)


def test_a_long_table_is_cut() -> None:
    tasks = [
        TaskFacts(number, Group(number, None, ()), (DataOutput(number, 1, (), None),), "done", 1, "n<1>", 0.1)
        for number in range(30)
    ]
    with LocalCluster(nodes=1, start="inline") as own:
        (stage,) = stages = Stages("job", [StageFacts("s", "split", 1.0, tasks)], own)
    assert str(stage).splitlines()[-1] == "... and 10 more tasks"
    assert len(str(stage).splitlines()) == 22
    assert "0, 1, 2, 3, ... 29" in str(stages)
    assert "n&lt;1&gt;" in stage._repr_html_()
