"""The modules that a job takes along, and those that a node would miss.

What runs on a node decides: functions of the job's own modules go by value, so that the imports at the top of these
modules do not happen there. Modules that such functions refer to, or import themselves, are imported on the node, and
run with all that they import in turn. An import inside of a function of theirs counts if anything that runs there
mentions the function's name. The source of the job's own modules, and what it imports, is sent besides (reference 1.7).
"""

from __future__ import annotations

import os
import sys
from opcode import opmap
from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.jobdata import codes
from discolocal.worker.travel.finding import Finder, Place, prefixes
from discolocal.worker.travel.references import mentions
from discolocal.worker.travel.sources import Import, Source, Unit, source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FunctionType

    from discolocal.worker.travel.references import References

_IMPORT_NAME = opmap["IMPORT_NAME"]


class Missing(NamedTuple):
    """A module that a node would miss: its name, where it is, and who needs it."""

    name: str
    place: Place
    who: str


class Needs:
    """Collects modules.

    `sent`: the source of each module that travels, by its dotted name, with its place. `missing`: what a node would
    lack, by name. `asked`: top-level packages that travel although they are installed ones.
    """

    def __init__(self) -> None:
        self.find = Finder()
        self.sent: dict[str, tuple[Place, Source]] = {}
        self.missing: dict[str, Missing] = {}
        self.asked: set[str] = set()
        self._runs: set[str] = set()
        self._names: set[str] = set()
        self._done: set[tuple[str, int, bool]] = set()
        self._whole: set[str] = set()

    def own(self, name: str) -> None:
        """Take along a module of the job's own, which does not run on the node."""
        self._import(name, "the job", runs=False)

    def required(self, name: str) -> str:
        """Take along a module because it was asked for, a package with all that is in it; returns the name of that.

        Of an installed package all of it is sent, whichever of its modules was named.
        """
        top = name.partition(".")[0]
        self.asked.add(top)
        self._import(name, "required_modules", runs=True)
        whole = top if self.find(top).kind == "installed" else name
        self._package(whole)
        return whole

    def given(self, name: str, path: str) -> None:
        """Take along the file or the directory at `path` as the module `name`, which tasks import."""
        *parents, _own = prefixes(name)
        for parent in parents:
            if self.find(parent).search is None:
                self.find.assume(parent, Place("namespace", None, ()))
        if os.path.isdir(path):
            first = os.path.join(path, "__init__.py")
            self.find.assume(
                name, Place("local", first, (path,)) if os.path.exists(first) else Place("namespace", None, (path,))
            )
        else:
            self.find.assume(name, Place("local", path))
        self._import(name, "required_modules", runs=True)
        self._package(name)

    def referred(self, found: References) -> None:
        """Take along what the pickle of the job refers to."""
        self._names |= found.names
        for name, referrer in sorted(found.modules.items(), key=lambda item: (item[1] is None, item[0])):
            if self.find(name).kind == "absent":
                continue  # the name that a class gives itself; what it is pickled by is found as well
            self._import(name, _who(referrer), runs=True)
        for function in found.functions:
            self._function(function)

    def finish(self) -> None:
        """Follow the imports of all modules that travel."""
        before = -1
        while before != len(self._done):
            before = len(self._done)
            for name, (_place, text) in list(self.sent.items()):
                for number, unit in enumerate(text.units):
                    self._unit(name, number, unit)

    # Functions that go by value

    def _function(self, function: FunctionType) -> None:
        self._names |= mentions(function.__code__)
        package = function.__globals__.get("__package__") or ""
        for code in codes(function.__code__):
            if _IMPORT_NAME in code.co_code:
                careful = self._careful(code.co_filename)
                for found in _imports(code):
                    known = careful.get(found.line)
                    if known is not None:
                        found = found._replace(guarded=known.guarded, unless=known.unless)
                    self._statement(found, package, f"{_who(function)}, line {found.line}", runs=True)
            if not {"import_module", "__import__"}.isdisjoint(code.co_names):
                self._computed(code, package, _who(function))

    def _careful(self, path: str) -> dict[int, Import]:
        """The imports of a file that need not happen; none where there is no source to read."""
        try:
            return source(path).careful
        except OSError:
            return {}

    def _computed(self, code: CodeType, package: str, who: str) -> None:
        """A function that imports by names: those that it has as texts, or else whatever is in its own package."""
        names = [text for text in code.co_consts if isinstance(text, str) and text.replace(".", "a").isidentifier()]
        found = [name for name in names if not name.startswith(".") and self.find(name).kind not in ("absent", "node")]
        for name in found:
            self._import(name, who, runs=True)
        if not found and package:
            self._package(package)

    # Modules

    def _unit(self, module: str, number: int, unit: Unit) -> None:
        runs = module in self._runs and self._live(unit)
        if (module, number, runs) in self._done:
            return
        self._done.add((module, number, runs))
        if runs:
            self._names |= unit.mentions
            if unit.computed:
                self._package(self._package_of(module))
        place = self.sent[module][0]
        where = f"the module {module}" + (f" in {unit.name}()" if unit.name else "")
        for found in unit.imports:
            who = f"{where} ({place.file}, line {found.line})"
            self._statement(found, self._package_of(module), who, runs)

    def _live(self, unit: Unit) -> bool:
        """Whether the unit of a module that runs may run itself."""
        if not unit.name or unit.name in self._names:
            return True
        return unit.name.startswith("__") and (unit.owner in self._names or not unit.owner)

    def _package_of(self, module: str) -> str:
        place = self.sent[module][0]
        return module if place.search is not None else module.rpartition(".")[0]

    def _statement(self, found: Import, package: str, who: str, runs: bool) -> None:
        name = found.module
        if found.level:
            base = package.split(".") if package else []
            name = ".".join([*base[: len(base) - found.level + 1], *filter(None, [name])])
        if not name or (found.unless and all(self._on_node(other) for other in found.unless)):
            return
        runs = runs and not found.guarded
        self._import(name, who, runs)
        for item in self._exported(name) if found.names == ("*",) else found.names:
            self._member(name, item, who, runs)

    def _member(self, module: str, item: str, who: str, runs: bool) -> None:
        """``from module import item``: the item may be a module itself."""
        if module == "discolocal":
            self._import(sys.modules[module].__dict__["_HOMES"].get(item, module), who, runs)
        place = self.find(module)
        if place.search is not None and place.kind != "node" and item != "*":
            full = f"{module}.{item}"
            if self.find(full).kind != "absent":
                self._import(full, who, runs)

    def _exported(self, package: str) -> tuple[str, ...]:
        exported = getattr(sys.modules.get(package), "__all__", ())
        return tuple(name for name in exported if isinstance(name, str))

    def _on_node(self, name: str) -> bool:
        """Whether an import of a module works on a node."""
        return all(self._sendable(part, self.find(part)) or self.find(part).kind == "node" for part in prefixes(name))

    def _sendable(self, name: str, place: Place) -> bool:
        if place.kind == "installed":
            return name.partition(".")[0] in self.asked and str(place.file).endswith(".py")
        return place.kind in ("local", "namespace")

    def _import(self, name: str, who: str, runs: bool) -> None:
        """Importing a module runs its packages first."""
        for part in prefixes(name):
            place = self.find(part)
            if place.kind == "node":
                if part == "__main__":
                    return
                continue
            if not self._sendable(part, place) or not self._send(part, place, who, runs):
                if runs and part not in self.missing:
                    self.missing[part] = Missing(part, self.find(part), who)
                return
            if runs:
                self._runs.add(part)

    def _send(self, name: str, place: Place, who: str, runs: bool) -> bool:
        """Take a module along; returns whether it can be read."""
        if name in self.sent or place.kind == "namespace":
            return True
        try:
            self.sent[name] = place, source(place.file or "")
        except OSError as error:
            self.find.assume(name, place._replace(kind="unreadable", file=f"{place.file}: {error.strerror}"))
            return False
        return True

    def _package(self, name: str) -> None:
        """Take along all modules of a package."""
        place = self.find(name)
        if name in self._whole or place.search is None or not self._sendable(name, place):
            return
        self._whole.add(name)
        for module in _modules(name, place):
            self._import(module, f"the package {name}", runs=False)


