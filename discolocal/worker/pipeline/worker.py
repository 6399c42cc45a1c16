#!/usr/bin/env python3
"""The pipeline worker: any number of stages (reference 3, 8.10). Also the program that runs in a job home."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Started by path, as a master does it: the job home, four directories up, is the only place known.
    _here = os.path.dirname(os.path.abspath(__file__))
    _home = os.path.dirname(os.path.dirname(os.path.dirname(_here)))
    sys.path[:] = [_home, os.path.join(_home, "lib"), *[path for path in sys.path if os.path.abspath(path) != _here]]

from typing import TYPE_CHECKING, Any

from discolocal.worker.base import Worker as BaseWorker
from discolocal.worker.classic.implied import implied_modules
from discolocal.worker.classic.names import inject, job_functions, required_modules
from discolocal.worker.classic.worker import DEFAULT_OUTPUT, VERSION, check_version
from discolocal.worker.params import Params
from discolocal.worker.pipeline.interface import Interface, TaskInfo
from discolocal.worker.pipeline.running import StageRun
from discolocal.worker.pipeline.stage import Stage
from discolocal.worker.task_io import (
    StreamCombiner,
    chain_stream,
    default_stream,
    result_output_stream,
    stored_output_stream,
    task_output_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from discolocal.task import Task

__all__ = ["Params", "Stage", "TaskInfo", "Worker"]

CLASSIC_ITEMS = ("map", "reduce", "partitions")


class Worker(BaseWorker):
    """The parameters of a job that is a pipeline, and its tasks (reference 8.10).

    Parameters, as items, job attributes or arguments of `run`: pipeline, a list of (grouping, `Stage`) or (grouping,
    `Stage`, concurrent); params, encoding, version, and those of every worker: input, name, owner, scheduler,
    save_results, required_files, required_modules, profile.
    """

    def defaults(self) -> dict[str, Any]:
        """The items of a new worker."""
        common = {key: value for key, value in super().defaults().items() if key not in CLASSIC_ITEMS}
        return {**common, "pipeline": [], "params": Params(), "encoding": "utf-8", "version": VERSION}

    @property
    def bin(self) -> str:
        """The path of this module's program inside the job home."""
        return "discolocal/worker/pipeline/worker.py"

    def _stages(self, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
        from discolocal.worker.pipeline import submission

        return submission.pipeline_dict(self, job, jobargs)

    # In a task

    def _leaves_to_us(self, task: Task, job: Any, jobargs: dict[str, Any]) -> bool:
        return False  # a stage of any name is the user's own

    def run(self, task: Task, job: Any, **jobargs: Any) -> None:
        """Run the stage of the task. Raises NotImplementedError when the pipeline has none of that name."""
        for key in list(self):
            self[key] = self.getitem(key, job, jobargs)
        check_version(self["version"])
        task.encoding = self["encoding"]
        pipeline = self["pipeline"]
        for entry in pipeline:
            if entry[1].name == task.stage:
                break
        else:
            raise NotImplementedError(f"The pipeline of {type(job).__qualname__} has no stage {task.stage!r}")
        given = list(job_functions([entry[1], self["params"]]))  # functions of other stages do not run here
        inject(given, {**implied_modules(given), **required_modules(self["required_modules"])})
        self.run_stage(task, entry[1], entry is pipeline[0], entry is pipeline[-1])

    def run_stage(self, task: Task, stage: Stage, first: bool, last: bool) -> None:
        """Run a stage, which may be the first or last one of the pipeline."""
        params = self["params"]
        read = tuple(stage.input_chain) or (default_stream if first else chain_stream)
        write = tuple(stage.output_chain) or _default_output(last, bool(task.local))
        opener = _opener(write, params)
        group = f"{task.group_label}-{task.group_host}"
        stage.taskinfo = TaskInfo(task.jobname, task.host, task.stage, group, task.group_label)
        interface = Interface(stage.taskinfo, lambda label: self.output(task, label, open=opener).file.stream)
        StageRun(task, stage, params, interface, _opener(read, params)).run()


def _default_output(last: bool, local: bool) -> tuple[Callable[..., Any], ...]:
    """The default output chain: what the next stage alone reads is not compressed, nor are results that stay here."""
    if not last:
        return task_output_stream, stored_output_stream
    return (task_output_stream, result_output_stream) if local else DEFAULT_OUTPUT


def _opener(streams: tuple[Callable[..., Any], ...], params: Any) -> Callable[..., StreamCombiner]:
    def open(url: str, expected: int = -1) -> StreamCombiner:
        return StreamCombiner(url, streams, params, expected)

    return open


if __name__ == "__main__":
    from discolocal.worker.pipeline.worker import Worker as _Worker

    _Worker.main()
