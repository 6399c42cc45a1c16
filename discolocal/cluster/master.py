"""The master: a thread that gives tasks of jobs to node processes and hears from them.

    callers' threads --commands + wake-up pipe--> Master thread --link--> node 1
                     <---- JobRun (condition) ---        |  ----link--> node 2 ...

One selector waits on the wake-up pipe, every node's link and every node's sentinel. A node that is
gone, or does not stop a task in time, is replaced by a new process under the same name; its files are
still on disk.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discolocal.cluster.homes import LOCK_TIME
from discolocal.cluster.jobrun import JobRun, Work
from discolocal.cluster.link import LinkClosed, seconds_until
from discolocal.cluster.orders import Key, MoreInputs, TaskEnd, TaskEvent, WorkerStarted, order_inputs
from discolocal.cluster.pool import NodeProcess, pool
from discolocal.cluster.scheduler import Placement, Scheduler
from discolocal.cluster.transitions import Feed, KillAsked, Launch, NodeLost, TaskAssigned
from discolocal.error import DiscoError

_KILL_PATIENCE = 0.5  # seconds that a node has to stop a task before it is ended itself
_START_PATIENCE = 30.0  # seconds that a node has to start a worker
_FALSE_STARTS = 3  # nodes that end before they serve: then something is wrong that a new process does not mend


class _Attempt:
    """A running attempt: its job, its node and its process once known."""

    def __init__(self, job: JobRun, placement: Placement) -> None:
        self.job = job
        self.placement = placement
        self.host = placement.host
        self.pid: int | None = None
        self.cancelled = False


class Master:
    """Runs jobs on node processes.

    Parameters: `names` of the nodes; `workers` per node; `seed` of the placement.
    """

    def __init__(self, names: Sequence[str], workers: int, seed: int) -> None:
        self._names = list(names)
        self._workers = workers
        self._scheduler = Scheduler(names, workers, seed)
        self._jobs: dict[str, JobRun] = {}
        self._attempts: dict[Key, _Attempt] = {}
        self._deadlines: dict[Key, float] = {}
        self.ended: Counter[tuple[str, str]] = Counter()  # attempts by node and kind of end
        self._commands: deque[Callable[[], None]] = deque()
        self._watched: dict[int, tuple[int, int]] = {}
        self._stop = False
        self._false_starts = 0
        self._then: Callable[[], None] = lambda: None
        self._gone = "is closed"
        self._lock = threading.Lock()  # between `_tell` and the end of the thread
        self._thread = threading.Thread(target=self._run, name="discolocal-master", daemon=True)
        with contextlib.ExitStack() as undo:  # descriptors or processes may run out at any line
            self._selector = selectors.DefaultSelector()
            undo.callback(self._selector.close)
            self._wake_read, self._wake_write = os.pipe()
            undo.callback(os.close, self._wake_read)
            undo.callback(os.close, self._wake_write)
            os.set_blocking(self._wake_read, False)
            os.set_blocking(self._wake_write, False)
            self._selector.register(self._wake_read, selectors.EVENT_READ, None)
            self._nodes: list[NodeProcess] = pool.acquire(len(names), workers)
            undo.callback(pool.release, self._nodes, workers)
            for number in range(len(names)):
                self._watch(number)
            self._thread.start()
            undo.pop_all()

    def submit(self, job: JobRun) -> None:
        """Start a job; returns at once. Raises DiscoError if the cluster was closed or lost its nodes for good."""
        if not self._tell(lambda: self._submit(job)):
            raise DiscoError(f"This cluster {self._gone}: make a new LocalCluster")

    def kill(self, job: JobRun, text: str) -> None:
        """End a job; returns at once (wait on the job for its workers to be gone)."""
        if not self._tell(lambda: self._do(job, job.feed(KillAsked(text)))):
            job.crashed(text)  # nothing of it can run any more

    def close(self) -> None:
        """End all jobs, give the nodes back and end the thread. Safe to call twice."""
        self._tell(self._close)
        self._thread.join()

    def abandon(self, then: Callable[[], None]) -> None:
        """As `close`, without waiting; the master's thread calls `then` at its end."""
        self._then = then
        self._tell(self._close)

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Change how many tasks each node runs at once; those that run go on."""
        self._tell(lambda: self._scheduler.set_slots(slots))

    @property
    def tasks(self) -> dict[str, list[str]]:
        """The names of the jobs of the tasks that each node runs."""
        attempts = list(self._attempts.values())
        return {name: [attempt.job.name for attempt in attempts if attempt.host == name] for name in self._names}

    def pids(self) -> dict[str, int]:
        """The pids of the node processes, by node."""
        return {name: node.pid for name, node in zip(self._names, self._nodes)}

    def worker_pids(self) -> list[int]:
        """The pids of the workers that run tasks now."""
        return [attempt.pid for attempt in list(self._attempts.values()) if attempt.pid is not None]

    def _tell(self, command: Callable[[], None]) -> bool:
        """Have the master's thread call `command`; False when that thread has ended."""
        with self._lock:
            if self._wake_write < 0:
                return False
            self._commands.append(command)
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_write, b"x")
            return True

    def _close(self) -> None:
        self._stop = True
        for job in list(self._jobs.values()):
            self._do(job, job.feed(KillAsked("the cluster was closed while the job ran")))

    # What follows runs in the master's thread alone.

    def _run(self) -> None:
        try:
            while not (self._stop and not self._attempts):
                self._turn()
        except BaseException as error:
            # A fault of this library: whoever waits must hear of it.
            self._gone = "has lost its nodes"
            self._end_thread(f"the cluster failed: {type(error).__name__}: {error}")
            pool.discard(self._nodes)
            if not isinstance(error, DiscoError):
                raise
        else:
            self._end_thread("the cluster was closed")
            pool.release(self._nodes, self._workers)
        finally:
            self._selector.close()
            self._then()

    def _end_thread(self, why: str) -> None:
        """Take no more commands, and end the jobs of those that came too late."""
        with self._lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1
        self._stop = True
        while self._commands:
            self._commands.popleft()()
        for job in {id(j): j for j in (*self._jobs.values(), *(a.job for a in self._attempts.values()))}.values():
            job.crashed(why)

    def _turn(self) -> None:
        """Place what can be placed, then wait for something to happen and handle it."""
        self._place()
        for number, node in enumerate(self._nodes):
            self._interest(number, node)
        for key, mask in self._selector.select(self._timeout()):
            self._ready(key, mask)
        self._check_deadlines()

    def _watch(self, number: int) -> None:
        node = self._nodes[number]
        self._watched[number] = (node.link.fileno(), node.sentinel)
        for fd in self._watched[number]:
            self._selector.register(fd, selectors.EVENT_READ, number)

    def _unwatch(self, number: int) -> None:
        for fd in self._watched.pop(number):
            self._selector.unregister(fd)

    def _interest(self, number: int, node: NodeProcess) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if node.link.wants_write else 0)
        key = self._selector.get_key(node.link.fileno())
        if key.events != wanted:
            self._selector.modify(node.link.fileno(), wanted, number)

    def _ready(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
            while self._commands:
                self._commands.popleft()()
            return
        node = self._nodes[key.data]
        if key.fd == node.sentinel:
            self._hear(key.data)  # what it said last comes before its end
            self._lost(key.data)
        elif key.fd == node.link.fileno():
            if mask & selectors.EVENT_WRITE:
                node.link.flush()
            if mask & selectors.EVENT_READ and not self._hear(key.data):
                self._lost(key.data)

    def _hear(self, number: int) -> bool:
        """Take what a node sent; False when its link is closed."""
        try:
            messages = self._nodes[number].receive()
        except LinkClosed:
            return False
        if self._nodes[number].ready:
            self._false_starts = 0
        for message in messages:
            self._take(message)
        return True

    def _take(self, message: Any) -> None:
        attempt = self._attempts.get(message.key) if hasattr(message, "key") else None
        if attempt is None:
            return
        match message:
            case TaskEvent():
                self._do(attempt.job, attempt.job.said(message, attempt.host))
            case WorkerStarted():
                attempt.pid = message.pid
                if not attempt.cancelled:
                    self._deadlines.pop(message.key, None)
            case TaskEnd():
                self._forget(message.key)
                self.ended[attempt.host, message.kind] += 1
                self._do(attempt.job, attempt.job.ended_attempt(message))

    def _forget(self, key: Key) -> None:
        """The attempt is over: its slot is free."""
        attempt = self._attempts.pop(key)
        self._deadlines.pop(key, None)
        self._scheduler.release(attempt.placement)

    def _submit(self, job: JobRun) -> None:
        if self._stop:
            job.crashed("the cluster was closed before the job started")
            return
        self._jobs[job.name] = job
        self._scheduler.add_job(job.name, job.info.max_cores)
        self._do(job, job.begin())

    def _do(self, job: JobRun, work: list[Work]) -> None:
        for item in work:
            if isinstance(item, Launch):
                self._scheduler.add(job.name, item)
                continue
            key = (job.name, item.task, item.run)
            attempt = self._attempts.get(key)
            if isinstance(item, Feed):
                if attempt is not None:
                    self._node(attempt.host).link.send(MoreInputs(key, order_inputs(item.inputs), item.complete))
            elif not self._scheduler.cancel(*key) and attempt is not None:
                self._node(attempt.host).link.send(("kill", key))
                attempt.cancelled = True
                self._deadlines[key] = time.monotonic() + _KILL_PATIENCE
        if job.state.status != "active":
            self._scheduler.remove_job(job.name)
            self._jobs.pop(job.name, None)

    def _node(self, host: str) -> NodeProcess:
        return self._nodes[self._names.index(host)]

    def _place(self) -> None:
        while (placement := self._scheduler.pick()) is not None:
            job = self._jobs[placement.job]
            order = job.task_order(placement.launch, placement.host)
            self._attempts[order.key] = _Attempt(job, placement)
            job.started(order.taskid, order.run, placement.host)
            self._do(job, job.feed(TaskAssigned(order.taskid, order.run, placement.host)))
            self._node(placement.host).link.send(order)
            unpacking = LOCK_TIME * order.job.timeouts if order.job.start == "exec" else 0.0
            self._deadlines[order.key] = time.monotonic() + _START_PATIENCE + unpacking

    def _timeout(self) -> float | None:
        return seconds_until(min(self._deadlines.values())) if self._deadlines else None

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        late = {self._attempts[key].host for key, when in self._deadlines.items() if when <= now}
        for host in late:
            self._lost(self._names.index(host))

    def _lost(self, number: int) -> None:
        """A node's process is gone or of no use: end what is left of it and start another."""
        host = self._names[number]
        if not self._nodes[number].ready:
            self._false_starts += 1
            if self._false_starts == _FALSE_STARTS:
                self._nodes[number].join(1)
                code = self._nodes[number].exitcode
                raise DiscoError(f"the process of {host} ended with status {code} before it could serve (see stderr)")
        self._unwatch(number)
        lost = [key for key, attempt in self._attempts.items() if attempt.host == host]
        pids = [self._attempts[key].pid for key in lost]
        for pid in pids:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, 9)
        pool.replace(self._nodes, number)
        self._watch(number)
        jobs = {self._attempts[key].job.name: self._attempts[key].job for key in lost}
        for key in lost:
            attempt = self._attempts[key]
            self._forget(key)
            self.ended[host, "error"] += 1
            attempt.job.stopped(key[1], key[2])
        for job in jobs.values():
            self._do(job, job.feed(NodeLost(host, f"Connection lost to the node {host}: its process ended")))
