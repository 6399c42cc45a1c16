"""Profiles of a job's tasks, which ran with `profile=True`: out-of-band results ``profile-<uid>`` (reference 8.13)."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError, JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pstats import Stats


class _Stored:
    """A profile that a task has stored, as `pstats` takes it: an object that has counted already."""

    def __init__(self, stats: Any) -> None:
        self.stats = stats

    def create_stats(self) -> None:
        """Nothing is left to count."""


def profile_stats(jobname: str, keys: Iterable[str], load: Callable[[str], bytes | None], mode: str = "") -> Stats:
    """Return the profiles of a job's tasks, merged, sorted by cumulative time and without directories of files.

    Parameters: `keys` those of the job's out-of-band results; `load` reads the result of a key; `mode` the stage, or
    how its name begins ("": all stages). The job must have run with ``profile=True`` (reference 8.13).
    Raises JobError when there is no profile, DataError when one is damaged.
    """
    found = sorted(key for key in keys if key.startswith(f"profile-{mode}"))
    if not found:
        raise JobError(jobname, "No profile data")
    from pstats import Stats

    stats = Stats()
    for key in found:
        try:
            stats.add(_Stored(marshal.loads(load(key) or b"")))  # type: ignore[arg-type]
        except (AttributeError, EOFError, TypeError, ValueError) as error:
            raise DataError(f"Not a profile: {type(error).__name__}: {error}", key) from error
    return stats.strip_dirs().sort_stats("cumulative")
