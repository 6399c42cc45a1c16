"""A whole job in memory: its stages one after the other, as a master makes tasks of them (reference 3.1, 3.2).

    inputs --group--> tasks of a stage --outputs by label, each on a node--> group --> ... --> results

Classic jobs are run as the pipelines that masters make of them; the outputs of a node are not joined in between.
"""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from discolocal.cluster.grouping import DataOutput, DirOutput, Group, Output, group
from discolocal.error import DiscoError
from discolocal.testing import drivers
from discolocal.testing.memory import MemoryTask, Scratch
from discolocal.testing.memory_streams import URL, collected, reading, records, writing
from discolocal.wire.packcheck import v1_pipeline
from discolocal.worker.classic.worker import DEFAULT_OUTPUT
from discolocal.worker.pipeline.interface import TaskInfo
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from discolocal.worker.task_io import chain_stream

if TYPE_CHECKING:
    from discolocal.testing.parts import Parts

Labels = dict[int, list[str]]


def run(parts: Parts, inputs: list[list[Any]], nodes: int, seed: int) -> list[Any]:
    """The records of a whole job; see `drivers.run_job`, whose parameters these are."""
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
        raise DiscoError(f"nodes must be an int of at least 1, not {nodes!r}")
    job = MemoryJob(parts, nodes, seed)
    try:
        return job.run(inputs)
    finally:
        job.scratch.remove()


class MemoryJob:
    """One run of a job, whose files are in memory."""

    def __init__(self, parts: Parts, nodes: int, seed: int) -> None:
        self.parts = parts
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        self.seed = seed
        self.random = random.Random(seed)
        self.scratch = Scratch()
        self.files: dict[str, Any] = {}
        self.pairs: dict[str, list[Any]] = {}
        self.labels: dict[str, Labels] = {}  # of the tasks, by the urls of their indexes
        self.staged: dict[str, Any] = {}  # the workers of classic stages
        self.tasks = 0

    def run(self, inputs: list[list[Any]]) -> list[Any]:
        """Run all stages; returns the records of the last one."""
        rows = _pipeline(self.parts)
        outputs: list[tuple[int, list[Output]]] = [(0, [self._input(*row) for row in enumerate(inputs)])]
        urls = [url for _, found in outputs for output in found for url in _urls(output)]
        for level, (stage, grouping, _concurrent) in enumerate(rows):
            if level and not self.parts.is_pipeline:
                # What is between map and reduce on a cluster has no tasks where there are no outputs.
                outputs = [output for output in outputs if output[1]]
            groups = group(grouping, outputs, turned=level == 0)
            outputs = [self._task(stage, level, part) for part in groups]
            urls = [url for _, found in outputs for output in found for url in _urls(output)]
        indexes = [self.labels.get(url, {0: [url]}) for url in urls]
        task = MemoryTask(self.parts, "", [], self.files)
        task.pairs = self.pairs
        return [record for index in indexes for label in sorted(index) for record in records(task, index[label])]

    def _input(self, number: int, entries: list[Any]) -> Output:
        url = f"{URL}input/{number}"
        self.files[url] = entries
        return DataOutput(0, 0, (url,), None)

    def _task(self, stage: str, level: int, part: Group) -> tuple[int, list[Output]]:
        """Run the task of a group; returns its number and its outputs, an index if there are any."""
        number = self.tasks
        self.tasks += 1
        host = part.host or self.random.choice(self.nodes)
        members = [member for source in part.inputs for member in self._members(source.label, source.urls[0])]
        task = MemoryTask(
            self.parts,
            stage,
            members,
            self.files,
            taskid=number,
            label=part.label,
            host=host,
            group_host=part.host or "",
            seed=self.seed,
            scratch=self.scratch,
        )
        task.pairs = self.pairs
        if self.parts.is_pipeline:
            labels = run_stage(self.parts, task, level)
        else:
            if stage not in self.staged:
                self.staged[stage] = drivers.staged(self.parts, stage, given=level == 0)
            labels = drivers.run_stage(self.staged[stage], task)
        if not labels:
            return number, []
        url = f"{URL}task/{number}"
        self.labels[url] = labels
        return number, [DirOutput(url, host, tuple((label, 0) for label in sorted(labels)))]

    def _members(self, label: int | str, url: str) -> list[tuple[int, str]]:
        """What an input of a task stands for: itself, or the files of an index that have the label."""
        if url not in self.labels:
            assert isinstance(label, int)
            return [(label, url)]
        index = self.labels[url]
        return [(found, name) for found in sorted(index) if label in ("all", found) for name in index[found]]


def _pipeline(parts: Parts) -> list[tuple[str, str, bool]]:
    """The stages of a job as a master has them (reference 1.4), without those that only join files."""
    if parts.is_pipeline:
        return [(entry[1].name, entry[0], False) for entry in parts["pipeline"]]
    for role in ("map", "reduce"):
        if isinstance(parts[role], dict):
            raise DiscoError(f"the {role} of {parts.name} is an external program: only a cluster can run it")
    # A job without map has as many reduces as its inputs have labels, and these have none.
    single = not parts["map"] or (parts["partitions"] or 1) == 1
    rows = v1_pipeline(bool(parts["map"]), bool(parts["reduce"]), False, single=single)
    return [row for row in rows if not row[0].endswith("_shuffle")]


def _urls(output: Output) -> tuple[str, ...]:
    return output.urls if isinstance(output, DataOutput) else (output.url,)


def run_stage(parts: Parts, task: MemoryTask, level: int) -> Labels:
    """Run a task of the stage at this place of a pipeline; returns the urls of its outputs by label."""
    worker = copy.copy(parts.worker)
    assert isinstance(worker, PipelineWorker)
    worker.outputs = {}
    original = worker["pipeline"][level][1]
    stage = copy.copy(original)
    stage.input_chain = reading(drivers.GIVEN if level == 0 else stage.input_chain or chain_stream)
    stage.output_chain = writing(stage.output_chain or DEFAULT_OUTPUT)
    worker["params"] = parts.params()
    group_name = f"{task.group_label}-{task.group_host}"
    # Functions of the stage may look at the stage that they know.
    original.taskinfo = TaskInfo(task.jobname, task.host, task.stage, group_name, task.group_label)
    try:
        with task.running():
            task.encoding = worker["encoding"]
            worker.run_stage(task, stage, level == 0, level == len(worker["pipeline"]) - 1)
            return collected(worker, task)
    finally:
        del original.taskinfo
