"""Progress of a job for a person who watches: one bar of tqdm, on a terminal or in a notebook."""

from __future__ import annotations

import sys
from typing import Any

from discolocal.cluster.jobrun import JobRun

DELAY = 0.5
"""Seconds a job must last before a bar is shown: shorter ones would only flicker."""


def wanted(choice: bool | None) -> bool:
    """Whether to show progress: as the user chose, by default if standard error is a terminal or a notebook."""
    if choice is not None:
        return choice
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def watch(job: JobRun) -> None:
    """Show the job's progress until it has ended."""
    if job.wait(DELAY):
        return
    from tqdm.auto import tqdm

    # Without the thread by which tqdm watches its own bars: it would stay until the process ends.
    kind: Any = type("Bar", (tqdm,), {"monitor_interval": 0})
    bar: Any = kind(unit="task", desc=job.name.partition("@")[0], leave=False)
    try:
        while True:
            ended = job.wait(0.1)
            rows = job.progress()
            bar.total = sum(known for _, _, known in rows) or None
            bar.n = sum(done for _, done, _ in rows)
            bar.set_postfix_str(" ".join(f"{stage} {done}/{known}" for stage, done, known in rows if known))
            if ended:
                return
    finally:
        bar.close()
