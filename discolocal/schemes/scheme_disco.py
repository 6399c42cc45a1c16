"""``disco://`` urls: files that tasks have written (reference 2.8).

They are read from disk where their node keeps them; only files of other machines are fetched by HTTP.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal import schemes
from discolocal.error import DataError, DiscoError
from discolocal.schemes.scheme_file import open_local
from discolocal.wire import names

if TYPE_CHECKING:
    from discolocal.schemes import Source
    from discolocal.task import Task

DISCO_PORT = 8989


def find_local(url: str, task: Task | None) -> str | None:
    """The path of the file behind a ``disco://`` or ``dir://`` url, None when it is on another machine.

    Raises DataError when the node of the url is one of this machine and the file is not there.
    """
    try:
        relative = names.local_path(url)
    except DiscoError as error:
        raise DataError(str(error), url) from error
    roots = [*schemes.data_roots, *([task.disco_data] if task is not None and task.disco_data else [])]
    for root in reversed(roots):
        path = os.path.join(root, relative)
        if os.path.exists(path):
            return path
    host = relative.partition("/")[0]
    for root in reversed(roots):
        if os.path.isdir(os.path.join(root, host)):
            raise DataError(f"No such file ({os.path.join(root, relative)})", url)
    return None


def http_url(url: str, task: Task | None) -> str:
    """The url at which the node of a ``disco://`` or ``dir://`` url serves the file."""
    host, _, path = url.partition("://")[2].partition("/")
    port = task.disco_port if task is not None else int(os.environ.get("DISCO_PORT") or DISCO_PORT)
    return f"http://{host}/{path}" if ":" in host else f"http://{host}:{port}/{path}"


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the file, local or remote; see `schemes.open_url`."""
    path = find_local(url, task)
    if path is not None:
        return open_local(path, url, encoding)
    from discolocal.schemes import scheme_http

    file, size, _ = scheme_http.open_source(http_url(url, task), task, encoding)
    return file, size, url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    return schemes.open_url(url, params=params)
