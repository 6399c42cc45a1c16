"""`LocalCluster`: a Disco cluster on this machine, in the caller's process.

    run(job) -> Job.pack -> check as a master does -> JobRun -> Master (processes) or Inline
             -> wait -> Results

This module is the face: it owns the directory, the names and the jobs; who runs tasks is decided
by `start`.
"""

from __future__ import annotations

import copy
import os
import random
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discolocal.cluster import nodepython, progress, store, submission
from discolocal.cluster.holding import Holding
from discolocal.cluster.jobrun import JobRun
from discolocal.cluster.results import Results, ResultUrls
from discolocal.cluster.submission import Site
from discolocal.core import profile_stats
from discolocal.error import DiscoError, JobError
from discolocal.job import Job
from discolocal.util import callers_level
from discolocal.wire.jobpack import JobPack
from discolocal.wire.packcheck import JobInfo
from discolocal.worker.client import warn

if TYPE_CHECKING:
    from pstats import Stats

_CLOSED = "This cluster is closed: make a new LocalCluster"
STARTS = ("fork", "exec", "inline")
_NODE = "node"


class LocalCluster:
    """A cluster of `nodes` on this machine.

    Parameters:

    - `nodes`: how many nodes (default: the number of CPUs, at least 2), named node1, node2, ...
    - `workers_per_node`: how many tasks a node runs at once (default 1).
    - `root`: the directory for all files; a given one is kept. Default: a temporary directory,
      removed on `close()`, at interpreter exit, and by a watcher if this process is killed.
    - `start`: how a worker starts: "fork" (a fork of its node for each task), "exec" (the program in the unpacked job
      home, as on a real cluster: proof that a job is portable) or "inline" (in the caller's thread, for debuggers and
      coverage). Job packs whose worker is a program of its own are executed by "fork" clusters too.
    - `seed`: an int from which the order of reduce inputs and the placement of tasks are drawn
      (default: a new one each time, `cluster.seed`; named when a job fails).
    - `max_failures`: how often a task may be tried again after an error (default 3; reference 4.2).
    - `strict`: make every `PortabilityWarning` an error.
    - `keep`: do not remove a temporary root.
    - `progress`: show progress while waiting: True, False or None (where a person watches).
    - `timeouts`: factor on a master's time-outs for workers that do not speak (reference 2.2: 30 s to the first
      message and within one, 10 s after bytes that are no message). A task that computes is never timed out.
    - `python`: the interpreter that executed workers find as `python3` and `python`, a name or path. None: this one as
      a bare virtual environment, with the standard library and the job home alone.

    A context manager; a cluster that is no longer referenced or not closed at exit closes itself.
    Raises ValueError for parameters out of range.
    """

    def __init__(
        self,
        nodes: int | None = None,
        workers_per_node: int = 1,
        root: str | os.PathLike[str] | None = None,
        start: str = "fork",
        seed: int | None = None,
        max_failures: int = 3,
        strict: bool = False,
        keep: bool = False,
        progress: bool | None = None,
        timeouts: float = 0.25,
        python: str | os.PathLike[str] | None = None,
    ) -> None:
        if start not in STARTS:
            raise ValueError(f"start={start!r}: must be one of {', '.join(STARTS)}")
        count = max(2, os.cpu_count() or 2) if nodes is None else nodes
        for name, number, least in (
            ("nodes", count, 1),
            ("workers_per_node", workers_per_node, 1),
            ("max_failures", max_failures, 0),
        ):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ValueError(f"{name}={number!r}: must be an int of at least {least}")
        _check_types(root, seed, strict, keep, progress)
        if isinstance(timeouts, bool) or not isinstance(timeouts, (int, float)) or not 0 < timeouts < 1e6:
            raise ValueError(f"timeouts={timeouts!r}: must be a number above 0")
        self.nodes = [f"{_NODE}{number}" for number in range(1, count + 1)]
        self.workers_per_node = workers_per_node
        self.start = start
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self.max_failures = max_failures
        self.strict = strict
        self.keep = keep
        self.progress = progress
        self.root = _temporary_name() if root is None else os.path.abspath(root)
        self.timeouts = timeouts
        self.python = None if python is None else nodepython.find(os.fspath(python))
        self._site = Site(
            self.root, tuple(self.nodes), start, self.seed, max_failures, strict, float(timeouts), self.python
        )
        self._jobs: dict[str, JobRun] = {}
        self._lock = threading.Lock()
        # The directory is made after somebody knows that it has to be removed: this process may be killed any time.
        self._holding = Holding(self.root, root is None and not keep)
        try:
            if root is None:
                os.mkdir(self.root, 0o700)
            os.makedirs(store.data_dir(self.root), exist_ok=True)
            self._holding.executor = self._executor()
        except BaseException:
            self._holding.give_up()
            raise
        weakref.finalize(self, self._holding.abandon).atexit = False

    def _executor(self) -> Any:
        if self.start == "inline":
            from discolocal.cluster.inline import Inline

            return Inline(self.nodes, self.workers_per_node, self.seed)
        from discolocal.cluster.master import Master

        return Master(self.nodes, self.workers_per_node, self.seed)

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return (
            f"<LocalCluster{state} {len(self.nodes)} nodes, start={self.start!r}, seed={self.seed}, root={self.root!r}>"
        )

    def __getstate__(self) -> object:
        raise TypeError("a LocalCluster cannot be pickled: leave it out of what a job's functions refer to")

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._holding.closed

    @property
    def kept(self) -> bool:
        """Whether the files stay when the cluster is closed."""
        return not self._holding.temporary

    @property
    def data(self) -> str:
        """The directory of all job files (a node's DISCO_DATA)."""
        return store.data_dir(self.root)

    def close(self) -> None:
        """End running jobs, give the node processes back and remove a temporary root. Safe to call twice."""
        with self._lock:
            first = self._holding.begin()
        if first:
            self._holding.finish()

    def run(
        self, job: Job | type[Job] | bytes | str | os.PathLike[str], strict: bool | None = None, **jobargs: Any
    ) -> Results:
        """Run a job to its end and return its `Results`.

        `job` is a Job, a Job class, or a job pack (its bytes or its path); `strict` is that of the cluster, for this
        run; `jobargs` are job parameters. A job pack is a program: running one that came from elsewhere runs it.
        Raises TypeError and DiscoError as `submit`, and JobError when the job fails, whose
        `__cause__` has the traceback of the task. Ctrl-C ends the job and its files.
        """
        handle = self.submit(job, strict, **jobargs)
        try:
            return Results(handle, self._wait(handle.name, None))
        except Exception:
            raise
        except BaseException as error:
            self._interrupted(handle.name, error)
            raise

    def _interrupted(self, jobname: str, error: BaseException) -> None:
        """The caller does not wait for the job any more (Ctrl-C): end it and delete its files."""
        run = self._jobs.get(jobname)
        if run is not None:
            self._holding.executor.kill(run, f"interrupted by {type(error).__name__}")
            run.wait(5)
            self._drop(run)

    def submit(
        self, job: Job | type[Job] | bytes | str | os.PathLike[str], strict: bool | None = None, **jobargs: Any
    ) -> Job:
        """Start a job and return it with its unique name, without waiting (inline: after it has ended).

        Parameters as for `run`. Raises TypeError for an unknown parameter, DiscoError for a bad job pack or input.
        """
        if strict is not None and not isinstance(strict, bool):
            raise ValueError(f"strict={strict!r}: must be True, False or None")
        site = self._site if strict is None else self._site._replace(strict=strict)
        if self.closed:
            raise DiscoError(_CLOSED)
        if self._holding.foreign:
            raise DiscoError("This cluster belongs to the parent process: make a new LocalCluster in this one")
        if isinstance(job, type) and issubclass(job, Job):
            job = job()
        if isinstance(job, Job):
            handle = copy.copy(job)
            pack = job._pack(jobargs, site.strict).dumps()
        else:
            handle = Job()
            pack = _pack_bytes(job, jobargs)
        plan = submission.plan(pack, site)
        with self._lock:  # while files are made, nobody removes the root
            if self.closed:
                raise DiscoError(_CLOSED)
            run = submission.job_run(plan, site)
            self._jobs[run.name] = run
        vars(handle).update(name=run.name, master=self)
        try:
            self._holding.executor.submit(run)
        except BaseException as error:
            self._interrupted(run.name, error)
            raise
        return handle

    def wait(
        self,
        jobname: str,
        poll_interval: float = 2,
        timeout: float | None = None,
        clean: bool = False,
        show: bool | str | None = None,
    ) -> ResultUrls:
        """Wait for a job and return its result urls (reference 8.13).

        `poll_interval` is accepted for Disco's sake: nothing is polled here, so the end is noticed at once.
        `timeout` is in seconds; `clean` forgets the job when it has ended; `show` prints its events.
        Raises JobError when the job fails, is unknown or is not done in time.
        """
        if poll_interval < 0:
            raise ValueError(f"poll_interval={poll_interval!r}: must not be negative")
        jobname = getattr(jobname, "name", jobname)
        began = time.monotonic()
        end = None if timeout is None else began + timeout
        try:
            if show:
                self._show(jobname, end)
            urls = self._wait(jobname, None if end is None else max(0.0, end - time.monotonic()))
        except Exception:
            raise
        except BaseException as error:
            self._interrupted(jobname, error)
            raise
        if clean:
            self.clean(jobname)
            if time.monotonic() > began + poll_interval:
                warn(
                    "wait-clean",
                    f"{jobname} took longer than {poll_interval} seconds: on a cluster wait(clean=True) kills a job"
                    " that is not done by then; wait without clean and call clean afterwards",
                )
        return urls

    def _show(self, jobname: str, end: float | None) -> None:
        """Print events until the job ends or the time is over."""
        run = self._run_of(jobname)
        offset = 0
        while True:
            over = run.wait(0.1)
            for position, (when, host, text) in run.log.since(offset):
                offset = position
                print(f"{when} {host:<9} {text}")
            if over or (end is not None and time.monotonic() > end):
                return

    def _wait(self, jobname: str, timeout: float | None) -> ResultUrls:
        run = self._run_of(jobname)
        if timeout is None and progress.wanted(self.progress):
            progress.watch(run)
        if not run.wait(timeout):
            raise JobError(jobname, "Timeout: it is not done yet")
        failure = run.failure()
        if failure is not None:
            raise failure
        for warning in run.take_warnings():
            warnings.warn(warning, stacklevel=callers_level())
        return ResultUrls(run.results, self)

    def _run_of(self, jobname: str) -> JobRun:
        try:
            return self._jobs[getattr(jobname, "name", jobname)]
        except KeyError:
            raise JobError(jobname, "Status unknown job") from None

    def results(self, jobname: str, timeout: int = 2000) -> tuple[str, list[list[str]]]:
        """Return (status, result urls) of a job after at most `timeout` milliseconds (reference 8.13).

        The status is "active", "ready", "dead" or "unknown job"; the urls are empty unless it is ready.
        """
        run = self._jobs.get(getattr(jobname, "name", jobname))
        if run is None:
            return "unknown job", []
        run.wait(timeout / 1000)
        return self._status(run), ResultUrls(run.results if run.ended else [], self)

    def _status(self, run: JobRun) -> str:
        return run.state.status if run.ended else "active"

    def stageresults(self, jobname: str, stage: str = "map") -> list[list[str]]:
        """Return the result urls of a finished stage. Raises DiscoError while it runs or if it is unknown."""
        urls = self._run_of(jobname).stage_results(stage)
        if urls is None:
            raise DiscoError(f"Stage {stage} of {jobname} is unknown or not finished")
        return ResultUrls(urls, self)

    def events(self, jobname: str, offset: int = 0) -> Iterator[tuple[int, tuple[str, str, str]]]:
        """Yield (offset of the next event, (time, host, text)) from byte `offset` on (reference section 6)."""
        return self._run_of(jobname).log.since(offset)

    def jobinfo(self, jobname: str) -> dict[str, Any]:
        """Return what a master tells of a job (reference 5.2)."""
        run = self._run_of(jobname)
        info: JobInfo = run.info
        return {
            "timestamp": time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(run.timestamp)),
            "active": self._status(run),
            "pipeline": run.counts(),
            "results": [url for urls in run.results for url in urls],
            "inputs": [url for item in info.inputs for url in item.urls],
            "worker": info.worker,
            "hosts": run.hosts(),
            "owner": info.owner,
        }

    def jobpack(self, jobname: str) -> JobPack:
        """Return the job's pack."""
        with open(self._run_of(jobname).order.jobfile, "rb") as file:
            return JobPack.load(file)

    def profile_stats(self, jobname: str, mode: str = "") -> Stats:
        """Return the merged profiles of a job that ran with `profile=True` (reference 8.13).

        `mode` is a stage, or how its name begins. Raises JobError when there is no profile.
        """
        run = self._run_of(jobname)
        return profile_stats([store.job_home(self.data, node, run.name) for node in self.nodes], mode)

    def oob_get(self, jobname: str, key: str) -> bytes:
        """Raise DiscoError: out-of-band results need DDFS, which a local cluster does not have."""
        raise DiscoError(f"oob_get({key!r}): out-of-band results need DDFS, which a local cluster does not have")

    def oob_list(self, jobname: str) -> list[str]:
        """Raise DiscoError, as `oob_get`."""
        raise DiscoError("oob_list: out-of-band results need DDFS, which a local cluster does not have")

    def joblist(self) -> list[tuple[float, str, str]]:
        """Return (submission time in seconds, status, name) of the jobs, newest first."""
        return [(run.timestamp, self._status(run), run.name) for run in list(self._jobs.values())[::-1]]

    def nodeinfo(self) -> dict[str, dict[str, Any]]:
        """Return for each node how many tasks it runs, how many it may run, and the pid of its process.

        Raises DiscoError when the cluster is closed: its nodes are gone.
        """
        if self.closed:
            raise DiscoError("This cluster is closed: it has no nodes any more")
        tasks, pids = self._holding.executor.tasks, self._holding.executor.pids()
        return {n: {"tasks": tasks[n], "max_workers": self.workers_per_node, "pid": pids[n]} for n in self.nodes}

    def worker_pids(self) -> list[int]:
        """Return the pids of the processes that run tasks now (none inline)."""
        return list(self._holding.executor.worker_pids())

    def kill(self, jobname: str) -> None:
        """End a job and wait until its workers are gone; no error if it has ended or is unknown (reference 4.5)."""
        run = self._jobs.get(getattr(jobname, "name", jobname))
        if run is not None and not run.ended:
            self._holding.executor.kill(run, "Status dead: the job was killed")
            run.wait(5)

    def clean(self, jobname: str) -> None:
        """End a job and forget it; the nodes keep its files (reference 4.5). An unknown job is no error."""
        self.kill(jobname)
        run = self._jobs.pop(getattr(jobname, "name", jobname), None)
        if run is not None:
            store.remove_job(self.data, self.nodes, run.name, master_only=True)

    def purge(self, jobname: str) -> None:
        """End a job, forget it and delete all its files, results too (at once, unlike reference 4.5).

        An unknown job is no error.
        """
        self.kill(jobname)
        run = self._jobs.get(getattr(jobname, "name", jobname))
        if run is not None:
            self._drop(run)

    def _drop(self, run: JobRun) -> None:
        store.remove_job(self.data, self.nodes, run.name)
        self._jobs.pop(run.name, None)


