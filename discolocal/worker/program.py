"""The worker as a program: its channel is stdin and stderr, and nothing else may get into it (reference 2.1, trap 45).

    stdin, stderr --moved away--> PipeChannel
    descriptor 0 --> the null device          what user code reads from stdin would be the master's replies
    descriptors 1, 2 --> a file               what C code and child processes print would be taken for messages

A local cluster names the file in its TASK reply and reads it itself. Otherwise it is a file without a name, and what
is in it at the end of the task becomes one message: a master kills jobs that send many.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
from typing import TYPE_CHECKING

from discolocal import schemes
from discolocal.worker.channel import PipeChannel
from discolocal.worker.serving import own_process, serve

if TYPE_CHECKING:
    from discolocal.task import Task

MAX_TOLD = 7000  # bytes; a master cuts the text of an event at 8192 characters


def run() -> str:
    """Run the one task of this process; returns how it ended."""
    own_process()
    channel, stderr = os.dup(0), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # The last words of a process that crashes are what it wrote to the channel last.
    faulthandler.enable(stderr)
    stray = _Stray()

    def begin(task: Task) -> None:
        stray.begin(task)
        schemes.data_roots[:] = task.local.get("roots", ())

    return serve(PipeChannel(channel, stderr), begin=begin, finish=stray.tell)


class _Stray:
    """What was printed past Python while the task ran."""

    def __init__(self) -> None:
        self._file: int | None = None

    def begin(self, task: Task) -> None:
        """Lead descriptors 1 and 2 to a file, from here to the end of the process."""
        log = task.local.get("log")
        if log:
            fd = os.open(log, os.O_WRONLY | os.O_APPEND)
            faulthandler.enable(2)
        else:
            import tempfile

            fd, path = tempfile.mkstemp(prefix="stray-", dir=".")
            os.unlink(path)
            self._file = os.dup(fd)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)

    def tell(self, task: Task) -> None:
        """Send what is in the file, unless the node reads it."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            size = os.fstat(self._file).st_size
            text = os.pread(self._file, MAX_TOLD, max(0, size - MAX_TOLD)).decode("utf-8", "backslashreplace").strip()
            if text:
                left_out = f"... ({size - MAX_TOLD} bytes left out here)\n" if size > MAX_TOLD else ""
                task.msg(f"{left_out}{text}")
