"""What the stages of a job did: each task's inputs, outputs, node and time, and the records in between (reference 3.2).

    JobState --facts--> StageFacts (plain values, kept with the job) --Stages--> what a caller looks at

Nothing is read before somebody asks for records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from discolocal.cluster import store
from discolocal.cluster.grouping import DataOutput, Group, GroupInput, Output
from discolocal.error import DataError, DiscoError

if TYPE_CHECKING:
    from discolocal.cluster.local import LocalCluster
    from discolocal.cluster.state import JobState

_MOST_ROWS = 20  # of a table of tasks
_MOST_LABELS = 4  # of a cell


class TaskFacts(NamedTuple):
    """A task as its job knows it: `attempts` have started, the last on `host`; `seconds` is what the last one took."""

    id: int
    group: Group
    outputs: tuple[Output, ...]
    status: str
    attempts: int
    host: str | None
    seconds: float | None


class StageFacts(NamedTuple):
    """A stage that has started; `seconds` from then to its end, None until then."""

    name: str
    grouping: str
    seconds: float | None
    tasks: list[TaskFacts]


def facts(state: JobState, seconds: Mapping[int, float]) -> list[StageFacts]:
    """What there is to know of a job's stages; `seconds` is how long the last attempts of tasks took, by task id."""
    ended = state.status != "active"
    return [
        StageFacts(
            stage.name,
            stage.grouping,
            stage.ended - stage.started if stage.ended is not None else None,
            [
                TaskFacts(
                    task.id,
                    task.group,
                    task.outputs,
                    _status(task.status, task.failures, ended),
                    task.run + (task.host is not None),
                    task.host,
                    seconds.get(task.id),
                )
                for task in stage.tasks
            ],
        )
        for stage in state.stages
    ]


def _status(status: str, failures: int, ended: bool) -> str:
    if status == "queued":
        return ("failed" if failures else "dropped") if ended else "waiting"
    return status


class StageOutput(NamedTuple):
    """The data of one label that a task has put out.

    `size` in bytes; `urls` of its replicas: of the data itself, or ``dir://`` of the task's index, whose lines of this
    label are meant.
    """

    label: int
    size: int
    urls: tuple[str, ...]


class _Readable:
    """What has tasks, and the records that they have put out."""

    tasks: Sequence[StageTask]

    def read(self, label: int | None = None, **how: Any) -> Iterator[Any]:
        """Iterate over the records of the outputs, one task after the other.

        Parameters: `label` those of one label only; `reader`, `input_stream` and `params` are for `result_iterator`, by
        default for outputs in Disco's internal format. Raises DataError for outputs that cannot be read, DiscoError
        when their job was purged or its cluster closed.
        """
        for task in self.tasks:
            yield from task._read(label, how)

    def __iter__(self) -> Iterator[Any]:
        return self.read()

    @property
    def outputs(self) -> list[StageOutput]:
        """What the tasks have put out, by task and label."""
        return [output for task in self.tasks for output in task.outputs]

    @property
    def labels(self) -> list[int]:
        """The labels of the outputs, ascending."""
        return sorted({output.label for output in self.outputs})

    @property
    def size(self) -> int:
        """The size of the outputs in bytes."""
        return sum(output.size for output in self.outputs)

    @property
    def records(self) -> int:
        """How many records the outputs have. They are read for that, once. Raises as `read`."""
        return sum(task._count() for task in self.tasks)


class StageTask(_Readable):
    """One task of a stage.

    Attributes: `id`, `stage`, `label` and `group_host` of its group; `inputs` are (label, urls, host) in order; `host`
    is the node of its last attempt, `attempts` how many have started, `seconds` what the last one took (None until it
    has ended); `status` is "waiting", "running" or "done", in a job that failed also "failed" or "dropped" (not done,
    without a failure of its own).
    """

    def __init__(self, stage: str, facts: TaskFacts, job: _Job) -> None:
        self.id = facts.id
        self.stage = stage
        self.label = facts.group.label
        self.group_host = facts.group.host
        self.inputs: tuple[GroupInput, ...] = facts.group.inputs
        self.host = facts.host
        self.attempts = facts.attempts
        self.seconds = facts.seconds
        self.status = facts.status
        self.tasks = (self,)
        self._outputs = facts.outputs
        self._job = job
        self._records: int | None = None

    def __repr__(self) -> str:
        return f"<task {self.stage}:{self.id} {self.status} on {self.host}, {self.size} bytes of output>"

    @property
    def outputs(self) -> list[StageOutput]:
        """What it has put out, by label."""
        found = []
        for output in self._outputs:
            if isinstance(output, DataOutput):
                found.append(StageOutput(output.label, output.size, output.urls))
            else:
                found += [StageOutput(label, size, (output.url,)) for label, size in output.labels]
        return found

    def _read(self, label: int | None, how: dict[str, Any]) -> Iterator[Any]:
        from discolocal.core import result_iterator

        self._job.check()
        try:
            yield from result_iterator(self._urls(label), ddfs=self._job.cluster, **how)
        except DataError as error:
            self._job.explain(error)
            raise

    def _urls(self, label: int | None) -> Iterator[list[str]]:
        for output in self._outputs:
            if isinstance(output, DataOutput):
                if label in (None, output.label):
                    yield list(output.urls)
            elif label is None:
                yield [output.url]
            else:
                yield from self._lines(output.url, label)

    def _lines(self, url: str, label: int) -> Iterator[list[str]]:
        from discolocal.schemes import scheme_dir

        for line in scheme_dir.read_index(url):
            if line.label == label:
                scheme_dir.check_size(line)
                yield [line.url]

    def _count(self) -> int:
        if self._records is None:
            self._records = sum(1 for _ in self.read())
        return self._records


