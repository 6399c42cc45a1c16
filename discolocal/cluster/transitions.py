"""What goes into a job's state machine and what comes out: events and instructions. Plain values."""

from __future__ import annotations

from typing import Any, NamedTuple

from discolocal.cluster.grouping import Group, GroupInput, Output


class Task:
    """One task of the job: its group, its attempts and, once done, its outputs.

    `level` is the place of its stage in the pipeline. `early`: stages before its own are not finished. `complete`: no
    more inputs will be added to its group; a task that runs before that waits for them.
    """

    __slots__ = (
        "avoid",
        "complete",
        "early",
        "failures",
        "group",
        "history",
        "host",
        "id",
        "level",
        "outputs",
        "run",
        "serial",
        "stage",
        "status",
    )

    def __init__(self, id: int, stage: str, group: Group, level: int = 0) -> None:
        self.id = id
        self.stage = stage
        self.group = group
        self.level = level
        self.early = False
        self.complete = True
        self.run = 0
        self.serial = 0  # the number of this attempt among all of the job, as a master counts them
        self.failures = 0
        self.status = "queued"
        self.host: str | None = None
        self.avoid: set[str] = set()
        self.outputs: tuple[Output, ...] = ()
        self.history: list[str] = []

    @property
    def name(self) -> str:
        """`<stage>:<id>`, as in event texts."""
        return f"{self.stage}:{self.id}"


class Begin(NamedTuple):
    """The job's inputs are known; start the first stage."""


class TaskAssigned(NamedTuple):
    """A node took attempt `run` of the task."""

    task: int
    run: int
    host: str


class TaskDone(NamedTuple):
    """Attempt `run` ended with DONE and these outputs.

    `inputs` is how many inputs there were for it then, None if it has not asked for any and will miss none.
    """

    task: int
    run: int
    outputs: tuple[Output, ...]
    inputs: int | None = None


class TaskFailed(NamedTuple):
    """Attempt `run` ended with an error that allows another attempt (kind `error`)."""

    task: int
    run: int
    text: str


class TaskFatal(NamedTuple):
    """Attempt `run` ended with an error that ends the job (kind `fatal`)."""

    task: int
    run: int
    text: str


class NodeLost(NamedTuple):
    """The process of node `host` is gone, and all it was running."""

    host: str
    text: str


class Saved(NamedTuple):
    """The outputs of the last stage are in DDFS; `results` is what the job has instead of them."""

    results: list[Any]


class SaveFailed(NamedTuple):
    """The outputs of the last stage could not be kept in DDFS."""

    text: str


class KillAsked(NamedTuple):
    """Somebody wants the job to end now."""

    text: str


Event = Begin | TaskAssigned | TaskDone | TaskFailed | TaskFatal | NodeLost | Saved | SaveFailed | KillAsked


class Launch(NamedTuple):
    """Run attempt `run` of `task`: on `host` if given, else rather on `near`, and on none of `avoid`."""

    task: Task
    run: int
    host: str | None
    near: str | None
    avoid: frozenset[str]


class Feed(NamedTuple):
    """Attempt `run` of the task, which runs, has got more `inputs`; `complete`: they were the last."""

    task: int
    run: int
    inputs: tuple[GroupInput, ...]
    complete: bool


class Cancel(NamedTuple):
    """Attempt `run` of the task is not wanted any more: stop it, or forget it if it still waits."""

    task: int
    run: int


class Log(NamedTuple):
    """A line for the job's event log, from `host` ("master" for the coordinator's own)."""

    host: str
    text: str


class Save(NamedTuple):
    """Keep the outputs of the last stage, given as url lists, under a tag; then say `Saved` or `SaveFailed`."""

    urls: list[list[str]]


class Finish(NamedTuple):
    """The job is done; `results` are the url lists of the last stage's outputs, or the url of their tag (3.2)."""

    results: list[Any]


class Fail(NamedTuple):
    """The job failed or was killed. `task` is the task to blame, if there is one."""

    text: str
    task: Task | None
    host: str | None
    failures: int


Instruction = Launch | Feed | Cancel | Log | Save | Finish | Fail
