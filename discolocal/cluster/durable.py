"""Files that are there whole or not at all, also after a crash, and that stay: what the store of DDFS is built on.

    !partial.<name>   written in the directory of the file, locked by its writer, fsync
    <name>            renamed, fsync of the directory

Everything that changes the disk for the store goes through here. A file under the first name whose lock is free
is what a writer that was killed has left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable

from discolocal.cluster.locks import is_at

PARTIAL = "!partial."
"""What the names of files that are being written begin with; no object of DDFS has such a name."""
LONGEST = 255 - len(PARTIAL)
"""Bytes of a file's name that leave room for `PARTIAL`."""

_MODE = 0o400


class Pending:
    """A file that is written but not there yet.

    Parameters: `path`, where it is to be; its directories are made. `blocks` give its bytes. Raises OSError, and then
    leaves nothing behind; FileExistsError when it is there or being written by somebody else.
    """

    def __init__(self, path: str, blocks: Iterable[bytes]) -> None:
        self.path = path
        directory, name = os.path.split(path)
        self._partial = os.path.join(directory, PARTIAL + name)
        make_directories(directory)
        self._file = _open_locked(self._partial)
        try:
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            for block in blocks:
                _write(self._file, block)
            os.fchmod(self._file, _MODE)
            os.fsync(self._file)
        except BaseException:
            self.discard()
            raise

    def appear(self) -> None:
        """Give the file its name. Raises OSError, and then forgets it."""
        try:
            os.rename(self._partial, self.path)
        except BaseException:
            self.discard()
            raise
        self._close()

    def settle(self) -> None:
        """Make the name last. Raises OSError."""
        sync_directory(os.path.dirname(self.path))

    def discard(self) -> None:
        """Forget the file, unless it has its name already."""
        if self._file >= 0:
            self._close()
            with contextlib.suppress(OSError):
                os.unlink(self._partial)

    def _close(self) -> None:
        file, self._file = self._file, -1
        os.close(file)


def write(path: str, blocks: Iterable[bytes]) -> None:
    """Write a file that appears whole or not at all. Raises OSError as `Pending` does."""
    file = Pending(path, blocks)
    file.appear()
    file.settle()


def _open_locked(path: str) -> int:
    """Make a file and lock it; somebody who clears away may take it for one that nobody writes in between."""
    while True:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_at(file, path):
            return file
        os.close(file)


def _write(file: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(file, view) :]


def make_directories(path: str) -> None:
    """Make a directory, and those it lies in, so that they stay. Raises OSError."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)
        sync_directory(os.path.dirname(directory))


def sync_directory(path: str) -> None:
    """Make last what was renamed or removed in a directory. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove(path: str) -> bool:
    """Remove a file and tell whether it was there. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def clear(directory: str) -> list[int]:
    """Remove the files in a directory that writers which are gone have left unfinished; the sizes of these."""
    sizes = []
    for entry in sorted(os.listdir(directory)):
        if entry.startswith(PARTIAL):
            size = _clear(os.path.join(directory, entry))
            sizes += [] if size is None else [size]
    return sizes


def _clear(path: str) -> int | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(file).st_size
        return size if remove(path) else None
    except BlockingIOError:  # its writer is alive
        return None
    finally:
        os.close(file)
