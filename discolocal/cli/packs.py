"""The commands for job packs as files: `jobpack` writes one, `inspect` shows one, `submit` sends one to a master."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
from typing import IO, TYPE_CHECKING

import click

from discolocal.cli.options import errors_shown, takes_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discolocal.cli.asked import Asked
    from discolocal.wire.jobpack import JobPack


@click.command()
@takes_job()
@click.option("-o", "--output", required=True, type=click.Path(), help="The file to write; - is standard output.")
def jobpack(asked: Asked, output: str) -> None:
    """Write the job pack of a job class with INPUTS, as a master takes it.

    Modules of the working directory are found. Without INPUTS the urls are read from standard input, if the class
    does not name them itself. The file appears when it is complete.
    """
    from discolocal.error import DiscoError

    job, arguments = asked.job(stdin=True)
    with errors_shown():
        data = job().pack(**arguments).dumps()
        try:
            _write(output, data)
        except OSError as error:
            raise DiscoError(f"The job pack cannot be written to {output!r}: {error.strerror}") from error


def _write(path: str, data: bytes) -> None:
    """Write a file whole, or into what is no file: a device, a pipe, whatever standard output is.

    An existing file is replaced and keeps its mode; of a link, the file that it leads to.
    """
    if path == "-" or _is_stdout(path):
        from discolocal.cli.printing import until_the_reader_stops

        with until_the_reader_stops():
            sys.stdout.buffer.write(data)
        return
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        mode = stat.S_IFREG | 0o666 & ~mask
    if not stat.S_ISREG(mode):
        with open(os.open(path, os.O_WRONLY | os.O_NOCTTY), "wb") as file:
            file.write(data)
        return
    import tempfile

    if not os.path.basename(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    target = os.path.realpath(path)
    fd, partial = tempfile.mkstemp(prefix=f".{os.path.basename(target)[:50]}-", dir=os.path.dirname(target))
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.chmod(partial, stat.S_IMODE(mode))
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _is_stdout(path: str) -> bool:
    """Whether a path, such as /dev/stdout, is standard output, which goes on where it is instead of anew."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except OSError:
        return False


@click.command()
@click.argument("pack", type=click.File("rb"))
@click.option("-M", "--master", help="The master's url, as http://host:8989 (default: DISCO_MASTER).")
def submit(pack: IO[bytes], master: str | None) -> None:
    """Send a job pack to a Disco master and print the name of the job."""
    from discolocal.cli.printing import until_the_reader_stops
    from discolocal.core import Disco
    from discolocal.fileutils import read_pack

    with errors_shown():
        name = Disco(master).submit(read_pack(pack))
    with until_the_reader_stops():
        click.echo(name)


@click.command()
@click.argument("pack", type=click.File("rb"))
def inspect(pack: IO[bytes]) -> None:
    """Show what is in a job pack, and what a master would say about it. Nothing of it is run or unpickled.

    The exit status is 1 for what is no job pack.
    """
    from discolocal.cli.printing import until_the_reader_stops
    from discolocal.fileutils import read_pack
    from discolocal.wire.jobpack import JobPack

    with errors_shown(), until_the_reader_stops():
        data = read_pack(pack)
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
        vet(data)
    except DiscoError as error:
        return ["ok", f"but a LocalCluster refuses it: {error}"]
    return ["ok"]
