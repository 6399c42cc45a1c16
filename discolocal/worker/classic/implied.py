"""Modules of Python that job functions name although nobody imported them (reference 8.11).

Disco supplied these until Python 3.6, and published programs count on it. Nothing is imported here unless a task asks.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import TYPE_CHECKING, Any

from discolocal.worker.classic.names import injected_names, job_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FunctionType, ModuleType

_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


def implied_names(values: Iterable[Any]) -> dict[str, str]:
    """The modules that are named and not defined in the functions among `values`, each with the function's name."""
    functions = [function for value in values for function in job_functions(value)]
    suspects = {function: names for function in functions if (names := _suspects(function))}
    if not suspects:
        return {}
    found: dict[str, str] = {}
    written = set().union(*(_globals(function)[1] for function in functions))
    for function, names in suspects.items():
        for name in sorted(names & _globals(function)[0] - written):
            found.setdefault(name, function.__qualname__)
    return found


def implied_modules(values: Iterable[Any]) -> dict[str, ModuleType]:
    """The same modules, imported, by their names."""
    return {name: importlib.import_module(name) for name in implied_names(values)}


def _suspects(function: FunctionType) -> set[str]:
    """The names in a function that could be those of modules: a quick look, which takes attributes for globals."""
    if str(function.__module__).startswith("discolocal."):
        return set()
    space, known = function.__globals__, injected_names()
    return {
        name
        for part in _codes(function.__code__)
        for name in part.co_names
        if name in sys.stdlib_module_names and name not in space and name not in known and not hasattr(builtins, name)
    }


def _globals(function: FunctionType) -> tuple[set[str], set[str]]:
    """The globals of which a function takes an attribute, and those that it sets."""
    import dis

    read: set[str] = set()
    written: set[str] = set()
    for part in _codes(function.__code__):
        before = ""
        for step in dis.get_instructions(part):
            if before and step.opname in _ATTRIBUTES:
                read.add(before)
            if step.opname == "STORE_GLOBAL":
                written.add(str(step.argval))
            before = str(step.argval) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else ""
    return read, written


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from _codes(constant)
