"""The commands for job packs as files: `jobpack` writes one, `inspect` shows one, `submit` sends one to a master."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import IO, TYPE_CHECKING

import click

from discolocal.cli.options import errors_shown, job_arguments, job_class, job_options, with_urls_of_stdin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discolocal.wire.jobpack import JobPack


@click.command()
@click.argument("path", metavar="MODULE.CLASS")
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", required=True, type=click.Path(), help="The file to write; - is standard output.")
@job_options
def jobpack(
    path: str,
    inputs: tuple[str, ...],
    output: str,
    name: str | None,
    partitions: int | None,
    parameters: tuple[tuple[str, str], ...],
) -> None:
    """Write the job pack of a job class with INPUTS, as a master takes it.

    Modules of the working directory are found. Without INPUTS the urls are read from standard input, if the class
    does not name them itself. The file appears when it is complete.
    """
    job = job_class(path)
    with errors_shown():
        arguments = with_urls_of_stdin(job, job_arguments(name, partitions, parameters, inputs))
        _write(output, job().pack(**arguments).dumps())


def _write(path: str, data: bytes) -> None:
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    import tempfile

    directory = os.path.dirname(os.path.abspath(path))
    fd, partial = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:100]}-", dir=directory)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


@click.command()
@click.argument("pack", type=click.File("rb"))
@click.option("-M", "--master", help="The master's url, as http://host:8989 (default: DISCO_MASTER).")
def submit(pack: IO[bytes], master: str | None) -> None:
    """Send a job pack to a Disco master and print the name of the job."""
    from discolocal.core import Disco

    with errors_shown():
        click.echo(Disco(master).submit(pack.read()))


@click.command()
@click.argument("pack", type=click.File("rb"))
def inspect(pack: IO[bytes]) -> None:
    """Show what is in a job pack, and what a master would say about it. Nothing of it is run or unpickled.

    The exit status is 1 for what is no job pack.
    """
    from discolocal.wire.jobpack import JobPack

    with errors_shown():
        data = pack.read()
        parsed = JobPack.loads(data)
        for line in _described(parsed, data):
            click.echo(line)


def _described(pack: JobPack, data: bytes) -> Iterator[str]:
    from discolocal.cli.printing import printable
    from discolocal.wire.jobpack import HEADER

    offsets = HEADER.unpack_from(data)[1:]
    words = [data[at : at + 4].hex() for at in range(0, HEADER.size, 4)]
    yield f"header    {' '.join(words)}"
    yield f"version   {pack.version}"
    names = ("jobdict", "jobenvs", "jobhome", "jobdata")
    for name, start, stop in zip(names, offsets, [*offsets[1:], len(data)]):
        yield f"{name:<9} at {start}, {stop - start:,} bytes"
    for name, value in (("jobdict", pack.jobdict), ("jobenvs", pack.jobenvs)):
        yield f"\n{name}"
        for key, item in value.items():
            yield f"  {printable(key)}: {json.dumps(item)}"
    yield "\njobhome"
    yield from (f"  {line}" for line in _members(pack.jobhome))
    yield "\nA master would say"
    yield from (f"  {printable(line)}" for line in _verdicts(data))


def _members(jobhome: bytes) -> list[str]:
    """The zip archive's listing: size and name of each member."""
    from zipfile import BadZipFile, ZipFile

    from discolocal.cli.printing import printable

    if not jobhome:
        return ["empty"]
    try:
        with ZipFile(io.BytesIO(jobhome)) as archive:
            rows = [f"{info.file_size:>10,}  {printable(info.orig_filename)}" for info in archive.infolist()]
    except (BadZipFile, NotImplementedError, UnicodeError, ValueError) as error:
        return [f"no zip archive: {printable(str(error))}"]
    return rows or ["a zip archive without members"]


def _verdicts(data: bytes) -> list[str]:
    """What a master replies to the pack, and what a LocalCluster refuses besides."""
    from discolocal.cluster.submission import vet
    from discolocal.error import DiscoError
    from discolocal.wire.packcheck import InvalidPack, check

    try:
        check(data)
    except InvalidPack as error:
        return [str(error)]
    try:
        info, home = vet(data)
    except DiscoError as error:
        return ["ok", f"but a LocalCluster refuses it: {error}"]
    if info.worker not in home.members:
        return ["ok", f"but every task fails: the worker {info.worker!r} is not in the job home"]
    return ["ok"]
