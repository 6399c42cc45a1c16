"""Locks on files, between the threads of all processes of this machine.

A lock is held through a descriptor of its own each time, so threads exclude each other as processes do. It ends with
its process, however that ends. A child that is forked meanwhile inherits the descriptor; it closes it at once, or the
lock would live as long as the child.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

_held: set[int] = set()
"""The descriptors of the locks that this process holds or waits for."""


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold the lock of the file `path`, which is made, during a block; gives its descriptor.

    Waits for as long as somebody else holds it. Raises OSError when the file cannot be made.
    """
    file = _lock(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
    try:
        yield file
    finally:
        _unlock(file)


@contextlib.contextmanager
def shared(path: str) -> Iterator[bool]:
    """Hold the lock of the file `path` together with other readers during a block; False where there is no such file.

    Waits while somebody has it by `locked`. Raises OSError when the file cannot be read.
    """
    try:
        file = _lock(path, os.O_RDONLY, fcntl.LOCK_SH)
    except FileNotFoundError:
        yield False
        return
    try:
        yield True
    finally:
        _unlock(file)


def _lock(path: str, mode: int, kind: int) -> int:
    while True:
        file = os.open(path, mode | os.O_CLOEXEC, 0o600)
        _held.add(file)
        try:
            fcntl.flock(file, kind)
            if is_at(file, path):
                return file
        except BaseException:
            _unlock(file)
            raise
        _unlock(file)


def is_at(file: int, path: str) -> bool:
    """Whether the open file is still the one of this path: somebody may have removed it while it was waited for."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _unlock(file: int) -> None:
    if file in _held:  # else this is a forked child, which has closed it
        fcntl.flock(file, fcntl.LOCK_UN)
        _held.discard(file)
        os.close(file)


def _forget() -> None:
    """In a forked child: the locks are those of the parent."""
    for file in _held:
        with contextlib.suppress(OSError):
            os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
