"""The place of `discolocal.worker.classic.worker` in Disco 0.3 and earlier (reference 11.2).

Importing it gives a DeprecationWarning.
"""

from __future__ import annotations

from discolocal.worker.classic.names import get, put, this_host, this_inputs, this_master, this_name, this_partition
from discolocal.worker.classic.worker import Params, Worker
from discolocal.worker.old.warning import deprecated

__all__ = [
    "Params",
    "Worker",
    "get",
    "put",
    "this_host",
    "this_inputs",
    "this_master",
    "this_name",
    "this_partition",
]

deprecated("discolocal.node.worker is an old name: use discolocal.worker.classic.worker")
