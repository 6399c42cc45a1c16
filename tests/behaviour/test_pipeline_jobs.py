"""Pipelines from inputs to records, in every way in which a worker can start (reference 3, 8.10)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, Params, result_iterator
from discolocal.job import JobChain
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_reduce
from discolocal.worker.pipeline.worker import Stage, Worker
from discolocal.worker.task_io import chain_reader, task_input_stream
from tests.behaviour import oracle
from tests.behaviour.classic import TEXT_A, TEXT_B
from tests.client.modules import Modules

INPUT = [["raw://the.cat.the"], ["raw://a.cat.a.end"]]
WORDS = Counter({"the": 2, "cat": 2, "a": 2, "end": 1})


def no_words(interface: Any, params: Any) -> Counter[str]:
    return Counter()


def split(interface: Any, counts: Counter[str], label: int, inp: Any) -> None:
    for line in inp:
        counts.update(line.replace(".", " ").split())


def add(interface: Any, counts: Counter[str], label: int, inp: Any) -> None:
    for word, count in inp:
        counts[word] += count


def by_length(interface: Any, counts: Counter[str]) -> None:
    for word, count in counts.items():
        interface.output(len(word) % 2).add(word, count)


def places(interface: Any, state: Any, label: int, inp: Any) -> None:
    """Pass records on and tell which task had them."""
    for record in inp:
        interface.output(label).add((tuple(interface.taskinfo[2:]), label), record)


class Count(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("count", no_words, split, by_length)),
        ("group_label", Stage("condense", no_words, add, by_length)),
        ("group_label", Stage("total", no_words, add, by_length)),
    ]


def piped(*pipeline: Any, **parameters: Any) -> Job:
    return Job("Piped", worker=Worker(pipeline=list(pipeline)), **parameters)


def test_words_are_counted_in_three_stages(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Count, input=[[path] for path in texts])
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    assert len(list(results)) == len(dict(results))
    rows = {row[0]: row[4] for row in results.job.jobinfo()["pipeline"]}
    assert list(rows) == ["count", "condense", "total"] and rows["count"] == rows["total"] == 2
    assert len(results.urls) == 2 and all(url.startswith("dir://") and "/total-" in url for (url,) in results.urls)
    counted = results.job.stageresults("count")
    assert sum(count for _, count in result_iterator(counted)) == sum(oracle.words(TEXT_A, TEXT_B).values())


def test_the_pipeline_of_an_item_and_of_an_argument(cluster: LocalCluster) -> None:
    for job, arguments in ((Job("Item", worker=Worker(pipeline=Count.pipeline)), {}), (Count(), {"pipeline": ONE})):
        assert dict(cluster.run(job, input=INPUT, **arguments)) == WORDS


ONE = [("group_all", Stage("one", no_words, split, by_length))]


def test_functions_with_what_is_around_them_travel(cluster: LocalCluster) -> None:
    def make(factor: int) -> Any:
        def process(interface: Any, state: Any, label: int, inp: Any) -> None:
            for line in inp:
                interface.output(0).add(line, len(WORDS) * factor)

        return process

    job = piped(
        ("split", Stage("one", process=make(10), done=lambda interface, state: interface.output(1).add("end", state))),
        ("group_all", Stage("two", process=partial(multiplied, 2), input_hook=lambda state, labels: sorted(labels))),
    )
    assert list(cluster.run(job, input=[["raw://x"]])) == [("x", 80), ("end", None)]


def multiplied(number: int, interface: Any, state: Any, label: int, inp: Any) -> None:
    for key, value in inp:
        interface.output(None).add(key, value and value * number)


MODULE = """
from discolocal import Job
from discolocal.worker.pipeline.worker import Stage, Worker
from pl_helpers.words import clean

OUTPUT = 4

def process(interface, state, label, inp):
    from pl_other import ending
    for line in inp:
        interface.output(OUTPUT).add(clean(line), ending())

class Cleaned(Job):
    Worker = Worker
    pipeline = [("split", Stage("clean", process=process))]
"""


def test_modules_of_a_stages_functions_travel(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Modules(tmp_path, monkeypatch)
    own.write(
        pl_job=MODULE,
        pl_helpers__words="def clean(text):\n    return text.strip().lower()\n",
        pl_other="def ending():\n    return 'end'\n",
    )
    try:
        module = own.load("pl_job")
        assert list(cluster.run(module.Cleaned, input=[["raw://X"]])) == [("x", "end")]
        stages = [("split", Stage("clean", process=module.process))]
        assert list(cluster.run(piped(), input=[["raw://X"]], pipeline=stages)) == [("x", "end")]
    finally:
        own.forget()


def test_files_and_params_of_the_job(cluster: LocalCluster) -> None:
    def init(interface: Any, params: Any) -> list[Any]:
        with open("names.txt") as file:
            return [file.read(), params.say("x"), params.number]

    def done(interface: Any, state: Any) -> None:
        interface.output(0).add("state", state)

    job = piped(
        ("group_all", Stage("only", init, done=done)),
        required_files={"names.txt": "ada"},
        params=Params(say=lambda text: text * 3, number=5),
    )
    assert list(cluster.run(job, input=[])) == [("state", ["ada", "xxx", 5])]


@pytest.mark.own_events  # how many nodes have outputs is chance
@pytest.mark.parametrize("grouping", ["split", "group_label", "group_node", "group_node_label", "group_all"])
def test_a_grouping_says_which_task_gets_what(cluster: LocalCluster, grouping: str) -> None:
    """Which node writes an output is the scheduler's choice: it is read from the results of the stage before."""

    def spread(interface: Any, state: Any, label: int, inp: Any) -> None:
        for line in inp:
            for number in line.split("."):
                interface.output(int(number)).add((interface.taskinfo.host, interface.taskinfo.group), int(number))

    numbers = ["0.1.2", "1", "2.0", "5.1"]
    job = piped(("split", Stage("spread", process=spread)), (grouping, Stage("it", process=places)))
    results = cluster.run(job, input=[[f"raw://{text}"] for text in numbers])
    found: dict[Any, list[Any]] = {}
    for ((_stage, group, group_label), label), ((host, source), number) in results:
        assert label == number
        found.setdefault(group if grouping != "split" else (group, source, number), []).append((host, source, number))
        assert group_label == (0 if grouping in ("group_node", "group_all") else number)
    records = sorted(
        (host, source, number) for (host, source), number in result_iterator(results.job.stageresults("spread"))
    )
    assert len(records) == 8
    expected: dict[Any, list[Any]] = {}
    for host, source, number in records:
        group = {
            "split": (f"{number}-{host}", source, number),
            "group_label": f"{number}-",
            "group_node": f"0-{host}",
            "group_node_label": f"{number}-{host}",
            "group_all": "0-",
        }[grouping]
        expected.setdefault(group, []).append((host, source, number))
    assert {group: sorted(members) for group, members in found.items()} == expected
    assert sum(row[4] for row in results.job.jobinfo()["pipeline"][1:]) == len(expected)


