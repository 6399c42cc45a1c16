"""Work of a node that may take long, such as unpacking a job home or storing results: the node goes on meanwhile.

node --fork--> child: work()
node <--pipe-- child: pickled, what it has returned or why it failed; then end of file
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from discolocal.cluster.launch import keep_only, parent_death_signal
from discolocal.cluster.orders import TaskOrder


class Outcome(NamedTuple):
    """How the work ended: `value` is what it has returned, `failure` says why it did not, "" when it did."""

    value: Any = None
    failure: str = ""


class Helper:
    """A child at work for a task.

    Parameters: `order` that of the task, which may get more inputs meanwhile; `work` what the child does: what it
    returns has to be something that can be pickled; `then` what the node does afterwards, unless it has killed the
    child. Attributes: these, and `read_fd`, which is readable when there is something to `hear`. Raises OSError when
    there can be no more processes.
    """

    def __init__(
        self, order: TaskOrder, work: Callable[[], object], then: Callable[[TaskOrder, Outcome], None]
    ) -> None:
        self.order = order
        self.then = then
        self.read_fd, write_fd = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self.read_fd)
            os.close(write_fd)
            raise
        if self._pid == 0:
            _child(work, write_fd)
        os.close(write_fd)
        self._said = b""

    def hear(self) -> Outcome | None:
        """Read what the child says: how its work ended, None while it has not."""
        data = os.read(self.read_fd, 1 << 16)
        if data:
            self._said += data
            return None
        status = self._end()
        try:
            return Outcome(*pickle.loads(self._said))
        except Exception:  # cut off, or nothing at all
            return Outcome(failure=f"the process that was to do it ended with status {status}")

    def kill(self) -> None:
        """End the child, whatever it has done so far."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._end()

    def _end(self) -> int:
        os.close(self.read_fd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _child(work: Callable[[], object], write_fd: int) -> None:
    """Do the work and tell; never returns."""
    code = 1
    try:
        die_with_parent = parent_death_signal()
        if die_with_parent is not None:
            die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        keep_only(write_fd)
        try:
            outcome = Outcome(work())
        except BaseException as error:
            outcome = Outcome(failure=f"{type(error).__name__}: {error}"[:4000])
        with open(write_fd, "wb") as pipe:
            pickle.dump(tuple(outcome), pipe)
        code = 0
    finally:
        os._exit(code)
