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
from typing import TYPE_CHECKING, Any

from discolocal.cluster import nodepython, progress, store, submission
from discolocal.cluster.holding import Holding
from discolocal.cluster.jobrun import JobRun
from discolocal.cluster.nodes import Nodes
from discolocal.cluster.questions import Questions
from discolocal.cluster.results import Results, ResultUrls
from discolocal.cluster.submission import Site
from discolocal.error import DiscoError, JobError
from discolocal.fileutils import read_pack
from discolocal.job import Job
from discolocal.monitor import Display
from discolocal.util import callers_level
from discolocal.wire import names
from discolocal.wire.jobpack import JobPack
from discolocal.worker.client import gathering, warn

if TYPE_CHECKING:
    from discolocal.cluster.faults import Faults
    from discolocal.cluster.tags import TagStore
    from discolocal.ddfs import DDFS

_CLOSED = "This cluster is closed: make a new LocalCluster"
STARTS = ("fork", "exec", "inline")
_NODE = "node"


class LocalCluster(Questions, Nodes):
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
    - `faults`: a `discolocal.testing.Faults`, the schedule of what goes wrong on this cluster. None: nothing does.

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
        faults: Faults | None = None,
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
        if faults is not None:
            _check_faults(faults, max_failures)
        self.nodes = [f"{_NODE}{number}" for number in range(1, count + 1)]
        self._slots = dict.fromkeys(self.nodes, workers_per_node)
        self._blacklist: set[str] = set()
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
        self.faults = faults
        self._site = Site(
            self.root,
            tuple(self.nodes),
            start,
            self.seed,
            max_failures,
            strict,
            float(timeouts),
            self.python,
            faults,
            self.replay,
        )
        self._tags: TagStore | None = None
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
    def replay(self) -> str:
        """The call that makes a cluster of this shape, with the same seed and the same schedule of faults."""
        options = f"nodes={len(self.nodes)}, workers_per_node={self.workers_per_node}, start={self.start!r}"
        return (
            f"LocalCluster({options}, seed={self.seed}, max_failures={self.max_failures}"
            + (f", faults={self.faults!r}" if self.faults is not None else "")
            + ")"
        )

    @property
    def kept(self) -> bool:
        """Whether the files stay when the cluster is closed."""
        return not self._holding.temporary

    @property
    def ddfs(self) -> DDFS:
        """The tags and blobs of this cluster, a `DDFS`; they are files below `root` (reference 7).

        Raises DiscoError when the cluster was closed and its files are gone.
        """
        from discolocal.cluster.tags import TagStore
        from discolocal.ddfs import DDFS

        if self.closed and not self.kept:
            raise DiscoError(_CLOSED)
        if self._tags is None:
            self._tags = TagStore(self.root, self.nodes)  # it remembers directories that it has seen
        return DDFS(self._tags)

    def close(self) -> None:
        """End running jobs, give the node processes back and remove a temporary root. Safe to call twice."""
        with self._lock:
            first = self._holding.begin()
        if first:
            self._holding.finish()

    def run(
        self,
        job: Job | type[Job] | JobPack | bytes | str | os.PathLike[str],
        strict: bool | None = None,
        **jobargs: Any,
    ) -> Results:
        """Run a job to its end and return its `Results`.

        `job` is a Job, a Job class, or a job pack (a JobPack, its bytes or its path); `strict` is that of the cluster,
        for this run; `jobargs` are job parameters. A job pack is a program: running one that came from elsewhere runs
        it. Raises TypeError and DiscoError as `submit`, and JobError when the job fails, whose
        `__cause__` has the traceback of the task. Ctrl-C ends the job and its files.
        """
        __tracebackhide__ = True  # pytest and its debugger show the line of the caller
        handle = self.submit(job, strict, **jobargs)
        try:
            return Results(handle, self._wait(handle.name, None), self._run_of(handle.name))
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
        self,
        job: Job | type[Job] | JobPack | bytes | str | os.PathLike[str],
        strict: bool | None = None,
        **jobargs: Any,
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
        with gathering(site.strict):  # what packing finds is not told again where the pack is looked at
            if isinstance(job, Job):
                pack = job._pack(jobargs, site.strict, self).dumps()
                handle = copy.copy(job)  # now: inputs that can be read but once are a list in the job
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

    def new_job(self, name: str, **jobargs: Any) -> Job:
        """Submit a classic job called `name` with these job parameters and return the `Job` (reference 11.1)."""
        return self.submit(Job(name=name), **jobargs)

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
        `timeout` is in seconds; `clean` forgets the job when it has ended; `show` shows its events:
        "json" as lines of JSON on standard output, "nocolor" as text on standard error, True in colours on a terminal.
        Raises JobError when the job fails, is unknown or is not done in time.
        """
        if poll_interval < 0:
            raise ValueError(f"poll_interval={poll_interval!r}: must not be negative")
        __tracebackhide__ = True
        jobname = getattr(jobname, "name", jobname)
        began = time.monotonic()
        end = None if timeout is None else began + timeout
        try:
            if show:
                self._show(jobname, show, end)
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

    def _show(self, jobname: str, show: bool | str, end: float | None) -> None:
        """Show events until the job ends or the time is over."""
        run = self._run_of(jobname)
        display = Display(jobname, show)
        while True:
            over = run.wait(0.1)
            display.refresh(self)
            if over or (end is not None and time.monotonic() > end):
                return

    def _wait(self, jobname: str, timeout: float | None) -> ResultUrls:
        __tracebackhide__ = True
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

        So it is also with a job that was cleaned, or that ran here before this cluster. An unknown job is no error.
        """
        self.kill(jobname)
        name = getattr(jobname, "name", jobname)
        self._jobs.pop(name, None)
        if names.is_job_name(name):
            store.remove_job(self.data, self.nodes, name)

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
    """The bytes of a job pack that was given as such, as bytes or as a path."""
    if jobargs:
        raise TypeError(f"a job pack takes no parameters: {', '.join(jobargs)}")
    if isinstance(job, JobPack):
        return job.dumps()
    if isinstance(job, (bytes, bytearray)):
        return bytes(job)
    if not isinstance(job, (str, os.PathLike)):
        raise TypeError(f"cannot run {job!r}: a job is a Job, a Job class, a JobPack, its bytes or its path")
    try:
        with open(job, "rb") as file:
            return read_pack(file)
    except OSError as error:
        raise DiscoError(f"The job pack {os.fspath(job)!r} cannot be read: {error.strerror}") from error


def _check_faults(faults: object, max_failures: int) -> None:
    """Raise ValueError for what is no schedule of faults, or one that jobs could not survive."""
    from discolocal.cluster.faults import Faults

    if not isinstance(faults, Faults):
        raise ValueError(f"faults={faults!r}: must be a discolocal.testing.Faults")
    faults.check(max_failures)


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
