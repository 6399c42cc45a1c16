"""Events of a job without what differs from run to run, to be compared however workers start."""

from __future__ import annotations

import re
from collections import Counter

from discolocal import LocalCluster

_SHUFFLE = re.compile(r"\b\w+_shuffle\b")
_PLAIN = (
    (re.compile(r"\b\w+@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+\b"), "JOB"),
    (re.compile(r"\bnode\d+\b"), "NODE"),
    (re.compile(r"/[^\s'\"]*/discolocal-[0-9a-f]+"), "ROOT"),
    (re.compile(r"/[^\s'\"]*/(pytest-of-[^/]+/pytest-\d+)(/popen-gw\d+)?/[^/\s'\"]+"), "TMP"),
    (re.compile(r"\b[0-9a-f]{2}/(?=JOB|\w+:-?\d+-)"), "HH/"),
    (re.compile(r"(\w+:-?\d+-\w*-\d+)-[0-9a-f]{2}-\d+"), r"\1-XX-PID"),
    (re.compile(r"-\d+\.results"), "-TIME.results"),
    (re.compile(r"\d+:\d\d:\d\d\.\d{3}"), "DURATION"),
    (re.compile(r"127\.0\.0\.1:\d+"), "SERVER"),
    (re.compile(r"\b([a-z_]+):\d+\b"), r"\1:TASK"),
    (re.compile(r" at 0x[0-9a-f]+"), " at ADDRESS"),
)


def texts(cluster: LocalCluster, jobname: str) -> Counter[str]:
    """The texts of a job's events.

    Tasks run at the same time, so that their order means nothing, and how many nodes have outputs to join is chance:
    of the stages that do that the kinds of texts count, not their number.
    """
    found: Counter[str] = Counter()
    for _, (_, _, text) in cluster.events(jobname):
        for pattern, plain in _PLAIN:
            text = pattern.sub(plain, text)
        if text.startswith(("WARNING: ", "FATAL: ", "ERROR: ")):
            text = text.partition("\n")[0]  # a traceback shows frames of the library, which differ
        if _SHUFFLE.search(text):
            found[re.sub(r"\d+", "N", text)] = 1
        else:
            found[text] += 1
    return found


def difference(here: Counter[str], there: Counter[str]) -> str:
    """What one has and the other has not, "" for nothing."""
    more, less = here - there, there - here
    return f"these alone {dict(more)}, those alone {dict(less)}" if more or less else ""
