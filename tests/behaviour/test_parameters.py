"""Parameters of classic jobs: what each does, what is refused, where it is looked for (reference 8.1, 8.2)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, LocalCluster, Params
from discolocal.worker.classic.func import (
    nop_reduce,
    sum_reduce,
)
from discolocal.worker.classic.worker import Worker
from tests.behaviour.classic import WordCount, Write, key_and_partition, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


# Params, messages, files, names


@pytest.mark.sampled
@pytest.mark.parametrize("params", [Params(word="x"), {"word": "x"}, "x", ("x",), None], ids=lambda p: type(p).__name__)
def test_params_may_be_anything(cluster: LocalCluster, params: Any) -> None:
    def map(entry, params):
        yield entry, params.word if hasattr(params, "word") else params

    def partition(key, nr, params):
        return int(params is None)

    def reduce(iter, params):
        for key, value in iter:
            yield key, (value, params.word if hasattr(params, "word") else params)

    job = Job(map=map, partition=partition, reduce=reduce, params=params, partitions=2)
    seen = params.word if isinstance(params, Params) else params
    assert list(cluster.run(job, input=["raw://e"])) == [("e", (seen, seen))]


def test_params_hold_functions(cluster: LocalCluster) -> None:
    factor = 3
    params = Params(scale=lambda n: n * factor)
    job = Job(map=lambda e, p: [(e, p.scale(len(e)))], params=params)
    assert list(cluster.run(job, input=["raw://four"])) == [("four", 12)]


def messages(job: Job) -> list[str]:
    return [text.partition("] ")[2] for _, (_, _, text) in job.events() if text.startswith("MSG:")]


def test_status_messages_come_every_interval_and_are_not_shown(
    cluster: LocalCluster, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("lines", "x\n" * 5)
    results = cluster.run(Job(map=words, reduce=nop_reduce), input=[path], status_interval=2)
    mapped = [text for text in messages(results.job) if "mapped" in text]
    reduced = [text for text in messages(results.job) if "reduced" in text]
    assert mapped == ["2 entries mapped", "4 entries mapped", "Done: 5 entries mapped"]
    assert reduced == ["2 entries reduced", "4 entries reduced", "Done: 5 entries reduced"]
    assert "entries" not in "".join(capfd.readouterr())


def test_status_interval_zero_is_no_messages_in_between(cluster: LocalCluster, write: Write) -> None:
    path = write("lines", "x\n" * 5)
    results = cluster.run(Job(map=words), input=[path], status_interval=0)
    assert [text for text in messages(results.job) if "entries" in text] == ["Done: 5 entries mapped"]


def test_prints_and_logging_reach_the_user_with_their_task(
    cluster: LocalCluster, capfd: pytest.CaptureFixture[str]
) -> None:
    def map(entry, params):
        import logging
        import sys

        print("seen", entry)
        print("complaint", file=sys.stderr)
        log = logging.getLogger("job")
        log.addHandler(handler := logging.StreamHandler())
        log.warning("careful")
        log.removeHandler(handler)
        print("half", end="")
        yield entry, 1

    results = cluster.run(Job(map=map), input=["raw://it"])
    shown = "".join(capfd.readouterr())
    for line in ("seen it", "complaint", "careful", "half"):
        assert f"[map:0] {line}\n" in shown
        assert line in messages(results.job)


def test_this_names_of_a_task(cluster: LocalCluster) -> None:
    def map(entry, params):
        yield "map", (this_name(), this_host(), this_partition(), this_inputs())  # noqa: F821

    def reduce(iter, params):
        yield from iter
        yield "reduce", (this_name(), this_host(), this_partition())  # noqa: F821

    results = cluster.run(Job(map=map, reduce=reduce, partition=lambda k, n, p: 1), partitions=2, input=["raw://e"])
    found = dict(results)
    name = results.job.name
    assert found["map"][0] == name and found["map"][2:] == (0, [["raw://e"]])
    assert found["reduce"][0] == name and found["reduce"][2] == 1
    assert {found["map"][1], found["reduce"][1]} <= {"node1", "node2"}


def test_names_of_the_library_are_there_and_the_users_own_win(cluster: LocalCluster) -> None:
    space = {"re_reader": "mine"}
    source = """
