"""Blobs of the store of DDFS: where a new one goes, and how its bytes get there (reference 5.3, 7.1)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

from discolocal.cluster import durable
from discolocal.cluster.volumes import Volumes
from discolocal.error import CommError, DataError, DiscoError
from discolocal.wire import names

BLOCK = 1 << 20
"""Bytes that are copied at once."""


def new_blob(
    volumes: Volumes, name: str, replicas: int, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[str]:
    """Return where to upload a new blob to, ``http://<host>/ddfs/<object>`` for each of `replicas` distinct hosts.

    Raises CommError, 403: a bad name, not enough hosts, one of `include` that is none or excluded.
    """
    if not names.is_name(name):
        raise CommError("Invalid tag", name, 403)
    wanted = list(dict.fromkeys(include))
    hosts = [host for host in volumes.hosts if host not in exclude]
    if not set(wanted) <= set(hosts):
        raise CommError("Requested Replica not found.", name, 403)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or not 0 < replicas <= len(hosts):
        raise CommError("Not enough nodes for replicas.", name, 403)
    stored = str(names.Object(names.blob_prefix(name), volumes.now()))
    others = volumes.chosen(stored, len(hosts), [host for host in hosts if host not in wanted])
    chosen = [*wanted, *others][: max(replicas, len(wanted))]
    return [f"http://{host}/ddfs/{stored}" for host in chosen]


def upload(volumes: Volumes, target: str, source: BinaryIO) -> str:
    """Store what is left in a binary file as the blob that `new_blob` has promised; return its ``disco://`` url.

    It is read in blocks. Raises CommError: 403 for what is no such target, 500 when the blob exists or cannot be
    written; nothing is left of it then.
    """
    host, _, path = target.partition("://")[2].partition("/")
    stored = names.parse_object(path.removeprefix("ddfs/"))
    host = host.partition(":")[0]
    if stored is None or not path.startswith("ddfs/") or len(stored.name) > names.MAX_PREFIX:
        raise CommError("Invalid blob name", target, 403)
    if host not in volumes.hosts:
        raise CommError("Unknown host.", target, 404)
    try:
        durable.write(volumes.path(host, "blob", str(stored)), iter(lambda: source.read(BLOCK), b""))
    except FileExistsError as error:
        raise CommError(f"File exists: {stored}", target, 500) from error
    except OSError as error:
        raise CommError(f"Could not store the blob: {error}", target, 500) from error
    return names.object_url(host, "blob", str(stored))


def find(volumes: Volumes, url: str) -> str | None:
    """The path of the tag or blob behind a url, None when this store does not have it.

    Raises DataError when it is gone: its host is one of those of this store, and nobody else would have it.
    """
    try:
        path = os.path.join(volumes.ddfs, names.ddfs_path(url))
    except DiscoError:
        return None
    if os.path.isfile(path):
        return path
    if names.ddfs_path(url).partition("/")[0] in {*volumes.hosts, *volumes.with_volumes()}:
        raise DataError(f"No such file ({path})", url)
    return None
