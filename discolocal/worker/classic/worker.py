#!/usr/bin/env python3
"""The classic worker: map, shuffle, reduce (reference 8.2 to 8.6). Also the program that runs in a job home."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Started by path, as a master does it: the job home, four directories up, is the only place known.
    _here = os.path.dirname(os.path.abspath(__file__))
    _home = os.path.dirname(os.path.dirname(os.path.dirname(_here)))
    sys.path[:] = [_home, os.path.join(_home, "lib"), *[path for path in sys.path if os.path.abspath(path) != _here]]

from functools import partial
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.worker.base import Worker as BaseWorker
from discolocal.worker.classic import func, mapping, reducing, shuffling
from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.implied import implied_modules
from discolocal.worker.classic.names import (
    get,
    inject,
    put,
    required_modules,
    this_host,
    this_inputs,
    this_master,
    this_name,
    this_partition,
)
from discolocal.worker.params import Params
from discolocal.worker.task_io import (
    StreamCombiner,
    disco_output_stream,
    result_output_stream,
    stored_output_stream,
    task_input_stream,
    task_output_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from discolocal.fileutils import DiscoZipFile
    from discolocal.task import Task as RunningTask

__all__ = [
    "Params",
    "Task",
    "Worker",
    "get",
    "put",
    "this_host",
    "this_inputs",
    "this_master",
    "this_name",
    "this_partition",
]

Task: Any = active.TaskProxy()
"""The task that runs, for job functions that import it; they find it by its bare name as well (reference 8.3)."""

DEFAULT_OUTPUT = (task_output_stream, disco_output_stream)
STREAMS = ("map_input_stream", "map_output_stream", "reduce_input_stream", "reduce_output_stream")
NEVER_NONE = ("partition", *STREAMS)
"""Parameters whose default counts where they are None."""
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Worker(BaseWorker):
    """The parameters of a classic job and the stages that use them (reference 8.2).

    Parameters, as items, job attributes or arguments of `run`: map, map_init, map_reader, map_input_stream,
    map_output_stream, combiner, partition, partitions, reduce, reduce_init, reduce_reader, reduce_input_stream,
    reduce_output_stream, reduce_shuffle, sort, sort_buffer_size, params, status_interval, encoding, version, and
    those of every worker: input, name, owner, scheduler, required_files, required_modules, profile.
    """

    def defaults(self) -> dict[str, Any]:
        """The items of a new worker (reference 8.2)."""
        return {
            **super().defaults(),
            "map": None,
            "map_init": func.init,
            "map_reader": None,
            "map_input_stream": (task_input_stream,),
            "map_output_stream": DEFAULT_OUTPUT,
            "map_shuffle": None,
            "combiner": None,
            "partition": func.default_partition,
            "partitions": 1,
            "reduce": None,
            "reduce_init": func.init,
            "reduce_reader": func.chain_reader,
            "reduce_input_stream": (task_input_stream,),
            "reduce_output_stream": DEFAULT_OUTPUT,
            "reduce_shuffle": None,
            "ext_params": {},
            "params": Params(),
            "shuffle": None,
            "sort": False,
            "sort_buffer_size": "10%",
            "status_interval": 100000,
            "encoding": "utf-8",
            "version": VERSION,
        }

    def getitem(self, key: str, job: Any, jobargs: dict[str, Any], default: Any = None) -> Any:
        """The value of a parameter; see the method of the base. Streams and `partition` are never None."""
        value = super().getitem(key, job, jobargs, default)
        return self.defaults()[key] if value is None and key in NEVER_NONE else value

    def _stages(self, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
        from discolocal.worker.classic import submission

        return submission.classic_dict(self, job, jobargs)

    def jobzip(self, job: Any, **jobargs: Any) -> DiscoZipFile:
        """The archive of the job home, with the external programs (reference 8.12)."""
        home = super().jobzip(job, **jobargs)
        for stage in ("map", "reduce"):
            program = self.getitem(stage, job, jobargs)
            if isinstance(program, dict):
                from discolocal.worker.classic import external

                external.add_files(home, stage, program)
        return home

    # In a task

    def run(self, task: RunningTask, job: Any, **jobargs: Any) -> None:
        """Run the stage of the task: map, map_shuffle, reduce or reduce_shuffle (reference 8.3)."""
        for key in list(self):
            self[key] = self.getitem(key, job, jobargs)
        check_version(self["version"])
        task.encoding = self["encoding"]
        inject(self.values(), {**implied_modules(self.values()), **required_modules(self["required_modules"])})
        stages = {
            "map": self.map,
            "map_shuffle": self.map_shuffle,
            "reduce": self.reduce,
            "reduce_shuffle": self.reduce_shuffle,
        }
        if task.stage not in stages:
            raise NotImplementedError(f"A classic job has no stage {task.stage!r}")
        stages[task.stage](task, self["params"])

    def map(self, task: RunningTask, params: Any) -> None:
        """The map stage (reference 8.4)."""
        source = self.input(task, open=self.opener("map", "in", params))
        blame = Blame(task, source)
        entries = mapping.counted(source, "mapped", self["status_interval"], blame)
        self._init("map_init", entries, params, blame)
        open_output = self.opener("map", "out", params, bool(task.local))

        def open_label(label: int | None) -> StreamCombiner:
            output: StreamCombiner = self.output(task, label, open=open_output).file
            return output

        def run(entries: Any, function: Any, blame: Blame) -> None:
            router = mapping.Router(open_label, self["partition"], self["partitions"], params, blame)
            combiner = self["combiner"]
            if combiner is not None and task.faults is not None:
                combiner = task.faults.combining(combiner)
            mapping.run_map(entries, function, combiner, router)

        if isinstance(self["map"], dict):
            from discolocal.worker.classic import exchange

            with exchange.Program(task, self, source) as program:
                run(program.answers(entries), exchange.as_given, program.blame)
        else:
            run(entries, self["map"], blame)

    def reduce(self, task: RunningTask, params: Any) -> None:
        """The reduce stage (reference 8.5)."""
        source = reducing.PartitionInput(task, self.opener("reduce", "in", params))
        blame = Blame(task, source)
        records = iter(source)
        if self["sort"]:
            from discolocal.util import disk_sort

            try:
                records = disk_sort(self, source, task.path("sort.dl"), self["sort_buffer_size"])
            except Exception as error:
                blame.reading(error, "sorting the input")
                raise
        entries = mapping.counted(records, "reduced", self["status_interval"], blame)
        out = self.output(task, None, open=self.opener("reduce", "out", params, bool(task.local))).file
        self._init("reduce_init", entries, params, blame)
        if isinstance(self["reduce"], dict):
            from discolocal.worker.classic import exchange

            with exchange.Program(task, self, source) as program:
                out.add_all(program.results(entries))
        else:
            reducing.run_reduce(entries, self["reduce"], out, params, blame)

    def map_shuffle(self, task: RunningTask, params: Any) -> None:
        """Join the outputs of the maps of this node, by label (reference 3.3)."""
        shuffling.run_shuffle(self, task)

    def reduce_shuffle(self, task: RunningTask, params: Any) -> None:
        """Join the outputs of the reduces of this node, by label (reference 3.3)."""
        shuffling.run_shuffle(self, task)

    def _init(self, name: str, entries: Any, params: Any, blame: Blame) -> None:
        function = self[name]
        if function is None:
            return
        try:
            function(entries, params)
        except Exception as error:
            blame.reading(error, name)
            raise

    def opener(self, stage: str, direction: str, params: Any, local: bool = False) -> Callable[..., StreamCombiner]:
        """A function (url, expected size) that opens the stream chain of a stage; `direction` is "in" or "out".

        `local` says that the files of the job stay on this machine.
        """
        from discolocal.util import iterify

        if direction == "out":
            streams = tuple(iterify(self[f"{stage}_output_stream"]))
            if streams == DEFAULT_OUTPUT and stage == "map" and self["reduce"]:
                # Read once, by the next stage: compressing would cost more than it saves.
                streams = (task_output_stream, stored_output_stream)
            elif streams == DEFAULT_OUTPUT and local:
                streams = (task_output_stream, result_output_stream)
        else:
            reader = self[f"{stage}_reader"]
            streams = (*iterify(self[f"{stage}_input_stream"]), *([reader] if reader else []))
        return partial(_open_chain, streams, params, direction == "out")


def check_version(version: str) -> None:
    """Raise AssertionError when the Python that a job was made by is not this one (reference 1.8)."""
    if version != VERSION:
        raise AssertionError(f"Python version mismatch: the job was made by {version}, this is {VERSION}")


def _open_chain(streams: tuple[Any, ...], params: Any, output: bool, url: str, expected: int = -1) -> StreamCombiner:
    combined = StreamCombiner(url, streams, params, expected)
    if output and not hasattr(combined.stream, "add"):
        names = ", ".join(getattr(stream, "__name__", repr(stream)) for stream in streams)
        combined.discard()
        raise TypeError(f"The last of the output streams {names} gives {combined.stream!r}, which has no `add`")
    return combined


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.5 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)


if __name__ == "__main__":
    from discolocal.worker.classic.worker import Worker as _Worker

    _Worker.main()