def _modules(name: str, place: Place) -> Iterator[str]:
    """The dotted names of all modules below a package that are there as source."""
    for directory in place.search or ():
        try:
            entries = sorted(os.listdir(directory))
        except OSError:
            continue
        for entry in entries:
            path = os.path.join(directory, entry)
            if entry.endswith(".py") and entry[:-3].isidentifier() and entry != "__init__.py":
                yield f"{name}.{entry[:-3]}"
            elif entry.isidentifier() and entry != "__pycache__" and os.path.isdir(path):
                yield f"{name}.{entry}"
                yield from _modules(f"{name}.{entry}", Place("namespace", None, (path,)))


def _who(referrer: Any) -> str:
    if referrer is None:
        return "the job"
    name = getattr(referrer, "__qualname__", None) or type(referrer).__qualname__
    code = getattr(referrer, "__code__", None)
    if code is None:
        return f"the class {name} of {referrer.__module__}" if isinstance(referrer, type) else name
    return f"the function {name} ({code.co_filename}, line {code.co_firstlineno})"


def _imports(code: CodeType) -> Iterable[Import]:
    """The import statements in the code of a function, without that of functions inside of it."""
    import dis

    constants: list[Any] = [None, None]
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        line = getattr(getattr(step, "positions", None), "lineno", None) or _starts(step) or line
        if step.opcode == _IMPORT_NAME:
            level, names = constants[-2:]
            yield Import(level or 0, step.argval, tuple(names or ()), line)
        elif step.opname.startswith("LOAD_"):
            constants = [constants[-1], step.argval]


def _starts(step: Any) -> int | None:
    """The line of an instruction that begins one, before Python 3.11."""
    return step.starts_line if type(step.starts_line) is int else None
