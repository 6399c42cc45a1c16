"""Which modules functions use, as the `required_modules` of a job wants them (reference 8.11).

Nobody has to call this: a job finds by itself what it needs. It is here for programs that do.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError

if TYPE_CHECKING:
    from discolocal.worker.travel.finding import Place

__all__ = ["ModUtilImportError", "find_modules", "locate_modules", "parse_function"]


class ModUtilImportError(DiscoError, ImportError):
    """A function uses a module that cannot be found.

    Parameters: `error` says which one, `function` uses it.
    """

    def __init__(self, error: object, function: Callable[..., Any]) -> None:
        super().__init__(error, function)
        self.error = error
        self.function = function

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", self.function)
        return (
            f"{self.error}: Could not find module defined in {name}. Maybe it is a typo. See documentation of the"
            " required_modules parameter for details on how to include modules."
        )


def parse_function(function: Callable[..., Any]) -> list[str]:
    """Return the names of the modules of which a function uses something, as in ``random.uniform(1, 10)``.

    A name that is defined nowhere counts as that of a module; imports inside of the function do not. Partials, methods
    and decorated functions are looked into.
    """
    from discolocal.worker.classic.implied import globals_of
    from discolocal.worker.classic.names import job_functions

    found: set[str] = set()
    for inner in job_functions(function):
        read, written = globals_of(inner)
        for name in read - written:
            value = inner.__globals__.get(name)
            if isinstance(value, ModuleType):
                found.add(value.__name__)
            elif name not in inner.__globals__ and not hasattr(builtins, name):
                found.add(name)
    return sorted(found)


def locate_modules(
    modules: Iterable[str], recurse: bool = True, include_sys: bool = False
) -> list[tuple[str, str | None]]:
    """Return (name, path) of the modules that are the user's own files, and have to be sent.

    Parameters: `modules` names; `recurse` adds the user's own modules that they import; `include_sys` adds the others,
    which nodes have to have, with None as path. Raises ImportError for a name that leads nowhere.
    """
    from discolocal.worker.travel.needs import Needs

    needs = Needs()
    found: dict[str, str | None] = {}
    for name in modules:
        place = needs.find(name)
        if place.kind == "absent":
            raise ImportError(f"No module named {name!r}")
        if place.kind in ("local", "namespace"):
            found[name] = _path(place)
            if recurse:
                needs.own(name)
        elif include_sys:
            found[name] = None
    needs.finish()
    found.update((name, _path(place)) for name, (place, _source) in needs.sent.items())
    return sorted(found.items())


def _path(place: Place) -> str:
    """What is sent: a file, or the directory of a package."""
    if place.search is not None:
        return place.search[0]
    return os.path.realpath(str(place.file))


def find_modules(
    functions: Iterable[Callable[..., Any]],
    send_modules: bool = True,
    recurse: bool = True,
    exclude: Iterable[str] = (),
) -> list[str | tuple[str, str]]:
    """Return the modules that functions use, in the form of `required_modules`.

    Parameters: `functions`; `send_modules` gives the user's own modules as pairs (name, path), which are sent, else
    names alone; `recurse` as for `locate_modules`; `exclude` names to leave out. Raises ModUtilImportError for a name
    that leads nowhere.
    """
    left_out = set(exclude)
    found: dict[str, str | tuple[str, str]] = {}
    for function in functions:
        names = [name for name in parse_function(function) if name not in left_out]
        try:
            located = locate_modules(names, recurse, include_sys=True)
        except ImportError as error:
            raise ModUtilImportError(error, function) from None
        for name, path in located if send_modules else [(name, None) for name in names]:
            found[name] = name if path is None else (name, path)
    return [found[name] for name in sorted(found)]
