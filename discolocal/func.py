"""The functions of classic jobs, under the name they had in early versions (reference 11.2)."""

from __future__ import annotations

from discolocal.worker.classic.func import *  # noqa: F403
from discolocal.worker.classic.func import __all__ as __all__
