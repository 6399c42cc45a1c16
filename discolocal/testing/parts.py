"""The argument `job` of drivers and laws, resolved: what its tasks would have, without a cluster.

    Job, class or function, with job parameters --resolve--> Parts --fresh--> Parts of another node

Parameters mean what they mean to `Job.run`, and are checked as it checks them. Nothing is opened, no process started.
"""

from __future__ import annotations

import copy
import io
import pickle
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.job import Job
from discolocal.jobdata import jobdata
from discolocal.testing.checked import checked as sent_as
from discolocal.worker.classic.names import inject
from discolocal.worker.classic.worker import Worker as ClassicWorker
from discolocal.worker.params import Params
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from discolocal.testing.memory import Home
    from discolocal.worker.base import Worker

ROLES = ("map", "combiner", "partition", "reduce")
"""What a plain function can stand for."""


class Parts:
    """A job with its parameters, and its worker with all items resolved as in a task.

    Parameters: `job` a Job that has a worker, `jobargs` of a run; `name` for messages. Attributes of the same names,
    and `worker`; `parts[name]` is the value of a parameter. Raises DiscoError and TypeError as `Job.run`.
    """

    def __init__(
        self, job: Job, jobargs: dict[str, Any], name: str, checked: dict[str, ModuleType] | None = None
    ) -> None:
        self.job = job
        self.name = name
        worker = job.worker
        if not isinstance(worker, (ClassicWorker, PipelineWorker)) or _runs_alone(worker):
            raise DiscoError(
                f"{name} has the worker {type(worker).__module__}.{type(worker).__qualname__}, which has a run of its"
                " own: only a cluster can run it, as LocalCluster(start='inline').run(...)"
            )
        self.is_pipeline = not isinstance(worker, ClassicWorker)
        values = {key: worker.getitem(key, job, jobargs) for key in worker}
        if checked is None:
            self.jobargs, modules = sent_as(job, worker, jobargs, values.values())
            if self.jobargs.keys() != jobargs.keys():
                values = {key: worker.getitem(key, job, self.jobargs) for key in worker}
        else:  # copies of what was checked are not checked again: that takes as long as many tasks
            self.jobargs, modules = jobargs, checked
        self._modules = modules
        self.worker: Worker = copy.copy(worker)
        self.worker.outputs = {}
        self.worker.update(values)
        inject(self.worker.values(), modules)
        for entry in self.worker["pipeline"] if self.is_pipeline else ():
            inject((entry[1],), modules)

    def __getitem__(self, key: str) -> Any:
        return self.worker[key]

    def __repr__(self) -> str:
        return f"<Parts of {self.name}>"

    def params(self) -> Any:
        """A copy of the params, as every task has one of its own. Raises DiscoError for what cannot be copied."""
        params = self.worker["params"]
        if type(params) is Params and not vars(params):
            return Params()
        try:
            return copy.deepcopy(params)
        except Exception as error:
            raise DiscoError(
                f"params of {self.name} cannot be copied, nor sent to a node: {type(error).__name__}: {error}"
            ) from error

    def begun_params(self) -> Any:
        """A copy of the params as map_init leaves it without entries: combiner and partition function get that."""
        params = self.params()
        if self["map_init"] is not None:
            with suppress(StopIteration):  # it wants an entry
                self["map_init"](iter(()), params)
        return params

    @cached_property
    def data(self) -> bytes:
        """The job and its parameters as they travel to a node; made once. Raises DiscoError naming what cannot."""
        return jobdata(self.job, self.jobargs)

    def fresh(self) -> Parts:
        """The parts as another task on another node would have them, made of `data`."""
        job, jobargs = _Apart(io.BytesIO(self.data)).load()
        return self.again(job, jobargs)

    def again(self, job: Job, jobargs: dict[str, Any]) -> Parts:
        """The parts of a copy of this job and its parameters."""
        parts = Parts(job, jobargs, self.name, self._modules)
        vars(parts)["home"] = self.home  # nodes have the same files
        return parts

    @cached_property
    def home(self) -> Home:
        """The job home, in which functions find their `required_files`."""
        from discolocal.testing.memory import Home

        return Home(self)


class _Apart(pickle.Unpickler):
    """Loads every class that was sent by value as a new one: what it keeps in its attributes is not that of others.

    cloudpickle finds the classes of this process again; tasks of inline clusters do so too, but for classes of jobs.
    """

    _places = {"_make_skeleton_class": 4, "_make_skeleton_enum": 5}
    """By function the place of the argument that identifies a class."""

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler`."""
        found = super().find_class(module, name)
        place = self._places.get(name)
        if place is None or not module.startswith("cloudpickle"):
            return found
        return lambda *given: found(*given[:place], None, *given[place + 1 :])


def resolve(job: Any, jobargs: dict[str, Any] | None = None, role: str | None = None) -> Parts:
    """The parts of a job.

    Parameters: `job` a Job, a class of Jobs, `Parts`, or a function if there is a `role` (one of `ROLES`) for it;
    `jobargs` job parameters. Raises TypeError for anything else and for unknown parameters, DiscoError for values
    that cannot be, as `Job.run`.
    """
    jobargs = jobargs or {}
    if isinstance(job, Parts):
        if not jobargs:
            return job
        parts = Parts(job.job, {**job.jobargs, **jobargs}, job.name)
        if not jobargs.keys() & {"required_files", "required_modules"}:
            vars(parts)["home"] = job.home
        return parts
    if isinstance(job, type) and issubclass(job, Job):
        job = job()
    if isinstance(job, Job):
        sent = copy.copy(job)
        # Not by assignment: a job may be a frozen dataclass.
        vars(sent).update(worker=job._worker(), master=None)
        vars(sent).pop("input", None)
        name = type(job).__qualname__ if type(job) is not Job else repr(job)
    elif role is not None and callable(job):
        name = getattr(job, "__qualname__", None) or short_repr(job)
        sent = Job(**{role: job})
        vars(sent).update(worker=sent._worker())
    else:
        wanted = "a Job or a class of Jobs" if role is None else f"a Job, a class of Jobs or a {role} function"
        raise TypeError(f"job must be {wanted}, not {short_repr(job)}")
    return Parts(sent, {key: value for key, value in jobargs.items() if key not in ("input", "input_files")}, name)


def listed_inputs(inputs: Iterable[Iterable[Any]]) -> list[list[Any]]:
    """The inputs of a job as lists of entries. Raises TypeError for a text, whose letters are hardly meant."""
    return [listed_entries(entries, "an input") for entries in listed_entries(inputs, "inputs")]


def listed_entries(entries: Iterable[Any], what: str = "entries") -> list[Any]:
    """The entries of one input as a list. Raises TypeError for a text; `what` says what it was given as."""
    if isinstance(entries, (str, bytes)):
        wanted = "a list of inputs, each a list of entries" if what == "inputs" else "a list of entries"
        raise TypeError(
            f"{what} must be {wanted} as map gets them, not {short_repr(entries)}: of a text its lines, as"
            " text.splitlines(keepends=True)"
        )
    return list(entries)


def _runs_alone(worker: Worker) -> bool:
    """Whether a worker does its work by code of the user's, which need not look at any parameter."""
    kind = ClassicWorker if isinstance(worker, ClassicWorker) else PipelineWorker
    return type(worker).run is not kind.run
