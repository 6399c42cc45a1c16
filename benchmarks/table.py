"""The outcome of a run as one Markdown table and as JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

from .compete import Outcome
from .goals import OURS
from .rows import PEERS

HEAD = ("workload", OURS, *PEERS, "ratio", "target", "met", "results")
DISTRIBUTIONS = ("discolocal", "loky", "dask", "mrjob", "cloudpickle")


def markdown(outcomes: list[Outcome]) -> str:
    """The table, padded so that it reads well as it is."""
    rows = [HEAD, *(_cells(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    """One line: medians, our ratio to the peer of the target, the verdict, and whether all results were equal."""
    ratio = outcome.goal.ratio(outcome.medians)
    return (
        outcome.title,
        *(_value(outcome, name) for name in (OURS, *PEERS)),
        "-" if ratio is None else f"{ratio:.2f} × {outcome.goal.peer}",
        str(outcome.goal),
        {True: "yes", False: "NO", None: "-"}[outcome.met],
        _agreement(outcome),
    )


def _value(outcome: Outcome, name: str) -> str:
    """A median with its unit, three digits; `-` for a peer that is not there."""
    if name in outcome.failures:
        return "failed"
    value = outcome.medians.get(name)
    if value is None:
        return "-"
    if outcome.unit == "MB":
        return f"{value:.0f} MB"
    return f"{value:.3g} ×" if outcome.unit == "×" else f"{value:#.3g}"


def _agreement(outcome: Outcome) -> str:
    """`equal`, or who differs from most."""
    if outcome.different:
        return "DIFFERENT: " + ", ".join(outcome.different)
    return "equal" if len(outcome.digests) > 1 else "-"


def document(outcomes: list[Outcome], quick: bool) -> dict[str, Any]:
    """Everything measured, for a JSON file."""
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": sys.version.split()[0],
            "versions": {name: _version(name) for name in DISTRIBUTIONS},
        },
        "quick": quick,
        "rows": [
            {
                "workload": outcome.workload,
                "title": outcome.title,
                "unit": outcome.unit,
                "medians": outcome.medians,
                "values": outcome.values,
                "ratio": outcome.goal.ratio(outcome.medians),
                "target": str(outcome.goal),
                "met": outcome.met,
                "digests": {name: sorted(digests) for name, digests in outcome.digests.items()},
                "different": outcome.different,
                "missing": outcome.missing,
                "failures": outcome.failures,
                "largest processes": outcome.largest,
            }
            for outcome in outcomes
        ],
    }


def _version(name: str) -> str | None:
    """The installed version of a distribution, if any."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
