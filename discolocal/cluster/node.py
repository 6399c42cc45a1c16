"""A node: a process that takes task orders from the master and runs a worker process for each.

    master (thread in the caller's process)
      | socketpair, pickled orders and answers (`link`)
    node process  -- an interpreter and hash seed of its own, one thread, poll loop
      | a pipe from each child that does what may take long (`helper`)
      | two pipes per worker, Worker Protocol 1.1 (`execution`)
    worker process -- a fork of the node or the program of a job home, in a process group of its own; one task,
                      then killed

The node ends itself and all its workers when the socket closes; on Linux the kernel ends workers whose node dies.
Nothing here calls user functions: those are loaded in the worker, or before many workers of a job are forked where
loading calls none of them (`discolocal.worker.ahead`). So nothing stays behind in the node from one task to the next.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import math
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from discolocal.cluster import bytecode, homes, preloaded
from discolocal.cluster.exec import Exec
from discolocal.cluster.execution import TaskRun
from discolocal.cluster.fork import Fork
from discolocal.cluster.helper import Helper, Outcome
from discolocal.cluster.launch import Launched, Launcher
from discolocal.cluster.link import Link, LinkClosed, seconds_until
from discolocal.cluster.orders import READY, Key, MoreInputs, TaskEnd, TaskEvent, TaskOrder, WorkerStarted
from discolocal.wire import event as texts

_CHUNK = 1 << 16  # bytes read at once: more would be mapped and unmapped for every read
_LOG_TAIL = 1 << 20  # bytes of stray output that are passed on
_REST = 1.0  # seconds after the last start of a task at which spare workers that nobody has needed are ended
_READ, _WRITE = select.POLLIN, select.POLLOUT  # with either may come that the other end is gone


class _Running:
    """A worker at its task."""

    def __init__(self, run: TaskRun, worker: Launched) -> None:
        self.run = run
        self.worker = worker
        self.log_told = False  # whether the end of the task quotes what went to descriptors 1 and 2
        self.outbox = bytearray()
        self.blocked = False  # whether the pipe was full: the selector tells when it takes more
        self.listened = True  # whether the selector tells what the worker says


class Node:
    """The node's poll loop; see the module. `launchers` are the ways in which workers may start, by name."""

    def __init__(self, link: Link, launchers: dict[str, Launcher]) -> None:
        self._link = link
        self._launchers = launchers
        self._tasks: dict[Key, _Running] = {}
        self._by_fd: dict[int, _Running] = {}
        self._helpers: dict[int, Helper] = {}
        self._poll = select.poll()
        self._wakeup, wakeup_write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(wakeup_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        self._ending: list[Launched] = []
        self._interest = _READ
        self._next: float | None = None  # the earliest deadline, in seconds of `time.monotonic`
        self._rest_at: float | None = None
        self._spares_used = True
        self._poll.register(link.fileno(), _READ)
        self._poll.register(self._wakeup, _READ)

    def run(self) -> None:
        """Serve until the master is gone."""
        try:
            self._link.send(READY)
            self._prepare()
            while True:
                self._link.flush()
                interest = _READ | _WRITE if self._link.wants_write else _READ
                if interest != self._interest:
                    self._poll.modify(self._link.fileno(), interest)
                    self._interest = interest
                for fd, events in self._poll.poll(self._timeout()):
                    self._ready(fd, events)
                self._check_deadlines()
        except LinkClosed:
            pass
        finally:
            for helper in self._helpers.values():
                helper.kill()
            for running in list(self._tasks.values()):
                running.worker.kill()
            for launcher in self._launchers.values():
                launcher.close()

    def _prepare(self) -> None:
        """Make the next worker ready; when that fails now, the next task tries again and can say so."""
        self._spares_used = False
        for launcher in self._launchers.values():
            with contextlib.suppress(OSError):
                launcher.prepare()

    def _timeout(self) -> int | None:
        """How long to wait for something to happen, in milliseconds; None for ever."""
        deadlines = [when for running in self._tasks.values() if (when := running.run.deadline) is not None]
        if self._rest_at is not None:
            deadlines.append(self._rest_at)
        self._next = min(deadlines) if deadlines else None
        return None if self._next is None else math.ceil(1000 * seconds_until(self._next))

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        if self._next is None or now < self._next:
            return
        for running in list(self._tasks.values()):
            deadline = running.run.deadline
            if deadline is not None and deadline <= now:
                running.run.expired()
                self._end(running)
        if self._rest_at is not None and self._rest_at <= now:
            self._rest_at = None
            for launcher in self._launchers.values():
                self._ending += launcher.rest()

    def _ready(self, fd: int, events: int) -> None:
        if fd == self._link.fileno():
            if events & _WRITE:
                self._link.flush()
            if events & ~_WRITE:
                for message in self._link.receive():
                    self._take(message)
        elif fd == self._wakeup:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
            self._reap()
        elif fd in self._helpers:
            self._hear(self._helpers[fd])
        else:
            running = self._by_fd.get(fd)
            if running is None:
                return
            # What came before this in the same turn may have ended the conversation.
            if fd == running.worker.read_fd and running.listened:
                self._read(running)
            elif fd == running.worker.write_fd and running.blocked:
                self._write(running)

    def _take(self, message: Any) -> None:
        match message:
            case TaskOrder():
                self._take_order(message)
            case ("kill", key):
                self._kill(key)
            case MoreInputs():
                self._take_inputs(message)
            case ("pids",):
                self._link.send(("pids", [pid for launcher in self._launchers.values() for pid in launcher.spares()]))

    def _kill(self, key: Key) -> None:
        helpers = [helper for helper in self._helpers.values() if helper.order.key == key]
        for helper in helpers:
            self._forget(helper)
            helper.kill()
        running = self._tasks.get(key)
        if running is not None:
            running.run.killed()
            self._end(running)
        elif helpers:
            self._link.send(TaskEnd(key, "killed", "killed", (), 0.0))

    def _take_inputs(self, more: MoreInputs) -> None:
        """Inputs of a task that runs, or will when its job home is unpacked; one that has just ended needs none."""
        for helper in self._helpers.values():
            if helper.order.key == more.key:
                inputs = helper.order.inputs + more.inputs
                helper.order = helper.order._replace(inputs=inputs, complete=more.complete)
        running = self._tasks.get(more.key)
        if running is not None and not running.run.to_save:
            running.outbox += running.run.add_inputs(more)
            self._write(running)

    def _take_order(self, order: TaskOrder) -> None:
        """Start the task, after its job home has been unpacked, which may take long, in a process of its own."""
        if order.job.start != "exec" or homes.is_ready(order):
            self._start(order)
            return
        bytecode.load()  # here, so that the next child has it too
        self._help(
            order,
            lambda: homes.prepare(order),
            lambda order, said: self._not_started(order, said.failure) if said.failure else self._start(order),
        )

    def _help(self, order: TaskOrder, work: Callable[[], object], then: Callable[[TaskOrder, Outcome], None]) -> None:
        """Have something done by a process of its own."""
        try:
            helper = Helper(order, work, then)
        except OSError as error:
            then(order, Outcome(failure=f"{type(error).__name__}: {error}"))
        else:
            self._helpers[helper.read_fd] = helper
            self._poll.register(helper.read_fd, _READ)

    def _hear(self, helper: Helper) -> None:
        outcome = helper.hear()
        if outcome is not None:
            self._forget(helper)
            helper.then(helper.order, outcome)

    def _forget(self, helper: Helper) -> None:
        del self._helpers[helper.read_fd]
        self._poll.unregister(helper.read_fd)

    def _save(self, running: _Running) -> None:
        """Have the outputs of a task stored that is done. Its worker is ended now: nobody listens to it any more."""
        from discolocal.cluster import saving  # in the node, so that the next child has it too

        run = running.run
        running.worker.kill()
        running.outbox.clear()
        self._stop_listening(running)

        def then(_order: TaskOrder, outcome: Outcome) -> None:
            run.saved(outcome.value, outcome.failure)
            self._end(running)

        self._help(run.order, lambda: saving.save_outputs(run.order, run.home, run.to_save), then)

    def _not_started(self, order: TaskOrder, why: str) -> None:
        """Whatever it is, the task must get an end."""
        self._link.send(TaskEnd(order.key, "error", f"Worker could not be started on {order.host}: {why}", (), 0.0))

    def _start(self, order: TaskOrder) -> None:
        try:
            home = homes.prepare(order)
            run = TaskRun(order, home, self._event)
            worker = self._launchers[order.job.start].start(order, home)
        except Exception as error:
            self._not_started(order, f"{type(error).__name__}: {error}")
            return
        running = _Running(run, worker)
        self._tasks[order.key] = running
        self._by_fd[worker.read_fd] = self._by_fd[worker.write_fd] = running
        self._poll.register(worker.read_fd, _READ)
        self._link.post(WorkerStarted(order.key, worker.pid))
        self._rest_at = time.monotonic() + _REST
        self._spares_used = True

    def _event(self, event: TaskEvent) -> None:
        self._link.post(event)

    def _read(self, running: _Running) -> None:
        try:
            data = os.read(running.worker.read_fd, _CHUNK)
        except BlockingIOError:
            return
        if data:
            running.outbox += running.run.feed(data)
            if running.run.end is not None:
                self._end(running)
            elif running.run.to_save:
                self._save(running)
            elif running.outbox:
                self._write(running)
                # The worker is busy with this answer: time to fork the next one.
                if self._spares_used:
                    self._prepare()
        else:
            # End of file without DONE: the process is ending, or has closed its channel.
            status = _ends_soon(running.worker)
            if status is None:
                running.run.failed("the worker closed its connection to the node before its task was done")
                self._end(running)
            else:
                self._gone(running, status)

    def _write(self, running: _Running) -> None:
        try:
            sent = os.write(running.worker.write_fd, running.outbox)
            del running.outbox[:sent]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            running.outbox.clear()
        if bool(running.outbox) != running.blocked:
            running.blocked = not running.blocked
            if running.blocked:
                self._poll.register(running.worker.write_fd, _WRITE)
            else:
                self._poll.unregister(running.worker.write_fd)

    def _reap(self) -> None:
        """Look which workers have ended; their last frames may still be in the pipe."""
        for running in [one for one in self._tasks.values() if not one.run.to_save]:
            status = running.worker.poll()
            if status is not None:
                self._drain(running)
                if running.run.to_save:
                    self._save(running)
                elif running.run.end is None:
                    self._gone(running, status)
                else:
                    self._end(running)
        for launcher in self._launchers.values():
            launcher.reap()
        self._ending = [worker for worker in self._ending if worker.poll() is None]

    def _drain(self, running: _Running) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(running.worker.read_fd, _CHUNK):
                running.run.feed(data)

    def _gone(self, running: _Running, status: int) -> None:
        left_out, log = running.worker.log_tail(_LOG_TAIL)
        running.run.worker_gone(status, (b"... (%d bytes left out)\n" % left_out if left_out else b"") + log)
        running.log_told = True
        self._end(running)

    def _end(self, running: _Running) -> None:
        """Report the end of a task; its worker is killed, as a master does (reference 2.2)."""
        worker, run = running.worker, running.run
        end = run.end
        assert end is not None
        if not running.log_told:
            self._stray_output(running)
        if end.kind == "done":
            self._link.send(end)  # the job can go on while the worker is put away
        worker.kill()
        if end.kind != "done":
            _ends_soon(worker)  # who hears of the end may delete the files of the job
        del self._tasks[end.key]
        self._stop_listening(running)
        del self._by_fd[worker.read_fd], self._by_fd[worker.write_fd]
        if worker.poll() is None:
            self._ending.append(worker)
        worker.close()
        if end.kind != "done":
            self._link.send(end)

    def _stop_listening(self, running: _Running) -> None:
        if running.listened:
            running.listened = False
            self._poll.unregister(running.worker.read_fd)
        if running.blocked:
            running.blocked = False
            self._poll.unregister(running.worker.write_fd)

    def _stray_output(self, running: _Running) -> None:
        """Report what went to descriptors 1 and 2 past Python: it would end up in the protocol pipe (trap 45)."""
        end = running.run.end
        assert end is not None
        left_out, log = running.worker.log_tail(_LOG_TAIL)
        lines = [line for line in log.decode("utf-8", "backslashreplace").splitlines() if line.strip()]
        if left_out:
            lines.insert(0, f"... ({left_out} bytes of output left out here)")
        for line in lines:
            self._event(TaskEvent(end.key, "MSG", line))
        if lines and end.kind == "done":
            first = lines[0][:80]
            text = texts.portability(
                "stray-output",
                f"the task wrote to standard output or error past Python (a child process or C code: {first!r}): on "
                "a cluster that breaks the worker protocol and the task is retried. Capture or redirect it.",
            )
            self._event(TaskEvent(end.key, "MSG", text))


def _ends_soon(worker: Launched) -> int | None:
    """The exit code of a worker that is about to end, None if it does not within half a second."""
    for _ in range(100):
        status = worker.poll()
        if status is not None:
            return status
        time.sleep(0.005)
    return None


def _low(fd: int) -> int:
    """Move a descriptor to the lowest free number."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def main(fd: int, sentinel: int) -> None:
    """Be a node: serve the master on the inherited socket `fd`, then exit without clean-up of the interpreter.

    `sentinel` is open as long as this process lives.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Low numbers, whatever the caller had open: a worker closes all descriptors of its node up to a limit.
    fd, _ = _low(fd), _low(sentinel)
    preloaded.warm_up()
    faulthandler.enable(2)  # in its forks as well, where this is the file of what they print
    hash_seed = os.environ.pop("PYTHONHASHSEED", None)  # the node's own affair, and its programs'
    link = Link(fd)
    gc.collect()
    gc.freeze()  # workers are forks: objects made so far are never looked at by their collectors
    code = 1
    try:
        Node(link, {"fork": Fork(), "exec": Exec(hash_seed)}).run()
        code = 0
    except BaseException:
        traceback.print_exc()  # to the standard error of the caller: nobody else is left to tell
    finally:
        sys.stderr.flush()
        os._exit(code)
