"""The place of `discolocal.worker.modutil` in Disco 0.4 (reference 11.2).

Importing it gives a DeprecationWarning.
"""

from __future__ import annotations

from discolocal.worker.modutil import *  # noqa: F403
from discolocal.worker.modutil import __all__ as __all__
from discolocal.worker.old.warning import deprecated

deprecated("discolocal.worker.classic.modutil is an old name: use discolocal.worker.modutil")
