"""`Worker`: what a kind of worker contributes to a job pack, and how it runs one task (reference 1.5, 2.10, 8.1)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from discolocal.worker.inputs import MergedInput, SerialInput, TaskInput, task_inputs
from discolocal.worker.outputs import Output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType

    from discolocal.fileutils import DiscoZipFile
    from discolocal.task import Task
    from discolocal.worker.inputs import Input


MEMORY_LIMIT = "DISCO_WORKER_MAX_MEM"
_MISSING = object()
# How many parameters a job function has at most: one that needs more is a method (reference 8.3 to 8.8).
_PARAMETERS = {
    "map": 2, "map_init": 2, "map_reader": 4, "combiner": 5, "partition": 3,
    "reduce": 3, "reduce_init": 2, "reduce_reader": 4,
}  # fmt: skip


def plain_function(owner: object, key: str) -> FunctionType | None:
    """The function behind a class attribute that was meant to be static: defined plainly, without `self`.

    None when the attribute is anything else: a method, whatever it calls its first parameter, static, of the instance,
    no function.
    """
    from types import FunctionType

    if key in getattr(owner, "__dict__", {}):
        return None
    for cls in type(owner).__mro__:
        if key in cls.__dict__:
            value = cls.__dict__[key]
            if isinstance(value, FunctionType) and value.__code__.co_varnames[:1] != ("self",):
                needed = value.__code__.co_argcount - len(value.__defaults__ or ())
                return value if needed <= _PARAMETERS.get(key, needed) else None
            return None
    return None


class Worker(dict[str, Any]):
    """A dictionary of parameters that knows how to submit a job and how to run its tasks.

    Parameters: items that differ from `defaults()`. Attribute `outputs`: the open outputs by label.
    """

    #: Parameters that are no items: they name things of the job, not of its functions (reference 1.5).
    job_parameters = ("input", "name", "owner", "scheduler", "save", "save_info")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(self.defaults())
        self.update(kwargs)
        self.outputs: dict[int | None, Output] = {}

    def defaults(self) -> dict[str, Any]:
        """The items of a new worker (reference 8.2, 11.3)."""
        return {
            "map": None,
            "reduce": None,
            "partitions": 1,
            "save_results": False,
            "profile": False,
            "required_files": {},
            "required_modules": None,
        }

    @property
    def bin(self) -> str:
        """The path of the program inside the job home that a master starts; it runs workers of any class.

        A worker with a program of its own gives the path of that, which has to be among `required_files`; the program
        calls `main`.
        """
        return "discolocal/worker/classic/worker.py"

    def getitem(self, key: str, job: Any, jobargs: dict[str, Any], default: Any = None) -> Any:
        """The value of a parameter (reference 8.1).

        The first of: argument of `run`, attribute of the job, item of the worker, `default`. A plain function of the
        job's class comes without the job bound to it.
        """
        if key in jobargs:
            return jobargs[key]
        value = getattr(job, key, _MISSING)
        if value is _MISSING:
            return self.get(key, default)
        plain = plain_function(job, key)
        return value if plain is None else plain

    # On the client

    def jobdict(self, job: Any, **jobargs: Any) -> dict[str, Any]:
        """The job dict (reference 1.3, 1.5).

        Raises TypeError for an argument that neither the worker nor the job knows, DiscoError for values that
        cannot work.
        """
        from discolocal.worker import client

        client.check_arguments(self, job, jobargs)
        client.check_common(self, job, jobargs)
        return {
            "prefix": client.prefix(self, job, jobargs),
            "save_results": client.saves_results(self, job, jobargs),
            "save_info": self.getitem("save_info", job, jobargs, "ddfs"),
            "scheduler": client.scheduler(self, job, jobargs),
            "owner": self.getitem("owner", job, jobargs) or client.owner(),
            **self._stages(job, jobargs),
        }

    def _stages(self, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
        """The keys of the job dict about inputs and stages. One with a `run` of its own maps, unless it reduces."""
        from discolocal.worker.stages import stage_dict

        runs = type(self).run is not Worker.run and not self.getitem("reduce", job, jobargs)
        return stage_dict(self, job, jobargs, True if runs else None)

    def jobenvs(self, job: Any, **jobargs: Any) -> dict[str, str]:
        """The environment variables of the job's tasks (reference 1.6)."""
        envs = {
            "PYTHONPATH": ":".join(["lib", *(path.strip("/") for path in sys.path)]),
            "LD_LIBRARY_PATH": "lib",
        }
        # Settings do not reach a worker from its node: the client's limit is the one that counts (reference 1.6, 1.8).
        if limit := os.environ.get(MEMORY_LIMIT):
            envs[MEMORY_LIMIT] = limit
        return envs

    def jobhome(self, job: Any, **jobargs: Any) -> bytes:
        """The job home as the bytes of a zip archive (reference 1.7)."""
        return self.jobzip(job, **jobargs).dumps()

    def jobzip(self, job: Any, **jobargs: Any) -> DiscoZipFile:
        """The archive of the job home: this library, cloudpickle, `required_files`, the job's own modules."""
        from discolocal.worker.jobhome import job_home

        return job_home(self, job, jobargs)

    # In a task

    def input(self, task: Task, merged: bool = False, **kwds: Any) -> Input:
        """An iterable over the records of the task's inputs; with `merged`, in ascending order (reference 8.9)."""
        kind = MergedInput if merged else SerialInput
        return kind(task_inputs(task), task=task, **kwds)

    def get_inputs(self, task: Task) -> Iterator[TaskInput]:
        """The inputs of the task, as the master tells them."""
        return task_inputs(task)

    def output(self, task: Task, label: int | None = None, partition: int | str | None = None, **kwds: Any) -> Output:
        """The output of a label; opened by the first call, given back by later ones (reference 2.8).

        `partition` is the label under the name it had before 0.5, when it was the text of a number. Raises ValueError
        for a label that is no int.
        """
        if partition is not None:
            label = int(partition) if isinstance(partition, str) and partition.isdecimal() else partition  # type: ignore[assignment]
        found = self.outputs.get(label)
        if found is None:
            if label is not None and (isinstance(label, bool) or not isinstance(label, int)):
                raise ValueError(f"Output label ({label!r} : {type(label)}) must be an integer or None")
            found = self.outputs[label] = Output(task.output(label=label), task=task, **kwds)
        return found

    def start(self, task: Task, job: Any, **jobargs: Any) -> None:
        """Run the task and report its outputs (reference 2.10)."""
        if not task.inline:
            _limit_memory(os.environ.get(MEMORY_LIMIT, ""))
        task.uid  # noqa: B018  a directory that cannot be made ends the task before it has done anything
        try:
            self._profiled_run(task, job, jobargs)
            self.end(task, job, **jobargs)
        except BaseException:
            for output in self.outputs.values():
                output.discard()
            raise

    def _profiled_run(self, task: Task, job: Any, jobargs: dict[str, Any]) -> None:
        run = self._shuffle if self._leaves_to_us(task, job, jobargs) else self.run
        if self.getitem("profile", job, jobargs):
            from cProfile import Profile

            profile = Profile()
            profile.runcall(run, task, job, **jobargs)
            # Only here, so that an attempt that failed does not count (reference 8.13).
            _save_profile(task, profile)
        else:
            run(task, job, **jobargs)

    def _leaves_to_us(self, task: Task, job: Any, jobargs: dict[str, Any]) -> bool:
        """Whether the task joins outputs, a stage that masters add to each map and that a worker need not know of."""
        return task.stage in ("map_shuffle", "reduce_shuffle") and not (
            hasattr(self, task.stage) or self.getitem(task.stage, job, jobargs)
        )

    def _shuffle(self, task: Task, job: Any, **jobargs: Any) -> None:
        from discolocal.worker.classic.shuffling import run_shuffle

        run_shuffle(self, task)

    def run(self, task: Task, job: Any, **jobargs: Any) -> None:
        """Do the work: call the parameter that is named like the stage with (task, job, **jobargs)."""
        function = self.getitem(task.stage, job, jobargs)
        if function is None:
            raise NotImplementedError(f"{type(self).__qualname__} has no function for the stage {task.stage!r}")
        function(task, job, **jobargs)

    def end(self, task: Task, job: Any, **jobargs: Any) -> None:
        """Close the outputs and report them, in the order in which they were opened."""
        for output in self.outputs.values():
            size = output.close()
            _warn_by_value(task, output.file)
            task.post("OUTPUT", [output.label, output.path, size], later=True)
        task.post("MSG", "Results sent to master", later=True)

    @classmethod
    def main(cls) -> str:
        """Run one task as a program: the channel is stdin and stderr (reference 2.1). Returns how it ended."""
        from discolocal.worker.program import run

        return run()


