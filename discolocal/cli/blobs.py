"""The commands of `discolocal ddfs` that move data: `push`, `chunk`, `cat` and `xcat` (reference 8.15)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from discolocal.cli.ddfs import blobs_of, command, ddfs, ignore_missing, job_mode, job_tags, show

if TYPE_CHECKING:
    from discolocal.ddfs import DDFS

__all__ = ["ddfs"]

_MB = 1 << 20
_replicas = click.option("-n", "--replicas", type=click.IntRange(1), help="How many replicas of each blob.")
_forceon = click.option("-F", "--forceon", metavar="NODE", help="A node that has to have one of the replicas.")
_update = click.option("-u", "--update", is_flag=True, help="Leave out blobs of a name that the tag has.")
_reader = click.option("-R", "--reader", metavar="MODULE.FUNCTION", help="The function that makes records of a stream.")
_stream = click.option("-T", "--stream", metavar="MODULE.FUNCTION", help="The function that opens a url.")


@command(
    click.argument("tag"),
    click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(exists=True)),
    _replicas,
    _forceon,
    _update,
    click.option("-r", "--recursive", is_flag=True, help="Push the files in directories, too."),
    click.option("-x", "--tarballs", is_flag=True, help="Push what is in tar archives, a blob for each file."),
    click.option("-z", "--compress", is_flag=True, help="Compress the files of archives."),
    click.option("-I", "--include", metavar="TEXT", help="Of archives, only files with TEXT in their paths."),
    click.option("-E", "--exclude", metavar="TEXT", help="Of archives, no files with TEXT in their paths."),
)
def push(
    client: DDFS,
    token: str | None,
    tag: str,
    files: tuple[str, ...],
    replicas: int | None,
    forceon: str | None,
    update: bool,
    recursive: bool,
    tarballs: bool,
    compress: bool,
    include: str | None,
    exclude: str | None,
) -> None:
    """Store FILEs as blobs and put them in front of what a TAG holds, all at once."""
    if (compress or include or exclude) and not tarballs:
        raise click.UsageError("-z, -I and -E are about tar archives: give -x")

    def extracted() -> Iterator[tuple[Any, str]]:
        for path in files:
            for name, data, _size in client.tarblobs(path, compress, include, exclude):
                yield data, name

    sources = extracted() if tarballs else [file for path in files for file in _files(path, recursive)]
    _, stored = client.push(tag, sources, replicas, [forceon] if forceon else [], update=update, token=token)
    _tell(stored)


def _files(path: str, recursive: bool) -> list[str]:
    """The file, or those in a directory. Raises UsageError for a directory that is not asked for."""
    if not os.path.isdir(path):
        return [path]
    if not recursive:
        raise click.UsageError(f"{path} is a directory: give -r for the files in it")
    return sorted(os.path.join(place, name) for place, _, names in os.walk(path) for name in names)


@command(
    click.argument("tag"),
    click.argument("urls", nargs=-1, metavar="[URL]..."),
    _replicas,
    _forceon,
    _update,
    click.option("-S", "--size", type=click.FloatRange(0, min_open=True), help="MB of a chunk (default: 64)."),
    click.option(
        "-Z",
        "--max-record-size",
        type=click.FloatRange(0, min_open=True),
        help="MB that a record may have (default: 1).",
    ),
    _reader,
    _stream,
    ignore_missing,
)
def chunk(
    client: DDFS,
    token: str | None,
    tag: str,
    urls: tuple[str, ...],
    replicas: int | None,
    forceon: str | None,
    update: bool,
    size: float | None,
    max_record_size: float | None,
    reader: str | None,
    stream: str | None,
    ignore_missing: bool,
) -> None:
    """Store the records of URLs as blobs of records, which jobs read with chain_reader, and put them into a TAG.

    Without a reader each line is a record. A URL may be a tag, and - stands for standard input.
    """
    sizes = {"chunk_size": size, "max_record_size": max_record_size}
    arguments: dict[str, Any] = {
        name: max(1, int(number * _MB)) for name, number in sizes.items() if number is not None
    }
    arguments.update(_chain(reader, stream))
    with _Standard(urls) as sources:
        every = [*_others(sources), *blobs_of(client, _tags(sources), ignore_missing, token)]
        _, stored = client.chunk(
            tag, every, replicas, [forceon] if forceon else [], update=update, token=token, **arguments
        )
    _tell(stored)


@command(click.argument("urls", nargs=-1, metavar="[URL]..."), ignore_missing, job_mode)
def cat(client: DDFS, token: str | None, urls: tuple[str, ...], ignore_missing: bool, jobs: bool) -> None:
    """Print what is behind URLs as it is; of a tag all blobs, after everything else.

    Of several replicas the first is printed that can be opened.
    """
    sources = job_tags(client, urls) if jobs else urls
    found = [*([url] for url in _others(sources)), *blobs_of(client, _tags(sources), ignore_missing, token)]
    for replicas in filter(None, found):
        with _first(client, replicas) as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def _first(client: DDFS, replicas: list[str]) -> Any:
    """The first replica that can be opened; tells of the others on standard error. Raises DataError of the last one."""
    from discolocal.error import DataError

    *others, last = replicas
    for url in others:
        try:
            return client.service.open(url)
        except DataError as error:
            click.echo(error, err=True)
    return client.service.open(last)


@command(click.argument("urls", nargs=-1, metavar="[URL]..."), _reader, _stream, ignore_missing, job_mode)
def xcat(
    client: DDFS,
    token: str | None,
    urls: tuple[str, ...],
    reader: str | None,
    stream: str | None,
    ignore_missing: bool,
    jobs: bool,
) -> None:
    """Print the records behind URLs, one a line, as KEY TAB VALUE; of tags after everything else.

    Without a reader they are those of results of jobs and of `chunk`.
    """
    from discolocal.cli.printing import print_records
    from discolocal.core import result_iterator

    sources = job_tags(client, urls) if jobs else urls
    every = [*_others(sources), *blobs_of(client, _tags(sources), ignore_missing, token)]
    print_records(map(_without_end, result_iterator(every, ddfs=client, **_chain(reader, stream))))


def _without_end(record: Any) -> Any:
    """A record that is a line without its end: each is printed on a line anyway."""
    if isinstance(record, str):
        return record.removesuffix("\n")
    return record.removesuffix(b"\n") if isinstance(record, bytes) else record


# What the arguments mean


def _chain(reader: str | None, stream: str | None) -> dict[str, Any]:
    """The arguments of `result_iterator` that functions given by their dotted names stand for."""
    from discolocal.cli.asked import evaluated

    found: dict[str, Any] = {}
    if reader is not None:
        found["reader"] = evaluated("--reader", reader)
    if stream is not None:
        function = evaluated("--stream", stream)
        found["input_stream"] = function if isinstance(function, (list, tuple)) else (function,)
    return found


def _tags(urls: Any) -> list[str]:
    """Those of the arguments that are tags, or their names alone."""
    from discolocal.ddfs import istag
    from discolocal.wire.names import is_name

    for url in urls:
        if "://" not in url and istag(url) and not is_name(url) and os.path.exists(url):
            raise click.UsageError(f"{url} alone would be the name of a tag, which none can have: the file is ./{url}")
    return [url for url in urls if istag(url)]


def _others(urls: Any) -> list[str]:
    from discolocal.ddfs import istag

    return [url for url in urls if not istag(url)]


class _Standard:
    """Arguments with the path of a temporary file instead of - for what standard input holds."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls
        self._file: Any = None

    def __enter__(self) -> list[str]:
        if "-" not in self._urls:
            return list(self._urls)
        from tempfile import NamedTemporaryFile

        self._file = NamedTemporaryFile(prefix="stdin-")
        shutil.copyfileobj(sys.stdin.buffer, self._file)
        self._file.flush()
        return [self._file.name if url == "-" else url for url in self._urls]

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _tell(stored: list[list[str]]) -> None:
    for replicas in stored:
        show("created:", *replicas)
