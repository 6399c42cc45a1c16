"""Where a module is, and whether a job home can have it. Nothing is imported and none of the user's code runs here."""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, BuiltinImporter, FrozenImporter
from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.jobdata import LOCAL, PYTHON, whose
from discolocal.worker import aliases

if TYPE_CHECKING:
    from collections.abc import Iterator

# What only a client or a cluster uses. `demo` is not among them: the functions of its job are found by its name.
CLIENT_ONLY = frozenset(
    (
        "cluster",
        "testing",
        "report",
        "cli",
        "wire.tag",
        "worker.jobhome",
        "worker.sending",
        "worker.travel",
        "worker.modutil",
        "worker.classic.modutil",
        "modutil",
        "__main__",
        "__pycache__",
    )
)
HOME = frozenset(("discolocal", "cloudpickle", "__main__"))
"""Packages that every node has beside the standard library."""


class Place(NamedTuple):
    """Where a module is.

    `kind` is "node" for what every node has, "local" for a source file that can be sent, "namespace" for a directory
    without one, or why it cannot be sent: "installed", "binary", "bytecode", "zipped", "made", "client", "hidden",
    "unreadable" or "absent". `file` is its path, None where there is none. `search` are the directories of a
    package, None for other modules.
    """

    kind: str
    file: str | None = None
    search: tuple[str, ...] | None = None


NODE = Place("node")
ABSENT = Place("absent")


def client_side(name: str) -> bool:
    """Whether a module of discolocal, by its dotted name, stays with the client."""
    parts = name.split(".")
    return any(".".join(parts[1:end]) in CLIENT_ONLY for end in range(2, len(parts) + 1))


def prefixes(name: str) -> Iterator[str]:
    """``a``, ``a.b``, ``a.b.c`` for ``a.b.c``: the modules that importing it runs, in their order."""
    at = name.find(".")
    while at >= 0:
        yield name[:at]
        at = name.find(".", at + 1)
    yield name


class Finder:
    """Finds modules by their dotted names and remembers the answers for as long as it lives."""

    def __init__(self) -> None:
        self._known: dict[str, Place] = {}

    def __call__(self, name: str) -> Place:
        """The place of a module."""
        place = self._known.get(name)
        if place is None:
            place = self._known[name] = self._find(name)
        return place

    def assume(self, name: str, place: Place) -> None:
        """Give this answer from now on."""
        self._known[name] = place

    def _find(self, name: str) -> Place:
        if aliases.installed():
            name = aliases.real_name(name)
        top = name.partition(".")[0]
        if top in HOME:
            return Place("client") if client_side(name) else NODE
        if top in sys.stdlib_module_names:
            file = getattr(sys.modules.get(top), "__file__", None)
            return Place("hidden", file) if file and whose(file) == LOCAL else NODE
        if name in sys.modules:
            return _loaded(sys.modules[name])
        return self._search(name)

    def _search(self, name: str) -> Place:
        """Ask Python's finders for a module that nobody has imported yet."""
        path: list[str] | None = None
        parent = name.rpartition(".")[0]
        if parent:
            directories = self(parent).search
            if directories is None:
                return ABSENT
            path = list(directories)
        for finder in sys.meta_path:
            try:
                spec = finder.find_spec(name, path, None)
            except Exception:
                continue  # what a finder cannot do, an import could not do either
            if spec is not None:
                return _place(spec.origin if spec.has_location else None, spec.submodule_search_locations, spec.loader)
        # Python's own finder fails for a namespace inside of one that is not imported.
        inner = [os.path.join(directory, name[len(parent) + 1 :]) for directory in path or ()]
        inner = [directory for directory in inner if os.path.isdir(directory)]
        return Place("namespace", None, tuple(inner)) if inner else ABSENT


def _loaded(module: Any) -> Place:
    if module is None:
        return ABSENT
    spec = getattr(module, "__spec__", None)
    loader = getattr(module, "__loader__", None) or getattr(spec, "loader", None)
    return _place(getattr(module, "__file__", None), getattr(module, "__path__", None), loader)


def _place(file: str | None, search: Any, loader: Any) -> Place:
    directories = None if search is None else tuple(search)
    if file is None:
        if directories is not None:
            return Place("namespace", None, directories)
        return NODE if loader in (BuiltinImporter, FrozenImporter) else Place("made")
    return Place("zipped" if hasattr(loader, "archive") else _kind(file), file, directories)


def _kind(file: str) -> str:
    owner = whose(file)
    if owner == PYTHON:
        return "node"
    if owner != LOCAL:
        return "installed"
    if file.endswith(tuple(EXTENSION_SUFFIXES)):
        return "binary"
    return "local" if file.endswith(".py") else "bytecode"
