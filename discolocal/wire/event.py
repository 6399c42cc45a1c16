"""Event lines of a job and the sentences in them (reference 6).

A line is ``["<time>","<host>","<text>"]\\n``. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from discolocal.wire.protocol import compact_json

MASTER = "master"  # the host name of the master's own events
MAX_TEXT = 8192
_DOTS = "..."
_BINARY = "WARNING: Binary message data: "

NEW_JOB = "New job initialized!"
JOB_KILLED = "WARN: Job killed"


class Event(NamedTuple):
    """A decoded event line: `time` as written, `host`, `text`."""

    time: str
    host: str
    text: str


def encode(time: str, host: str, text: str | bytes) -> bytes:
    """Return the line of an event; text that is not valid UTF-8 becomes ``\\xNN`` bytes (reference 6).

    `text` may be bytes, or a str with surrogate escapes for bytes that were not UTF-8.
    """
    return f"[{compact_json(time)},{compact_json(host)},{compact_json(_printable(text))}]\n".encode("ascii")


def _printable(text: str | bytes) -> str:
    try:
        if isinstance(text, bytes):
            return text.decode("utf-8")
        text.encode("utf-8")
        return text
    except UnicodeError:
        raw = text if isinstance(text, bytes) else _raw(text)
        return _BINARY + "".join(f"\\x{byte:02x}" for byte in raw)


def _raw(text: str) -> bytes:
    """Return the bytes that a text with surrogates stands for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeError:
        return text.encode("utf-8", "surrogatepass")


def decode(line: str | bytes) -> Event:
    """Return the parts of an event line. Raises ValueError when it is none."""
    row = json.loads(line)
    if not (isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row)):
        raise ValueError(f"Not an event line: {line!r}")
    return Event(*row)


def decode_all(lines: str) -> Iterator[tuple[int, Event]]:
    """Yield (length in characters with the newline, event) and stop at the first line that is none, as clients do."""
    for line in lines.split("\n"):
        try:
            yield len(line) + 1, decode(line)
        except ValueError:
            return


def duration(seconds: float) -> str:
    """Return a time span as ``H:MM:SS.mmm`` (reference 6)."""
    millis = max(0, int(seconds * 1000))
    minutes, millis = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{millis // 1000:02d}.{millis % 1000:03d}"


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text` with its end replaced by three dots when it does not fit into `limit` characters."""
    keep = limit - len(_DOTS)
    return text if len(text) <= keep else text[: max(0, keep)] + _DOTS


def task_event(kind: str, stage: str, taskid: int, text: str) -> str:
    """Return the text of an event about a task: ``<kind>: [<stage>:<taskid>] <text>``.

    `kind` is MSG, WARNING, ERROR, FATAL, DONE or SYS. A master counts the fixed characters and the number twice when
    it cuts the whole at 8192, so a long text ends seven characters early for a one-digit number; so here.
    """
    head = f"{kind}: [{stage}:{taskid}] "
    return head + cut(text, MAX_TEXT - 7 - len(head))


def created(jobname: str) -> str:
    """Return the text of the event that a job has its name."""
    return f'Created job "{jobname}"'


def stage_scheduled(stage: str, tasks: int) -> str:
    """Return the text of the event that a stage's tasks are waiting."""
    return f"Stage {stage} scheduled with {tasks} tasks"


def assigned(stage: str, taskid: int, host: str) -> str:
    """Return the text of the event that a task goes to a host."""
    return f"{stage}:{taskid} assigned to {host}"


def task_finished(seconds: float) -> str:
    """Return what the DONE event of a task says."""
    return f"Task finished in {duration(seconds)}"


def received(host: str) -> str:
    """Return what the SYS event after the end of a task says."""
    return f"Received results from {host}"


def stage_finished(stage: str, seconds: float) -> str:
    """Return the text of the event that a stage is done."""
    return f"Stage {stage} finished in {duration(seconds)}"


def job_done(seconds: float) -> str:
    """Return the text of the event that a job is done."""
    return f"READY: Job done in {duration(seconds)}"


def retry(stage: str, taskid: int, host: str, failures: int, pause: float) -> str:
    """Return the text of the event that a failed task will be tried again after `pause` seconds (reference 4.2)."""
    return (
        f'Task {stage}:{taskid} failed on "{host}", {failures}th failures so far. '
        f"Sleeping {int(pause)} seconds before retrying."
    )


def gave_up(stage: str, taskid: int, failures: int, limit: int) -> str:
    """Return the text of the event that a task failed too often (reference 4.2)."""
    return f"Task {stage}:{taskid} failed {failures} times. At most {limit} failures are allowed."


_STATUS = re.compile(
    r"(?:Done: )?\d+ entries (?:mapped|reduced)"
    r"|Results sent to master"
    r"|Shuffled \d+ inputs into \d+ label\(s\)"
    r"|Downloading \S+/sort\.dl"
    r"|Downloaded \d+\.\d (?:bytes|KB|MB|GB|TB|PB) OK"
    r"|Sorting \S+/sort\.dl\.\.\."
    r"|Finished sorting"
)


def is_status(text: str) -> bool:
    """Tell whether the text of an MSG is one of the library's own progress messages (reference 8.3 to 8.6)."""
    return _STATUS.fullmatch(text) is not None


_PORTABILITY = re.compile(r"PortabilityWarning \[([A-Za-z0-9_-]+)\]: (.*)", re.DOTALL)


def portability(code: str, text: str) -> str:
    """Return the MSG text by which a task reports a PortabilityWarning to its client."""
    return f"PortabilityWarning [{code}]: {text}"


def parse_portability(text: str) -> tuple[str, str] | None:
    """Return (code, text) when an MSG reports a PortabilityWarning, else None."""
    match = _PORTABILITY.fullmatch(text)
    return (match.group(1), match.group(2)) if match else None


_FAULT = "Injected fault: "


def fault(line: str) -> str:
    """Return the MSG text that tells of a fault which the cluster was asked for, not the job's own."""
    return _FAULT + line


def parse_fault(text: str) -> str | None:
    """Return the line that names the fault when an MSG tells of one, else None."""
    return text.removeprefix(_FAULT) if text.startswith(_FAULT) else None