def _temporary_name() -> str:
    """The path of a temporary directory that does not exist yet."""
    while True:
        path = os.path.join(tempfile.gettempdir(), f"discolocal-{os.urandom(6).hex()}")
        if not os.path.lexists(path):
            return os.path.abspath(path)


def _pack_bytes(job: object, jobargs: dict[str, Any]) -> bytes:
    """The bytes of a job pack that was given as such or as a path."""
    if jobargs:
        raise TypeError(f"a job pack takes no parameters: {', '.join(jobargs)}")
    if isinstance(job, (bytes, bytearray)):
        return bytes(job)
    if not isinstance(job, (str, os.PathLike)):
        raise TypeError(f"cannot run {job!r}: a job is a Job, a Job class, or a job pack as bytes or as its path")
    try:
        return Path(job).read_bytes()
    except OSError as error:
        raise DiscoError(f"The job pack {os.fspath(job)!r} cannot be read: {error.strerror}") from error


def _check_types(root: object, seed: object, strict: object, keep: object, progress: object) -> None:
    """Raise ValueError for parameters of LocalCluster of another type than documented."""
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ValueError(f"seed={seed!r}: must be an int")
    for name, value in (("strict", strict), ("keep", keep), ("progress", progress)):
        if not isinstance(value, bool) and not (name == "progress" and value is None):
            raise ValueError(f"{name}={value!r}: must be True or False")
    if root is not None:
        if not isinstance(root, (str, os.PathLike)) or not os.fspath(root):
            raise ValueError(f"root={root!r}: must be the path of a directory")
        if os.path.exists(root) and not os.path.isdir(root):
            raise ValueError(f"root={os.fspath(root)!r}: is not a directory")
