"""`start="exec"`: the worker is the program in the job home, started as a real master starts it (reference 1.7, 2.1).

    node --stdin--> program            replies of the master
    node <--stdout and stderr, joined-- program   frames of Worker Protocol 1.1

Working directory is the job home; the environment is that of the node without Disco's own settings, plus that of the
job pack. A worker of this library finds a file named in the TASK reply for what is printed past Python; whatever other
programs print is part of the conversation, as on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from discolocal.cluster import store
from discolocal.cluster.launch import Launched, parent_death_signal
from discolocal.cluster.orders import TaskOrder
from discolocal.fileutils import cannot_execute


class ExecutedWorker(Launched):
    """A worker that is a program of its own; `log` is the path of its log file."""

    def __init__(self, process: subprocess.Popen[bytes], read_fd: int, write_fd: int, log_fd: int, log: str) -> None:
        super().__init__(process.pid, read_fd, write_fd, log_fd)
        self._process = process
        self._log = log

    def _wait(self) -> int | None:
        return self._process.poll()

    def close(self) -> None:
        """See `Launched`; the log file is deleted."""
        super().close()
        with contextlib.suppress(OSError):
            os.unlink(self._log)


class Exec:
    """Starts the programs of job homes; `Launcher`. `hash_seed` is the node's own PYTHONHASHSEED, None for none."""

    def __init__(self, hash_seed: str | None) -> None:
        self._hash_seed = {} if hash_seed is None else {"PYTHONHASHSEED": hash_seed}
        self._begin = _beginning(parent_death_signal())

    def prepare(self) -> None:
        """Nothing can be done before the job is known."""

    def start(self, order: TaskOrder, home: str) -> ExecutedWorker:
        """See `Launcher`."""
        job = order.job
        log = store.log_path(order)
        fds: list[int] = []
        try:
            fds.append(os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            fds += os.pipe()
            fds += os.pipe()
            log_fd, child_read, write_fd, read_fd, child_write = fds
            process = subprocess.Popen(
                [os.path.join(home, job.worker)],
                cwd=home,
                env=job.environ | self._hash_seed | job.envs,
                stdin=child_read,
                stdout=child_write,
                stderr=child_write,
                preexec_fn=self._begin,
            )
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(log)
            if isinstance(error, OSError):
                raise OSError(error.errno, cannot_execute(os.path.join(home, job.worker), error)) from error
            raise
        os.close(child_read)
        os.close(child_write)
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        return ExecutedWorker(process, read_fd, write_fd, log_fd, log)

    def spares(self) -> list[int]:
        """There are none."""
        return []

    def reap(self) -> None:
        """There are no spares."""

    def rest(self) -> list[Launched]:
        """There are no spares."""
        return []

    def close(self) -> None:
        """There are no spares."""


def _beginning(die_with_parent: Callable[[], object] | None) -> Callable[[], None]:
    """What a new process does before it becomes the program. The node has one thread: code is safe to run there."""

    def begin() -> None:
        os.setpgid(0, 0)
        if die_with_parent is not None:
            die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the node ignores it, and that would be inherited

    return begin
