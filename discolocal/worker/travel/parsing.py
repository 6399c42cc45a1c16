"""Reads imports and mentioned names from the syntax tree of a module."""

from __future__ import annotations

import ast
import contextlib
import warnings
from typing import TYPE_CHECKING

from discolocal.threads import ForkLock
from discolocal.worker.travel.sources import Import, Source, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARSES = 20  # times that a file is parsed while threads of the caller's parse too
_GUARDS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_BY_NAME = {"import_module", "__import__"}
_LISTING = {"iter_modules", "walk_packages"}
_CHOICES = {"version_info", "platform", "name", "implementation"}  # of sys and os: what an `if` chooses an import by


_lock = ForkLock()
"""Filters of warnings are those of the whole process; and see `_tree`."""


def _tree(data: bytes) -> ast.Module:
    """The syntax tree. Python 3.11 counts how deep it is in it for all threads together, and fails when two parse."""
    for _ in range(_PARSES):
        with contextlib.suppress(SystemError):
            return ast.parse(data)
    return ast.parse(data)


def read(data: bytes) -> Source:
    """What a source file imports and mentions.

    Raises SyntaxError, ValueError or RecursionError for what is no Python.
    """
    reader = _Reader()
    with _lock, warnings.catch_warnings():
        # Whoever imports the module is told; where warnings are errors it must not fail.
        warnings.simplefilter("ignore")
        tree = _tree(data)
    reader.visit(tree)
    return Source(data, tuple(part.unit() for part in reader.parts), reader.careful)


class _Part:
    """A unit while it is read."""

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.mentions: set[str] = set()
        self.imports: list[Import] = []
        self.computed = False

    def unit(self) -> Unit:
        return Unit(self.name, self.owner, frozenset(self.mentions), tuple(self.imports), self.computed)


class _Reader(ast.NodeVisitor):
    """Collects the units of a module; `careful` has the imports that need not happen, by line."""

    def __init__(self) -> None:
        self.part = _Part("", "")
        self.parts = [self.part]
        self.careful: dict[int, Import] = {}
        self._owner = ""
        self._guarded = False
        self._never = False
        self._unless: tuple[str, ...] = ()

    # Units

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outer in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(outer)
        if self.part.name:  # a function inside of a function belongs to that
            self._visit_all(node.body)
            return
        before = self.part, self._guarded, self._unless
        self.part, self._guarded, self._unless = _Part(node.name, self._owner), False, ()
        if not self._never:
            self.parts.append(self.part)
        self._visit_all(node.body)
        self.part, self._guarded, self._unless = before

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all((*node.decorator_list, *node.bases, *node.keywords))
        before, self._owner = self._owner, node.name
        self._visit_all(node.body)
        self._owner = before

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    # Mentions

    def visit_Name(self, node: ast.Name) -> None:
        if not self._never:
            self.part.mentions.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._never:
            self.part.mentions.add(node.attr)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all((node.target, *filter(None, [node.value])))

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(0, alias.name, (), node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        if not self._never:
            self.part.mentions.update(names)
        self._add(node.level, node.module or "", names, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called in _BY_NAME:
            name = _text(node.args[0]) if node.args else None
            if name is None:
                self.part.computed = self.part.computed or not self._never
            else:
                level = len(name) - len(name.lstrip("."))
                self._add(level, name[level:], (), node.lineno)
        elif called in _LISTING:
            self.part.computed = self.part.computed or not self._never
        self.generic_visit(node)

    def _add(self, level: int, module: str, names: tuple[str, ...], line: int) -> None:
        found = Import(level, module, names, line, self._guarded or self._never, self._unless)
        if found.guarded or found.unless:
            self.careful[line] = found
        if not self._never:
            self.part.imports.append(found)

    # What guards them

    def visit_Try(self, node: ast.Try) -> None:
        guards = [handler for handler in node.handlers if _names(handler.type) & _GUARDS or handler.type is None]
        tried = tuple(_imported(node.body)) if guards else ()
        guarded, unless = self._guarded, self._unless
        self._guarded = guarded or bool(guards)
        self._visit_all(node.body)
        self._guarded = guarded
        for handler in node.handlers:
            self._unless = tried if handler in guards and tried else unless
            self._visit_all([*filter(None, [handler.type]), *handler.body])
        self._unless = unless
        self._visit_all((*node.orelse, *node.finalbody))

    def visit_TryStar(self, node: ast.Try) -> None:
        self.visit_Try(node)

    def visit_With(self, node: ast.With) -> None:
        guarded = self._guarded
        for item in node.items:
            self.visit(item.context_expr)
            call = item.context_expr
            if isinstance(call, ast.Call) and "suppress" in _names(call.func):
                self._guarded = self._guarded or any(_names(argument) & _GUARDS for argument in call.args)
        self._visit_all(node.body)
        self._guarded = guarded

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        guarded, never = self._guarded, self._never
        decided = _decided(node.test)
        names = _names(node.test)
        self._guarded = guarded or bool(names & {"sys", "os"} and names & _CHOICES)
        self._never = never or decided is False
        self._visit_all(node.body)
        self._never = never or decided is True
        self._visit_all(node.orelse)
        self._guarded, self._never = guarded, never


def _names(node: ast.AST | None) -> set[str]:
    """All names and attributes in an expression."""
    if node is None:
        return set()
    found = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return found | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _imported(body: Iterable[ast.stmt]) -> Iterable[str]:
    """The modules that statements import, by absolute names."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


def _decided(test: ast.expr) -> bool | None:
    """What a test comes to in a module that is imported on a node, None where only a run can tell."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _decided(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        wins = isinstance(test.op, ast.Or)
        return wins if wins in map(_decided, test.values) else None
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) and "__name__" in _names(test):
        return False if "__main__" in map(_text, (test.left, *test.comparators)) else None
    return False if isinstance(test, (ast.Name, ast.Attribute)) and "TYPE_CHECKING" in _names(test) else None
