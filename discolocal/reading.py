"""Reading the records of results (reference 8.13)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.error import DataError
from discolocal.schemes import scheme_dir, scheme_disco, scheme_of, scheme_tag
from discolocal.settings import proxy_url
from discolocal.util import flatten
from discolocal.worker.inputs import Input
from discolocal.worker.task_io import StreamCombiner, chain_reader, task_input_stream

if TYPE_CHECKING:
    from discolocal.wire.index import Line

Urls = str | Iterable[Any]
_STREAM = (task_input_stream,)


def result_iterator(
    urls: Urls,
    reader: Callable[..., Any] | None = chain_reader,
    input_stream: Iterable[Callable[..., Any]] = _STREAM,
    notifier: Callable[[Any], object] | None = None,
    params: object = None,
    ddfs: Any = None,
    proxy: str | None = None,
) -> Iterator[Any]:
    """Yield the records of results, one url after the other.

    Parameters: `urls` what `job.wait()` returned, a url, or a list of urls; a list inside it holds
    replicas of the same data, of which one that works is read. `dir://` urls stand for the files
    their index lists. `reader` and the stream functions of `input_stream` form the chain that reads a
    file (None: lines); `params` is handed to them. `notifier` is called with each url, or list of
    replicas, before it is read. `ddfs` looks up the tags among the urls: a `DDFS`, or the master of one, by default
    that of the results, of the task that asks, or DISCO_MASTER of the environment. `proxy` is the url of a node or
    master through which files of other machines are read (default: DISCO_PROXY of the environment).

    The order of Disco 0.2, (urls, notifier, proxy, reader), is understood, with a DeprecationWarning.
    Raises DataError when the data is damaged or gone, DiscoError for a tag that is missing.
    """
    from discolocal.worker.old import iterating

    if iterating.is_old_order(reader, input_stream, notifier):
        reader, input_stream, notifier, proxy = iterating.of_today(reader, input_stream, notifier, proxy)
    iterating.tell(reader, proxy)
    proxy = proxy_url(proxy) if proxy else None
    streams = [*input_stream, *([reader] if reader is not None else [])]
    if ddfs is None:
        ddfs = getattr(urls, "cluster", None) or active.master()
    return _records([urls] if isinstance(urls, str) else urls, streams, notifier, params, proxy, ddfs)


def _records(
    urls: Iterable[Any],
    streams: list[Callable[..., Any]],
    notifier: Callable[[Any], object] | None,
    params: object,
    proxy: str | None,
    ddfs: Any,
) -> Iterator[Any]:
    def open(url: str) -> StreamCombiner:
        return StreamCombiner(scheme_disco.through(url, proxy) if proxy else url, streams, params)

    for source in _sources(urls, proxy, ddfs):
        if notifier is not None:
            notifier(source)
        yield from Input([source], open=open)


def _sources(urls: Iterable[Any], proxy: str | None, ddfs: Any) -> Iterator[str | list[str]]:
    """Single urls and lists of replicas, with `dir://` and `tag://` urls expanded."""
    for item in urls:
        replicas = [item] if isinstance(item, str) else [str(url) for url in flatten(item)]
        if not replicas:
            continue
        tag = next(filter(scheme_tag.is_tag, replicas), "")
        if tag:
            yield from _sources(scheme_tag.expand(replicas, scheme_tag.client(ddfs, tag)), proxy, ddfs)
        elif scheme_of(replicas[0]) == "dir":
            yield from _index(replicas, proxy)
        else:
            yield replicas[0] if len(replicas) == 1 else replicas


def _index(replicas: list[str], proxy: str | None) -> Iterator[str]:
    """The files of an index, each checked against the size the index gives."""
    error: DataError | None = None
    for url in replicas:
        try:
            lines = scheme_dir.read_index(url, proxy=proxy)
        except DataError as found:
            error = found
            continue
        if len(replicas) > 1:
            _compare(url, lines, replicas)
        for line in lines:
            scheme_dir.check_size(line)
            yield line.url
        return
    raise error if error is not None else DataError("No url of an index", replicas)


def _compare(url: str, lines: list[Line], replicas: list[str]) -> None:
    """Warn if another index of the list, as far as they are on this machine, lists something else."""
    from discolocal.worker.expanding import same_as_first

    found = [(url, lines)]
    for other in replicas:
        with contextlib.suppress(DataError):
            if other != url and scheme_disco.find_local(other, None) is not None:
                found.append((other, scheme_dir.read_index(other)))
    same_as_first(found)
