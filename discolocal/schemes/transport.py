"""HTTP for data and for masters: one request, one answer, patience with busy servers (reference 5, 8.9).

    fetch(method, url) -> Answer          the whole body in memory: what a master says
    open_body(url)     -> Body, size      a file object: data, read in ranges and resumed where it breaks off

No proxy of the environment is used (``http_proxy`` and the like): nodes and master of a cluster are asked directly,
or through ``DISCO_PROXY`` (see `scheme_disco`). Nothing here knows what a job is.
"""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.error import CommError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from http.client import HTTPConnection, HTTPResponse
    from typing import BinaryIO

ATTEMPTS = 10
UNIT = 1.0
"""Seconds: the k-th pause between attempts is a random one of 1 .. 2**k units, k from 0."""
LOCAL_UNIT = 0.01
"""The same for tasks of a local cluster: a test should not wait minutes for a server that is gone."""
TIMEOUT = 60.0
"""Seconds that a server may be silent."""
BLOCK = 10 << 20
"""Bytes asked for at once, so that a slow reader does not hold one of the few downloads that a node serves."""
PIECE = 1 << 16
"""Bytes of a file that are sent at once."""
LIMIT = 1 << 30
"""Bytes of an answer that is taken into memory: no job pack is larger."""
REDIRECTS = 10

_MOVED = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Answer(NamedTuple):
    """A server's answer: `status`, `headers` and the whole `body`."""

    status: int
    headers: Message
    body: bytes


class _Reply:
    """An answer whose body is still to be read. `url` is where it came from in the end."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, url: str) -> None:
        self.connection = connection
        self.response = response
        self.url = url
        self.status = response.status

    def close(self) -> None:
        """Close the connection, which the response has taken over if the server closes it."""
        self.response.close()
        self.connection.close()

    def body(self, limit: int) -> bytes:
        """The whole body. Raises CommError when it ends early or has more than `limit` bytes."""
        from http.client import HTTPException

        parts, size = [], 0
        try:
            while part := self.response.read(1 << 16):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise CommError(f"The answer has more than {limit} bytes", self.url, self.status)
        except (OSError, HTTPException) as error:
            raise CommError(f"Connection lost after {size} bytes: {_text(error)}", self.url) from error
        finally:
            self.close()
        if self.response.length:
            raise CommError(f"Truncated answer: {self.response.length} bytes are missing", self.url)
        return b"".join(parts)

    def words(self) -> str:
        """The beginning of the body, for a message; the reason of the status where there is none."""
        try:
            text = self.response.read(500).decode("utf-8", "replace").strip()
        except Exception:  # the status says enough
            text = ""
        self.close()
        return text or self.response.reason


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _connect(scheme: str, netloc: str, timeout: float) -> HTTPConnection:
    import http.client

    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(netloc.rpartition("@")[2], timeout=timeout)


def _target(path: str, query: str) -> str:
    from urllib.parse import quote

    # A url given by a user may hold blanks or characters beyond ASCII, which http.client refuses.
    path = quote(path or "/", safe="/%:=&;+$,@!~*'()[]")
    return f"{path}?{quote(query, safe='/%:=&;+$,@!~*()[]?')}" if query else path


class _Upload:
    """What a file has from where it stands to its end, as the body of a request that may have to be sent again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.size = file.seek(0, io.SEEK_END) - self._start
        self._left = 0

    def rewind(self) -> _Upload:
        """Start at the beginning."""
        self._file.seek(self._start)
        self._left = self.size
        return self

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes. Raises DataError when they cannot be had: that is not the server's fault."""
        try:
            data = self._file.read(self._left if size < 0 else min(size, self._left))
        except OSError as error:
            raise DataError(f"Cannot read what is to be sent: {_text(error)}", _name(self._file)) from error
        self._left -= len(data)
        if not data and self._left:
            raise DataError(f"It became shorter while it was sent: {self._left} bytes are missing", _name(self._file))
        return data


def _name(file: object) -> str:
    return str(getattr(file, "name", None) or repr(file))


Content = bytes | _Upload | None
"""The body of a request."""


