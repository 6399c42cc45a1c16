"""Names that classic job functions find without importing them (reference 8.3)."""

from __future__ import annotations

import builtins
import functools
import importlib
import os
import re
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import discolocal.worker
from discolocal import active, util
from discolocal.error import CommError, DataError, DiscoError, JobError
from discolocal.jobdata import PLAIN
from discolocal.worker import task_io
from discolocal.worker.classic import func
from discolocal.worker.inputs import task_inputs
from discolocal.worker.old import messages
from discolocal.worker.old.era import marked
from discolocal.worker.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What shows an interface is not meant to be called, and would hide a builtin or a name of the user.
_INTERFACES = ("map", "reduce", "reduce2", "combiner", "partition", "init", "notifier")


def get(*args: Any, **kwargs: Any) -> Any:
    """See `Task.get`."""
    return active.this_task().get(*args, **kwargs)


def put(*args: Any, **kwargs: Any) -> None:
    """See `Task.put`."""
    active.this_task().put(*args, **kwargs)


def this_name() -> str:
    """The name of the job whose task runs here."""
    return active.this_task().jobname


def this_master() -> str:
    """The url of the master of the task that runs here."""
    return active.this_task().master


def this_host() -> str:
    """The name of the node that runs this task."""
    return active.this_task().host


def this_partition() -> int:
    """The partition of a reduce task (reference 8.3).

    In a map task the number of the task if the program is of Disco before 0.5, else 0; with several maps that is
    reported, as the number was there to tell them apart.
    """
    task = active.this_task()
    if task.stage != "map":
        return task.group_label
    if marked(task.jobobjs[0]):
        return task.taskid
    if not task.in_memory and _inputs(task.jobfile) > 1:
        task.warn(
            "map-partition",
            f"this_partition() is {task.group_label} in every map task of a job, of which this one has several: to tell"
            " them apart use Task.taskid",
        )
    return task.group_label


@functools.lru_cache(maxsize=8)
def _inputs(jobfile: str) -> int:
    """How many inputs the job of a job pack has; a classic job has a map task for each."""
    from discolocal.wire.jobpack import JobPack

    with open(jobfile, "rb") as file:
        return len(JobPack.load(file).jobdict.get("input") or ())


def this_inputs() -> list[list[str]]:
    """The inputs of this task, each as the list of its replicas' urls."""
    return [[url for _rid, url in source.ask()] for source in task_inputs(active.this_task())]


@functools.lru_cache(maxsize=1)
def _names() -> dict[str, Any]:
    names: dict[str, Any] = {name: getattr(task_io, name) for name in task_io.__all__}
    names.update((name, getattr(func, name)) for name in func.__all__ if name not in _INTERFACES)
    for function in (get, put, this_name, this_master, this_host, this_partition, this_inputs):
        names[function.__name__] = function
    for error in (CommError, DataError, DiscoError, JobError):
        names[error.__name__] = error
    names.update(Params=Params, Task=active.TaskProxy(), util=util, worker=discolocal.worker, os=os, re=re, sys=sys)
    return {name: value for name, value in names.items() if not hasattr(builtins, name)}


def injected_names() -> frozenset[str]:
    """The names that job functions find on a real cluster, those that show an interface as well."""
    return frozenset(_names()).union(_INTERFACES)


def supplied_names(values: Iterable[Any]) -> dict[str, str]:
    """The names in the functions among `values` that only `inject` gives them, each with the function's name."""
    from discolocal.worker.classic.implied import globals_read

    found: dict[str, str] = {}
    for value in values:
        for function in job_functions(value):
            if not str(function.__module__).startswith("discolocal."):
                for name in sorted(_names().keys() & globals_read(function) - function.__globals__.keys()):
                    found.setdefault(name, function.__qualname__)
    return found


def job_functions(value: Any) -> Iterator[FunctionType]:
    """The functions in a parameter: inside of sequences, stages, partials, methods and decorated functions as well."""
    if isinstance(value, (list, tuple)):
        for item in value:
            if type(item) not in PLAIN:
                yield from job_functions(item)
    elif isinstance(value, functools.partial):
        yield from job_functions(value.func)
    elif hasattr(type(value), "job_functions"):  # a stage of a pipeline
        yield from job_functions(list(value.job_functions()))
    else:
        if isinstance(value, FunctionType):
            yield value
        elif not (callable(value) or isinstance(value, classmethod)):
            return
        inner = getattr(value, "__func__", None) or getattr(value, "__wrapped__", None)
        if inner is not None and inner is not value:
            yield from job_functions(inner)


def inject(values: Iterable[Any], modules: dict[str, ModuleType]) -> None:
    """Put the names into the globals of all job functions; names of the user's own win."""
    names = {**_names(), **messages.injected(), **modules}
    done: set[int] = set()
    for value in values:
        for function in job_functions(value):
            space = function.__globals__
            if id(space) in done or str(function.__module__).startswith("discolocal."):
                continue
            done.add(id(space))
            for name in names.keys() - space.keys():
                space.setdefault(name, names[name])


def required_modules(required: Iterable[Any] | None) -> dict[str, ModuleType]:
    """Import the modules of `required_modules` (names, or pairs of name and path); returns them by their last name."""
    modules: dict[str, ModuleType] = {}
    for item in required or ():
        name = item if isinstance(item, str) else item[0]
        modules[name.rpartition(".")[2]] = importlib.import_module(name)
    return modules
