"""Results that are kept in DDFS, which is what `save_results` means (reference 2.8, 3.2).

node      a task of the last stage is done   -> a blob for each of its outputs    `save_outputs`
node      this attempt fails or is killed    -> none of its blobs is left         `forget`
master    all of them are done               -> a tag that has all these blobs    `tag_results`
master    the job has failed, or was killed  -> none of its blobs is left         `discard`
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Iterable

from discolocal.cluster import durable, store
from discolocal.cluster.grouping import DataOutput
from discolocal.cluster.orders import JobOrder, TaskOrder
from discolocal.cluster.tags import LONGEST, TagStore
from discolocal.error import DiscoError
from discolocal.pushing import push
from discolocal.wire import names


def results_tag(jobname: str) -> str:
    """The name of the tag of a job's results."""
    return f"disco:results:{jobname}"


def check_name(prefix: str) -> None:
    """Raise DiscoError for the prefix of a job's name from which no name of a tag can be made."""
    if names.safe_name(prefix) != prefix:
        raise DiscoError(
            f"the name {prefix!r} becomes part of that of a tag, which has letters, digits, _, -, @ and : only"
        )
    longest = LONGEST - len(results_tag(names.job_name("", 0xFFF * 1e6 + 999999.999999)))
    if len(prefix) > longest:
        raise DiscoError(
            f"the name {prefix[:40]!r}... has {len(prefix)} characters, that of a tag has room for {longest}"
        )


def save_outputs(order: TaskOrder, home: str, outputs: Iterable[tuple[int, str, int]]) -> list[DataOutput]:
    """Make a blob of each local output (label, location, size) of a task, in as many replicas as blobs have.

    Raises OSError or DiscoError when one cannot be read or stored; the others are there then, until `forget`.
    """
    tags = _store(order.job)
    return [_save(tags, order, home, *output) for output in outputs]


def forget(order: TaskOrder) -> None:
    """Delete the blobs of an attempt. What cannot be deleted is left to `discard` and the collection of garbage."""
    with contextlib.suppress(OSError):
        _remove(order.job, order.saved_as)


def _save(tags: TagStore, order: TaskOrder, home: str, label: int, location: str, size: int) -> DataOutput:
    path = os.path.join(home, location)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"the output {location!r} is not a file")  # opening a pipe would be waiting for ever
    name = names.safe_name(f"{order.saved_as}:{os.path.basename(location)}")
    with open(path, "rb") as file:
        urls = push(tags, file, name, None, (), None)
    return DataOutput(label, size, tuple(urls), names.preferred_host(urls[0]))


def tag_results(order: JobOrder, urls: list[list[str]]) -> list[str]:
    """Make the tag of a job's results and return what the job has as its results: the url of the tag.

    Raises OSError or DiscoError when it cannot be stored.
    """
    tag = results_tag(order.jobname)
    _store(order).post(tag, urls)
    return [f"tag://{tag}"]


def discard(order: JobOrder, keep: Iterable[Iterable[str]] = ()) -> None:
    """Delete the blobs of a job, but for those whose urls are in `keep`.

    Blobs of names that are too long for DDFS have others, and are left to the collection of garbage.
    """
    _remove(order, order.jobname, {url for urls in keep for url in urls})


def _remove(order: JobOrder, prefix: str, keep: Iterable[str] = ()) -> None:
    """Delete the blobs whose names are `prefix`, a colon and more, and what a node that was killed has begun of one."""
    ddfs = store.ddfs_dir(order.data)
    names_of_blobs = glob.escape(names.safe_name(prefix)) + ":*"
    for names_of_files in (names_of_blobs, durable.PARTIAL + names_of_blobs):
        for path in glob.glob(os.path.join(glob.escape(ddfs), "*", names.VOLUME, "blob", "??", names_of_files)):
            host = os.path.relpath(path, ddfs).partition(os.sep)[0]
            if names.object_url(host, "blob", os.path.basename(path)) not in keep:
                durable.remove(path)


def _store(order: JobOrder) -> TagStore:
    return TagStore(os.path.dirname(order.data), order.nodes)
