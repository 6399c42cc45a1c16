"""Lets the contestants of a row run in turn, round by round, and collects what they showed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .data import DataSets, Want
from .goals import OURS, Goal
from .measure import Run, RunFailed, run
from .rows import (
    FLAT,
    LINEAR,
    MEMORY,
    MEMORY_LIMIT,
    MEMORY_SIZES,
    NEEDS,
    QUICK_MEMORY_SIZES,
    Row,
    Script,
)


@dataclass
class Plan:
    """How to run: where data and scratch directories are, limits, and what to leave out."""

    data: DataSets
    scratch: Path
    quick: bool = False
    rounds: int | None = None
    peers: frozenset[str] | None = None
    timeout: float = 600.0

    def asked_for(self, name: str) -> bool:
        """Whether a contestant is to run."""
        return name == OURS or self.peers is None or name in self.peers


@dataclass
class Outcome:
    """What a row showed: the measured values of each contestant by round, its digests, and what went wrong."""

    workload: str
    title: str
    goal: Goal
    unit: str = "s"
    judged: bool = True
    values: dict[str, list[float]] = field(default_factory=dict)
    digests: dict[str, set[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    largest: list[tuple[str, float]] = field(default_factory=list)

    @property
    def medians(self) -> dict[str, float]:
        """Median value of each contestant that has one."""
        return {name: median(values) for name, values in self.values.items() if values}

    @property
    def different(self) -> list[str]:
        """Contestants whose result is not always that of most."""
        found = [digest for digests in self.digests.values() for digest in digests]
        if not found:
            return []
        common = max(sorted(set(found)), key=found.count)
        return [name for name, digests in self.digests.items() if digests != {common}]

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, by a right result."""
        if OURS in self.failures or OURS in self.different:
            return False
        return self.goal.met(self.medians) if self.judged else None


def installed(name: str) -> bool:
    """Whether what a contestant needs is there: a module, or a program."""
    needed = NEEDS.get(name)
    if needed in ("sort", "cp", "cat"):
        return shutil.which(needed) is not None
    return needed is None or importlib.util.find_spec(needed) is not None


def compete(row: Row, plan: Plan) -> Outcome:
    """Run all contestants of a row: once on little data, uncounted, then in turn for the rounds asked for."""
    title = row.title.format(row.quick if plan.quick else row.want)
    outcome = Outcome(row.workload, title, row.goal, judged=not (plan.quick and row.goal.sized))
    contestants = []
    for script in row.contestants:
        if not plan.asked_for(script.name) or not installed(script.name):
            outcome.missing.append(script.name)
        elif _attempt(row, script, row.quick, plan, outcome) is not None:  # also compiles and warms the caches
            contestants.append(script)
    for number in range(plan.rounds or row.rounds):
        for script in _turn(contestants, number):
            if script.name not in outcome.failures:
                result = _attempt(row, script, row.quick if plan.quick else row.want, plan, outcome)
                if result is not None:
                    outcome.values.setdefault(script.name, []).append(result.seconds)
                    outcome.digests.setdefault(script.name, set()).add(result.digest)
    return outcome


def _turn(contestants: list[Script], number: int) -> list[Script]:
    """The order of a round: each one starts with another contestant."""
    start = number % max(1, len(contestants))
    return contestants[start:] + contestants[:start]


def _attempt(row: Row, script: Script, want: Want, plan: Plan, outcome: Outcome) -> Run | None:
    """One run of one contestant; a failure is put down and gives None."""
    paths = plan.data.paths(want)
    try:
        result = run(script.path, [*row.options, *paths], plan.scratch, plan.timeout)
    except RunFailed as failure:
        outcome.failures[script.name] = str(failure)
        print(f"{outcome.title}: {script.name} failed: {failure}", file=sys.stderr, flush=True)
        return None
    print(f"{outcome.title}: {script.name} {result.seconds:.4f} s", file=sys.stderr, flush=True)
    return result


def memory(plan: Plan) -> list[Outcome]:
    """Word count at growing sizes: peak of the largest process at each, and how peak and time grow at the end."""
    sizes = QUICK_MEMORY_SIZES if plan.quick else MEMORY_SIZES
    outcomes, times = [], []
    for size in sizes:
        outcome = Outcome(MEMORY, f"memory, {size} MB", Goal(limit=MEMORY_LIMIT, unit="MB"), "MB", not plan.quick)
        seconds = _peaks(size, plan, outcome)
        outcomes.append(outcome)
        times.append(median(seconds) / size if seconds else None)
    before, last = outcomes[-2].medians.get(OURS), outcomes[-1].medians.get(OURS)
    labels = f"{sizes[-1]} by {sizes[-2]} MB"
    return [
        *outcomes,
        _growth(f"memory, peak {labels}", FLAT, before, last, plan),
        _growth(f"memory, time per MB, {labels}", LINEAR, times[-2], times[-1], plan),
    ]


def _peaks(size: int, plan: Plan, outcome: Outcome) -> list[float]:
    """Run word count on `size` MB; puts down the peaks and returns the seconds."""
    seconds: list[float] = []
    if not installed(OURS):
        outcome.missing.append(OURS)
        return seconds
    for _ in range(plan.rounds or 1):
        try:
            paths = plan.data.paths(Want("text", size))
            result = run("ours/wordcount.py", paths, plan.scratch, plan.timeout, watch=True)
        except RunFailed as failure:
            outcome.failures[OURS] = str(failure)
            print(f"{outcome.title}: failed: {failure}", file=sys.stderr, flush=True)
            break
        print(f"{outcome.title}: {result.peak:.0f} MB, {result.seconds:.3f} s", file=sys.stderr, flush=True)
        outcome.values.setdefault(OURS, []).append(result.peak)
        outcome.digests.setdefault(OURS, set()).add(result.digest)
        outcome.largest = result.largest
        seconds.append(result.seconds)
    return seconds


def _growth(title: str, limit: float, before: float | None, last: float | None, plan: Plan) -> Outcome:
    """A row for the quotient of the values at the two largest sizes."""
    outcome = Outcome(MEMORY, title, Goal(limit=limit, unit="×"), "×", not plan.quick)
    if before and last:
        outcome.values[OURS] = [last / before]
    else:
        outcome.missing.append(OURS)
    return outcome
