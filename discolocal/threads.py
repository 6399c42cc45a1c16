"""A lock for what the threads of a process share."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """A lock that is open in a fork: another thread of the parent may have held it, and is not there any more.

    A context manager, for the life of the process: each stays registered with `os.register_at_fork`. Not to be entered
    twice by one thread.
    """

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(self, *exc: object) -> None:
        self._held.release()  # not `_lock`: the thread that holds it may have forked meanwhile
