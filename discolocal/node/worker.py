"""The place of `discolocal.worker.classic.worker` in Disco 0.3 and earlier (reference 11.2).

Importing it gives a DeprecationWarning.
"""

from __future__ import annotations

from typing import Any

from discolocal import active
from discolocal.worker.classic.worker import *  # noqa: F403
from discolocal.worker.classic.worker import __all__ as __all__
from discolocal.worker.old.warning import deprecated


def this_partition() -> int:  # type: ignore[no-redef]
    """The partition of a reduce task; in a map task its number among the tasks of the job (reference 11.3)."""
    task = active.this_task()
    return task.taskid if task.stage == "map" else task.group_label


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.5 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)


deprecated("discolocal.node.worker is an old name: use discolocal.worker.classic.worker")
