"""A job home being unpacked by a process of its own: the node goes on meanwhile.

node --fork--> child: homes.prepare(order)
node <--pipe-- child: why it failed, nothing when it did not; then end of file
"""

from __future__ import annotations

import contextlib
import os
import signal

from discolocal.cluster import bytecode, homes
from discolocal.cluster.launch import keep_only, parent_death_signal
from discolocal.cluster.orders import TaskOrder


class Unpacking:
    """The child at work. Attributes: `order`, and `read_fd`, which is readable when there is something to `hear`."""

    def __init__(self, order: TaskOrder) -> None:
        self.order = order
        bytecode.load()  # here, so that the next child has it too
        self.read_fd, write_fd = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self.read_fd)
            os.close(write_fd)
            raise
        if self._pid == 0:
            _child(order, write_fd)
        os.close(write_fd)
        self._said = b""

    def hear(self) -> str | None:
        """Read what the child says: why it failed, "" when the home is ready, None while it is not over."""
        data = os.read(self.read_fd, 1 << 16)
        if data:
            self._said += data
            return None
        status = self._end()
        if status and not self._said:
            return f"the process that unpacks the job home ended with status {status}"
        return self._said.decode("utf-8", "backslashreplace")

    def kill(self) -> None:
        """End the child; what it has written so far is done again by the next one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._end()

    def _end(self) -> int:
        os.close(self.read_fd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _child(order: TaskOrder, write_fd: int) -> None:
    """Unpack; never returns."""
    code = 1
    try:
        die_with_parent = parent_death_signal()
        if die_with_parent is not None:
            die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        keep_only(write_fd)
        homes.prepare(order)
        code = 0
    except BaseException as error:
        os.write(write_fd, f"{type(error).__name__}: {error}"[:4000].encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)
