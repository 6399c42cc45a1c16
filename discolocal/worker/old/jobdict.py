"""The dictionary of a job's parameters that Disco 0.3 had (reference 11.2)."""

from __future__ import annotations

from typing import Any


class JobDict(dict[str, Any]):
    """All parameters of a job by their names, with the defaults of those that nobody gave.

    Parameters: `job` a Job; keywords are arguments of its `run`. Raises TypeError for an unknown argument.
    """

    def __init__(self, job: Any, **jobargs: Any) -> None:
        from discolocal.worker.client import check_arguments
        from discolocal.worker.old.parameters import of_today

        worker = job.worker or job.Worker()
        given = of_today(worker, job, jobargs)
        check_arguments(worker, job, given)
        own = [name for name in worker.job_parameters if name in given or hasattr(job, name)]
        super().__init__({name: worker.getitem(name, job, given) for name in (*worker, *own)})
        self.job = job
        self.jobargs = given

    def pack(self) -> bytes:
        """The job as a master takes it, the bytes of a job pack. Raises as `Job.pack`."""
        packed: bytes = self.job.pack(**self.jobargs).dumps()
        return packed
