"""Drivers: the functions of a job run on plain lists, by the code that runs them in a task.

    run_map, run_combiner, run_partition, run_reduce    one task, or less
    run_job                                             all tasks of a job, one after the other

What a function finds in a task it finds here: parameters, injected names, the current task, streams. Records are what
a reader would read back: they are pickled when they are written. The streams that open files of a job are replaced by
others that keep them in memory; all other streams are used. No process is started.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.testing.memory import MemoryTask
from discolocal.testing.memory_streams import URL, chain_of, collected, reading, records, writing
from discolocal.testing.parts import Parts, listed_entries, listed_inputs, resolve
from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.mapping import Router
from discolocal.worker.classic.worker import DEFAULT_OUTPUT, Worker
from discolocal.worker.task_io import task_input_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GIVEN = (task_input_stream,)
"""The input chain of entries that are given: they are not read any further."""
ENTRIES = f"{URL}entries"


def run_map(job: Any, entries: Iterable[Any], **jobargs: Any) -> list[tuple[Any, Any]]:
    """The pairs that one map task gives for these entries, before partition function and combiner.

    Parameters: `job` a Job, a class of Jobs or a map function; `entries` what the job's readers would give;
    `jobargs` job parameters. Exceptions of map and map_init pass (reference 8.4).
    """
    parts = classic(job, jobargs, "map")
    worker = staged(parts, "map", given=True)
    worker.update(combiner=None, partitions=None, map_output_stream=writing(DEFAULT_OUTPUT))
    task = MemoryTask(parts, "map", [(0, ENTRIES)], {ENTRIES: listed_entries(entries)})
    return _flat(run_stage(worker, task), task)


def run_combiner(job: Any, pairs: Iterable[tuple[Any, Any]], **jobargs: Any) -> list[tuple[Any, Any]]:
    """What is written for one map task whose map gives these pairs; see `combined`. `job` may be a combiner.

    Combiner and partition function find params as map_init leaves it without entries.
    """
    found = combined(classic(job, jobargs, "combiner"), pairs)
    return [pair for label in sorted(found) for pair in found[label]]


def combined(parts: Parts, pairs: Iterable[tuple[Any, Any]]) -> dict[int, list[tuple[Any, Any]]]:
    """By label, what the combiner leaves of pairs of one map task: those of each label have a buffer (reference 8.4).

    Without a combiner these are all pairs.
    """
    worker = staged(parts, "map", given=True)
    worker.update(map=_as_given, map_init=None, map_output_stream=writing(DEFAULT_OUTPUT))
    task = MemoryTask(parts, "map", [(0, ENTRIES)], {ENTRIES: pairs})
    return {label: records(task, urls) for label, urls in run_stage(worker, task, parts.begun_params).items()}


def run_partition(job: Any, keys: Iterable[Any], n: int, **jobargs: Any) -> list[int]:
    """The labels of keys with `n` partitions, one for each. `job` may be a partition function.

    It finds params as map_init leaves it without entries.

    Raises TypeError and ValueError for what a map task refuses: a label that is no int, or not in ``range(n)``.
    """
    parts = classic(job, jobargs, "partition")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DiscoError(f"the number of partitions must be an int of at least 1, not {n!r}")
    task = MemoryTask(parts, "map", [], {})
    labels: list[Any] = []
    with task.running():
        router = Router(_no_output, parts["partition"], n, parts.begun_params(), Blame(task))
        labels += map(router.label, keys)
    return labels


def run_reduce(
    job: Any, pairs: Iterable[tuple[Any, Any]], *, partition: int = 0, **jobargs: Any
) -> list[tuple[Any, Any]]:
    """What one reduce task gives for these pairs in this order (reference 8.5).

    Parameters: `job` a Job, a class of Jobs or a reduce function of either form; `partition` the number of the task's
    partition. With `sort=True` the pairs are sorted as on a cluster, values of the same key too. Output streams of the
    job are used; if what they write is in Disco's internal format it is read back, else the pairs are returned as
    reduce gave them.
    """
    parts = classic(job, jobargs, "reduce")
    worker = staged(parts, "reduce", given=True)
    task = MemoryTask(parts, "reduce", [(partition, ENTRIES)], {ENTRIES: pairs}, label=partition)
    return _flat(run_stage(worker, task), task)


def run_job(job: Any, inputs: Iterable[Iterable[Any]], *, nodes: int = 2, seed: int = 0, **jobargs: Any) -> list[Any]:
    """The records of a whole job, as its results on a cluster would give them.

    Parameters: `job` a Job or a class of Jobs, classic or a pipeline; `inputs` a list of inputs, each a list of entries
    as map gets them (of a pipeline as the input chain of its first stage would give them, of a job without map pairs);
    `nodes` how many there are, which matters for groupings; `seed` for the order in which reduces read their files and
    for the nodes of tasks; `jobargs` job parameters. Exceptions of functions pass.
    """
    from discolocal.testing import pipelines

    return pipelines.run(resolve(job, jobargs), listed_inputs(inputs), nodes, seed)


# One task


def classic(job: Any, jobargs: dict[str, Any], role: str) -> Parts:
    """The parts of a job of which one function is to run. Raises DiscoError when the job has none that can."""
    parts = resolve(job, jobargs, role)
    if parts.is_pipeline:
        raise DiscoError(f"{parts.name} is a pipeline, which has stages instead of a {role}: use run_job")
    function = parts[role]
    if isinstance(function, dict):
        raise DiscoError(f"the {role} of {parts.name} is an external program: only a cluster can run it")
    if function is None and role != "combiner":
        raise DiscoError(f"{parts.name} has no {role}")
    return parts


def staged(parts: Parts, stage: str, given: bool) -> Worker:
    """The worker of a classic job for one task of a stage, its files in memory; with `given` entries are not read."""
    worker = copy.copy(parts.worker)
    assert isinstance(worker, Worker)
    worker.outputs = {}
    streams, written = f"{stage}_input_stream", f"{stage}_output_stream"
    if given:
        worker[f"{stage}_reader"] = None
    worker[streams] = reading(GIVEN if given else chain_of(worker[streams]))
    worker[written] = writing(chain_of(worker[written]))
    return worker


def run_stage(worker: Worker, task: MemoryTask, params: Callable[[], Any] | None = None) -> dict[int, list[str]]:
    """Run a classic task; returns the urls of its outputs by label. `params` gives a copy that is not the plain one."""
    worker.outputs.clear()
    with task.running():
        task.encoding = worker["encoding"]
        getattr(worker, task.stage)(task, (params or task.parts.params)())
        return collected(worker, task)


def _as_given(entry: Any, params: Any) -> tuple[Any]:
    return (entry,)


def _no_output(label: int | None) -> Any:
    raise AssertionError(f"nothing is written to the partition {label}")


def _flat(outputs: dict[int, list[str]], task: MemoryTask) -> list[Any]:
    return [record for label in sorted(outputs) for record in records(task, outputs[label])]
