"""One end of the socket between the master and a node: whole Python objects, never blocking.

Messages that are sent together are a list: a 4-byte big-endian length and a pickle. Both ends are this library in
processes of the same user, started by this process, so pickle is safe here. The `Link` only buffers: whoever
owns it polls `fileno()` and calls `receive` and `flush` when the descriptor is ready.
"""

from __future__ import annotations

import os
import pickle
import struct
import time
from typing import Any

_LONGEST = 86_400.0  # seconds of one wait: the system counts milliseconds, in 31 bits
_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16  # bytes read at once: more would be mapped and unmapped for every read


def seconds_until(deadline: float) -> float:
    """How long a link may be polled: until `deadline`, in seconds of `time.monotonic`, but at most a day at once."""
    return max(0.0, min(deadline - time.monotonic(), _LONGEST))


class LinkClosed(Exception):
    """The other end is gone."""


class Link:
    """A buffered, non-blocking message link over a connected stream socket, which is its own from now on.

    Parameters: `fd` the socket's descriptor. Not a socket object: the node has no need of their module, and each page
    of memory that it has makes its forks dearer.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._posted: list[object] = []

    def fileno(self) -> int:
        """The socket's descriptor, -1 when it is closed."""
        return self._fd

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait for the descriptor to become writable."""
        return bool(self._outbox or self._posted)

    def post(self, message: object) -> None:
        """Queue a message; it goes with the next `flush` or `send`."""
        self._posted.append(message)

    def send(self, message: object) -> None:
        """Queue a message and send what the socket takes now. A closed other end is noticed by `receive`."""
        self.post(message)
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now."""
        if self._posted:
            data = pickle.dumps(self._posted, 5)
            self._posted.clear()
            self._outbox += _LENGTH.pack(len(data)) + data
        while self._outbox:
            try:
                sent = os.write(self._fd, self._outbox)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._outbox.clear()
                return
            del self._outbox[:sent]

    def receive(self) -> list[Any]:
        """Return the messages that are complete. Raises LinkClosed when the other end is gone."""
        try:
            data = os.read(self._fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise LinkClosed(str(error)) from error
        if not data:
            raise LinkClosed("end of file")
        inbox = self._inbox
        inbox += data
        messages: list[Any] = []
        start = 0
        while len(inbox) - start >= 4:
            (length,) = _LENGTH.unpack_from(inbox, start)
            if len(inbox) - start - 4 < length:
                break
            with memoryview(inbox) as view, view[start + 4 : start + 4 + length] as body:
                messages += pickle.loads(body)
            start += 4 + length
        del inbox[:start]
        return messages

    def close(self) -> None:
        """Close the socket. Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
