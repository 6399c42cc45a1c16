"""How a worker process starts. This module has `fork`; `inline` needs no process (`inline.py`).

    node --pipe--> worker   first the launch record (where to run), then replies of the master
    node <--pipe-- worker   frames of Worker Protocol 1.1

Descriptors 1 and 2 of a worker are a file without a name that its node reads: what C code or child processes
print must not get into the protocol, and must not be lost either.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, Protocol

from discolocal import schemes
from discolocal.cluster.orders import TaskOrder
from discolocal.worker import serve
from discolocal.worker.channel import PipeChannel

_LENGTH = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1
_GC_THRESHOLD = 50_000


class Launched(Protocol):
    """A started worker as its node sees it: `read_fd` gives its frames, `write_fd` takes replies."""

    pid: int
    read_fd: int
    write_fd: int

    def kill(self) -> None:
        """Kill the process and all it started in its process group."""

    def poll(self) -> int | None:
        """The exit code if the process has ended (negative: a signal), else None."""

    def log_tail(self, size: int) -> tuple[int, bytes]:
        """What it wrote to descriptors 1 and 2: how many bytes are left out at the beginning, and the last `size`."""

    def close(self) -> None:
        """Close the node's descriptors."""


class Launcher(Protocol):
    """Starts workers."""

    def prepare(self) -> None:
        """Do ahead of time, if it is not done yet, what the next task would wait for."""

    def start(self, order: TaskOrder, home: str) -> Launched:
        """Start a worker for the task in the job home `home`."""

    def spares(self) -> list[int]:
        """Pids of processes that wait for a task."""

    def reap(self) -> None:
        """Notice spare processes that died."""

    def close(self) -> None:
        """End what was prepared."""


class _Record(NamedTuple):
    """What a forked worker needs before it can speak the protocol."""

    home: str
    environ: dict[str, str] | None
    envs: dict[str, str]
    sys_path: tuple[str, ...]
    data_roots: tuple[str, ...]


class ForkedWorker:
    """A worker that is a fork of the node; `Launched`."""

    def __init__(self, pid: int, read_fd: int, write_fd: int, log_fd: int) -> None:
        self.pid = pid
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._log_fd = log_fd
        self._status: int | None = None

    def send(self, data: bytes) -> None:
        """Write the launch record (small: it fits the pipe)."""
        with open(self.write_fd, "wb", closefd=False) as pipe:
            pipe.write(data)
        os.set_blocking(self.write_fd, False)

    def kill(self) -> None:
        """See `Launched`."""
        if self._status is None:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        """See `Launched`."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._status = 0
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
                    # What it started may have outlived it; its group's number is not given away before they end.
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(self.pid, signal.SIGKILL)
        return self._status

    def log_tail(self, size: int) -> tuple[int, bytes]:
        """See `Launched`."""
        end = os.fstat(self._log_fd).st_size
        start = max(0, end - size)
        data = os.pread(self._log_fd, size, start) if end else b""
        if start:
            cut = data.find(b"\n") + 1
            start, data = start + cut, data[cut:]
        return start, data

    def close(self) -> None:
        """See `Launched`."""
        for fd in (self.read_fd, self.write_fd, self._log_fd):
            os.close(fd)


class Fork:
    """Starts workers as forks of this process, one of them ahead of time; `Launcher`."""

    def __init__(self) -> None:
        self._spare: ForkedWorker | None = None
        self._die_with_parent = _parent_death_signal()
        os.environ.pop("PYTHONHASHSEED", None)  # the node's own affair
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


def _parent_death_signal() -> Callable[[], object] | None:
    """Return a function that makes the kernel kill this process when its parent dies, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


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
        _keep_only(read_fd, write_fd, log_fd)
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


def _keep_only(*keep: int) -> None:
    """Close every descriptor of the node but these and 0 to 2: other workers' pipes, the master's socket."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, low + 1024)


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
    sys.dont_write_bytecode = True
    # A task makes records by the million and keeps few: looking for cycles every 700 objects costs a tenth of its time.
    gc.set_threshold(_GC_THRESHOLD)
    serve(PipeChannel(read_fd, write_fd))
    return 0
