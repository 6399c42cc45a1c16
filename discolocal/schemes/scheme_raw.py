"""``raw://`` urls: the text after ``://`` is the data (reference 8.8)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from discolocal.schemes.lines import LineFile

if TYPE_CHECKING:
    from discolocal.schemes import Source
    from discolocal.task import Task


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the text of the url; see `schemes.open_url`. Its lines are text without an `encoding`, too, as in Disco."""
    text = url.partition("://")[2]
    encoding = encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        # The text has characters that the job's codec lacks: keep the text, whatever the bytes.
        encoding = "utf-8"
        data = text.encode(encoding, "surrogateescape")
    return LineFile(io.BytesIO(data), encoding), len(data), url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    from discolocal.schemes import open_url

    return open_url(url, params=params)
