"""Jobs whose results are the inputs of others (reference 8.13)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError, JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discolocal.job import Job


class JobChain(dict["Job", Any]):
    """Jobs by what they work on: ``{job: inputs}``.

    The inputs of a job are a job, an url, or a list of jobs, urls and lists of replicas. A job among them stands for
    its results, and in a pair, (label, job), for each of them with the label. Jobs have masters, `Job(master=...)` or
    DISCO_MASTER, and those of the chain have not run yet.
    """

    def wait(self, poll_interval: float = 1) -> JobChain:
        """Run the jobs, each as soon as the jobs are ready whose results it needs, and wait for the last one.

        Parameters: `poll_interval` seconds after which jobs of other masters are looked at again. Returns the chain.
        Raises JobError when a job of the chain or among the inputs dies, and DiscoError when a job can never start: its
        inputs wait for itself, or for a job that nobody has started. Jobs that were started go on.
        """
        while active := self._step():
            same = [job for job in active if job.master == active[0].master]
            began = time.monotonic()
            active[0].disco.results([job.name for job in same], timeout=int(poll_interval * 1000))
            if len(same) < len(active):
                time.sleep(max(0.0, poll_interval - (time.monotonic() - began)))
        return self

    def purge(self) -> None:
        """Purge all jobs of the chain: what has not run is no error."""
        for job in self:
            job.purge()

    def inputs(self, job: Job) -> list[Any]:
        """What a job of the chain works on, as a list."""
        given = self[job]
        return list(given) if isinstance(given, (list, tuple, set)) else [given]

    def _step(self) -> list[Job]:
        """Start what can start; returns the jobs that run. Raises as `wait`."""
        while True:
            found = {job: _status(job) for job in {**self, **{one: None for job in self for one in _jobs(self[job])}}}
            waiting = [job for job in self if found[job][0] == "unknown job"]
            ready = [job for job in waiting if all(found[one][0] == "ready" for one in _jobs(self[job]))]
            for job in ready:
                job.run(input=[url for item in self.inputs(job) for url in _urls(item, found)])
            if not ready:
                break
        active = [job for job, (status, _results) in found.items() if status == "active"]
        if waiting and not active:
            left = ", ".join(job.name for job in waiting)
            missing = {one.name for job in waiting for one in _jobs(self[job]) if found[one][0] == "unknown job"}
            raise DiscoError(
                f"{left}: cannot start, as nobody starts {', '.join(sorted(missing))};"
                " jobs of a chain must not wait for each other, and others must have been started"
            )
        return active


def _jobs(inputs: Any) -> Iterator[Job]:
    """The jobs among inputs."""
    if hasattr(inputs, "proxy_functions"):
        yield inputs
    elif isinstance(inputs, (list, tuple, set)):
        for item in inputs:
            yield from _jobs(item)


def _urls(item: Any, found: dict[Job, tuple[str, Any]]) -> list[Any]:
    """An input of a chain as inputs of a job."""
    if hasattr(item, "proxy_functions"):
        return list(found[item][1])
    if isinstance(item, (list, tuple)) and any(True for _ in _jobs(item)):
        if len(item) == 2 and type(item[0]) is int:
            return [(item[0], url) for url in _urls(item[1], found)]
        return [url for part in item for url in _urls(part, found)]
    return [item]


def _status(job: Job) -> tuple[str, Any]:
    """How a job stands. Raises JobError, with its cause, when it is dead."""
    status, results = job.results(timeout=0)
    if status == "dead":
        job.wait()
        raise JobError(job, "Status dead")
    return status, results