def test_labels_of_inputs_make_the_groups_of_the_first_stage(cluster: LocalCluster) -> None:
    inputs = [(3, ["raw://a"]), (1, "raw://b"), (3, "raw://c"), ["raw://d"]]
    job = piped(("group_label", Stage("only", process=places)))
    with pytest.warns(UserWarning, match="plain-urls"):
        found = sorted(cluster.run(job, input=inputs))
    # The list of inputs is reversed once, so that the last ones come first.
    assert found == [
        ((("only", "0-", 0), 0), "d"),
        ((("only", "1-", 1), 1), "b"),
        ((("only", "3-", 3), 3), "a"),
        ((("only", "3-", 3), 3), "c"),
    ]


def test_sorted_and_combined_records_are_grouped_by_key(cluster: LocalCluster) -> None:
    def write_bytes(interface: Any, state: Any, label: int, inp: Any) -> None:
        for line in inp:
            for word in line.split("."):
                interface.output(0).add(word.encode(), 1)

    def sums(interface: Any, state: Any, label: int, inp: Any) -> None:
        for word, ones in kvgroup(inp):
            interface.output(0).add(word.decode(), sum(ones))

    job = piped(
        ("split", Stage("words", process=write_bytes)),
        ("group_all", Stage("sums", process=sums, combine=True, sort=True)),
    )
    assert list(cluster.run(job, input=INPUT)) == sorted(WORDS.items())


def test_results_are_saved(cluster: LocalCluster) -> None:
    results = cluster.run(Count, input=INPUT, save_results=True)
    assert results.urls == [f"tag://disco:results:{results.job.name}"]
    assert dict(results) == WORDS


def test_a_pipeline_reads_the_results_of_another_job_and_a_classic_job_those_of_a_pipeline(
    cluster: LocalCluster,
) -> None:
    chain = [task_input_stream, chain_reader]
    first = Count("First", master=cluster)
    again = piped(("group_all", Stage("again", no_words, add, by_length, input_chain=chain)), master=cluster)
    classic = Job(
        "Classic", master=cluster, map=lambda pair, params: [pair], map_reader=chain_reader, reduce=sum_reduce
    )
    JobChain({first: INPUT, again: [first], classic: [first, again]}).wait(poll_interval=0.05)
    assert dict(result_iterator(again.wait())) == WORDS
    assert dict(result_iterator(classic.wait())) == {word: 2 * count for word, count in WORDS.items()}


def test_no_inputs_are_no_tasks_but_of_group_all(cluster: LocalCluster) -> None:
    assert list(cluster.run(Count, input=[])) == []
    end = Stage("end", done=lambda interface, state: interface.output(0).add("end", state))
    assert list(cluster.run(piped(("group_all", end)), input=[])) == [("end", None)]
    assert list(cluster.run(piped(("group_label", end)), input=[])) == []


def test_a_failing_stage_is_named(cluster: LocalCluster) -> None:
    def fails(interface: Any, state: Any, label: int, inp: Any) -> None:
        for word, _count in inp:
            raise KeyError(word)

    job = piped(("split", Stage("count", no_words, split, by_length)), ("group_all", Stage("second", process=fails)))
    with pytest.raises(JobError) as failed:
        cluster.run(job, input=[["raw://x"]])
    text = str(failed.value)
    assert "stage second failed" in text and "process of stage second failed at record 1 of disco://" in text
    assert "KeyError: 'x' (label: 1)" in text


def test_a_pipeline_that_cannot_be_leaves_nothing(cluster: LocalCluster) -> None:
    before = set(cluster._jobs)
    with pytest.raises(DiscoError, match="^Repeated stage one: "):
        cluster.run(piped(*ONE, *ONE), input=INPUT)
    assert set(cluster._jobs) == before


@pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
def test_a_job_without_stages_gives_its_inputs_back(cluster: LocalCluster) -> None:
    assert cluster.run(piped(), input=INPUT).urls == INPUT[::-1]


def test_a_stage_may_be_profiled(cluster: LocalCluster) -> None:
    results = cluster.run(Count, input=INPUT, profile=True)
    stats = results.job.profile_stats("total").stats  # type: ignore[attr-defined]
    own = {name for file, _line, name in stats if Path(file).name == Path(__file__).name}
    assert own == {"no_words", "add", "by_length"}
