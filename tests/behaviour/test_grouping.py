"""The five groupings: which tasks an upstream makes, in which order, with which inputs (reference 3.1, 1.4)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.cluster.grouping import GROUPINGS, DataOutput, DirOutput, Group, GroupInput, Output, group
from discolocal.cluster.state import JobState
from discolocal.cluster.transitions import Begin, Finish, Launch, TaskAssigned, TaskDone

# Against recordings of a real master

CASES = {
    "all_input": {},
    "labels_input": {},
    "nodes_input": {},
    "nodelabel_input": {},
    "split_order": {},
    "empty_replicas": {},
    "max_cores1": {},
    "jobenvs": {},
    "dir_input_bad": {},
    "group_split": {},
    "group_group_label": {},
    "group_group_node": {},
    "group_group_node_label": {},
    "group_group_all": {},
    "no_outputs_next_all": {},
    # No task ran in these stages, so the recording does not show how they were grouped.
    "no_outputs_next": {"next": "group_label"},
    "no_inputs": {"map": "split"},
    "no_inputs_all": {"map": "split", "reduce": "group_all"},
}


class Recording:
    """What a real master did with a job: its stages, inputs and tasks."""

    def __init__(self, path: Path, groupings: dict[str, str]) -> None:
        text = path.read_text()
        data = json.loads(text)
        self.job = data["job"]
        self.results = data["get_results"][1]
        info = json.loads(data["jobinfo"][1])
        self.tasks: dict[int, dict[str, Any]] = {}
        for worker in data["workers"]:
            self._worker(worker["timeline"])
        groupings = groupings | {task["stage"]: task["grouping"] for task in self.tasks.values()}
        self.pipeline = [(row[0], groupings[row[0]], False) for row in info["pipeline"]]
        self.done = {row[0]: row[4] for row in info["pipeline"]}
        self.inputs = self._inputs(info["inputs"])
        self.indexes = {int(n): url for url, n in re.findall(r'(dir://[^" \\]*/\w+-(\d+)-\d+\.results)', text)}

    def _worker(self, timeline: list[Any]) -> None:
        task: dict[str, Any] = {"outputs": [], "inputs": None}
        for _, direction, frame in timeline:
            if direction == "meta":
                continue
            name, _, body = frame.split(" ", 2)
            if (direction, name) == ("M>W", "TASK"):
                task |= json.loads(body)
            elif (direction, name) == ("M>W", "INPUT"):
                task["inputs"] = [(row[2], [url for _, url in row[3]]) for row in json.loads(body)[1]]
            elif (direction, name) == ("W>M", "OUTPUT"):
                task["outputs"].append(json.loads(body))
        self.tasks[task["taskid"]] = task

    def _inputs(self, urls: list[str]) -> list[tuple[int, list[str]]]:
        """The inputs in the order of the job: (label, replicas)."""
        first = self.pipeline[0][0]
        rows = [row for t in self.tasks.values() if t["stage"] == first and t["inputs"] for row in t["inputs"]]
        by_url = {replicas[0]: (label, replicas) for label, replicas in rows}
        return [by_url[url] for url in urls if url in by_url]


def data_output(label: int, replicas: list[str]) -> DataOutput:
    # A master's rule (1.3): an empty host is a host as well.
    hosts = [match[1] for url in replicas if (match := re.match("[a-zA-Z0-9]+://([^/:]*)", url))]
    return DataOutput(label, 0, tuple(replicas), hosts[0] if hosts else None)


def outputs_of(recording: Recording, task: dict[str, Any]) -> tuple[Output, ...]:
    local = [(label, size) for label, location, size in task["outputs"] if "://" not in location]
    if not local:
        return ()
    return (DirOutput(recording.indexes[task["taskid"]], task["host"], tuple(sorted(local))),)


@pytest.mark.parametrize("case", CASES)
def test_tasks_and_their_inputs_are_those_of_a_real_master(golden: Path, case: str) -> None:
    recording = Recording(golden / "protocol_groupings" / f"{case}.json", CASES[case])
    inputs = [data_output(*row) for row in recording.inputs]
    state = JobState(recording.job, recording.pipeline, inputs, ["localhost"], 3, 0.0)
    out = state.handle(Begin(), 0.0)
    ran: list[tuple[Any, ...]] = []
    while not (finishes := [item.results for item in out if isinstance(item, Finish)]):
        launches = [item.task for item in out if isinstance(item, Launch)]
        assert launches
        out = []
        for task in launches:
            rows = [(item.label, list(item.urls)) for item in task.group.inputs]
            ran.append((task.id, task.stage, [task.group.label, task.group.host or ""], rows))
            out += state.handle(TaskAssigned(task.id, 0, "localhost"), 0.0)
            out += state.handle(TaskDone(task.id, 0, outputs_of(recording, recording.tasks[task.id])), 0.0)

    expected = [
        (number, task["stage"], task["group"], task["inputs"]) for number, task in sorted(recording.tasks.items())
    ]
    if case == "group_group_node_label":
        # A master lists groups made of indexes alone in the order of a hash table: any order will do.
        expected, ran = ([row[1:] for row in sorted(rows, key=repr)] for rows in (expected, ran))
        assert sorted(expected, key=repr) == sorted(ran, key=repr)
    else:
        assert ran == expected
    assert finishes == [recording.results]
    assert {stage: done for stage, _, _, _, done, _ in state.counts()} == recording.done


# Against the table of the reference

hosts = st.sampled_from([None, "", "a", "b", "c"])
labels = st.integers(-2, 4)
dats = st.builds(
    DataOutput,
    labels,
    st.integers(0, 9),
    st.lists(st.sampled_from(["raw://x", "http://a/x", "disco://b/x"]), max_size=2).map(tuple),
    hosts,
)
dirs = st.builds(
    DirOutput,
    st.integers(0, 99).map("dir://h/{}".format),
    st.sampled_from(["a", "b"]),
    st.lists(labels, unique=True, max_size=4).map(lambda some: tuple((label, 1) for label in sorted(some))),
)
upstreams = st.lists(st.lists(st.one_of(dats, dirs), max_size=4), max_size=4).map(
    lambda outputs: list(enumerate(outputs))
)


def as_input(output: Output, label: int | str | None = None) -> GroupInput:
    if isinstance(output, DataOutput):
        return GroupInput(output.label, output.urls, output.host)
    return GroupInput("all" if label is None else label, (output.url,), output.host)


def reference_groups(grouping: str, upstream: list[tuple[int, list[Output]]]) -> list[Group]:
    """The table of reference 3.1, read row by row."""
    members = [
        (isinstance(o, DataOutput), task, number, o)
        for task, outputs in upstream
        for number, o in enumerate(outputs)
        if (o.urls if isinstance(o, DataOutput) else o.labels)
    ]
    placed = [m[3] for m in sorted(members, key=lambda m: m[1:3])]
    dirs_first = [m[3] for m in sorted(members, key=lambda m: m[:3])]

    def of(output: Output) -> list[int]:
        return [output.label] if isinstance(output, DataOutput) else [label for label, _ in output.labels]

    if grouping == "split":
        return [Group(label, o.host, (as_input(o, label),)) for o in dirs_first for label in of(o)]
    if grouping == "group_label":
        every = sorted({label for o in placed for label in of(o)})
        return [Group(n, None, tuple(as_input(o, n) for o in placed if n in of(o))) for n in every]
    if grouping == "group_node":
        some = sorted({o.host for o in placed}, key=lambda host: (host is not None, host))
        return [Group(0, host, tuple(as_input(o) for o in placed if o.host == host)) for host in some]
    if grouping == "group_node_label":
        pairs = {(label, o.host) for o in placed for label in of(o)}
        return [
            Group(n, host, tuple(as_input(o, n) for o in dirs_first if o.host == host and n in of(o)))
            for n, host in sorted(pairs, key=repr)
        ]
    return [Group(0, None, tuple(as_input(o) for o in dirs_first))] if upstream else []


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(GROUPINGS), upstreams)
def test_groups_are_those_of_the_table(grouping: str, upstream: list[tuple[int, list[Output]]]) -> None:
    found = group(grouping, upstream)
    expected = reference_groups(grouping, upstream)
    if grouping == "group_node_label":
        assert sorted(found, key=repr) == sorted(expected, key=repr)
        with_data = {
            (o.label, o.host) for _, outputs in upstream for o in outputs if isinstance(o, DataOutput) and o.urls
        }
        later = [(g.label, g.host is not None, g.host or "") for g in found if (g.label, g.host) in with_data]
        assert later == sorted(later, reverse=True)
        assert [(g.label, g.host) in with_data for g in found] == sorted((g.label, g.host) in with_data for g in found)
    else:
        assert found == expected


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(GROUPINGS), upstreams)
def test_no_input_is_lost_or_doubled(grouping: str, upstream: list[tuple[int, list[Output]]]) -> None:
    """Every (url, label) reaches exactly one task; a whole index counts as all of its labels."""
    wanted: list[tuple[Any, ...]] = []
    whole = grouping in ("group_node", "group_all")
    for _, outputs in upstream:
        for output in outputs:
            if isinstance(output, DataOutput):
                wanted += [(output.urls, output.label)] if output.urls else []
            elif whole:
                wanted += [((output.url,), "all")] if output.labels else []
            else:
                wanted += [((output.url,), label) for label, _ in output.labels]
    found = [(item.urls, item.label) for g in group(grouping, upstream) for item in g.inputs]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_empty_cases(grouping: str) -> None:
    assert group(grouping, []) == []
    lonely = [Group(0, None, ())] if grouping == "group_all" else []
    assert group(grouping, [(0, [])]) == lonely
    assert group(grouping, [(0, [DataOutput(1, 0, (), "a"), DirOutput("dir://a/x", "a", ())])]) == lonely


def test_an_unknown_grouping_is_an_error() -> None:
    with pytest.raises(KeyError):
        group("group_nothing", [(0, [])])
