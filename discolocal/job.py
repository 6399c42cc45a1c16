"""Jobs: what to run, packed for a master and followed while it runs.

A `Job` knows its parameters and its worker; the worker turns them into a job pack; a master (a
`LocalCluster`, or a real one by its url) runs the pack and answers questions about it by the job's name.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from discolocal.chain import JobChain
from discolocal.error import JobError
from discolocal.settings import from_settings, local_master
from discolocal.wire.jobpack import JobPack
from discolocal.worker import aliases
from discolocal.worker.classic.implied import with_modules
from discolocal.worker.classic.worker import Worker as ClassicWorker
from discolocal.worker.client import check_parameters, gathering, thorough
from discolocal.worker.old.parameters import of_today, with_defaults, without_merge
from discolocal.worker.old.warning import deprecated
from discolocal.worker.simple import Worker as SimpleWorker

if TYPE_CHECKING:
    from discolocal.worker import Worker as BaseWorker

__all__ = ["Job", "JobChain", "JobPack", "SimpleJob"]


class Job:
    """A Disco job.

    Parameters: `name` is the prefix of the job's name (default: the name of the class); `master` is where
    `run` starts the job: a `LocalCluster`, a `Disco`, or the url of a real master such as ``http://host:8989`` or
    ``disco://host``, or ``local://`` for the local cluster of this process (default: DISCO_MASTER of the environment);
    `worker` the `Worker` that packs and runs it (default: `Job.Worker()`, the classic worker); `settings` a
    `DiscoSettings` that names the master if `master` does not. All other keyword arguments are job parameters, as class
    attributes of a subclass would be: `Job(map=f, reduce=g)`.

    Raises TypeError for a parameter that neither the worker nor the class knows. The order of Disco 0.3, `Job(master,
    name)`, is understood, with a DeprecationWarning.
    Parameters of a job resolve in this order: argument of `run`, attribute of the job, item of the
    worker, default of the worker (reference 8.1).
    """

    Worker: ClassVar[type[BaseWorker]] = ClassicWorker
    proxy_functions = (
        "clean",
        "events",
        "kill",
        "jobinfo",
        "jobpack",
        "oob_get",
        "oob_list",
        "profile_stats",
        "purge",
        "results",
        "stageresults",
        "wait",
    )

    #: Names that no job parameter may have: what they mean is fixed.
    reserved_names: ClassVar[frozenset[str]]

    name: str
    master: Any
    worker: BaseWorker | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Job:
        """Give the job its defaults, so that a subclass's own __init__ need not call this one's."""
        job = super().__new__(cls)
        vars(job).update(name=cls.__name__, master=None, worker=None)
        return job

    def __init__(
        self,
        name: str | None = None,
        master: Any = None,
        worker: BaseWorker | None = None,
        settings: Any = None,
        **parameters: Any,
    ) -> None:
        if hasattr(name, "submit") or (isinstance(name, str) and "://" in name):
            deprecated("Job(master, name) is an old order: use Job(name, master)")
            name, master = master, name
        if name is not None:
            vars(self)["name"] = name
        vars(self).update(master=from_settings(settings, master)[0], worker=worker)
        parameters = of_today(self._worker(), self, parameters)
        check_parameters(self._worker(), self, without_merge(parameters))
        vars(self).update(parameters)

    def __getattr__(self, name: str) -> Any:
        if name in Job.proxy_functions:
            return partial(self._ask, name)
        if name == "mapresults":
            deprecated("mapresults() is an old name: use stageresults('map')")
            return partial(self._ask, "stageresults", "map")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """What travels in the job pack: everything but the master."""
        return {**vars(self), "master": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def disco(self) -> Any:
        """The master of this job, a `LocalCluster` or a `Disco`. Raises JobError when it has none."""
        return self._master()

    def run(self, **jobargs: Any) -> Job:
        """Pack the job, start it on its master and return itself, with the unique name the master gave.

        `jobargs` are job parameters, `input` above all. Does not wait: `job.wait()` does. Raises
        TypeError for an unknown parameter, DiscoError for input that cannot be packed or a pack that is refused.
        """
        submitted = self._master().submit(self, **jobargs)
        # A cluster gives a job, a real master its name. Not by assignment: a job may be a frozen dataclass.
        vars(self)["name"] = getattr(submitted, "name", submitted)
        return self

    def pack(self, **jobargs: Any) -> JobPack:
        """Return the job pack that `run(**jobargs)` would submit (reference 1). Raises as `run`."""
        worker = self._worker()
        if self.worker is None:
            vars(self)["worker"] = worker
        jobargs = self._listed(jobargs)
        jobargs = with_modules(worker, self, with_defaults(worker, self, jobargs))
        with gathering():
            jobdict = worker.jobdict(self, **jobargs)
            envs = worker.jobenvs(self, **jobargs)
            if aliases.installed():
                envs = {**envs, aliases.VARIABLE: "1"}
            from discolocal.worker.jobhome import home_and_data

            home, data = home_and_data(worker, self, jobargs)
            if thorough():
                from discolocal.worker import sending

                sending.check(worker, self, jobargs, home)
            # The second version of packs is there for jobs that name their stages (reference 1.3).
            return JobPack(2 if "pipeline" in jobdict else 1, jobdict, envs, home, data)

    def _listed(self, jobargs: dict[str, Any]) -> dict[str, Any]:
        """Return `jobargs`, the arguments of a run, with a list in the place of inputs that can be read but once.

        An iterator that the job or its worker has is replaced there, so that the job may run again (reference 1.5).
        """
        for name in ("input", "input_files"):
            if isinstance(jobargs.get(name), Iterator):
                jobargs = {**jobargs, name: list(jobargs[name])}
        worker = self._worker()
        value = worker.getitem("input", self, jobargs)
        if not isinstance(value, Iterator):
            return jobargs
        urls = list(value)
        for place in (vars(self), worker):
            if place.get("input") is value:
                place["input"] = urls
                return jobargs
        for cls in type(self).__mro__:
            if vars(cls).get("input") is value:
                setattr(cls, "input", urls)  # noqa: B010  no attribute that every Job has
        return {**jobargs, "input": urls}

    def _pack(self, jobargs: dict[str, Any], strict: bool, master: Any = None) -> JobPack:
        """`pack(**jobargs)`, for `master` if it is not the job's own: it knows the tags among the inputs.

        With `strict` the PortabilityWarnings are raised, as one, instead of shown.
        """
        jobargs = self._listed(jobargs)  # before there is a copy
        job = self if master is None else self._with_master(master)
        with gathering(strict):
            return job.pack(**jobargs)

    def _with_master(self, master: Any) -> Job:
        """A copy of this job that has this master. Not by assignment: a job may be a frozen dataclass."""
        job = copy.copy(self)
        vars(job)["master"] = master
        return job

    def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the master that takes the job's name first."""
        return getattr(self._master(), name)(self.name, *args, **kwargs)

    def _worker(self) -> BaseWorker:
        return self.worker if self.worker is not None else self.Worker()

    def _master(self) -> Any:
        master = self.master
        if hasattr(master, "submit"):
            return master
        local = local_master(master)
        if local is not None:
            return local
        if master is None and not os.environ.get("DISCO_MASTER"):
            raise JobError(
                self,
                "it has no master: use LocalCluster().run(job), Job(master=LocalCluster()), Job(master=url of a master)"
                " or the environment variable DISCO_MASTER",
            )
        from discolocal.core import Disco

        return Disco(master)


Job.reserved_names = frozenset(dir(Job)) | {
    *Job.proxy_functions,
    "disco",
    "master",
    "reserved_names",
    "settings",
    "worker",
}


class SimpleJob(Job):
    """A job of the simple worker, whose stages are functions of (worker, task, **jobargs) (reference 9.25).

        class Copy(SimpleJob):
            @staticmethod
            def map(worker, task, **jobargs):
                for line in worker.input(task):
                    worker.output(task, None).file.write(line.encode())

    On a cluster with Disco's own library no such job can be submitted.
    """

    Worker: ClassVar[type[BaseWorker]] = SimpleWorker