class Stage(_Readable):
    """One stage of a job that has started; iterating gives the records that it has put out so far.

    Attributes: `name`, `grouping`; `tasks` a list of `StageTask`; `seconds` from its start to its end, None until then.
    """

    def __init__(self, facts: StageFacts, job: _Job) -> None:
        self.name = facts.name
        self.grouping = facts.grouping
        self.seconds = facts.seconds
        self.tasks = [StageTask(facts.name, task, job) for task in facts.tasks]

    @property
    def inputs(self) -> list[GroupInput]:
        """The inputs of all tasks, (label, urls, host)."""
        return [found for task in self.tasks for found in task.inputs]

    def _table(self) -> list[list[str]]:
        rows = [["task", "label", "node", "status", "attempts", "inputs", "outputs", "labels", "bytes", "seconds"]]
        for task in self.tasks[:_MOST_ROWS]:
            counts = (str(task.attempts), str(len(task.inputs)), str(len(task.outputs)))
            size, seconds = f"{task.size:,}", _seconds(task.seconds)
            name = f"{self.name}:{task.id}"
            rows.append([name, str(task.label), task.host or "-", task.status, *counts, _labels(task), size, seconds])
        return rows

    @property
    def _left_out(self) -> str:
        more = len(self.tasks) - _MOST_ROWS
        return f"... and {more} more tasks" if more > 0 else ""

    def __repr__(self) -> str:
        return _text(self._table(), self._left_out)

    def _repr_html_(self) -> str:
        return _html(self._table(), self._left_out)


class Stages(Sequence[Stage]):
    """The stages of a job that have started, in order; one of them by its number or its name. Shown as a table.

    Raises DiscoError for the name of a stage that there is not.
    """

    def __init__(self, jobname: str, facts: Iterable[StageFacts], cluster: LocalCluster) -> None:
        self._name = jobname
        job = _Job(jobname, cluster)
        self._stages = [Stage(one, job) for one in facts]

    def __len__(self) -> int:
        return len(self._stages)

    @overload
    def __getitem__(self, key: int | str) -> Stage: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[Stage]: ...

    def __getitem__(self, key: int | str | slice) -> Stage | Sequence[Stage]:
        if not isinstance(key, str):
            return self._stages[key]
        for stage in self._stages:
            if stage.name == key:
                return stage
        known = ", ".join(stage.name for stage in self._stages) or "none"
        raise DiscoError(f"{self._name} has no stage {key!r} that has started: those that have are {known}")

    def _table(self) -> list[list[str]]:
        rows = [["stage", "grouping", "tasks", "done", "attempts", "inputs", "outputs", "labels", "bytes", "seconds"]]
        for stage in self._stages:
            tasks = stage.tasks
            done = sum(task.status == "done" for task in tasks)
            counts = (len(tasks), done, sum(task.attempts for task in tasks), len(stage.inputs), len(stage.outputs))
            facts = [_labels(stage), f"{stage.size:,}", _seconds(stage.seconds)]
            rows.append([stage.name, stage.grouping, *map(str, counts), *facts])
        return rows

    def __repr__(self) -> str:
        return _text(self._table())

    def _repr_html_(self) -> str:
        return _html(self._table())


class _Job:
    """Where the files of a job are, or why they are not there any more."""

    def __init__(self, name: str, cluster: LocalCluster) -> None:
        self.name = name
        self.cluster = cluster

    def check(self) -> None:
        """Raise DiscoError when the cluster has removed its files."""
        check_open(self.name, self.cluster)

    def explain(self, error: DataError) -> None:
        """Raise DiscoError if what could not be read was purged."""
        import os

        if not any(os.path.isdir(store.job_home(self.cluster.data, node, self.name)) for node in self.cluster.nodes):
            raise DiscoError(
                f"The files of {self.name} are gone, it was purged: look at the records of its stages before"
            ) from error


def check_open(jobname: str, cluster: LocalCluster) -> None:
    """Raise DiscoError when the cluster of a job is closed and its files are gone."""
    if cluster.closed and not cluster.kept:
        raise DiscoError(
            f"The cluster that held the results of {jobname} is closed and its files are gone: "
            "read the results before it is closed (records = list(results)), or use LocalCluster(keep=True)"
        )


def _labels(found: _Readable) -> str:
    labels = found.labels
    shown = ", ".join(map(str, labels[:_MOST_LABELS]))
    return (f"{shown}, ... {labels[-1]}" if len(labels) > _MOST_LABELS else shown) or "-"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f}"


def _text(rows: list[list[str]], note: str = "") -> str:
    """A table as text: the first columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    numbers = [all(_is_number(cell) for cell in column[1:]) for column in zip(*rows)]
    lines = (
        "  ".join(c.rjust(w) if number else c.ljust(w) for c, w, number in zip(row, widths, numbers)).rstrip()
        for row in rows
    )
    return "\n".join([*lines, *([note] if note else [])])


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "").isdecimal()


def _html(rows: list[list[str]], note: str = "") -> str:
    """A table for notebooks."""
    from html import escape

    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows[1:])
    return f"<table>{line(rows[0], 'th')}{body}</table>{escape(note)}"
