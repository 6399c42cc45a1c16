"""The reference for pipelines, see `discolocal.testing.reference`: the groupings (reference 3.1) on a single node."""

from __future__ import annotations

import pickle
from typing import Any

from discolocal.testing.memory import MemoryTask
from discolocal.testing.memory_streams import Sink
from discolocal.worker.classic.worker import DEFAULT_OUTPUT
from discolocal.worker.pipeline.interface import Interface, TaskInfo
from discolocal.worker.task_io import chain_stream

Member = tuple[int, Any]
"""A label and the data that has it: the records of an input, or a Sink."""


def pipeline(job_task: MemoryTask, inputs: list[list[Any]]) -> list[Any]:
    """The records that a pipeline is to give, in no particular order."""
    data: list[list[Member]] = [[(0, entries)] for entries in inputs] or [[]]
    for grouping, stage, *_ in job_task.parts["pipeline"]:
        data = [_stage(job_task.like(stage.name, label), stage, members) for label, members in _groups(grouping, data)]
    return [record for members in data for _, found in members for record in _read(found, chain_stream)]


def _groups(grouping: str, data: list[list[Member]]) -> list[tuple[int, list[Member]]]:
    members = [member for outputs in data for member in outputs]
    if grouping == "split":
        return [(label, [(label, found)]) for label, found in members]
    if grouping in ("group_label", "group_node_label"):
        return [(label, [m for m in members if m[0] == label]) for label in sorted({label for label, _ in members})]
    return [(0, members)] if members or (grouping == "group_all" and data) else []


def _read(found: Any, streams: Any) -> list[Any]:
    return found.records(streams or chain_stream) if isinstance(found, Sink) else found


def _stage(task: MemoryTask, stage: Any, members: list[Member]) -> list[Member]:
    params = task.parts.params()
    sinks: dict[Any, Sink] = {}

    def output(label: int | None) -> Any:
        sinks[label] = Sink(task, stage.output_chain or DEFAULT_OUTPUT, params)
        return sinks[label].stream

    interface = Interface(TaskInfo(task.jobname, task.host, stage.name, "", task.group_label), output)
    with task.running():
        state = stage.init(interface, params) if stage.init else None
        lists: dict[int, list[Any]] = {}
        for label, found in members:
            lists.setdefault(label, []).append(_read(found, stage.input_chain))
        for label in stage.input_hook(state, lists.keys()) if stage.process else ():
            found = lists.get(label, [])
            if stage.combine:
                pairs = [record for records in found for record in records]
                found = [iter(sorted(pairs, key=line) if stage.sort else pairs)]
            for records in found:
                stage.process(interface, state, label, records)
        if stage.done:
            stage.done(interface, state)
    return [(label or 0, sinks[label]) for label in sinks]


def line(pair: tuple[Any, Any]) -> tuple[bytes, bool, bytes]:
    """What the external sort orders pairs by: the bytes of the key, then those of the value."""
    key, value = pair
    raw = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else bytes(key)
    return raw, isinstance(key, str), pickle.dumps(value, 0)
