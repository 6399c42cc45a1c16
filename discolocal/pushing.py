"""What is pushed to DDFS: files and file objects as sources that can be read again from their beginning (7.4)."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from discolocal.error import CommError, DataError
from discolocal.util import flatten, listify
from discolocal.wire import names
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from discolocal.tagservice import TagService

_FORMS = "a path, (path, name) or (file object, name)"


def aim(item: Any) -> tuple[Any, str]:
    """Return (path or file object, name of the blob) of what `DDFS.push` is given for one file.

    Raises TypeError for anything else and for a file of text, DataError for a path without a regular file.
    """
    source, name = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
    if isinstance(source, (str, os.PathLike)):
        source = os.fspath(source)
        if not os.path.isfile(source):
            why = "Not a regular file" if os.path.exists(source) else "No such file"
            raise DataError(f"{why}, so it cannot be pushed", source)
        name = names.safe_name(os.path.basename(source)) if name is None else name
    elif name is None or not hasattr(source, "read"):
        raise TypeError(f"cannot push {short_repr(item)}: a file is given as {_FORMS}")
    elif isinstance(source.read(0), str):
        raise TypeError(f"cannot push {short_repr(source)}, a file of text: open it in binary mode")
    if not isinstance(name, str):
        raise TypeError(f"cannot push {short_repr(item)}: the name of a blob is a str, not {short_repr(name)}")
    return source, name


@contextmanager
def opened(source: Any) -> Iterator[IO[bytes]]:
    """Give a path or a file object as a file that can seek; it is copied to a temporary file when it cannot.

    A path is opened and closed; what the user has opened stays open.
    """
    if isinstance(source, str):
        try:
            file = open(source, "rb")
        except OSError as error:
            raise DataError(f"It cannot be pushed: {error.strerror}", source) from error
        with file:
            yield file
    elif _can_seek(source):
        yield source
    else:
        from tempfile import TemporaryFile

        with TemporaryFile(prefix="discolocal-push-") as copy:
            shutil.copyfileobj(source, copy, 1 << 16)
            copy.seek(0)
            yield copy


def _can_seek(file: Any) -> bool:
    try:
        start = file.tell()
        file.seek(0, io.SEEK_END)
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        return False
    return True


@contextmanager
def all_or_none(service: TagService) -> Iterator[list[list[str]]]:
    """Give a list for the replicas of blobs; what is in it is discarded when storing more of them fails."""
    stored: list[list[str]] = []
    try:
        yield stored
    except BaseException:
        service.discard(flatten(stored))
        raise


def push(
    service: TagService,
    source: IO[bytes],
    name: str,
    replicas: int | None,
    forceon: Sequence[str],
    retries: int | None,
) -> list[str]:
    """Store what is left in `source` as a blob and return the urls of its replicas (reference 7.4).

    A host that fails is left out and all replicas are made anew, at most `retries` times, or None as long as there are
    hosts. Raises CommError that tells of the failures before.
    """
    start = source.tell()
    failures: dict[str, CommError] = {}
    while True:
        try:
            targets = service.new_blob(name, replicas, listify(forceon), list(failures))
        except CommError as error:
            raise _with_failures(error, name, failures) from next(reversed(failures.values()), error.__cause__)
        target = ""
        try:
            with all_or_none(service) as stored:
                for target in targets:
                    source.seek(start)
                    stored.append([service.upload(target, source)])  # type: ignore[arg-type]
            return [url for [url] in stored]
        except CommError as error:
            host = _host(target)
            if host in failures or len(failures) == retries:
                raise _with_failures(error, name, failures) from error
            failures[host] = error


def _host(target: str) -> str:
    netloc = target.partition("://")[2].partition("/")[0]
    return netloc.rpartition(":")[0] if ":" in netloc.rpartition("]")[2] else netloc


def _with_failures(error: CommError, name: str, failures: dict[str, CommError]) -> CommError:
    if not failures:
        return error
    told = "; ".join(f"{host}: {failure.msg}" for host, failure in failures.items())
    return CommError(f"{error.msg} (the blob {name} could not be stored on {told})", error.url, error.code)


def tarblobs(
    tarball: str, compress: bool = True, include: str | None = None, exclude: str | None = None
) -> Iterator[tuple[str, IO[bytes], int]]:
    """Yield (name, file object, size in bytes before compression) of the files in a tar archive.

    Parameters: `compress` gzips them, their names get ``_gz`` then; `include` and `exclude` are texts that their paths
    in the archive must have or must not have.
    """
    import tarfile

    with tarfile.open(tarball) as archive:
        for member in archive:
            data = archive.extractfile(member) if member.isfile() else None
            if data is None or (include and include not in member.name) or (exclude and exclude in member.name):
                continue
            with data:
                if not compress:
                    yield names.safe_name(member.name), data, member.size
                    continue
                with _gzipped(data) as packed:
                    yield names.safe_name(member.name) + "_gz", packed, member.size


@contextmanager
def _gzipped(data: IO[bytes]) -> Iterator[IO[bytes]]:
    import gzip
    from tempfile import SpooledTemporaryFile

    with SpooledTemporaryFile(1 << 20, prefix="discolocal-push-") as packed:
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=2) as out:
            shutil.copyfileobj(data, out, 1 << 16)
        packed.seek(0)
        yield packed
