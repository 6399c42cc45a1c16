"""An external program as a child of its task: fed, heard and ended, without ever waiting for one of its pipes alone.

    input --chunks--> stdin |         | stdout --> blocks of bytes, for whoever asked for them
                            | program |
       messages <-- lines <-- stderr  |

One loop waits for all three pipes. What the bytes mean is known to `worker.classic.exchange`.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from discolocal.error import DiscoError
from discolocal.fileutils import cannot_execute
from discolocal.worker.serving import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE = 5.0  # seconds that a program has to end after all that it is there for
_IDLE = 250  # milliseconds of silence after which to look whether it is still there
_SOON = 5  # milliseconds after which to ask again for input that was put off
_BLOCK = 1 << 18  # bytes read at once
_MAX_LINE = 1 << 16  # bytes of a line on standard error
_TAIL = 20  # lines of standard error that errors quote
_MSG, _ERR = b"**<MSG>", b"**<ERR>"
_BUSY_TRIES = 100
_ITS_FAULT = (errno.EACCES, errno.ELIBBAD, errno.ENOENT, errno.ENOEXEC, errno.ENOTDIR, errno.EPERM)


class Guard(Protocol):
    """Ends processes, with all of their sessions, when this process is killed."""

    def add_node(self, pid: int) -> None:
        """End the session of that process then."""

    def forget_node(self, pid: int) -> None:
        """The process is gone."""


guard: Guard | None = None
"""Whoever ends the programs that have a session of their own; those of worker processes end with their workers."""


class Child:
    """A program that runs.

    Parameters: `arguments` its absolute path and what follows, `directory` its working directory, `environ` its
    environment, None for that of this process; `say` is called with each line for the job's events; `own_session` gives
    it a session of its own, which ends with it. Raises DiscoError when it cannot be started.

    Attributes: `process`; `fatal` the text of its ``**<ERR>`` line, None without one; `tail` the last lines of its
    standard error; `written` how many bytes it was given, `fed` whether that is all its input; `due` when to give up
    waiting for its end, in seconds of `time.monotonic`, None as long as something is expected of it.
    """

    def __init__(
        self,
        arguments: list[str],
        directory: str,
        environ: dict[str, str] | None,
        say: Callable[[str], None],
        own_session: bool = False,
    ) -> None:
        self.fatal: str | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.written = 0
        self.fed = False
        self.due: float | None = None
        self._say = say
        self._own_session = own_session
        self._line = b""
        # This end tells, when the program has ended, whether it has left something unread.
        self._probe, self._stdin = os.pipe()
        try:
            os.set_blocking(self._stdin, False)
            self.process = _started(arguments, directory, environ, self._probe, own_session)
        except BaseException:
            self._close_input()
            os.close(self._probe)
            raise
        if own_session and guard is not None:
            guard.add_node(self.process.pid)
        assert self.process.stdout is not None and self.process.stderr is not None
        self._stdout, self._stderr = self.process.stdout.fileno(), self.process.stderr.fileno()

    @property
    def unread(self) -> int:
        """How many bytes of what it was given it has not read."""
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(self._probe, termios.FIONREAD, bytes(4)), "little")

    @property
    def wants_more(self) -> bool:
        """Whether it sleeps until there is more to read, as far as the system tells: False where it does not."""
        if self.unread:
            return False
        try:
            with open(f"/proc/{self.process.pid}/syscall") as file:
                call = file.read().split()
        except OSError:
            return False
        # The first argument is the descriptor of standard input, the second one an address: a read, on every machine.
        return len(call) > 2 and call[1] == "0x0" and call[2] != "0x0"

    def talk(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Give the program chunks of input; yields what it writes, until it has closed its standard output.

        An empty chunk puts the rest off until it has written something, or was silent for a moment. Ends early when
        there is an ERR line, or nothing more comes until `due`.
        """
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        poll.register(self._stderr, select.POLLIN)
        pending = memoryview(b"")
        while self.fatal is None:
            wanted = False
            if not self.fed:
                pending, wanted = self._more(chunks, pending)
            if wanted:
                poll.register(self._stdin, select.POLLOUT)
            ready = dict(poll.poll(_IDLE if wanted or self.fed else _SOON))
            if wanted:
                poll.unregister(self._stdin)
            if not ready and (self.process.poll() is not None or self._overdue()):
                ready = dict(poll.poll(0))  # its last words
                if not ready:
                    return  # what it started itself may still have the pipes
            if self._stderr in ready and not self._hear():
                poll.unregister(self._stderr)
            if self._stdin in ready:
                pending = self._give(pending)
            if self._stdout in ready:
                data = os.read(self._stdout, _BLOCK)
                if not data:
                    return
                yield data

    def _more(self, chunks: Iterator[bytes], pending: memoryview) -> tuple[memoryview, bool]:
        """What is to be written next, and whether there is anything; closes the input at its end."""
        if not pending:
            chunk = next(chunks, None)
            if chunk is None:
                self.fed = True
                self._close_input()
                return pending, False
            pending = memoryview(chunk)
        return pending, bool(pending)

    def _give(self, pending: memoryview) -> memoryview:
        try:
            count = os.write(self._stdin, pending)
        except BlockingIOError:
            return pending
        self.written += count
        return pending[count:]

    def _hear(self) -> bool:
        """Read from standard error; False at its end."""
        data = os.read(self._stderr, _MAX_LINE)
        *lines, self._line = (self._line + data).split(b"\n")
        if not data or len(self._line) > _MAX_LINE:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._take(line)
        return bool(data)

    def _take(self, line: bytes) -> None:
        """A line on standard error (reference 8.12)."""
        text = line.decode("utf-8", "backslashreplace").rstrip()
        if not text:
            return
        if line.startswith((_MSG, _ERR)):
            text = text[len(_MSG) :].lstrip()
        self.tail.append(one_line(text, 500))
        if not line.startswith(_ERR):
            self._say(text)
        elif self.fatal is None:
            self.fatal = text or "an **<ERR> line without a reason"

    def finish(self) -> int | None:
        """Wait for its end, for a while; returns its exit code, None when it had to be killed."""
        if self.due is None:
            self.due = time.monotonic() + GRACE
        self._close_input()
        poll = select.poll()
        poll.register(self._stderr, select.POLLIN)
        while not self._overdue():
            if poll.poll(_IDLE):
                if not self._hear():
                    break
            elif self.process.poll() is not None:
                break
        try:
            return self.process.wait(max(0.0, self.due - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def _overdue(self) -> bool:
        return self.due is not None and time.monotonic() > self.due

    def close(self) -> None:
        """End it, if it runs, and give back its pipes."""
        if self.process.poll() is None or self._own_session:
            try:
                if self._own_session:
                    os.killpg(self.process.pid, signal.SIGKILL)
                else:
                    self.process.kill()
            except (ProcessLookupError, PermissionError):
                pass
        self._close_input()
        os.close(self._probe)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.process.wait()
        if self._own_session and guard is not None:
            guard.forget_node(self.process.pid)

    def _close_input(self) -> None:
        if self._stdin >= 0:
            fd, self._stdin = self._stdin, -1
            os.close(fd)


class _Process(subprocess.Popen[bytes]):
    """A program that does not stay when an interrupt comes in the middle of its start."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            if getattr(self, "pid", None) is not None and self.returncode is None:
                self.kill()
                self.wait()
            raise


def _started(
    arguments: list[str], directory: str, environ: dict[str, str] | None, stdin: int, own_session: bool
) -> subprocess.Popen[bytes]:
    tries = _BUSY_TRIES
    while True:
        try:
            return _Process(
                arguments,
                bufsize=0,
                cwd=directory,
                env=environ,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=own_session,
            )
        except OSError as error:
            # Another thread may just fork, with a copy of the descriptor by which the file was written.
            tries -= error.errno == errno.ETXTBSY
            if error.errno == errno.ETXTBSY and tries:
                time.sleep(0.01)
                continue
            if error.errno not in _ITS_FAULT:
                raise  # the system's: it may work the next time
            raise DiscoError(f"the program cannot be started: {cannot_execute(arguments[0], error)}") from error


def describe(code: int) -> str:
    """Say how a program has ended, by its exit code: ``exited with status 3``, ``was killed by signal SIGSEGV``."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
