"""docs/pipelines.md: its drawings are those of what a cluster does, and it says all of a stage's parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.wire.packcheck import GROUPINGS
from discolocal.worker.pipeline.worker import Stage, TaskInfo, Worker

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "pipelines.md").read_text(encoding="utf-8")

OUTPUTS = {"a": (0, "node1"), "b": (1, "node1"), "c": (0, "node2"), "d": (1, "node2"), "e": (0, "node1")}
"""The outputs in the drawings: their labels, and the nodes that have them."""


def make(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A process that makes one of the outputs."""
    for text in inp:
        _host, name, number = text.split("/")
        interface.output(int(number)).add(name, interface.taskinfo.host)


def tell(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A process that tells which task got which output."""
    for name, _host in inp:
        interface.output(0).add(interface.taskinfo.group, name)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, start="inline") as started:
        yield started


def groups(cluster: LocalCluster, grouping: str) -> list[tuple[str, list[str]]]:
    """Which task of a stage reads which outputs, in order."""
    # The list of a job's inputs is reversed once; a task runs where its input is.
    inputs = [[f"raw://{host}/{name}/{label}"] for name, (label, host) in reversed(OUTPUTS.items())]
    stages = [("split", Stage("make", process=make)), (grouping, Stage("it", process=tell))]
    results = cluster.run(Job(worker=Worker(pipeline=stages)), input=inputs)
    made = {
        name: (output.label, host)
        for task in results.stage("make").tasks
        for (name, host), output in zip(task, task.outputs)
    }
    assert made == OUTPUTS
    return [(next(iter(task))[0], [name for _, name in task]) for task in results.stage("it").tasks]


def drawing(tasks: list[tuple[str, list[str]]]) -> str:
    """Outputs on the left, each led to its task on the right, whose line is that of its last output."""
    names = list(OUTPUTS)
    columns = sorted((sorted(map(names.index, members)), group, members) for group, members in tasks)
    columns.sort(key=lambda column: column[0][-1])
    lines = []
    for row, name in enumerate(names):
        label, host = OUTPUTS[name]
        own = next(place for place, (rows, _, _) in enumerate(columns) if row in rows)
        mine, group, members = columns[own]
        last = row == mine[-1]
        text = ""
        for place, (rows, _, _) in enumerate(columns):
            line = "-" if place < own or last else " "
            text += "--+" if place == own else line * 2 + ("|" if rows[0] < row < rows[-1] else line)
        task = f"--> task {group:9}reads {' '.join(members)}" if last else ""
        lines.append(f"{name}  label {label}  {host}  {text}{task}".rstrip())
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_a_drawing_shows_what_happens(cluster: LocalCluster, grouping: str) -> None:
    section = PAGE.split(f"\n### {grouping}\n")[1].split("\n#")[0]
    (drawn,) = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    assert drawn == drawing(groups(cluster, grouping))


def test_a_drawing_leads_each_output_to_one_task() -> None:
    tasks = [("one", ["c", "a"]), ("two", ["b", "d", "e"])]
    assert drawing(tasks) == (
        "a  label 0  node1  --+\n"
        "b  label 1  node1  --|--+\n"
        "c  label 0  node2  --+--|--> task one      reads c a\n"
        "d  label 1  node2  -----+\n"
        "e  label 0  node1  -----+--> task two      reads b d e\n"
    )


@pytest.mark.parametrize("name", [*inspect.signature(Stage).parameters, *TaskInfo._fields])
def test_the_page_names_what_a_stage_has(name: str) -> None:
    assert re.search(rf"`{name}\b[^`]*`", PAGE)