def map(entry, params):
    yield "mine", re_reader
    yield "theirs", [chain_reader.__name__, DataError.__name__, os.sep, sys.version_info[0], re.escape("a.b")]
"""
    exec(source, space)
    assert dict(cluster.run(Job(map=space["map"]), input=["raw://e"])) == {
        "mine": "mine",
        "theirs": ["disco_input_stream", "DataError", "/", 3, "a\\.b"],
    }


def test_required_files_lie_in_the_working_directory_of_the_task(cluster: LocalCluster, write: Write) -> None:
    def map(entry, params):
        with open(entry, "rb") as file:
            yield entry, file.read()

    contents = {"data/first.txt": "text \u00e9", "second": b"\x00\xff"}
    results = cluster.run(Job(map=map), input=["raw://data/first.txt", "raw://second"], required_files=contents)
    assert dict(results) == {"data/first.txt": "text \u00e9".encode(), "second": b"\x00\xff"}

    path = write("deep/inside/table.txt", "x y")
    results = cluster.run(Job(map=map), input=["raw://lib/table.txt"], required_files=[path])
    assert dict(results) == {"lib/table.txt": b"x y"}


def test_a_relative_required_file_is_looked_for_in_the_working_directory(
    cluster: LocalCluster, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map(entry, params):
        with open("lib/table.txt") as file:
            yield entry, file.read()

    write("deep/table.txt", "x y")
    monkeypatch.chdir(tmp_path)
    results = cluster.run(Job(map=map), input=["raw://e"], required_files=["deep/table.txt"])
    assert dict(results) == {"e": "x y"}


def test_a_required_file_that_is_missing_is_named_at_submission(cluster: LocalCluster, tmp_path: Path) -> None:
    with pytest.raises((DiscoError, OSError), match="nothing-here"):
        cluster.run(Job(map=words), input=["raw://x"], required_files=[str(tmp_path / "nothing-here")])
    for bad in ("one.txt", {"a": 3}):
        with pytest.raises(DiscoError, match="required_files"):
            cluster.run(Job(map=words), input=["raw://x"], required_files=bad)


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/../up", "/discolocal-test/file", ""])
def test_required_files_cannot_leave_the_job_home(cluster: LocalCluster, name: str) -> None:
    with pytest.raises(DiscoError, match=f"outside.*'{name}'"):
        cluster.run(Job(map=words), input=["raw://x"], required_files={name: "content"})


def test_required_modules_are_imported_under_their_last_name(cluster: LocalCluster, write: Write) -> None:
    path = write("modules/measure.py", "def size(text):\n    return len(text)\n")

    def map(entry, params):
        yield entry, measure.size(decoder.JSONDecoder().decode(entry))  # noqa: F821 (injected)

    job = Job(map=map, required_modules=["json.decoder", ("measure", path)])
    assert list(cluster.run(job, input=['raw://"four"'])) == [('"four"', 4)]


def test_a_required_module_that_is_missing_is_named_at_submission(cluster: LocalCluster) -> None:
    with pytest.raises(DiscoError, match="no_such_module"):
        cluster.run(Job(map=words), input=["raw://x"], required_modules=["no_such_module"])


def test_name_and_owner(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    results = cluster.run(WordCount(), input=[], name="Other", owner="ada@host")
    assert results.job.name.startswith("Other@")
    assert results.job.jobinfo()["owner"] == "ada@host"
    assert cluster.run(WordCount("Third"), input=[]).job.name.startswith("Third@")
    monkeypatch.setenv("DISCO_JOB_OWNER", "grace@home")
    assert cluster.run(WordCount(), input=[]).job.jobinfo()["owner"] == "grace@home"
    for bad in ("a/b", "a.b"):
        with pytest.raises(DiscoError, match="name"):
            cluster.run(WordCount(), input=[], name=bad)


def spans(entry, params):
    start = time.monotonic()
    time.sleep(0.02)
    yield entry, (start, time.monotonic())


def test_max_cores_limits_the_tasks_at_once(start: str) -> None:
    inputs = [f"raw://{n}" for n in range(4)]
    with LocalCluster(nodes=2, workers_per_node=2, start=start) as cluster:
        results = cluster.run(Job(map=spans), input=inputs, scheduler={"max_cores": 1})
        times = sorted(value for _, value in results)
        assert len(times) == 4
        assert all(before[1] <= after[0] for before, after in zip(times, times[1:]))
        for bad in ({"max_cores": 0}, {"max_cores": -1}):
            with pytest.raises(DiscoError, match="max_cores"):
                cluster.run(Job(map=spans), input=inputs, scheduler=bad)
        with pytest.raises(DiscoError, match="scheduler"):
            cluster.run(Job(map=spans), input=inputs, scheduler="fast")


def test_workers_of_all_nodes_work_at_once(forked: LocalCluster) -> None:
    times = sorted(value for _, value in forked.run(Job(map=spans), input=["raw://a", "raw://b"]))
    assert times[1][0] < times[0][1]


# How parameters are found


def test_a_parameter_comes_from_run_then_job_then_worker_then_default(cluster: LocalCluster) -> None:
    class Shown(Job):
        @staticmethod
        def map(entry, params):
            yield "params", params

    class Own(Shown):
        params = "attribute"

    def value(job: Job, **arguments: Any) -> Any:
        return dict(cluster.run(job, input=["raw://x"], **arguments))["params"]

    assert value(Own(worker=Worker(params="item")), params="argument") == "argument"
    assert value(Own(worker=Worker(params="item"))) == "attribute"
    assert value(Shown(worker=Worker(params="item"))) == "item"
    assert isinstance(value(Shown()), Params)
    assert value(Own(), params=None) is None, "a false value counts as given"


def test_a_worker_class_of_the_job_has_defaults_of_its_own(cluster: LocalCluster) -> None:
    class TwoPartitions(Worker):
        def defaults(self):
            return {**super().defaults(), "partitions": 2, "partition": lambda key, n, params: n - 1}

    class Special(Job):
        Worker = TwoPartitions

    results = cluster.run(Special(map=words, reduce=key_and_partition), input=["raw://x"])
    assert list(results) == [((1, "x"), 1)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("partitons", "partitions"), ("combine", "combiner"), ("inputs", "input"), ("reduce_int", "reduce_init")],
)
def test_an_unknown_argument_is_an_error_that_suggests_the_nearest(
    cluster: LocalCluster, wrong: str, right: str
) -> None:
    with pytest.raises(TypeError, match=f"{wrong}.*{right}"):
        cluster.run(Job(map=words), **{"input": ["raw://x"], wrong: 3})
    with pytest.raises(TypeError, match=f"{wrong}.*{right}"):
        Job(map=words, **{wrong: 3})


def test_an_argument_that_the_job_class_knows_is_accepted(cluster: LocalCluster) -> None:
    class Extended(Job):
        flavour = "plain"

        @staticmethod
        def map(entry, params):
            yield entry, 1

    assert list(cluster.run(Extended(), input=["raw://x"], flavour="fancy")) == [("x", 1)]


@pytest.mark.parametrize(
    "argument",
    [
        {"partitions": -1},
        {"partitions": 1.5},
        {"partitions": True},
        {"partitions": "2"},
        {"map": "function"},
        {"reduce": 3},
        {"combiner": []},
        {"status_interval": -1},
        {"status_interval": None},
        {"sort_buffer_size": "much"},
        {"encoding": "no-such-codec"},
        {"map_input_stream": "stream"},
        {"reduce_output_stream": ()},
        {"map_shuffle": len},
        {"ext_params": {"a": 1}},
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_refused_at_submission(cluster: LocalCluster, argument: dict[str, Any]) -> None:
    before = cluster.joblist()
    with pytest.raises(DiscoError, match=next(iter(argument))):
        cluster.run(Job(map=words, reduce=sum_reduce), **{"input": ["raw://x"], **argument})
    assert cluster.joblist() == before
