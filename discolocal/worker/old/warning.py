"""How old spellings are told: with a DeprecationWarning at the line of the user's that has them."""

from __future__ import annotations

import sys
import warnings
from typing import Any

_BETWEEN = ("discolocal", "importlib", "_frozen_importlib", "_frozen_importlib_external")


def deprecated(text: str) -> None:
    """Issue a DeprecationWarning for the innermost frame that is neither of this package nor of Python's import."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    warnings.warn_explicit(
        text,
        DeprecationWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(frame.f_globals.get("__name__")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def old_jobdict(client: Any, name: str, jobname: Any) -> dict[str, Any]:
    """What the method `name` of a client of old returned: the job dict of a job, with a DeprecationWarning."""
    deprecated(f"{name}() is an old name: use jobpack(jobname).jobdict")
    found: dict[str, Any] = client.jobpack(jobname).jobdict
    return found
