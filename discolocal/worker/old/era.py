"""Which jobs are of programs for Disco before 0.5, where that changes what their tasks see (reference 11.3)."""

from __future__ import annotations

from typing import Any

_MARK = "_of_old_era"


def mark(job: Any) -> None:
    """Note in a job, before it travels, that its program is of Disco before 0.5: `marked` tells it in its tasks."""
    vars(job)[_MARK] = True


def marked(job: Any) -> bool:
    """Whether a job was made by a program of Disco before 0.5, as far as its parameters and functions show."""
    return getattr(job, _MARK, False) is True
