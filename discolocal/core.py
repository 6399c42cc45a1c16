"""Reading what jobs leave: their results and their profiles (reference 8.13)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError, DiscoError, JobError
from discolocal.schemes import scheme_dir, scheme_of
from discolocal.worker.inputs import Input
from discolocal.worker.task_io import StreamCombiner, chain_reader, task_input_stream

if TYPE_CHECKING:
    from pstats import Stats

__all__ = ["profile_stats", "result_iterator"]

Urls = str | Iterable[Any]


def result_iterator(
    urls: Urls,
    reader: Callable[..., Any] | None = chain_reader,
    input_stream: Iterable[Callable[..., Any]] = (task_input_stream,),
    notifier: Callable[[Any], object] | None = None,
    params: object = None,
    ddfs: None = None,
) -> Iterator[Any]:
    """Yield the records of results, one url after the other.

    Parameters: `urls` what `job.wait()` returned, a url, or a list of urls; a list inside it holds
    replicas of the same data, of which one that works is read. `dir://` urls stand for the files
    their index lists. `reader` and the stream functions of `input_stream` form the chain that reads a
    file (None: lines); `params` is handed to them. `notifier` is called with each url, or list of
    replicas, before it is read. `ddfs` is the address of another master and must be None.

    Raises DataError when the data is damaged or gone.
    """
    if ddfs is not None:
        raise DiscoError("result_iterator(ddfs=...): results of another master are not supported")
    streams = [*input_stream, *([reader] if reader is not None else [])]

    def open(url: str) -> StreamCombiner:
        return StreamCombiner(url, streams, params)

    for source in _sources([urls] if isinstance(urls, str) else urls):
        if notifier is not None:
            notifier(source)
        yield from Input([source], open=open)


def _sources(urls: Iterable[Any]) -> Iterator[str | list[str]]:
    """Single urls and lists of replicas, with `dir://` urls expanded."""
    for item in urls:
        replicas = [item] if isinstance(item, str) else [str(url) for url in item]
        if not replicas:
            continue
        if scheme_of(replicas[0]) == "dir":
            yield from _index(replicas)
        else:
            yield replicas[0] if len(replicas) == 1 else replicas


def _index(replicas: list[str]) -> Iterator[str]:
    """The files of an index, each checked against the size the index gives."""
    error: DataError | None = None
    for url in replicas:
        try:
            lines = scheme_dir.read_index(url)
        except DataError as found:
            error = found
            continue
        for line in lines:
            scheme_dir.check_size(line)
            yield line.url
        return
    raise error if error is not None else DataError("No url of an index", replicas)


def profile_stats(directories: list[str], mode: str = "") -> Stats:
    """Return the profiles of a job's tasks, merged, sorted by cumulative time and without directories of files.

    Parameters: `directories` the paths of the job homes on all nodes; `mode` the stage, or how its name begins
    ("": all stages). The job must have run with ``profile=True`` (reference 8.13).
    Raises JobError when there is no profile, DataError when one is damaged.
    """
    from glob import escape, glob
    from pstats import Stats

    # <hh>/<uid>/profile-<uid>: nothing that a job might call a profile of its own.
    found = [path for home in directories for path in glob(f"{escape(home)}/*/*/profile-{escape(mode)}*")]
    paths = sorted(path for path in found if os.path.basename(path) == f"profile-{_parent(path)}")
    if not paths:
        job = os.path.basename(directories[0].rstrip("/")) if directories else ""
        raise JobError(job, "No profile data")
    stats = Stats()
    for path in paths:
        try:
            stats.add(path)
        except (AttributeError, EOFError, OSError, TypeError, ValueError) as error:
            raise DataError(f"Not a profile: {type(error).__name__}: {error}", path) from error
    return stats.strip_dirs().sort_stats("cumulative")


def _parent(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