def _save_profile(task: Task, profile: Any) -> None:
    """Store what `cProfile` has counted, in its own format, as an out-of-band result of the job (reference 8.13)."""
    import marshal

    from discolocal.error import DiscoError
    from discolocal.worker import oob

    profile.create_stats()
    try:
        key = oob.check_key(f"profile-{task.uid}")
    except DiscoError as error:
        raise DiscoError(
            f"profile=True: the profile has the name of its task and so that of its stage: {error}"
        ) from None
    oob.put(task, key, marshal.dumps(profile.stats))


def _warn_by_value(task: Task, file: Any) -> None:
    for stream in getattr(file, "opened", [file]):
        if getattr(stream, "by_value", False):
            task.warn(
                "record-class",
                "records hold objects of classes that only the script knows; on a cluster they cannot be read back:"
                " put these classes into a module",
            )


def _limit_memory(limit: str) -> None:
    """Apply DISCO_WORKER_MAX_MEM: bytes, or a percentage of the machine's memory; empty or 0 is no limit."""
    limit = limit.strip()
    if not limit:
        return
    from discolocal.error import DiscoError

    try:
        if limit.endswith("%"):
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            size = int(total * float(limit[:-1]) / 100)
        else:
            size = int(limit)
    except ValueError:
        raise DiscoError(f"DISCO_WORKER_MAX_MEM must be a number of bytes or a percentage, not {limit!r}") from None
    if size > 0:
        import resource

        _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        size = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
