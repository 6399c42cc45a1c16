"""The reduce stage: the files of one partition, perhaps sorted, -> reduce -> one output (reference 8.5, 8.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.error import DataError
from discolocal.schemes.scheme_dir import read_index
from discolocal.worker.classic.failures import Blame
from discolocal.worker.inputs import SerialInput, TaskInput, task_inputs
from discolocal.worker.task_io import argument_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from discolocal.task import Task
    from discolocal.wire.index import Line


def index_lines(source: TaskInput) -> list[Line]:
    """The lines of an index input, from its first replica that can be read (reference 8.9)."""
    error: DataError | None = None
    for url in source.attempts():
        try:
            return read_index(url, source.task)
        except DataError as failed:
            error = failed
    raise DataError(f"Exhausted all available replicas: {error}", source.urls) from error


def partition_files(task: Task) -> tuple[list[list[str]], dict[str, int]]:
    """The files a reduce task reads, as lists of replicas in shuffled order, and their sizes by url (reference 8.5)."""
    inputs = list(task_inputs(task))
    only_indexes = all(source.isindex for source in inputs)
    files: list[list[str]] = []
    sizes: dict[str, int] = {}
    for source in inputs:
        if not source.isindex:
            files.append([url for _rid, url in source.ask()])
            continue
        for line in index_lines(source):
            if line.label == task.group_label or not only_indexes:
                files.append([line.url])
                sizes[line.url] = line.size
    if len(files) > 1:
        shuffle(files, task)
    return files, sizes


def shuffle(files: list[Any], task: Task) -> None:
    """Put files into an order nobody may rely on; the same one whenever the cluster's seed is the same."""
    import random

    seed = task.local.get("seed")
    generator = random.Random() if seed is None else random.Random(f"{seed}:{task.stage}:{task.taskid}")
    generator.shuffle(files)


class PartitionInput(SerialInput):
    """The records of a reduce task; files whose size is not that of the index are refused."""

    def __init__(self, task: Task, open: Callable[..., Any]) -> None:
        files, self.sizes = partition_files(task)
        self.total = 0
        super().__init__(files, task=task, open=lambda url: open(url, self.sizes.get(url, -1)))


def run_reduce(entries: Iterator[Any], function: Callable[..., Any], out: Any, params: Any, blame: Blame) -> None:
    """Call reduce once with all entries, in whichever of its two forms it has (reference 8.5).

    Parameters: `out` the output's object with `add`.
    """
    try:
        if argument_count(function) >= 3:
            function(entries, out, params)
            return
        pairs = function(entries, params)
        if pairs is None:
            raise TypeError("a reduce function of two parameters must yield or return (key, value) pairs, not None")
        out.add_all(pairs)
    except Exception as error:
        source = blame.source
        where = ""
        if source is not None and source.url:
            where = f", last at record {source.record} of {source.url}"
        blame.note(error, f"reduce failed in partition {blame.task.group_label}{where}")
        raise
