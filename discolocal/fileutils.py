"""Files that appear complete or not at all, or are read up to a limit, and the zip archive of a job home.

See the reference, 1.7 and 8.7.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from discolocal.error import DataError, DiscoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIN_FREE = 1 << 20  # bytes of free disk below which a task gives up
_PART = 1 << 18  # bytes read at once
_EPOCH = (1980, 1, 1, 0, 0, 0)
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
_MAX_PART = 255  # bytes of a name that file systems take
_NODES_OWN = frozenset((".disco", ".jobhome", "jobfile"))


class AtomicFile:
    """A binary file written as ``<path>.partial`` and renamed on `close` (reference 8.7).

    Parameters: `path` where the file is to appear; its directory is made. Raises DataError when less than
    1 MiB of disk is free.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.partial = f"{path}.partial"
        directory = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
        try:
            free = os.statvfs(directory)
        except FileNotFoundError:
            os.makedirs(directory, exist_ok=True)
            free = os.statvfs(directory)
        available = free.f_bavail * free.f_frsize
        if available < MIN_FREE:
            raise DataError(f"Only {available >> 10} KB disk space available. Task failed.", path)
        self._file = open(self.partial, "wb", buffering=1 << 16)
        self.write: Callable[[Any], int] = self._file.write
        self.closed = False

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def size(self) -> int:
        """The size in bytes of the closed file."""
        return os.stat(self.path).st_size

    def close(self) -> None:
        """Give the file its name. A second call does nothing."""
        if self.closed:
            return
        self._file.close()
        os.rename(self.partial, self.path)
        self.closed = True

    def discard(self) -> None:
        """Remove what was written; the file never appears."""
        if not self.closed:
            self.closed = True
            self._file.close()
            os.unlink(self.partial)


def cannot_execute(path: str, error: OSError) -> str:
    """What to say of a program that cannot be executed: more often than not its first line is the reason."""
    try:
        with open(path, "rb") as file:
            first = file.readline(200).decode("utf-8", "backslashreplace").rstrip("\n")
    except OSError:
        return f"{error.strerror}: {path}"
    if error.errno == errno.ENOENT and first.startswith("#!"):
        return f"{error.strerror}: the interpreter in the first line of {path}, {first!r}"
    if error.errno == errno.ENOEXEC:
        return f"{error.strerror}: {path} is no program; a script needs a first line such as '#!/usr/bin/env python3'"
    return f"{error.strerror}: {path}"


def read_at_most(file: IO[bytes], limit: int) -> bytes | None:
    """Return what is left in a binary file, None when that is more than `limit` bytes: hardly more are read, then."""
    size = _PART
    try:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode):
            left = found.st_size - file.tell()
            if left > limit:
                return None
            size = min(_PART, left + 1) if left > 0 else _PART  # files of /proc are said to be empty
    except (AttributeError, OSError):  # no file of the system
        pass
    data = io.BytesIO()
    while part := file.read(size):
        data.write(part)
        if data.tell() > limit:
            return None
    return data.getvalue()


def read_pack(file: IO[bytes]) -> bytes:
    """Return the bytes of the job pack in a binary file. Raises DiscoError when it has more than a master takes."""
    from discolocal.wire import jobpack

    data = read_at_most(file, jobpack.MAX_SIZE)
    if data is None:
        raise DiscoError(f"The job pack has more than {jobpack.MAX_SIZE:,} bytes, which is all that a master takes")
    return data


def read_jobdata(path: str) -> bytes:
    """Return the jobdata of a pack that was checked. Raises DiscoError for another, OSError as `open`."""
    from discolocal.wire.jobpack import HEADER_SIZE, data_offset

    with open(path, "rb", buffering=0) as file:
        file.seek(data_offset(file.read(HEADER_SIZE)))
        return file.read()


