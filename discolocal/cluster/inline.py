"""`start="inline"`: tasks run one after another in the caller's thread, without any process.

The job goes through the same pack, files and protocol frames as with processes; only the pipes are
function calls. While a task runs, the working directory is its job home and the environment has the job's variables,
as on a node; both are of the whole process, so other threads of the caller see them meanwhile. For pdb, coverage,
monkeypatching and property tests.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from discolocal.cluster import homes
from discolocal.cluster.execution import TaskRun
from discolocal.cluster.jobrun import JobRun, Work
from discolocal.cluster.orders import TaskEnd, TaskEvent, TaskOrder
from discolocal.cluster.scheduler import Placement, Scheduler
from discolocal.cluster.transitions import Cancel, KillAsked, Launch, TaskAssigned
from discolocal.cluster.watcher import watcher
from discolocal.worker.classic import child

on_failure: Callable[[str, Exception], None] | None = None
"""Called with the name of a job and what a task of it has raised, its frames included: a debugger can look at these."""

_directory = threading.RLock()
"""The working directory and the environment belong to the whole process: one inline task at a time."""


def execute_task(order: TaskOrder, on_event: Callable[[TaskEvent], None]) -> TaskEnd:
    """Run one task in this thread and return its end; `on_event` is called with what it says.

    Needs nothing but the order and the cluster's files, so any executor whose workers share the file
    system can run it.
    """
    from discolocal.worker import serve
    from discolocal.worker.channel import DirectChannel

    home = homes.prepare(order)
    run = TaskRun(order, home, on_event)
    with _directory:
        before, path = os.open(".", os.O_RDONLY), list(sys.path)  # a descriptor: it may have been deleted
        os.chdir(home)
        # Relative entries of the import path mean the directory that the job was submitted in.
        sys.path[:] = order.job.sys_path
        try:
            with _variables(order.job.envs):
                failed = None if on_failure is None else partial(on_failure, order.job.jobname)
                serve(DirectChannel(lambda data: _feed(run, data)), local=True, failed=failed)
        except SystemExit as error:
            run.worker_gone(error.code if isinstance(error.code, int) else int(error.code is not None), b"")
        finally:
            sys.path[:] = path
            os.fchdir(before)
            os.close(before)
    if run.end is None:
        run.worker_gone(0, b"")
    assert run.end is not None
    return run.end


@contextmanager
def _variables(envs: Mapping[str, str]) -> Iterator[None]:
    """Context manager: the environment has these variables; afterwards they are what they were before."""
    before = {name: os.environ.get(name) for name in envs}
    os.environ.update(envs)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _feed(run: TaskRun, data: bytes) -> bytes:
    """Hand the node what the worker says, and save its outputs when it is done: here nobody waits for the node."""
    answer = run.feed(data)
    if run.to_save and run.end is None:
        from discolocal.cluster import saving

        try:
            run.saved(saving.save_outputs(run.order, run.home, run.to_save), "")
        except Exception as error:
            run.saved([], f"{type(error).__name__}: {error}")
    return answer


class Inline:
    """Runs jobs in the thread that submits them; has the same face as `Master`."""

    def __init__(self, names: Sequence[str], workers: int, seed: int) -> None:
        self._names = list(names)
        self._workers = workers
        self._seed = seed
        self._slots = dict.fromkeys(names, workers)
        self._lock = threading.Lock()
        child.guard = watcher
        self.ended: Counter[tuple[str, str]] = Counter()  # attempts by node and kind of end

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Change how many tasks each node runs at once, for jobs from now on."""
        self._slots = dict(slots)

    def submit(self, job: JobRun) -> None:
        """Run the job to its end."""
        # Several threads may run jobs of theirs at the same time: each has a queue of its own.
        scheduler = Scheduler(self._names, self._workers, self._seed)
        scheduler.set_slots(self._slots)
        scheduler.add_job(job.name, job.info.max_cores)
        _do(job, job.begin(), scheduler)
        while (placement := scheduler.pick()) is not None:
            order = job.task_order(placement.launch, placement.host)
            job.started(order.taskid, order.run, placement.host)
            _do(job, job.feed(TaskAssigned(order.taskid, order.run, placement.host)), scheduler)
            self._attempt(job, order, placement, scheduler)

    def _attempt(self, job: JobRun, order: TaskOrder, placement: Placement, scheduler: Scheduler) -> None:
        work: deque[Work] = deque()

        def said(event: TaskEvent) -> None:
            work.extend(job.said(event, order.host))

        end = TaskEnd(order.key, "killed", "interrupted", (), 0.0)
        try:
            end = execute_task(order, said)
        except OSError as error:
            text = f"Worker could not be started on {order.host}: {type(error).__name__}: {error}"
            end = TaskEnd(order.key, "error", text, (), 0.0)
        except BaseException as error:
            job.feed(KillAsked(f"interrupted by {type(error).__name__}"))
            raise
        finally:
            scheduler.release(placement)
            with self._lock:
                self.ended[order.host, end.kind] += 1
            work.extend(job.ended_attempt(end))
            _do(job, list(work), scheduler)

    def kill(self, job: JobRun, text: str) -> None:
        """End a job that was interrupted: nothing of it can run while the caller does something else."""
        job.crashed(text)

    def close(self) -> None:
        """Nothing is left to end."""

    def abandon(self, then: Callable[[], None]) -> None:
        """Nothing is left to end: go on with `then`."""
        then()

    @property
    def tasks(self) -> dict[str, list[str]]:
        """The names of the jobs of the tasks that each node runs: none, while anybody can ask."""
        return {name: [] for name in self._names}

    def worker_pids(self) -> list[int]:
        """There are no worker processes."""
        return []

    def pids(self) -> dict[str, int]:
        """The node names with the caller's pid."""
        return dict.fromkeys(self._names, os.getpid())


def _do(job: JobRun, work: list[Work], scheduler: Scheduler) -> None:
    for item in work:
        if isinstance(item, Cancel):
            scheduler.cancel(job.name, item.task, item.run)
        elif isinstance(item, Launch):
            scheduler.add(job.name, item)  # nobody is fed: one task runs at a time, and those before it have ended
