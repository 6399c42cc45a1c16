"""One task of a pipeline: its inputs by label, and the calls of its stage's functions (reference 8.10).

INPUT -> inputs, the lines of indexes among them -> by label -> init, input_hook, process..., done -> outputs
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.wire.index import Line
from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.reducing import index_lines
from discolocal.worker.inputs import SerialInput, TaskInput, task_inputs
from discolocal.worker.serving import one_line, short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.task import Task
    from discolocal.worker.pipeline.interface import Interface
    from discolocal.worker.pipeline.stage import Stage

    Member = TaskInput | Line
    Opener = Callable[[str, int], Any]

SORT_BUFFER = "10%"


def input_map(task: Task) -> dict[int, list[Member]]:
    """All inputs of a task by their labels, each an input or a file that an index among the inputs lists.

    Labels stand in the order in which they occur. Of an index those files count whose label is that of the input; in
    a group of any labels all of them.
    """
    found: dict[int, list[Member]] = {}
    for source in task_inputs(task):
        replicas = source.ask()
        if replicas and replicas[0][1].startswith("dir://"):
            for line in sorted(index_lines(source)):
                if source.label in ("all", line.label):
                    found.setdefault(line.label, []).append(line)
        else:
            found.setdefault(source.label if isinstance(source.label, int) else 0, []).append(source)
    return found


class StageInput(SerialInput):
    """The records of one input, or of several one after the other: the argument `inp` of `process`.

    Parameters: `task`; `members` inputs or lines of indexes, whose files must have the size that the index says;
    `open` opens a url that is to have a size, -1 for any.
    """

    def __init__(self, task: Task, members: list[Member], open: Opener) -> None:
        sizes: dict[str, int] = {}
        sources: list[TaskInput | list[str]] = []
        for member in members:
            if isinstance(member, TaskInput):
                sources.append(member)
            else:
                sources.append([member.url])
                sizes[member.url] = member.size
        super().__init__(sources, task=task, open=lambda url: open(url, sizes.get(url, -1)))


class StageRun:
    """One run of a stage. Failures of user functions leave a headline in the task before they are raised.

    Parameters: `task`, `stage` and `params`; `interface` what the stage's functions are given; `open` opens inputs,
    see `StageInput`.
    """

    def __init__(self, task: Task, stage: Stage, params: Any, interface: Interface, open: Opener) -> None:
        self.task = task
        self.stage = stage
        self.params = params
        self.interface = interface
        self.open = open
        self.blame = Blame(task)

    def run(self) -> None:
        """Call the functions in their order."""
        stage, interface = self.stage, self.interface
        state = None
        if stage.init is not None:
            state = self._call("init", stage.init, interface, self.params)
        if stage.process is not None:
            self._process_all(stage.process, state)
        if stage.done is not None:
            self._call("done", stage.done, interface, state)

    def _process_all(self, process: Callable[..., object], state: Any) -> None:
        inputs = input_map(self.task)
        left = set(inputs)
        for label in self._hooked(state, inputs):
            members = inputs.get(label)
            if members is None:
                self._warn_unknown(label)
            left.discard(label)
            for argument, source in self._arguments(label, members or []):
                self._process(process, state, label, argument, source)
        if left:
            self.task.warn(
                "skipped-label",
                f"input_hook of the stage {self.stage.name} leaves out the labels {', '.join(map(str, sorted(left)))}:"
                " their inputs are not processed, which a cluster does without a word; return all labels",
            )

    def _hooked(self, state: Any, inputs: dict[int, list[Member]]) -> Iterator[int]:
        """The labels as input_hook gives them; it may decide about each when its turn comes."""
        labels = self._call("input_hook", self.stage.input_hook, state, inputs.keys())
        try:
            iterator = iter(labels)
        except TypeError as error:
            self.blame.note(error, f"input_hook of stage {self.stage.name} returned {short_repr(labels)}, not labels")
            raise
        while True:
            try:
                label = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                self.blame.note(error, f"input_hook of stage {self.stage.name} failed")
                raise
            yield label

    def _arguments(self, label: int, members: list[Member]) -> Iterator[tuple[Iterable[Any], StageInput]]:
        """What `process` is called with for a label, each with the input that its records are read from."""
        if not self.stage.combine:
            for member in members:
                source = StageInput(self.task, [member], self.open)
                yield source, source
            return
        source = StageInput(self.task, members, self.open)
        records: Iterable[Any] = _pairs(source)
        if self.stage.sort:
            from discolocal.util import disk_sort

            self.blame.source = source
            try:
                records = disk_sort(None, records, self.task.path(f"sort-{label}.dl"), SORT_BUFFER)
            except Exception as error:
                self.blame.reading(error, f"sorting the input of stage {self.stage.name}")
                raise
        yield records, source

    def _process(
        self, process: Callable[..., object], state: Any, label: int, argument: Iterable[Any], source: StageInput
    ) -> None:
        try:
            process(self.interface, state, label, argument)
        except Exception as error:
            where = f" at record {source.record} of {one_line(source.url, 200)}" if source.url else ""
            self.blame.note(error, f"process of stage {self.stage.name} failed{where}", f"label: {label}")
            raise

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            self.blame.note(error, f"{name} of stage {self.stage.name} failed")
            raise

    def _warn_unknown(self, label: object) -> None:
        what = "process is called with no records" if self.stage.combine else "nothing is processed"
        self.task.warn(
            "unknown-label",
            f"input_hook of the stage {self.stage.name} returns {short_repr(label)}, which no input has as its label:"
            f" {what}, which a cluster does without a word; return labels that it was given",
        )


def _pairs(records: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Pass pairs on. Raises TypeError for records that are none."""
    for record in records:
        try:
            key, value = record
        except (TypeError, ValueError):
            raise TypeError(
                f"a stage with combine=True reads (key, value) pairs, and {short_repr(record)} is none; give it an"
                " input_chain that makes pairs"
            ) from None
        yield key, value
