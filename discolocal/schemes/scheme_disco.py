"""``disco://`` urls: files that tasks have written, and blobs of DDFS (reference 2.8, 7.1).

They are read from disk where their node keeps them; only files of other machines are fetched by HTTP.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal import schemes
from discolocal.error import CommError, DataError, DiscoError
from discolocal.schemes.scheme_file import open_local
from discolocal.wire import names

if TYPE_CHECKING:
    from discolocal.schemes import Source
    from discolocal.task import Task

DISCO_PORT = 8989


def default_port() -> int:
    """The port of master and nodes: ``DISCO_PORT`` of the environment, else 8989. Raises DiscoError for no port."""
    text = os.environ.get("DISCO_PORT") or str(DISCO_PORT)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16):
        raise DiscoError(f"DISCO_PORT={text!r} in the environment: must be the number of a port")
    return int(text)


def find_local(url: str, task: Task | None) -> str | None:
    """The path of the file behind a ``disco://`` or ``dir://`` url, None when it is on another machine.

    Raises DataError when the job has run on this machine and the file is not there. A node of the same name says
    nothing: a local cluster has a node1, and so have others.
    """
    if url.partition("://")[2].partition("/")[2].startswith("ddfs/"):
        return _find_blob(url, task)
    try:
        relative = names.local_path(url)
    except DiscoError as error:
        raise DataError(str(error), url) from error
    roots = [*schemes.data_roots, *([task.disco_data] if task is not None and task.disco_data else [])]
    for root in reversed(roots):
        path = f"{root}/{relative}"
        if os.path.exists(path):
            return path
    parts = relative.split("/")  # host, two hex digits, job, what the job has written
    for root in reversed(roots):
        if len(parts) > 3 and os.path.isdir(os.path.join(root, *parts[:3])):
            raise DataError(f"No such file ({os.path.join(root, relative)})", url)
    return None


def _find_blob(url: str, task: Task | None) -> str | None:
    """The path of a blob or tag, None when it is on another machine.

    One that was deleted, or whose volume is gone, says nothing about where it was; see `_path_of_namesake`.
    """
    try:
        relative = names.ddfs_path(url)
    except DiscoError:
        return None  # of another form than here: whoever has it may know it
    places = [os.path.join(ddfs_of(root), relative) for root in reversed(schemes.data_roots)]
    if task is not None and task.ddfs_data:
        host, _, path = relative.partition("/")
        # Clusters of this machine keep the directories of all their nodes in one, a node of a real one has its own.
        own = relative if task.local else path if host == task.host else ""
        places += [os.path.join(task.ddfs_data, own)] if own else []
    return next(filter(os.path.exists, places), None)


def ddfs_of(root: str) -> str:
    """The directory of DDFS of a cluster of this machine whose jobs have their files in `root`, one of `data_roots`."""
    return os.path.join(os.path.dirname(root), "ddfs")


def http_url(url: str, task: Task | None, proxy: str | None = None) -> str:
    """The url at which the node of a ``disco://`` or ``dir://`` url serves the file.

    The port is the url's, else that of the task's cluster, else `default_port()`. With `proxy`, or DISCO_PROXY in the
    environment, it is asked for through that node or master.
    """
    host, _, path = url.partition("://")[2].partition("/")
    port = task.disco_port if task is not None else default_port()
    netloc = host if _has_port(host) else f"{host}:{port}"
    return proxied(f"http://{netloc}/{path}", "GET", proxy or os.environ.get("DISCO_PROXY", ""))


def through(url: str, proxy: str) -> str:
    """The url at which `proxy` gives the file behind a ``disco://`` url; any other, or of a file here, as it is."""
    if schemes.scheme_of(url) != "disco" or find_local(url, None) is not None:
        return url
    return http_url(url, None, proxy)


def _has_port(netloc: str) -> bool:
    return ":" in netloc.rpartition("]")[2]  # an IPv6 address stands in brackets


def proxied(url: str, method: str, proxy: str) -> str:
    """The url at which `proxy`, any node or the master, passes a request on to the host of `url` (reference 5).

    Parameters: `proxy` ``http://host:port``, or "" for none.
    """
    if not proxy:
        return url
    netloc, _, path = url.partition("://")[2].partition("/")
    host = netloc.rpartition(":")[0] if _has_port(netloc) else netloc
    return f"{proxy.rstrip('/')}/proxy/{host}/{method}/{path}"


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open the file, local or remote; see `schemes.open_url`."""
    path = find_local(url, task)
    return open_remote(url, task, encoding) if path is None else open_local(path, url, encoding)


def open_remote(url: str, task: Task | None, encoding: str | None, proxy: str | None = None) -> Source:
    """Open the file at its node, by HTTP, through `proxy` if there is one; see `schemes.open_url`."""
    from discolocal.schemes import scheme_http

    place = http_url(url, task, proxy)
    path = _path_of_namesake(url)
    if path is not None and not _is_known(place):
        raise DataError(f"No such file ({path}), and no other host of this name", url)
    try:
        file, size, _ = scheme_http.open_source(place, task, encoding)
    except CommError as error:
        if path is None:
            raise
        raise CommError(f"{error.msg}; nor is there a file {path}", error.url, error.code) from error
    return file, size, url


def _path_of_namesake(url: str) -> str | None:
    """Where the file would be if it were that of a local node, None if there is none of its name.

    Most likely it was there, and its job was purged.
    """
    host, _, path = url.partition("://")[2].partition("/")
    kind, _, found = path.partition("/")
    for root in schemes.data_roots:
        if kind == "ddfs" and os.path.isdir(os.path.join(ddfs_of(root), host)):
            return os.path.join(ddfs_of(root), host, found)
        if kind == "disco" and found and os.path.isdir(os.path.join(root, found.partition("/")[0])):
            return os.path.join(root, found)
    return None


def _is_known(url: str) -> bool:
    """Whether the host of a url of http has an address; a name that cannot be looked up now has none."""
    import socket
    from urllib.parse import urlsplit

    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except socket.gaierror:
        return False
    except ValueError:  # no url at all, which is told later
        pass
    return True


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    return schemes.open_url(url, params=params)
