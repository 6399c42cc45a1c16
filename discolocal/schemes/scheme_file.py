"""Local files: ``file://`` urls and plain paths (reference 8.8)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError
from discolocal.schemes.lines import LineFile

if TYPE_CHECKING:
    from typing import BinaryIO

    from discolocal.schemes import Source
    from discolocal.task import Task

BUFFER = 1 << 16


def local_file(url: str) -> str:
    """The path that a ``file://`` url or a plain path means.

    ``file:///a/b`` and ``file://localhost/a/b`` are ``/a/b``, ``file://a/b`` is the relative path ``a/b``.
    """
    if not url.startswith("file://"):
        return url
    path = url[len("file://") :]
    if path.startswith("localhost/"):
        path = path[len("localhost") :]
    return "/" + path.lstrip("/") if path.startswith("/") else path


def binary_file(path: str, url: str) -> BinaryIO:
    """Open a file of this machine; `url` is what errors mention. Raises DataError when it is not there."""
    try:
        return open(path, "rb", buffering=BUFFER)
    except OSError as error:
        raise DataError(f"{error.strerror} ({path})", url) from error


def open_local(path: str, url: str, encoding: str | None) -> Source:
    """The same as a source of lines; see `schemes.open_url`."""
    file = binary_file(path, url)
    return LineFile(file, encoding), os.fstat(file.fileno()).st_size, url


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the file; see `schemes.open_url`."""
    return open_local(local_file(url), url, encoding)


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    from discolocal.schemes import open_url

    return open_url(url, params=params)
