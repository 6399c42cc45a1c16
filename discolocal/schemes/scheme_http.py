"""``http://`` and ``https://`` urls, read as a stream (reference 8.8, 8.9)."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from discolocal.error import CommError, DataError
from discolocal.schemes.lines import LineFile

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from discolocal.schemes import Source
    from discolocal.task import Task

ATTEMPTS = 4
PAUSE = 0.1  # seconds before the second attempt; doubled each time
TIMEOUT = 60.0
REDIRECTS = 10
BUFFER = 1 << 16


class _Body(io.RawIOBase):
    """The body of a reply; ends with DataError when the connection ends early, which http.client does not tell."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, url: str) -> None:
        self._connection = connection
        self._response = response
        self._url = url
        self._left = response.length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from http.client import HTTPException

        try:
            got = self._response.readinto(buffer)
        except (OSError, HTTPException) as error:
            raise DataError(f"Connection lost: {error}", self._url) from error
        if self._left is not None:
            self._left -= got
            if not got and len(buffer) and self._left:
                raise DataError(f"Truncated data: {self._left} bytes are missing", self._url)
        return got

    def close(self) -> None:
        self._connection.close()
        super().close()


def _connect(scheme: str, netloc: str) -> HTTPConnection:
    import http.client

    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(netloc.rpartition("@")[2], timeout=TIMEOUT)


def _target(path: str, query: str) -> str:
    from urllib.parse import quote

    # A url given by a user may hold blanks or characters beyond ASCII, which http.client refuses.
    path = quote(path or "/", safe="/%:=&;+$,@!~*'()[]")
    return f"{path}?{quote(query, safe='/%:=&;+$,@!~*()[]?')}" if query else path


def _get(url: str) -> tuple[HTTPConnection, HTTPResponse]:
    """Send one GET; the reply's body is still to be read. Raises OSError or HTTPException."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = _connect(parts.scheme, parts.netloc)
    try:
        connection.request("GET", _target(parts.path, parts.query))
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


def request(url: str) -> tuple[HTTPConnection, HTTPResponse]:
    """GET a url: follows redirects, tries again while the server is busy or cannot be reached.

    Returns the connection and its reply, body unread. Raises CommError with the status.
    """
    from http.client import HTTPException
    from urllib.parse import urljoin

    at = url
    for _redirect in range(REDIRECTS):
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                connection, response = _get(at)
            except HTTPException as error:
                raise CommError(f"{type(error).__name__}: {error}", url) from error
            except OSError as error:
                failure = CommError(f"{error} (tried {ATTEMPTS} times)", url)
                failure.__cause__ = error
                continue
            if response.status != 503:
                break
            failure = CommError(_text(connection, response), url, 503)
        else:
            raise failure
        location = response.getheader("Location")
        if response.status in (301, 302, 303, 307, 308) and location:
            connection.close()
            at = urljoin(at, location)
            continue
        if response.status != 200:
            raise CommError(_text(connection, response), url, response.status)
        return connection, response
    raise CommError(f"More than {REDIRECTS} redirects", url)


def _text(connection: HTTPConnection, response: HTTPResponse) -> str:
    """The beginning of an error's body, for a message."""
    try:
        body = response.read(500).decode("utf-8", "replace").strip()
    except OSError:
        body = ""
    connection.close()
    return body or response.reason


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the url; see `schemes.open_url`."""
    connection, response = request(url)
    body = io.BufferedReader(_Body(connection, response, url), BUFFER)
    return LineFile(body, encoding), response.length, url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    from discolocal.schemes import open_url

    return open_url(url, params=params)
