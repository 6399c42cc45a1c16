"""The reference: what a job means, evaluated in the plainest way, to compare everything else with.

One node, no combiner, no order but that of the inputs: every function is called as its documentation says. Nothing here
is shared with the drivers, but for what stands in for a task and its files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from discolocal.testing.memory import MemoryTask, copied
from discolocal.testing.memory_streams import Sink, chain_of
from discolocal.testing.parts import listed_inputs, resolve
from discolocal.testing.reference_pipelines import line, pipeline
from discolocal.worker.task_io import argument_count, chain_stream


def reference_run(job: Any, inputs: Iterable[Iterable[Any]], **jobargs: Any) -> list[Any]:
    """The records that a job is to give, in no particular order.

    Parameters: `job` a Job or a class of Jobs, `inputs` a list of inputs, each a list of entries as map gets them (see
    `run_job`), `jobargs` job parameters. Exceptions of functions pass.
    """
    parts = resolve(job, jobargs)
    job_task = MemoryTask(parts, "", [], {})
    with job_task.running():
        given = [list(map(copied, entries)) for entries in listed_inputs(inputs)]
        return pipeline(job_task, given) if parts.is_pipeline else _classic(job_task, given)


def _classic(job_task: MemoryTask, inputs: list[list[Any]]) -> list[Any]:
    parts = job_task.parts
    labels = {0: [pair for entries in inputs for pair in entries]}
    if parts["map"]:
        count = parts["partitions"] or 1
        sinks: dict[int, Sink] = {}
        for entries in inputs:
            _map(job_task.like("map"), iter(entries), count, sinks)
        streams = (*chain_of(parts["reduce_input_stream"]), *chain_of(parts["reduce_reader"] or ()))
        labels = {label: sinks[label].records(streams if parts["reduce"] else chain_stream) for label in sorted(sinks)}
    if not parts["reduce"]:
        return [pair for pairs in labels.values() for pair in pairs]
    return [
        record for label, pairs in labels.items() for record in _reduce(job_task.like("reduce", label), pairs).records()
    ]


def _map(task: MemoryTask, entries: Any, count: int, sinks: dict[int, Sink]) -> None:
    parts, params = task.parts, task.parts.params()
    with task.running():
        if parts["map_init"]:
            parts["map_init"](entries, params)
        for entry in entries:
            for key, value in parts["map"](entry, params):
                label = parts["partition"](key, count, params) if count > 1 else 0
                if label not in sinks:
                    sinks[label] = Sink(task, parts["map_output_stream"], params)
                sinks[label].stream.add(key, value)


def _reduce(task: MemoryTask, pairs: list[Any]) -> Sink:
    parts, params = task.parts, task.parts.params()
    with task.running():
        entries = iter(sorted(pairs, key=line) if parts["sort"] else pairs)
        out = Sink(task, parts["reduce_output_stream"], params)
        if parts["reduce_init"]:
            parts["reduce_init"](entries, params)
        if argument_count(parts["reduce"]) >= 3:
            parts["reduce"](entries, out.stream, params)
        else:
            for key, value in parts["reduce"](entries, params):
                out.stream.add(key, value)
    return out