def arc_name(name: str) -> str:
    """`name` as that of an entry of a job home: relative, in it, encodable, and none that a node uses (reference 1.7).

    Raises DiscoError naming it.
    """
    parts = name.split("/")
    try:
        too_long = any(len(part.encode()) > _MAX_PART for part in parts)
    except UnicodeEncodeError:
        too_long = True
    if name.startswith("/") or ".." in parts or parts[-1] in ("", ".") or "\0" in name or too_long:
        raise DiscoError(
            f"A file of the job home may not lie outside of it: its name must be a relative path without '..', each"
            f" part at most {_MAX_PART} bytes of UTF-8, not {name[:200]!r}"
        )
    name = "/".join(part for part in parts if part not in ("", "."))
    if name.partition("/")[0] in _NODES_OWN:
        raise DiscoError(f"A file of the job home may not be called {name!r}: nodes keep a file of their own there")
    return name


@lru_cache(maxsize=8)
def _names(archive: bytes) -> tuple[str, ...]:
    if not archive:
        return ()
    import io
    from zipfile import ZipFile

    with ZipFile(io.BytesIO(archive)) as zip:
        return tuple(zip.namelist())


class DiscoZipFile:
    """The zip archive of a job home (reference 1.7).

    Parameters: `base` the bytes of an archive to start from. Entries are collected and appended in one go
    by `dumps`, so that a big common part is compressed only once by whoever keeps its bytes.
    """

    def __init__(self, base: bytes = b"") -> None:
        self._base = base
        self._added: dict[str, bytes] = {}
        self._origins: dict[str, str] = {}
        self._directories: set[str] = set()

    def writestr(self, name: str, data: str | bytes) -> None:
        """Add a file with the given content.

        Raises DiscoError for a name that may not be, or that stands for a file of other content already.
        """
        self._add(arc_name(name), data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data), "")

    def write(self, path: str, name: str | None = None) -> None:
        """Add the file at `path` as `name` (default: its path without the leading ``/``). Raises DiscoError."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise DiscoError(f"Cannot read a file for the job home: {path} is no regular file")
            with open(path, "rb") as file:
                data = file.read()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise DiscoError(f"Cannot read a file for the job home: {path}: {why}") from error
        self._add(arc_name(os.path.normpath(path).lstrip("/") if name is None else name), data, path)

    def _add(self, name: str, data: bytes, origin: str) -> None:
        if name in self._added:
            if self._added[name] != data:
                both = " and ".join(path or "another" for path in (self._origins[name], origin))
                raise DiscoError(f"Two files of different content would be {name!r} in the job home: {both}")
            return
        if name in _names(self._base):
            raise DiscoError(f"A file of the job home may not be called {name!r}: that one is discolocal's own")
        parents = {name[:at] for at, char in enumerate(name) if char == "/"}
        if name in self._directories or not parents.isdisjoint(self._added):
            raise DiscoError(f"{name!r} would be both a file and a directory in the job home, or lie in a file")
        self._directories |= parents
        self._added[name] = data
        self._origins[name] = origin

    def writepath(self, path: str, name: str | None = None, exclude: Iterable[str] = ()) -> None:
        """Add a file, or a directory with all below it but files with an extension in `exclude`, below `name`."""
        if not os.path.isdir(path):
            self.write(path, name)
            return
        for directory, inner, files in os.walk(path):
            inner[:] = sorted(i for i in inner if i != "__pycache__")
            for file in sorted(files):
                if os.path.splitext(file)[1] in exclude:
                    continue
                full = os.path.join(directory, file)
                self.write(full, None if name is None else f"{name}/{os.path.relpath(full, path)}")

    def namelist(self) -> list[str]:
        """The names of all entries."""
        return [*_names(self._base), *self._added]

    def dumps(self) -> bytes:
        """Return the archive. Equal entries give equal bytes."""
        if not self._added:
            return self._base or _EMPTY_ZIP
        import io
        from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

        buffer = io.BytesIO(self._base)
        buffer.seek(0, io.SEEK_END)
        with ZipFile(buffer, "a" if self._base else "w") as archive:
            for name, data in self._added.items():
                info = ZipInfo(name, _EPOCH)
                info.external_attr = (0o100755 if name.endswith("worker.py") else 0o100644) << 16
                # Deflating tiny files costs more than it saves.
                archive.writestr(info, data, ZIP_DEFLATED if len(data) > 512 else None, 1)
        return buffer.getvalue()
