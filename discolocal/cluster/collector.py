"""Clearing away what the store of DDFS does not need any more (reference 7.2). Nothing of this happens unasked.

First the old blobs are listed, then the tags are read, then the blobs that no tag has are removed: one that is tagged
meanwhile is either too young or found in its tag.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from discolocal.cluster import durable
from discolocal.wire import names

if TYPE_CHECKING:
    from discolocal.cluster.tags import TagStore

_DAY = 24 * 3600.0
ORPHAN_AGE = 5 * _DAY
"""Seconds for which a blob without a tag is kept."""
DELETED_AGE = 30 * _DAY
"""Seconds for which it is remembered that a tag was deleted."""


class Collected(NamedTuple):
    """What `collect` has removed: replicas of blobs, files that were never finished, the bytes of both; replaced
    versions of tags; names of deleted tags.
    """

    blobs: int
    unfinished: int
    bytes: int
    versions: int
    names: int


def collect(store: TagStore, age: float = ORPHAN_AGE, deleted_age: float = DELETED_AGE) -> Collected:
    """Remove blobs that no tag refers to and that are older than `age`, and what crashes have left.

    Parameters: `age` in seconds; with 0 a blob that was uploaded and is about to be tagged is removed too.
    `deleted_age`, likewise, of deleted tags. Returns what was removed. Raises DataError, before any blob
    is touched, when a version of a tag cannot be read: its blobs would look as if nobody had them.
    """
    before = time.time()
    old = list(_old_blobs(store, before - age))
    used = set(_used(store)) if old else set()
    sizes = [size for path, size in old if os.path.basename(path) not in used and durable.remove(path)]
    unfinished = [
        size
        for kind in ("blob", "tag")
        for _host, directory in store.volumes.directories(kind)
        for size in durable.clear(directory)
    ]
    versions = sum(_clear_versions(store, name) for name in store.volumes.newest())
    forgotten = _forget(store, int((before - deleted_age) * 1e6))
    return Collected(len(sizes), len(unfinished), sum(sizes) + sum(unfinished), versions, forgotten)


def _old_blobs(store: TagStore, until: float) -> Iterator[tuple[str, int]]:
    """Paths and sizes of the blobs that were written before a time."""
    for _host, directory in store.volumes.directories("blob"):
        for entry in os.scandir(directory):
            if names.parse_object(entry.name) is not None:
                found = entry.stat()
                if found.st_mtime <= until:
                    yield entry.path, found.st_size


def _used(store: TagStore) -> Iterator[str]:
    """The names of the objects that tags refer to, on whichever host: a time belongs to one object alone."""
    for name in store.names():
        tag, _files, damage = store.current(name)
        if damage is not None:
            raise damage
        for replicas in tag.urls if tag is not None else ():
            yield from (url.rpartition("/")[2] for url in replicas)


def _clear_versions(store: TagStore, name: str) -> int:
    """Remove the versions of a tag that were replaced, and that a crash has left; how many files."""
    if len({file.micros for file in store.volumes.versions(name)}) < 2:
        return 0
    with store.locked(name) as version:
        newest = version.files[0].micros if version.tag is None else version.tag.micros
        return sum(durable.remove(file.path) for file in version.files if file.micros < newest)


def _forget(store: TagStore, until: int) -> int:
    """Forget the tags that were deleted before a time in microseconds; how many."""
    old = [
        name
        for name, gone in store.volumes.newest().items()
        if gone and store.volumes.versions(name)[0].micros <= until
    ]
    if old:
        os.sync()  # or a version that was removed might come back after a crash, and nothing say that it is gone
    for name in old:
        with store.locked(name) as version:
            if version.tag is None and version.files and version.files[0].micros <= until:
                for file in reversed(version.files):
                    durable.remove(file.path)
    return len(old)
