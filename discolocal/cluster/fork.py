"""`start="fork"`: a worker is a fork of its node, made ahead of time.

    node --pipe--> worker   first the launch record (where to run), then replies of the master

Descriptors 1 and 2 of a worker are a file without a name that its node reads: what C code or child processes
print must not get into the protocol, and must not be lost either.
"""

from __future__ import annotations

import _signal  # its functions without the enums of `signal`, by which a fork touches fifty pages of memory more
import contextlib
import fcntl
import gc
import importlib
import marshal
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from discolocal import schemes
from discolocal.cluster.launch import Launched, keep_only, parent_death_signal, plain_fork
from discolocal.cluster.orders import TaskOrder
from discolocal.error import DiscoError
from discolocal.fileutils import read_jobdata
from discolocal.worker import ahead, serve
from discolocal.worker.channel import PipeChannel
from discolocal.worker.serving import MEASURING, own_process

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16
_MOST_SPARES = 16
_REHEARSE_AFTER = 40  # tasks of a worker: so many are as quick without
_LOAD_AFTER = 16  # tasks of a job
_QUICK = 0.2  # seconds in which a spare worker gets a task where tasks follow one another


class _Record(NamedTuple):
    """What a forked worker needs before it can speak the protocol. It is sent as a tuple by `marshal`, to a fork."""

    home: str
    environ: dict[str, str] | None
    envs: dict[str, str]
    sys_path: tuple[str, ...]
    data_roots: tuple[str, ...]


class ForkedWorker(Launched):
    """A worker that is a fork of the node."""

    def send(self, data: bytes) -> None:
        """Write the launch record (small: it fits the pipe)."""
        with open(self.write_fd, "wb", closefd=False) as pipe:
            pipe.write(data)
        os.set_blocking(self.write_fd, False)


