"""What a node needs to know of a worker process, however it was started (`fork`, `exec`; `inline` needs no process).

node --pipe--> worker   replies of the master
node <--pipe-- worker   frames of Worker Protocol 1.1
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from discolocal.cluster.orders import TaskOrder

_PR_SET_PDEATHSIG = 1


class Launched:
    """A started worker as its node sees it.

    Parameters, all attributes: `pid`; `read_fd` gives its frames and `write_fd` takes replies, both non-blocking;
    `log_fd` is a file with what it wrote to descriptors 1 and 2, None where these are the channel itself.
    """

    def __init__(self, pid: int, read_fd: int, write_fd: int, log_fd: int | None) -> None:
        self.pid = pid
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._log_fd = log_fd
        self._status: int | None = None

    def kill(self) -> None:
        """Kill the process, its children, and all it started in its process group (a master: its children, 2.2)."""
        if self._status is None:
            for child in _children(self.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code if the process has ended (negative: a signal), else None."""
        if self._status is None:
            self._status = self._wait()
            if self._status is not None:
                # What it started may have outlived it; its group's number is not given away before they end.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        return self._status

    def _wait(self) -> int | None:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def log_tail(self, size: int) -> tuple[int, bytes]:
        """What it wrote to descriptors 1 and 2: how many bytes are left out at the beginning, and the last `size`."""
        if self._log_fd is None:
            return 0, b""
        end = os.fstat(self._log_fd).st_size
        start = max(0, end - size)
        data = os.pread(self._log_fd, size, start) if end else b""
        if start:
            cut = data.find(b"\n") + 1
            start, data = start + cut, data[cut:]
        return start, data

    def close(self) -> None:
        """Close the node's descriptors."""
        for fd in (self.read_fd, self.write_fd, self._log_fd):
            if fd is not None:
                os.close(fd)


class Launcher(Protocol):
    """Starts workers."""

    def prepare(self) -> None:
        """Do ahead of time, if it is not done yet, what the next task would wait for."""

    def start(self, order: TaskOrder, home: str) -> Launched:
        """Start a worker for the task in the job home `home`. Raises OSError when it cannot be started."""

    def spares(self) -> list[int]:
        """Pids of processes that wait for a task."""

    def reap(self) -> None:
        """Notice spare processes that died."""

    def rest(self) -> list[Launched]:
        """No task has come for a while: end spare processes but one. Returns those that are to be waited for."""

    def close(self) -> None:
        """End what was prepared."""


def _children(pid: int) -> list[int]:
    """The children of a process, whatever group or session they have gone to, where the system tells."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, _content(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        pass  # the process is gone, or this is no Linux
    return children


def _content(path: str) -> bytes:
    """What is in a file of /proc. Without a file object: this is done for every task."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 12), b""))
    finally:
        os.close(fd)


def keep_only(*keep: int) -> None:
    """In a fork of a node, close every descriptor but these and 0 to 2: other workers' pipes, the master's socket."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, low + 1024)


def parent_death_signal() -> Callable[[], object] | None:
    """Return a function that makes the kernel kill this process when its parent dies, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def plain_fork() -> Callable[[], int]:
    """Return a function that forks this process as `os.fork` does, more cheaply while it has one thread.

    In the child Python makes all its locks anew and calls what modules have registered, since another thread may have
    been in the middle of something. Where there was none nothing has to be done, but for random numbers, which would be
    the same ones in every child. It saves a tenth of the time of a quick task. The function raises OSError.
    """
    if not sys.platform.startswith("linux"):
        return os.fork
    try:
        import ctypes

        # PyDLL: the one thread goes on in the child with the lock of the interpreter, as if nothing had happened.
        system_fork = ctypes.PyDLL(None, use_errno=True).fork
    except (ImportError, OSError, AttributeError):
        return os.fork

    def fork() -> int:
        if threading.active_count() > 1:
            return os.fork()
        pid = int(system_fork())
        if pid < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if pid == 0 and "random" in sys.modules:
            sys.modules["random"].seed()
        return pid

    return fork
