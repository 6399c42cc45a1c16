"""``http://`` and ``https://`` urls, read as a stream (reference 8.8, 8.9)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from discolocal.schemes.lines import LineFile

if TYPE_CHECKING:
    from discolocal.schemes import Source
    from discolocal.task import Task

BUFFER = 1 << 16


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the url; see `schemes.open_url`. Raises CommError with the server's status (reference 8.9)."""
    from discolocal.schemes import transport

    # In a local cluster's task a server that is gone is a mistake to be seen soon.
    body = transport.Body(url, transport.LOCAL_UNIT if task is not None and task.local else transport.UNIT)
    return LineFile(io.BufferedReader(body, BUFFER), encoding), body.size, url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    from discolocal.schemes import open_url

    return open_url(url, params=params)
