"""The place of `discolocal.worker.classic.external` in Disco 0.3 and earlier (reference 11.2).

Importing it gives a DeprecationWarning.
"""

from __future__ import annotations

from discolocal.worker.classic.external import package
from discolocal.worker.old.warning import deprecated

__all__ = ["package"]

deprecated("discolocal.node.external is an old name: use discolocal.worker.classic.external")
