"""Waiting for a job on a master that has to be asked, and finding out why it died (reference 6, 8.13).

The master tells only that a job is dead; why is in its events, from which `failure` takes it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from discolocal.error import CommError, DiscoError, JobError, RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discolocal.core import Disco

FAILED_POLLS = 10
"""So many questions in a row may be left without an answer before `wait` gives up."""
POLL_PAUSE = 1.0
"""Seconds at least between a question without an answer and the next one."""

_FAILURE = re.compile(r"(FATAL|ERROR|WARNING): (?:\[(?P<task>[^\]\s]+:\d+)\] )?(?P<text>.*)", re.DOTALL)
_GAVE_UP = re.compile(r"Task \S+ failed (\d+) times\. At most \d+ failures are allowed\.")
_TRACEBACK = "Traceback (most recent call last):"


def wait(
    master: Disco, jobname: str, poll_interval: float = 2, timeout: float | None = None, show: bool | str | None = None
) -> list[Any]:
    """Ask until a job has ended and return its result urls; see `Disco.wait`."""
    if poll_interval < 0:
        raise ValueError(f"poll_interval={poll_interval!r}: must not be negative")
    end = None if timeout is None else time.monotonic() + timeout
    offset = failed = 0
    while True:
        left = poll_interval if end is None else max(0.0, min(poll_interval, end - time.monotonic()))
        status, results = "active", []
        try:
            status, results = master.results(jobname, timeout=int(left * 1000))
            if show:
                offset = _show(master, jobname, offset)
            failed = 0
        except CommError as error:
            failed += status == "active"
            if failed >= FAILED_POLLS:
                raise JobError(jobname, f"its master did not answer {failed} times in a row: {error}") from error
        if status == "ready":
            return results
        if status != "active":
            raise failure(master, jobname, status)
        if end is not None and time.monotonic() >= end:
            raise JobError(jobname, "Timeout: it is not done yet")
        if failed:
            pause = max(poll_interval, POLL_PAUSE)
            time.sleep(pause if end is None else max(0.0, min(pause, end - time.monotonic())))


def _show(master: Disco, jobname: str, offset: int) -> int:
    """Print the events from `offset` on; returns where the next one begins."""
    for position, (when, host, text) in master.events(jobname, offset):
        offset = position
        print(f"{when} {host:<9} {text}")
    return offset


def failure(master: Disco, jobname: str, status: str) -> JobError:
    """The error for a job that has ended otherwise than ready.

    Its message begins with ``Status <status>`` and goes on with the headline of the last failure that the events tell;
    `__cause__` is a RemoteTraceback of that failure's whole text.
    """
    head = f"Status {status}"
    if status != "dead":
        return JobError(jobname, head)
    try:
        events = [text for _offset, (_when, _host, text) in master.events(jobname)]
    except DiscoError as error:
        return JobError(jobname, f"{head} (why cannot be found out: {error})")
    headline, text = cause(events)
    found = JobError(jobname, f"{head}: {headline}" if headline else head)
    if text:
        found.__cause__ = RemoteTraceback(text)
    return found


def cause(events: Iterable[str]) -> tuple[str, str]:
    """Return (headline, whole text) of the last failure among the texts of a job's events, ("", "") without one."""
    task = text = times = ""
    killed = False
    for event in events:
        killed = killed or event == "WARN: Job killed"
        found = _FAILURE.fullmatch(event)
        if found is None:
            continue
        gave_up = _GAVE_UP.fullmatch(found["text"])
        if gave_up is not None and text:
            times = gave_up[1]  # what it failed with was told before
            continue
        task, text, times = found["task"] or "", found["text"].rstrip(), ""
    if not text:
        return ("the job was killed", "") if killed else ("", "")
    lines = [line for line in text.split("\n") if line.strip()] or [text]
    headline = (lines[-1] if lines[0].startswith(_TRACEBACK) else lines[0]).strip()
    often = f" {times} times, the last time" if times else ""
    return (f"task {task} failed{often}: {headline}" if task else headline), text
