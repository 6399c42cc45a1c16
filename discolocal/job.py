"""Jobs: what to run, packed for a master and followed while it runs.

A `Job` knows its parameters and its worker; the worker turns them into a job pack; a master (a
`LocalCluster`, or a real one by its url) runs the pack and answers questions about it by the job's name.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from discolocal.error import DiscoError, JobError
from discolocal.task import jobdata
from discolocal.wire.jobpack import JobPack
from discolocal.worker.classic.worker import Worker as ClassicWorker
from discolocal.worker.client import check_arguments, gathering, thorough

if TYPE_CHECKING:
    from discolocal.worker import Worker as BaseWorker

__all__ = ["Job", "JobPack"]


class Job:
    """A Disco job.

    Parameters: `name` is the prefix of the job's name (default: the name of the class); `master` is where
    `run` starts the job: a `LocalCluster`, a `Disco`, or the url of a real master such as ``http://host:8989`` or
    ``disco://host`` (default: DISCO_MASTER of the environment); `worker` the `Worker` that packs and runs it
    (default: `Job.Worker()`, the classic worker); `settings` must be None. All other keyword
    arguments are job parameters, as class attributes of a subclass would be: `Job(map=f, reduce=g)`.

    Raises TypeError for a parameter that neither the worker nor the class knows.
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
        settings: None = None,
        **parameters: Any,
    ) -> None:
        if settings is not None:
            raise DiscoError("Job(settings=...) is not supported: use master and the environment")
        if name is not None:
            vars(self)["name"] = name
        vars(self).update(master=master, worker=worker)
        check_arguments(self._worker(), self, parameters)
        vars(self).update(parameters)

    def __getattr__(self, name: str) -> Any:
        if name in Job.proxy_functions:
            return partial(self._ask, name)
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
        with gathering():
            jobdict = worker.jobdict(self, **jobargs)
            envs = worker.jobenvs(self, **jobargs)
            home = worker.jobhome(self, **jobargs)
            if thorough():
                from discolocal.worker import sending

                sending.check(worker, self, jobargs, home)
            return JobPack(1, jobdict, envs, home, jobdata(self, jobargs))

    def _pack(self, jobargs: dict[str, Any], strict: bool) -> JobPack:
        """`pack(**jobargs)`; with `strict` its PortabilityWarnings are raised, as one, instead of shown."""
        with gathering(strict):
            return self.pack(**jobargs)

    def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the master that takes the job's name first."""
        return getattr(self._master(), name)(self.name, *args, **kwargs)

    def _worker(self) -> BaseWorker:
        return self.worker if self.worker is not None else self.Worker()

    def _master(self) -> Any:
        master = self.master
        if hasattr(master, "submit"):
            return master
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
