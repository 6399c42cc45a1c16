"""The local cluster of this process: the master that the url ``local://`` names.

It is made when it is first asked for, and closed at exit.
"""

from __future__ import annotations

import os
from typing import Any

from discolocal.cluster.local import LocalCluster
from discolocal.error import DiscoError
from discolocal.threads import ForkLock

_lock = ForkLock()
_options: dict[str, Any] = {}
_cluster: LocalCluster | None = None
_owner = 0


def configure(**options: Any) -> None:
    """Set the arguments of `LocalCluster` that the cluster is made with. Raises DiscoError when it runs already."""
    with _lock:
        if _running() is not None:
            raise DiscoError("The local cluster of this process runs already: set its options before the first job")
        _options.clear()
        _options.update(options)


def cluster() -> LocalCluster:
    """Return the cluster of this process; a new one if there is none, or if it was closed."""
    global _cluster, _owner
    with _lock:
        found = _running()
        if found is None:
            found = _cluster = LocalCluster(**_options)
            _owner = os.getpid()
        return found


def _running() -> LocalCluster | None:
    if _cluster is None or _cluster.closed or _owner != os.getpid():
        return None
    return _cluster
