"""The functions of classic jobs, under the name they had in early versions (reference 11.2)."""

from __future__ import annotations

from typing import Any

from discolocal.worker.classic.func import *  # noqa: F403
from discolocal.worker.classic.func import __all__ as __all__


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.4 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)
