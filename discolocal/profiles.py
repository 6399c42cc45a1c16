"""Profiles of a job's tasks, which ran with `profile=True` (reference 8.13)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from discolocal.error import DataError, JobError
from discolocal.worker import oob

if TYPE_CHECKING:
    from pstats import Stats


def profile_stats(directories: list[str], mode: str = "") -> Stats:
    """Return the profiles of a job's tasks, merged, sorted by cumulative time and without directories of files.

    Parameters: `directories` the paths of the job homes on all nodes; `mode` the stage, or how its name begins
    ("": all stages). The job must have run with ``profile=True`` (reference 8.13).
    Raises JobError when there is no profile, DataError when one is damaged.
    """
    from glob import escape, glob

    # <hh>/<uid>/profile-<uid>: nothing that a job might call a profile of its own.
    found = [path for home in directories for path in glob(f"{escape(home)}/*/*/profile-{escape(mode)}*")]
    paths = sorted(path for path in found if os.path.basename(path) == f"profile-{_parent(path)}")
    return _merged(os.path.basename(directories[0].rstrip("/")) if directories else "", paths)


def of_blobs(jobname: str, blobs: list[list[str]]) -> Stats:
    """Return the profiles in blobs of a real cluster, each given by the urls of its replicas; see `profile_stats`."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as place:
        paths = [os.path.join(place, str(number)) for number in range(len(blobs))]
        for path, urls in zip(paths, blobs):
            with open(path, "wb") as file:
                file.write(oob.read_blob(urls))
        return _merged(jobname, paths)


def _merged(jobname: str, paths: list[str]) -> Stats:
    """The profiles in these files as one."""
    from pstats import Stats

    if not paths:
        raise JobError(jobname, "No profile data")
    stats = Stats()
    for path in paths:
        try:
            stats.add(path)
        except (AttributeError, EOFError, OSError, TypeError, ValueError) as error:
            raise DataError(f"Not a profile: {type(error).__name__}: {error}", path) from error
    return stats.strip_dirs().sort_stats("cumulative")


def _parent(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
