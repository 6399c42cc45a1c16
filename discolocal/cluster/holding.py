"""What a cluster must give back when it is closed, dropped or left behind at interpreter exit."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Any

from discolocal import schemes
from discolocal.cluster import store
from discolocal.cluster.watcher import watcher

_open: set[Holding] = set()


class Holding:
    """What a cluster must give back: its executor and its directory. Refers to no LocalCluster."""

    def __init__(self, root: str, temporary: bool) -> None:
        self.root = root
        self.temporary = temporary
        self.executor: Any = None
        self.closed = False
        self._owner = os.getpid()
        if store.data_dir(root) not in schemes.data_roots:
            schemes.data_roots.append(store.data_dir(root))
        if temporary:
            watcher.add_root(root)
        _open.add(self)

    def close(self) -> None:
        """End the executor, wait for it, and remove the directory."""
        if self.begin():
            self.finish()

    def finish(self) -> None:
        """The rest of `close`, after `begin` said that it is the first."""
        if self.executor is not None:
            self.executor.close()
            self._remove()

    def give_up(self) -> None:
        """The cluster could not be made: remove the directory."""
        if self.begin():
            self._remove()

    def abandon(self) -> None:
        """As `close`, without waiting: the collector calls it, in any thread and at any moment."""
        if self.begin() and self.executor is not None:
            self.executor.abandon(self._remove)

    @property
    def foreign(self) -> bool:
        """Whether this process is a fork of the one that made the cluster."""
        return self._owner != os.getpid()

    def begin(self) -> bool:
        """Note that it is closed; False if it was before, or in a fork of the process it belongs to."""
        first = not self.closed and not self.foreign
        self.closed = True
        return first

    def _remove(self) -> None:
        if self.temporary:
            shutil.rmtree(self.root, ignore_errors=True)
            if not os.path.lexists(self.root):
                watcher.forget_root(self.root)  # else it tries again when this process is gone
            with contextlib.suppress(ValueError):  # the list is public: it may be gone from there
                schemes.data_roots.remove(store.data_dir(self.root))
        _open.discard(self)  # last: until then somebody at exit has to wait for this


_afterwards: list[Callable[[], None]] = []


def _close_clusters() -> None:
    """Close every cluster, and wait for those that were dropped and are still closing."""
    for holding in list(_open):
        holding.close()
        if holding.executor is not None and not holding.foreign:
            holding.executor.close()


def _close_all() -> None:
    """At interpreter exit: first the clusters that nobody closed, then what they ran on."""
    _close_clusters()
    for close in _afterwards:
        close()


def at_exit(close: Callable[[], None]) -> None:
    """Call `close` at interpreter exit, after the clusters are closed and before exit handlers registered so far."""
    _afterwards.append(close)
    atexit.unregister(_close_all)
    atexit.register(_close_all)


atexit.register(_close_all)
