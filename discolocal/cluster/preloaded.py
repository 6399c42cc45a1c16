"""What every task needs, imported by a node before anything of its own, so that its forks have it.

First, and so side by side in memory: a fork gets a copy of each page of memory on which it uses an object, and between
the node's own modules these objects lie on more pages. That is worth a fortieth of the time of a quick task.
"""

from __future__ import annotations

import traceback  # noqa: F401  only imported, for the forks

import cloudpickle  # noqa: F401  the same, and so all that follow

import discolocal.job
import discolocal.schemes.scheme_dir
import discolocal.schemes.scheme_raw
import discolocal.util
import discolocal.worker.jobhome
import discolocal.worker.pipeline.worker  # noqa: F401  see above
from discolocal.wire import names
from discolocal.worker.classic.names import inject


def warm_up() -> None:
    """Fill caches that every worker would fill for itself."""
    names.hex2("")
    inject((), {})