class Fork:
    """Starts workers as forks of this process, made ahead of time; `Launcher`.

    Where one task follows another several are made at once: after a fork every page of memory that the node writes to
    is a page fault, and so there is one such series of faults for all of them.
    """

    def __init__(self) -> None:
        self._spares: list[ForkedWorker] = []
        self._batch = 1
        self._prepared = 0.0
        self._die_with_parent = parent_death_signal()
        self._plain_fork = plain_fork()
        self._loaded: set[str] = set()
        self._started: Counter[str] = Counter()
        self._to_rehearse: tuple[str, str] | None = None
        self._job_home = ""
        self._tasks_of_job = 0
        self._ahead = ""  # the home of the job that was loaded ahead, or could not be
        self._environ = dict(os.environ)

    def prepare(self) -> None:
        """Fork spare workers if there is none: one, twice as many as the last time if these were used up quickly."""
        if self._spares:
            return
        if self._to_rehearse is not None:
            from discolocal.cluster.rehearsal import rehearse

            rehearse(*self._to_rehearse)
            self._to_rehearse = None
        if self._tasks_of_job >= _LOAD_AFTER and self._ahead != self._job_home:
            self._load_job()
        now = time.monotonic()
        quick = now - self._prepared < _QUICK * self._batch
        self._batch = min(2 * self._batch, _MOST_SPARES) if quick else 1
        self._prepared = now
        for _ in range(self._batch):
            self._spares.append(self._fork())

    def start(self, order: TaskOrder, home: str) -> ForkedWorker:
        """Give the task to a spare worker, or to a new one."""
        self._load(order.job.worker, order.job.environ.get(MEASURING))
        self._started[order.job.worker] += 1
        if self._started[order.job.worker] == _REHEARSE_AFTER:
            self._to_rehearse = order.job.worker, os.path.dirname(order.job.data)
        if self._job_home != home:
            self._job_home, self._tasks_of_job = home, 0
        self._tasks_of_job += 1
        # Nearly always it is the environment that the node has as well: then there is nothing to change.
        environ = None if order.job.environ == self._environ else order.job.environ
        record = marshal.dumps((home, environ, order.job.envs, order.job.sys_path, order.job.roots))
        data = _LENGTH.pack(len(record)) + record
        while self._spares:
            spare = self._spares.pop()
            if spare.poll() is None:
                with contextlib.suppress(BrokenPipeError):
                    spare.send(data)
                    return spare
            spare.close()
        worker = self._fork()
        worker.send(data)
        return worker

    def _load(self, worker: str, measuring: str | None) -> None:
        """Import the library's own program that tasks of a job run, so that further forks have it; coverage.py too."""
        if worker not in self._loaded:
            self._loaded.add(worker)
            importlib.import_module(worker.removesuffix(".py").replace("/", "."))
            gc.freeze()
        if measuring and MEASURING not in self._loaded:
            from discolocal.worker.measuring import load

            self._loaded.add(MEASURING)
            load(measuring)
            gc.freeze()

    def _load_job(self) -> None:
        """Load the job that has had so many tasks, so that further forks have it."""
        self._drop_job()
        self._ahead = self._job_home
        jobfile = os.path.join(self._ahead, "jobfile")
        done = False
        with contextlib.suppress(OSError, DiscoError):
            done = ahead.load(jobfile, read_jobdata(jobfile))
        if not done:
            gc.collect()  # what was made of it: frozen, it would stay for good
        gc.freeze()

    def _drop_job(self) -> bool:
        """Let go of the job that was loaded, if one was; tells whether there was one."""
        self._ahead = ""
        had = ahead.drop()
        if had:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        return had

    def spares(self) -> list[int]:
        """See `Launcher`."""
        return [spare.pid for spare in self._spares]

    def reap(self) -> None:
        """See `Launcher`."""
        for spare in [spare for spare in self._spares if spare.poll() is not None]:
            self._spares.remove(spare)
            spare.close()

    def rest(self) -> list[Launched]:
        """See `Launcher`."""
        # A job whose tasks take so long is not worth it; and the spares have the objects of the one that was loaded.
        self._tasks_of_job = 0
        had = self._drop_job()
        ended = self._end(0 if had else 1)
        if had:
            with contextlib.suppress(OSError):
                self._spares.append(self._fork())
        return ended

    def close(self) -> None:
        """See `Launcher`."""
        self._end(0)

    def _end(self, left: int) -> list[Launched]:
        """End all spares but `left` of them."""
        ended: list[Launched] = []
        while len(self._spares) > left:
            spare = self._spares.pop()
            spare.kill()
            spare.close()
            ended.append(spare)
        return ended

    def _fork(self) -> ForkedWorker:
        fds: list[int] = []
        try:
            fds += os.pipe()
            fds += os.pipe()
            fds.append(_unlinked_file())
            pid = self._plain_fork()
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        child_read, write_fd, read_fd, child_write, log_fd = fds
        if pid == 0:
            _child(child_read, child_write, log_fd, self._die_with_parent)
        os.close(child_read)
        os.close(child_write)
        os.set_blocking(read_fd, False)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return ForkedWorker(pid, read_fd, write_fd, log_fd)


def _unlinked_file() -> int:
    """Open a file that has no name: it is gone when its last descriptor is."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("discolocal.log")
    else:
        import tempfile

        fd, path = tempfile.mkstemp(prefix="discolocal-")
        os.unlink(path)
    # Several processes of a task may print at the same time: each line goes to the end.
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    return fd


def _child(read_fd: int, write_fd: int, log_fd: int, die_with_parent: Callable[[], object] | None) -> NoReturn:
    """The worker process: wait for the launch record, then speak the protocol; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        if die_with_parent is not None:
            die_with_parent()
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        keep_only(read_fd, write_fd, log_fd)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
            os.dup2(fd, target)
        record = _read_record(read_fd)
        if record is not None:
            code = _work(record, read_fd, write_fd)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        with contextlib.suppress(BaseException):
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code & 0xFF)


def _read_record(fd: int) -> _Record | None:
    """Read the launch record; None when the node is gone before it sent one."""
    data = b""
    while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        more = os.read(fd, _CHUNK)
        if not more:
            return None
        data += more
    return _Record(*marshal.loads(data[_LENGTH.size :]))


def _work(record: _Record, read_fd: int, write_fd: int) -> int:
    os.chdir(record.home)
    if record.environ is not None:
        os.environ.clear()
        os.environ.update(record.environ)
    for name, value in record.envs.items():
        os.environ[name] = value
    sys.path[:] = record.sys_path
    schemes.data_roots[:] = record.data_roots
    own_process()
    serve(PipeChannel(read_fd, write_fd))
    return 0
