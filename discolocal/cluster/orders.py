"""What the master tells a node about a task, and what the node answers. Plain picklable values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

from discolocal.cluster.grouping import GroupInput, Output

Key = tuple[str, int, int]
"""An attempt: (job name, task id, run)."""

Inputs = tuple[tuple[int | str, tuple[str, ...]], ...]
"""Inputs of a task: (label, replica urls) in order."""


READY = ("ready",)
"""What a node says first."""


class JobOrder(NamedTuple):
    """What is the same for all tasks of a job.

    `jobfile` is the master's copy of the pack, `data` the cluster's DISCO_DATA, `roots` those of all clusters of
    this process, `master` its url; `worker` the path of the worker's program in the job home; `environ` the environment
    of a node, `envs` the job's own (1.6), `sys_path` the client's import path (not for `exec`), `files` the members of
    the job home that a node must unpack; `start` is how its workers start (fork, exec or inline), `timeouts` the factor
    on the time-outs of 2.2; `seed` and `strict` are the cluster's, `nodes` the names of all its nodes.
    """

    jobname: str
    jobfile: str
    data: str
    roots: tuple[str, ...]
    master: str
    worker: str
    environ: dict[str, str]
    envs: dict[str, str]
    sys_path: tuple[str, ...]
    files: tuple[str, ...]
    seed: int
    strict: bool
    start: str
    timeouts: float
    nodes: tuple[str, ...]


class TaskOrder(NamedTuple):
    """Run attempt `run` of a task on `host`. `inputs` are (label, replica urls) in order.

    `saved_as` is how the names of the blobs begin that the outputs become, "" when they stay files of the job;
    `complete=False` when more inputs will follow, as `MoreInputs`; `faults` are rows (line, deed, point, nth) for
    `worker.faults`.
    """

    job: JobOrder
    taskid: int
    run: int
    host: str
    stage: str
    grouping: str
    group: tuple[int, str]
    inputs: Inputs
    saved_as: str = ""
    complete: bool = True
    faults: tuple[tuple[str, str, str, int], ...] = ()

    @property
    def key(self) -> Key:
        """The attempt's key."""
        return self.job.jobname, self.taskid, self.run


class MoreInputs(NamedTuple):
    """More inputs for a running attempt of a concurrent stage; `complete` when they are the last."""

    key: Key
    inputs: Inputs
    complete: bool


class TaskEvent(NamedTuple):
    """A running task said something: `type` is MSG, WARNING or DONE, as in event lines (section 6)."""

    key: Key
    type: str
    text: str


class WorkerStarted(NamedTuple):
    """Process `pid` works on the attempt."""

    key: Key
    pid: int


class TaskEnd(NamedTuple):
    """The attempt ended: `kind` is done, error, fatal or killed (4.1); `outputs` are set when done.

    `text` is what a master logs of a failure; `cause` is what was wrong, where that text does not tell. `inputs` is how
    many inputs there were for a worker when it ended, None if it had not asked for any.
    """

    key: Key
    kind: str
    text: str
    outputs: tuple[Output, ...]
    seconds: float
    cause: str = ""
    inputs: int | None = None


def order_inputs(inputs: Iterable[GroupInput]) -> Inputs:
    """What a node needs to know of the inputs of a task."""
    return tuple((found.label, found.urls) for found in inputs)


def import_path() -> tuple[str, ...]:
    """The caller's import path with absolute entries, as nodes and workers get it."""
    return tuple(dict.fromkeys(os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)))
