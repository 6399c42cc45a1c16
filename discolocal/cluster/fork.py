"""`start="fork"`: a worker is a fork of its node, one of them made ahead of time.

    node --pipe--> worker   first the launch record (where to run), then replies of the master

Descriptors 1 and 2 of a worker are a file without a name that its node reads: what C code or child processes
print must not get into the protocol, and must not be lost either.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from discolocal import schemes
from discolocal.cluster.launch import Launched, keep_only, parent_death_signal
from discolocal.cluster.orders import TaskOrder
from discolocal.worker import serve
from discolocal.worker.channel import PipeChannel
from discolocal.worker.serving import own_process

_LENGTH = struct.Struct("!I")


class _Record(NamedTuple):
    """What a forked worker needs before it can speak the protocol."""

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
    """Starts workers as forks of this process, one of them ahead of time; `Launcher`."""

    def __init__(self) -> None:
        self._spare: ForkedWorker | None = None
        self._die_with_parent = parent_death_signal()
        self._environ = dict(os.environ)

    def prepare(self) -> None:
        """Fork the spare worker."""
        if self._spare is None:
            self._spare = self._fork()

    def start(self, order: TaskOrder, home: str) -> ForkedWorker:
        """Give the task to the spare worker, or to a new one."""
        # Nearly always it is the environment that the node has as well: then there is nothing to change.
        environ = None if order.job.environ == self._environ else order.job.environ
        record = pickle.dumps(_Record(home, environ, order.job.envs, order.job.sys_path, order.job.roots))
        data = _LENGTH.pack(len(record)) + record
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare.poll() is None:
                with contextlib.suppress(BrokenPipeError):
                    spare.send(data)
                    return spare
            spare.close()
        worker = self._fork()
        worker.send(data)
        return worker

    def spares(self) -> list[int]:
        """See `Launcher`."""
        return [self._spare.pid] if self._spare is not None else []

    def reap(self) -> None:
        """See `Launcher`."""
        if self._spare is not None and self._spare.poll() is not None:
            self._spare.close()
            self._spare = None

    def close(self) -> None:
        """See `Launcher`."""
        if self._spare is not None:
            self._spare.kill()
            self._spare.close()
            self._spare = None

    def _fork(self) -> ForkedWorker:
        fds: list[int] = []
        try:
            fds += os.pipe()
            fds += os.pipe()
            fds.append(_unlinked_file())
            pid = os.fork()
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
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        keep_only(read_fd, write_fd, log_fd)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
            os.dup2(fd, target)
        faulthandler.enable(2)
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

    def read(size: int) -> Iterator[bytes]:
        while size and (data := os.read(fd, size)):
            size -= len(data)
            yield data

    head = b"".join(read(_LENGTH.size))
    if len(head) < _LENGTH.size:
        return None
    record: Any = pickle.loads(b"".join(read(_LENGTH.unpack(head)[0])))
    return record if isinstance(record, _Record) else None


def _work(record: _Record, read_fd: int, write_fd: int) -> int:
    os.chdir(record.home)
    if record.environ is not None:
        os.environ.clear()
        os.environ.update(record.environ)
    os.environ.update(record.envs)
    sys.path[:] = record.sys_path
    schemes.data_roots[:] = record.data_roots
    own_process()
    serve(PipeChannel(read_fd, write_fd))
    return 0
