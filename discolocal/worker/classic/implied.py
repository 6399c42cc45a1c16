"""Modules that job functions name although nobody imported them (reference 8.11).

Disco supplied these until Python 3.6, and published programs count on it: modules of Python, and files beside the
script or elsewhere on the user's own import path, which it sent. Nothing is imported here unless a task asks.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from discolocal.jobdata import LOCAL, codes, whose
from discolocal.worker.classic.names import injected_names, job_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FunctionType, ModuleType

    from discolocal.worker.base import Worker

_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


class Sent(str):
    """The name of a module of the user's that is sent because a job function names it."""


def implied_names(values: Iterable[Any], is_module: Callable[[str], bool] | None = None) -> dict[str, str]:
    """The modules that are named and not defined in the functions among `values`, each with the function's name.

    `is_module` says which names are those of modules, by default of Python's.
    """
    functions = list(job_functions(list(values)))
    named = is_module or sys.stdlib_module_names.__contains__
    suspects = {}
    for function in functions:
        if names := _suspects(function, named):
            suspects[function] = names
    if not suspects:
        return {}
    found: dict[str, str] = {}
    written = set().union(*(globals_of(function)[1] for function in functions))
    for function, names in suspects.items():
        for name in sorted(names & globals_of(function)[0] - written):
            found.setdefault(name, function.__qualname__)
    return found


def with_modules(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` with required_modules, where they are not given, that the functions of a classic job imply."""
    if "map" not in worker or worker.getitem("required_modules", job, jobargs) is not None:
        return jobargs
    is_module = _user_modules()
    found = implied_names((worker.getitem(name, job, jobargs) for name in worker), is_module)
    return {**jobargs, "required_modules": [Sent(name) for name in found]} if found else jobargs


def _user_modules() -> Callable[[str], bool]:
    """A function that tells whether a name is that of a module on the user's own part of the import path.

    Packages are none: Disco never sent them.
    """
    own = [path for path in sys.path if whose(os.path.join(path, "module.py")) == LOCAL]

    def is_module(name: str) -> bool:
        return name not in sys.stdlib_module_names and any(
            os.path.isfile(os.path.join(path, f"{name}.py")) for path in own
        )

    return is_module


def implied_modules(values: Iterable[Any]) -> dict[str, ModuleType]:
    """The same modules, imported, by their names."""
    names = implied_names(values)
    return {name: importlib.import_module(name) for name in names} if names else {}


def _suspects(function: FunctionType, is_module: Callable[[str], bool]) -> set[str]:
    """The names in a function that could be those of modules: a quick look, which takes attributes for globals."""
    if str(function.__module__).startswith("discolocal."):
        return set()
    space, known = function.__globals__, injected_names()
    found = set()
    for part in codes(function.__code__):
        for name in part.co_names:
            if name not in space and name not in known and not hasattr(builtins, name) and is_module(name):
                found.add(name)
    return found


def globals_of(function: FunctionType) -> tuple[set[str], set[str]]:
    """The globals of which a function takes an attribute, and those that it sets."""
    import dis

    read: set[str] = set()
    written: set[str] = set()
    for part in codes(function.__code__):
        before = ""
        for step in dis.get_instructions(part):
            if before and step.opname in _ATTRIBUTES:
                read.add(before)
            if step.opname == "STORE_GLOBAL":
                written.add(str(step.argval))
            before = str(step.argval) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else ""
    return read, written


def globals_read(function: FunctionType) -> set[str]:
    """The globals that a function reads, with those of the functions inside of it."""
    import dis

    return {
        str(step.argval)
        for part in codes(function.__code__)
        for step in dis.get_instructions(part)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