def _once(method: str, url: str, body: Content, headers: dict[str, str], timeout: float) -> _Reply:
    """Send one request. Raises OSError or HTTPException, CommError for a url that is none of HTTP."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError("Port out of range 1-65535")
    except ValueError as error:
        raise CommError(f"Bad url: {error}", url) from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CommError("Not a url of http or https with a host", url)
    connection = _connect(parts.scheme, parts.netloc, timeout)
    connection.blocksize = PIECE
    try:
        try:
            content = body.rewind() if isinstance(body, _Upload) else body
            connection.request(method, _target(parts.path, parts.query), content, headers)
        except (BrokenPipeError, ConnectionResetError):
            if body is None:
                raise  # else the server may have answered before it read all: see what it says
        return _Reply(connection, connection.getresponse(), url)
    except BaseException:
        connection.close()
        raise


def pauses(unit: float) -> Iterator[float]:
    """The seconds to sleep between attempts (reference 8.9)."""
    import random

    for attempt in range(ATTEMPTS - 1):
        yield unit * random.randint(1, 1 << attempt)


def _patiently(
    method: str, url: str, body: Content, headers: dict[str, str], timeout: float, unit: float, insist: bool
) -> _Reply:
    """Send a request until the server is not busy (503); with `insist` also until it can be reached."""
    from http.client import HTTPException

    rest = pauses(unit)
    while True:
        try:
            reply = _once(method, url, body, headers, timeout)
            if reply.status != 503:
                return reply
            failure = CommError(reply.words(), url, 503)
        except OSError as error:
            failure = CommError(_text(error) + (f" (tried {ATTEMPTS} times)" if insist else ""), url)
            failure.__cause__ = error
            if not insist or _is_unknown_host(error):
                raise CommError(_text(error), url) from error
        except (HTTPException, ValueError) as error:
            raise CommError(f"{type(error).__name__}: {error}", url) from error
        pause = next(rest, None)
        if pause is None:
            raise failure
        time.sleep(pause)


def _is_unknown_host(error: OSError) -> bool:
    """Whether a name does not exist: asking again does not help."""
    import socket

    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _get(url: str, headers: dict[str, str], unit: float, insist: bool = True, timeout: float | None = None) -> _Reply:
    """GET a url through redirects, whatever the status in the end."""
    from urllib.parse import urljoin

    at = url
    for _redirect in range(REDIRECTS):
        reply = _patiently("GET", at, None, headers, timeout or TIMEOUT, unit, insist)
        location = reply.response.getheader("Location")
        if reply.status not in _MOVED or not location:
            return reply
        reply.close()
        try:
            at = urljoin(at, location)
        except ValueError as error:
            raise CommError(f"Bad url: {error}, in the redirect to {location[:200]!r}", at) from error
    raise CommError(f"More than {REDIRECTS} redirects", url)


def fetch(
    method: str,
    url: str,
    body: bytes | BinaryIO | None = None,
    headers: dict[str, str] | None = None,
    timeout: float | None = None,
) -> Answer:
    """Send a request and return the `Answer`, of status 200, 201 or 206, with its whole body.

    Parameters: `body` bytes, or a file that can seek, which is sent piece by piece from where it stands; `timeout` is
    how many seconds the server may be silent (default: TIMEOUT). A busy server (503) is asked again as in reference
    8.9; one that cannot be reached is not, and redirects are followed for GET alone.
    Raises CommError: no connection, time-out, an answer that breaks off or is too large (code None), or another status.
    """
    headers = headers or {}
    if method == "GET":
        reply = _get(url, headers, UNIT, insist=False, timeout=timeout)
    else:
        content = body if body is None or isinstance(body, bytes) else _Upload(body)
        if isinstance(content, _Upload):
            headers = {**headers, "Content-Length": str(content.size)}
        reply = _patiently(method, url, content, headers, timeout or TIMEOUT, UNIT, insist=False)
    if reply.status not in (200, 201, 206):
        raise CommError(reply.words(), url, reply.status)
    return Answer(reply.status, reply.response.headers, reply.body(LIMIT))


class Body(io.RawIOBase):
    """The data behind a url, from its first byte to its last.

    It is asked for in ranges of BLOCK bytes where the server knows ranges, and from where it broke off when the
    connection ends early. Other servers send it in one piece. Raises DataError when it cannot be had completely or
    has changed while it was read.
    """

    def __init__(self, url: str, unit: float) -> None:
        self.url = url
        self.size: int | None = None  # of all of it, in bytes
        self._unit = unit
        self._offset = 0
        self._began = 0  # where the answer at hand begins
        self._stamp: tuple[str | None, ...] = ()  # what the server says when the file is another one
        self._pauses = pauses(unit)
        self._ranged = True
        self._reply = self._ask()
        self._left = self._reply.response.length

    def _ask(self) -> _Reply:
        """Ask for the next range, the first time also for all of it if the server knows no ranges."""
        reply = _get(self.url, {"Range": f"bytes={self._offset}-{self._offset + BLOCK - 1}"}, self._unit)
        found = _RANGE.fullmatch(reply.response.getheader("Content-Range", "")) if reply.status == 206 else None
        stamp = tuple(reply.response.getheader(name) for name in ("ETag", "Last-Modified"))
        if self._offset or self.size is not None:
            if found is None or (int(found[1]), int(found[3]), stamp) != (self._offset, self.size, self._stamp):
                reply.close()
                raise DataError(f"It has changed while it was read: no bytes from {self._offset} on", self.url)
            return reply
        if found is not None and found[1] == "0":
            self.size, self._stamp = int(found[3]), stamp
            return reply
        self._ranged = False
        if reply.status in (206, 416):  # an empty file, or ranges of some other kind
            reply.close()
            reply = _get(self.url, {}, self._unit)
        if reply.status != 200:
            raise CommError(reply.words(), self.url, reply.status)
        self.size = reply.response.length
        return reply

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as many bytes as `buffer` has; 0 at the end."""
        while True:
            failure = None
            try:
                got = self._part(buffer)
            except DataError as error:
                failure, got = error, 0
            if got:
                self._offset += got
                self._pauses = pauses(self._unit)
                return got
            if failure is None and (not self._ranged or self._offset >= (self.size or 0) or not len(buffer)):
                return 0
            if failure is None and self._offset == self._began:
                failure = DataError(f"The server has no bytes from {self._offset} on", self.url)
            self._again(failure)

    def _part(self, buffer: Any) -> int:
        """Read from the answer at hand; 0 where it ends, DataError where it breaks off, which http.client may hide."""
        from http.client import HTTPException

        try:
            got = self._reply.response.readinto(buffer)
        except (OSError, HTTPException) as error:
            raise DataError(f"Connection lost: {_text(error)}", self.url) from error
        if self._left is not None:
            self._left -= got
            if not got and len(buffer) and self._left:
                raise DataError(f"Truncated data: {self._left} bytes are missing", self.url)
        return got

    def _again(self, failure: DataError | None) -> None:
        """Ask for the next range; after a `failure` with a pause, and not for ever."""
        self._reply.close()
        if failure is not None:
            pause = next(self._pauses, None) if self._ranged else None
            if pause is None:
                raise failure
            time.sleep(pause)
        self._began = self._offset
        self._reply = self._ask()
        self._left = self._reply.response.length

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            reply = getattr(self, "_reply", None)  # none when it could not be opened
            if reply is not None:
                reply.close()
        super().close()
