"""The worker's end of the Worker Protocol (reference 2.1): a frame out, a frame back.

Two kinds: `PipeChannel` speaks over two descriptors to a node or a master, `DirectChannel` calls a
function of the same process (inline clusters). Neither knows what the messages mean.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.wire import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 16
MAX_UNREAD = 32  # replies that may be on their way: they must fit into a pipe


class ChannelClosed(Exception):
    """The other end is gone or has given up on this task; nobody is left to tell."""


def _frame(name: str, payload: object) -> bytes:
    """The bytes of a message. Raises DiscoError when they are more than a master reads: trying again cannot help."""
    frame = protocol.encode(name, payload)
    if len(frame) > protocol.MAX_LENGTH:
        raise DiscoError(
            f"A message {name} of {len(frame):,} bytes is too big: the Worker Protocol takes {protocol.MAX_LENGTH:,}"
            " bytes at a time; data belongs into the output of a task, not into its messages"
        )
    return frame


class Channel:
    """One conversation. `_exchange` and `_deliver` are what the kinds differ in."""

    def __init__(self) -> None:
        # User threads may print while the task's own thread waits for a reply.
        self._lock = threading.RLock()

    def request(self, name: str, payload: object) -> tuple[str, Any]:
        """Send one message and wait for its reply.

        Parameters: `name` the message's type, `payload` anything JSON can hold.
        Returns the reply's name and decoded payload. Raises `ChannelClosed` when none will come, DiscoError when the
        message is too big; so do the other methods.
        """
        with self._lock:
            reply_name, body = self._exchange(_frame(name, payload))
        return reply_name, protocol.decode_payload(body)

    def post(self, name: str, payload: object, later: bool = False) -> None:
        """Send a message whose reply says nothing (WORKER, MSG, OUTPUT), without waiting for it.

        With `later` it may go together with the next message. Replies come in the order of the messages, so it is read
        before the next one that matters (reference 2.1).
        Raises `ChannelClosed` when nobody listens.
        """
        with self._lock:
            self._exchange(_frame(name, payload))

    def send(self, name: str, payload: object) -> None:
        """Send a message that gets no reply: DONE, ERROR or FATAL (reference 2.2)."""
        with self._lock:
            self._deliver(_frame(name, payload))

    def cut(self, data: bytes) -> None:
        """Send the beginning of a message, as one does that dies."""
        with self._lock:
            self._deliver(data)

    def _exchange(self, frame: bytes) -> tuple[str, bytes]:
        raise NotImplementedError

    def _deliver(self, frame: bytes) -> None:
        raise NotImplementedError


class PipeChannel(Channel):
    """A channel over raw descriptors: replies are read from `rfd`, messages written to `wfd`."""

    def __init__(self, rfd: int, wfd: int) -> None:
        super().__init__()
        self._rfd = rfd
        self._wfd = wfd
        self._parser = protocol.FrameParser()
        self._unread = 0
        self._later = b""

    def post(self, name: str, payload: object, later: bool = False) -> None:
        """See `Channel.post`."""
        frame = _frame(name, payload)
        with self._lock:
            self._unread += 1
            self._later += frame
            full = self._unread >= MAX_UNREAD
            if full or not later or len(self._later) > CHUNK:
                self._deliver(b"")
            if full:
                self._skip_replies()

    def _skip_replies(self) -> None:
        while self._unread:
            self._reply()
            self._unread -= 1

    def _exchange(self, frame: bytes) -> tuple[str, bytes]:
        self._deliver(frame)
        self._skip_replies()
        return self._reply()

    def _reply(self) -> tuple[str, bytes]:
        while True:
            got = self._parser.next()
            if got is not None:
                return got
            data = os.read(self._rfd, CHUNK)
            if not data:
                raise ChannelClosed("the node has closed the connection")
            self._parser.feed(data)

    def _deliver(self, frame: bytes) -> None:
        view = memoryview(self._later + frame)
        self._later = b""
        try:
            while view:
                view = view[os.write(self._wfd, view) :]
        except BrokenPipeError:
            raise ChannelClosed("the node does not listen any more") from None


class DirectChannel(Channel):
    """A channel into a function of this process.

    `handler` gets each encoded frame and returns the encoded reply, or None when there is none: for
    DONE, ERROR and FATAL, and after it has ended the task.
    """

    def __init__(self, handler: Callable[[bytes], bytes | None]) -> None:
        super().__init__()
        self._handler = handler

    def _exchange(self, frame: bytes) -> tuple[str, bytes]:
        reply = self._handler(frame)
        if reply is None:
            raise ChannelClosed("the node has ended this task")
        parser = protocol.FrameParser()
        parser.feed(reply)
        got = parser.next()
        if got is None:
            raise ChannelClosed("the node sent half a reply")
        return got

    def _deliver(self, frame: bytes) -> None:
        self._handler(frame)
