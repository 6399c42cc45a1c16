"""Waiting for a job on a master that has to be asked, showing its events, finding out why it died (reference 6, 8.13).

The master tells only that a job is dead; why is in its events, from which `failure` takes it.
"""

from __future__ import annotations

import json
import re
import sys
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

LEAST_INTERVAL = 0.1
"""Seconds at least from one question to the next, whatever interval was asked for."""

_FAILURE = re.compile(r"(FATAL|ERROR|WARNING): (?:\[(?P<task>[^\]\s]+:\d+)\] )?(?P<text>.*)", re.DOTALL)
_GAVE_UP = re.compile(r"Task \S+ failed (\d+) times\. At most \d+ failures are allowed\.")
_TRACEBACK = "Traceback (most recent call last):"
_COLOURS = (("ERROR", 31), ("FATAL", 31), ("WARN", 35), ("READY", 32))  # of a terminal, by how an event begins


def wait(
    master: Disco, jobname: str, poll_interval: float = 2, timeout: float | None = None, show: bool | str | None = None
) -> list[Any]:
    """Ask until a job has ended and return its result urls; see `Disco.wait`."""
    if poll_interval < 0:
        raise ValueError(f"poll_interval={poll_interval!r}: must not be negative")
    end = None if timeout is None else time.monotonic() + timeout
    display = Display(jobname, show)
    failed = 0
    while True:
        asked = time.monotonic()
        left = max(poll_interval, LEAST_INTERVAL)
        if end is not None:
            left = max(0.0, min(left, end - asked))
        status, results = "active", []
        try:
            status, results = master.results(jobname, timeout=int(left * 1000))
            display.refresh(master)
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
        # A master keeps the answer back while the job is active; one that does not must not be flooded.
        pause = max(poll_interval, POLL_PAUSE) if failed else LEAST_INTERVAL - (time.monotonic() - asked)
        time.sleep(max(0.0, pause if end is None else min(pause, end - time.monotonic())))


class Display:
    """Shows a job's events and how its stages stand (reference 8.13).

    Parameters: `jobname`; `show` is "json" for events as lines of JSON on standard output, "nocolor" for plain text on
    standard error, another true value for the same in colours where that is a terminal, a false one for nothing.
    """

    def __init__(self, jobname: str, show: bool | str | None) -> None:
        self.jobname = jobname
        self.wanted = bool(show)
        self._json = show == "json"
        self._coloured = self.wanted and show not in ("json", "nocolor") and _is_terminal()
        self._offset = 0
        self._status = ""
        if self._coloured:
            self._print(f"{jobname}:", 44)

    def refresh(self, master: Any) -> None:
        """Show what is new, as `master` (a `Disco` or a `LocalCluster`) tells it. Raises what its methods raise."""
        if not self.wanted:
            return
        status = "" if self._json else _status(master.jobinfo(self.jobname)["pipeline"])
        for offset, (when, host, text) in master.events(self.jobname, self._offset):
            self._offset = offset
            self._event(when, host, text)
        if status != self._status:
            self._status = status
            self._print(status, 36)

    def _event(self, when: str, host: str, text: str) -> None:
        if self._json:
            print(json.dumps([when, host, text]), flush=True)
        elif self._coloured:
            colour = next((colour for word, colour in _COLOURS if text.startswith(word)), 0)
            self._print(f"\x1b[32m{when} \x1b[34m{host:<10} \x1b[{colour}m{text}")
        else:
            self._print(f"{when} {host} {text}")

    def _print(self, text: str, colour: int = 0) -> None:
        print(f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text, file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _status(pipeline: list[list[Any]]) -> str:
    """A line about the last stage of which there are tasks, else the first; "" while no stage is known."""
    if not pipeline:
        return ""
    stage = next((row for row in reversed(pipeline) if any(row[1:])), pipeline[0])
    name, pending, waiting, running, done, failed = stage
    return f"Status: [{name}] {pending} pending, {waiting} waiting, {running} running, {done} done, {failed} failed"


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
