"""Frames and messages of Worker Protocol 1.1 (reference 2.1 to 2.7), without any I/O.

    bytes --FrameParser--> (name, body) --decode--> message --session--> reply --encode_reply--> bytes

A frame is ``<name> <length> <payload>\\n``. What a worker may send is one closed family of classes
of `wire.message`, re-exported here; `decode` is the only place where names and shapes of payloads are looked at.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from discolocal.error import DiscoError
from discolocal.wire.message import (
    BadMessage,
    InputError,
    InputRequest,
    Message,
    Msg,
    OutputReport,
    TaskDone,
    TaskError,
    TaskFatal,
    TaskRequest,
    WorkerHello,
    decode,
)

__all__ = [
    "MAX_LENGTH",
    "VERSION",
    "BadMessage",
    "FrameError",
    "FrameParser",
    "InputError",
    "InputRequest",
    "Message",
    "Msg",
    "OutputReport",
    "TaskDone",
    "TaskError",
    "TaskFatal",
    "TaskRequest",
    "Throttle",
    "WorkerHello",
    "compact_json",
    "decode",
    "encode",
    "encode_reply",
]

VERSION = "1.1"
MAX_LENGTH = 100 * 1024 * 1024
_FIELD = 10  # bytes that a name or a length may have
_INTEGER = re.compile(rb"[+-]?[0-9]+")
_HEAD = re.compile(rb"(?s:.)[^ ]{0,9} ([0-9]{1,10}) ")  # of nearly every frame; what else there is takes longer


class FrameError(DiscoError):
    """The bytes from a worker are not frames; `kind` says why, in the words of the master (reference 2.1).

    Kinds: ``invalid_type``, ``invalid_length``, ``message_too_big``, ``invalid_body``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"Could not parse worker event: {kind}")
        self.kind = kind


class FrameParser:
    """Cuts a stream of bytes into frames, however it was chunked (reference 2.1).

    `feed` takes bytes, `next` gives the next complete frame. After a FrameError every further call of
    `next` raises it again, and `pending` holds everything from the first bad byte on.
    """

    __slots__ = ("_buffer", "_error", "_head", "_total")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._error: FrameError | None = None
        self._head = 0  # bytes of name and length of the frame being read, 0: not known yet
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that arrived."""
        self._buffer += data

    @property
    def partial(self) -> bool:
        """Whether part of a message has arrived."""
        return bool(self._buffer)

    @property
    def pending(self) -> bytes:
        """The bytes that are not part of a frame given out so far."""
        return bytes(self._buffer)

    def next(self) -> tuple[str, bytes] | None:
        """Return (name, body) of the next frame, or None when more bytes are needed. Raises FrameError."""
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        if not buffer or (not self._head and not self._read_head()):
            return None
        if len(buffer) < self._total:
            return None
        head, total = self._head, self._total
        if buffer[total - 1] != 0x0A:
            self._fail("invalid_body")
        name = buffer[: buffer.index(b" ", 1)].decode("latin-1")
        body = bytes(buffer[head : total - 1])
        del buffer[:total]
        self._head = self._total = 0
        return name, body

    def _read_head(self) -> bool:
        """Read name and length of the next frame; False when they are not complete yet."""
        match = _HEAD.match(self._buffer)
        if match is not None and (length := int(match[1])) <= MAX_LENGTH:
            self._head = match.end()
            self._total = self._head + length + 1
            return True
        space = self._space(0, "invalid_type")
        if space < 0:
            return False
        end = self._space(space + 1, "invalid_length")
        if end < 0:
            return False
        digits = bytes(self._buffer[space + 1 : end])
        length = int(digits) if _INTEGER.fullmatch(digits) else -1
        if length < 0:
            self._fail("invalid_length")
        if length > MAX_LENGTH:
            self._fail("message_too_big")
        self._head = end + 1
        self._total = self._head + length + 1
        return True

    def _space(self, start: int, kind: str) -> int:
        """Return where the field that begins at `start` ends, -1 if that is open; fails if it is too long."""
        found = self._buffer.find(b" ", start + 1, start + _FIELD + 1)
        if found < 0 and len(self._buffer) - start >= _FIELD:
            self._fail(kind)
        return found

    def _fail(self, kind: str) -> NoReturn:
        self._error = FrameError(kind)
        raise self._error


_scan = json.JSONDecoder().raw_decode


def decode_payload(body: bytes) -> Any:
    """Return the value of a payload. Raises ValueError for what is no JSON in UTF-8."""
    text = body.decode("utf-8")
    try:
        value, end = _scan(text)
    except ValueError:  # blanks before it, or an error to be told
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def _encoder(item: str, key: str) -> Callable[[Any], str]:
    """What `json.JSONEncoder(separators=(item, key)).encode` does, with an encoder that is made once.

    It keeps no list of what it is in the middle of: a value that holds itself is a RecursionError.
    """
    slow = json.JSONEncoder(separators=(item, key))
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without it
        return slow.encode
    chunks = make(None, slow.default, json.encoder.encode_basestring_ascii, None, key, item, False, False, True)
    return lambda value: "".join(chunks(value, 0))


_dumps = _encoder(", ", ": ")
_compact = _encoder(",", ":")


def encode(name: str, payload: Any = "") -> bytes:
    """Return a frame as the Python worker writes it: JSON in ASCII with the default separators (reference 2.1)."""
    body = _dumps(payload).encode("ascii")
    return b"%s %d %s\n" % (name.encode("ascii"), len(body), body)


def encode_reply(name: str, payload: Any) -> bytes:
    """Return a frame as a master writes it: JSON in ASCII without blanks (reference 2.1)."""
    body = compact_json(payload).encode("ascii")
    return b"%s %d %s\n" % (name.encode("ascii"), len(body), body)


def compact_json(value: Any) -> str:
    """Return `value` as JSON the way a master does: ASCII, no blanks, DEL escaped as well."""
    return _compact(value).replace("\x7f", "\\u007f")


class Throttle:
    """The master's brake on MSG of one task (reference 2.5).

    `push(now)` takes the arrival time of a message in seconds and answers with the seconds by which its
    reply is to be held back, or None when the tenth message within a second is fatal.
    """

    __slots__ = ("_times",)

    LIMIT = 10
    FREE = 5
    DELAY = 0.2

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def push(self, now: float) -> float | None:
        """Count a message that arrived at `now`; see the class."""
        times = self._times
        times.append(now)
        if now - times[0] > 1.0:
            times.popleft()
        if len(times) >= self.LIMIT:
            return None
        return self.DELAY if len(times) > self.FREE else 0.0
