"""What a cluster answers about its jobs, whether they run or have ended (reference 5, 8.13)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from discolocal.cluster import store
from discolocal.cluster.jobrun import JobRun, wait_any
from discolocal.cluster.results import ResultUrls
from discolocal.cluster.stages import Stages
from discolocal.core import job_names, split_results
from discolocal.error import CommError, DiscoError, JobError
from discolocal.profiles import profile_stats
from discolocal.wire import event
from discolocal.wire.jobpack import JobPack
from discolocal.wire.packcheck import JobInfo
from discolocal.worker import oob
from discolocal.worker.old.warning import deprecated, old_jobdict

if TYPE_CHECKING:
    from pstats import Stats

    from discolocal.cluster.local import LocalCluster
    from discolocal.job import Job

_MOST_EVENTS = 1000


class Questions:
    """The part of a `LocalCluster` that tells about jobs. A `jobname` may be a `Job` too."""

    root: str
    nodes: list[str]
    _jobs: dict[str, JobRun]

    @property
    def data(self) -> str:
        """The directory of all job files (a node's DISCO_DATA)."""
        return store.data_dir(self.root)

    @property
    def master(self) -> str:
        """The url by which tasks know this master: ``local://`` and the directory of the cluster."""
        return f"local://{self.root}"

    def _urls(self, urls: list[Any]) -> ResultUrls:
        return ResultUrls(urls, cast("LocalCluster", self))

    def _run_of(self, jobname: str | Job) -> JobRun:
        name = _name(jobname)
        try:
            return self._jobs[name]
        except KeyError:
            raise JobError(name, "Status unknown job") from None

    def results(self, jobspec: Any, timeout: int = 2000) -> Any:
        """Return how jobs stand, after at most `timeout` milliseconds, or as soon as one of them ends (reference 8.13).

        `jobspec` is a job or its name: returns (status, results), the status being "active", "ready", "dead" or
        "unknown job" and the results empty unless it is ready. Or a list of such, or of what this method returned for
        a list: returns (others, active), lists of (name, (status, results)).
        """
        single, asked = job_names(jobspec)
        runs = [self._jobs.get(name) for name in asked]
        wait_any([run for run in runs if run is not None and not run.ended], timeout / 1000)
        found = [(name, self._result(run)) for name, run in zip(asked, runs)]
        return found[0][1] if single else split_results(found)

    def _result(self, run: JobRun | None) -> tuple[str, ResultUrls]:
        if run is None:
            return "unknown job", self._urls([])
        status = self._status(run)
        return status, self._urls(run.results if status == "ready" else [])

    def _status(self, run: JobRun) -> str:
        return run.state.status if run.ended else "active"

    def stageresults(self, jobname: str | Job, stage: str = "map") -> list[list[str]]:
        """Return the result urls of a finished stage. Raises DiscoError while it runs or if it is unknown."""
        urls = self._run_of(jobname).stage_results(stage)
        if urls is None:
            raise DiscoError(f"Stage {stage} of {_name(jobname)} is unknown or not finished")
        return self._urls(urls)

    def stages(self, jobname: str | Job) -> Stages:
        """Return what the stages of a job have done so far: their tasks with inputs, outputs, nodes and times.

        Raises JobError for a job that is unknown, or was cleaned or purged.
        """
        return Stages(_name(jobname), self._run_of(jobname).stages(), cast("LocalCluster", self))

    def mapresults(self, jobname: str | Job) -> list[list[str]]:
        """Return the result urls of the map stage, as `stageresults` does it today."""
        deprecated("mapresults() is an old name: use stageresults(jobname, 'map')")
        return self.stageresults(jobname, "map")

    def events(self, jobname: str | Job, offset: int = 0) -> Iterator[tuple[int, tuple[str, str, str]]]:
        """Yield (offset of the next event, (time, host, text)) from byte `offset` on (reference section 6)."""
        return self._run_of(jobname).log.since(offset)

    def rawevents(self, jobname: str | Job, offset: int = 0) -> bytes:
        """Return the lines of a job's events from byte `offset` on (reference section 6)."""
        lines = (event.encode(*found) for _, found in self.events(jobname))
        return b"".join(lines)[offset:]

    def jobevents(self, jobname: str | Job, num: int = 10, filter: str | None = None) -> list[list[str]]:
        """Return the last `num` events (at most 1000), the newest first, as [time, host, text].

        `filter`: only those in whose line this text occurs, in upper or lower case. Empty for an unknown job.
        """
        if _name(jobname) not in self._jobs:
            return []
        wanted = (filter or "").lower()
        found = [list(e) for _, e in self.events(jobname) if wanted in event.encode(*e).decode("ascii").lower()]
        return found[::-1][: max(0, min(num, _MOST_EVENTS))]

    def jobinfo(self, jobname: str | Job) -> dict[str, Any]:
        """Return what a master tells of a job (reference 5.2)."""
        run = self._run_of(jobname)
        info: JobInfo = run.info
        return {
            "timestamp": time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(run.timestamp)),
            "active": self._status(run),
            "pipeline": run.counts(),
            "results": [url for urls in run.results for url in ([urls] if isinstance(urls, str) else urls)],
            "inputs": [url for item in info.inputs for url in item.urls],
            "worker": info.worker,
            "hosts": run.hosts(),
            "owner": info.owner,
        }

    def jobpack(self, jobname: str | Job) -> JobPack:
        """Return the job's pack."""
        with open(self._run_of(jobname).order.jobfile, "rb") as file:
            return JobPack.load(file)

    def profile_stats(self, jobname: str | Job, mode: str = "") -> Stats:
        """Return the merged profiles of a job that ran with `profile=True` (reference 8.13).

        `mode` is a stage, or how its name begins. Raises JobError when there is no profile, DataError for a damaged
        one.
        """
        name, ddfs = _name(jobname), store.ddfs_dir(self.data)
        try:
            keys = oob.keys(ddfs, name)
        except CommError:
            keys = []
        return profile_stats(name, keys, lambda key: oob.load(ddfs, name, key), mode)

    def oob_get(self, jobname: str | Job, key: str) -> bytes | None:
        """Return an out-of-band result of a job, also after `clean` (reference 7.5).

        Those of tasks that are done are found; None when the job has others but not this one.
        Raises DiscoError when it has none, or is unknown.
        """
        name = _name(jobname)
        try:
            return oob.load(store.ddfs_dir(self.data), name, key)
        except CommError as error:
            raise DiscoError(f"Unknown key or jobname: {key!r} of {name}") from error

    def oob_list(self, jobname: str | Job) -> list[str]:
        """Return the keys of a job's out-of-band results, in no order.

        Raises CommError (`code` 404) when it has none, or is unknown.
        """
        return oob.keys(store.ddfs_dir(self.data), _name(jobname))

    def save_oob(self, jobname: str | Job, key: str, value: bytes) -> None:
        """Store an out-of-band result of a job, as its tasks do with `put` (reference 7.5)."""
        oob.store(store.ddfs_dir(self.data), _name(jobname), key, value)

    def jobdict(self, jobname: str | Job) -> dict[str, Any]:
        """Return the job dict of a job, as in Disco 0.3; today ``jobpack(jobname).jobdict``."""
        return old_jobdict(self, "jobdict", jobname)

    def jobspec(self, jobname: str | Job) -> dict[str, Any]:
        """Return the same, under the name of Disco 0.2."""
        return old_jobdict(self, "jobspec", jobname)

    def joblist(self) -> list[tuple[float, str, str]]:
        """Return (submission time in seconds, status, name) of the jobs, newest first."""
        return [(run.timestamp, self._status(run), run.name) for run in list(self._jobs.values())[::-1]]


def _name(job: str | Job) -> str:
    return job if isinstance(job, str) else job_names(job)[1][0]
