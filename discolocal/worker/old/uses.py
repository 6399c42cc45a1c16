"""Uses of old names by job functions that did not import them, found when a job is submitted (reference 11.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.jobdata import codes
from discolocal.worker.classic.names import job_functions
from discolocal.worker.old.names import MESSAGES, RECORDS
from discolocal.worker.old.warning import deprecated

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType


_HERE = __name__.rpartition(".")[0]


def tell_records(values: Iterable[Any]) -> bool:
    """Issue a DeprecationWarning for each reader and writer of old among `values`; returns whether there is one."""
    found = False
    for value in values:
        for function in job_functions(value):
            if function.__module__ == f"{_HERE}.records" and function.__name__ in RECORDS:
                found = True
                deprecated(f"{function.__name__} is of Disco before 0.4: use {RECORDS[function.__name__]}")
    return found


def tell_uses(values: Iterable[Any]) -> bool:
    """Issue a DeprecationWarning for each of the names that the functions among `values` use and nobody defined.

    The same for readers and writers of old. Returns whether there is one, or another function of Disco before 0.5.
    """
    found = False
    for value in values:
        found = tell_records([value]) or found
        for function in job_functions(value):
            found = found or str(function.__module__).startswith(f"{_HERE}.")
            for name, today in MESSAGES.items():
                if name not in function.__globals__ and _reads(function.__code__, name):
                    found = True
                    deprecated(f"{name}() in {function.__qualname__} is of Disco before 0.5: use {today}")
    return found


def _reads(code: CodeType, name: str) -> bool:
    """Whether the code has a global of that name, and not only an attribute."""
    parts = [part for part in codes(code) if name in part.co_names]
    if not parts:
        return False
    import dis  # takes its time, and few functions get here

    return any(
        step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval == name
        for part in parts
        for step in dis.get_instructions(part)
    )
