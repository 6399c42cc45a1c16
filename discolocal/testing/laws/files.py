"""Files of this machine that the functions of a job use: found in their code, without running it.

A path is suspected if a function opens it as it stands there, or if it names a file that exists here and the function
has something that opens files. What travels with the job or is on every machine is not.
"""

from __future__ import annotations

import dis
import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from discolocal.jobdata import codes, is_local
from discolocal.worker.classic.names import job_functions

_OPENERS = ("open", "Path", "ZipFile", "connect", "listdir", "scandir", "glob", "getlines", "genfromtxt", "memmap")
_PREFIXES = ("read_", "load", "imread")
_READERS = ("read_text", "read_bytes", "iterdir")
_EVERYWHERE = ("/dev", "/proc", "/sys", "/bin", "/sbin", "/usr", "/etc", "/lib", "/lib64", "/opt")
_SHARED_MEMORY = "/dev/shm/"
_NAMES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")

_DEPTH = 4  # how far functions that are called by others are followed


class Place(NamedTuple):
    """A path of this machine, and the function that uses it; `why` says how."""

    path: str
    function: str
    why: str
    sent_as: str = ""

    def __str__(self) -> str:
        return f"{self.function} {self.why} {self.path!r}, which is not in the job home"

    @property
    def change(self) -> str:
        """What to do about it."""
        if self.sent_as:
            return f"open {self.sent_as!r}: the files in a list of required_files are in lib/ of the job home"
        name = os.path.basename(self.path) or self.path
        return f"give required_files={{{name!r}: content}} and open {name!r}, or hand the data over in params"


class OpenFile(NamedTuple):
    """An open file that a function holds: in a variable around it, a global, a default or params."""

    name: str
    function: str

    def __str__(self) -> str:
        return f"{self.function} holds an open file, {self.name}"


def local_files(values: dict[str, Any]) -> Iterator[Place | OpenFile]:
    """What the functions among the parameters of a job use of this machine: each path and each open file once."""
    sent = _sent(values.get("required_files"))
    params = values.get("params")
    named = params if isinstance(params, dict) else getattr(params, "__dict__", {})
    seen: set[Any] = set()
    known: set[Any] = set()
    for function in _functions(values.values(), seen):
        for found in _Uses(function, named, sent).found():
            place = found[0]
            if place not in known:
                known.add(place)
                yield found


def _sent(required: Any) -> dict[str, str]:
    """The paths in the job home that required files have, by themselves and by the names they have here."""
    if isinstance(required, dict):
        return {os.path.normpath(name): "" for name in required if isinstance(name, str)}
    found: dict[str, str] = {}
    for path in required or ():
        home = f"lib/{os.path.basename(path)}"
        found[home] = ""
        found.setdefault(os.path.normpath(path), home)
        found.setdefault(os.path.basename(path), home)
    return found


def _functions(values: Iterable[Any], seen: set[Any], depth: int = _DEPTH) -> Iterator[FunctionType]:
    """The user's own functions among values, and those that they call by name."""
    for value in values:
        for function in job_functions(value):
            if function in seen or str(function.__module__).startswith("discolocal."):
                continue
            seen.add(function)
            yield function
            if depth:
                called = [
                    thing
                    for thing in _held(function).values()
                    if isinstance(thing, FunctionType) and _is_own(thing, function)
                ]
                yield from _functions(called, seen, depth - 1)


def _is_own(function: FunctionType, caller: FunctionType) -> bool:
    return function.__module__ == caller.__module__ or is_local(sys.modules.get(str(function.__module__)))


def _held(function: FunctionType) -> dict[str, Any]:
    """What a function finds under names that are not its own variables: globals, variables around it, defaults."""
    names = {name for code in codes(function.__code__) for name in code.co_names}
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # nothing is in it yet
            pass
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    found.update(zip(reversed(arguments), reversed(function.__defaults__ or ())))
    found.update(function.__kwdefaults__ or {})
    return found


class _Uses:
    """What one function uses. Parameters: `params` of the job by name, `sent` as `_sent` gives it."""

    def __init__(self, function: FunctionType, params: dict[str, Any], sent: dict[str, str]) -> None:
        self.function = function
        self.sent = sent
        self.codes = list(codes(function.__code__))
        self.names = {name for code in self.codes for name in code.co_names}
        self.constants = list(_flat(constant for code in self.codes for constant in code.co_consts))
        self.held = _held(function)
        self.params = {name: value for name, value in params.items() if name in self.names or name in self.constants}
        self.opens = any(name in _OPENERS or name in _READERS or name.startswith(_PREFIXES) for name in self.names)

    def found(self) -> Iterator[Place | OpenFile]:
        """Each path and open file; some may come twice."""
        name = self.function.__qualname__
        for key, value in {**self.params, **self.held}.items():
            for item in _items(value):
                if isinstance(item, io.IOBase) and not item.closed and not _is_standard(item):
                    yield OpenFile(getattr(item, "name", None) or key, name)
        if not self.opens:
            return
        read, written = self._opened()
        for path in read:
            if path in written or os.path.isabs(path) or self._is_sent(path):
                continue
            if os.path.exists(path) or not self._may_be_made(path, read):
                yield Place(path, name, "opens", self.sent.get(os.path.normpath(path), ""))
        for path in self._named():
            if path not in written and path not in read and not self._is_sent(path) and _is_of_this_machine(path):
                yield Place(path, name, "uses the path", self.sent.get(os.path.normpath(path), ""))
        for path in read:
            if os.path.isabs(path) and path not in written and _is_of_this_machine(path):
                yield Place(path, name, "opens")
        if "__file__" in self.names and "__file__" in self.function.__globals__:
            yield Place(str(self.function.__globals__["__file__"]), name, "finds files by __file__, here")

    def _is_sent(self, path: str) -> bool:
        return self.sent.get(os.path.normpath(path)) == ""

    def _may_be_made(self, path: str, read: list[str]) -> bool:
        """Whether a file that is not here may be one that the task makes, or that it can do without."""
        if "://" in path or self.names & {"OSError", "IOError", "FileNotFoundError", "exists", "isfile"}:
            return True
        steps = (step for code in self.codes for step in dis.get_instructions(code))
        return sum(self._text(step) == path for step in steps) > read.count(path)

    def _opened(self) -> tuple[list[str], set[str]]:
        """The paths that stand directly in calls of open: those that are read, and those that are written."""
        read: list[str] = []
        written: set[str] = set()
        for code in self.codes:
            steps = [step for step in dis.get_instructions(code) if step.opname not in ("PUSH_NULL", "CACHE")]
            for index, step in enumerate(steps[:-2]):
                if step.argval == "open" and self._opens_files(step, steps[index - 1]):
                    path, mode = self._text(steps[index + 1]), self._text(steps[index + 2])
                    if not path:
                        continue
                    if mode and set(mode) <= set("rwxabt+U") and set(mode) & set("wxa+"):
                        written.add(path)
                    else:
                        read.append(path)
        return read, written

    def _opens_files(self, step: dis.Instruction, before: dis.Instruction) -> bool:
        """Whether an instruction that loads something called open loads a function that opens files."""
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            return True
        named = before.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        return named and step.opname in _ATTRIBUTES and isinstance(self.held.get(str(before.argval)), ModuleType)

    def _text(self, step: dis.Instruction) -> str:
        """The text that an instruction loads, if it is a constant of the code or of the function's surroundings."""
        if step.opname in _NAMES:
            value = self.held.get(str(step.argval))
        else:
            value = step.argval if step.opname == "LOAD_CONST" else None
        return str(value) if isinstance(value, (str, PurePath)) else ""

    def _named(self) -> Iterator[str]:
        """Texts that look like paths: in the code, and in what it uses by name."""
        held = [*self.held.values(), *self.params.values()]
        for value in [*self.constants, *held]:
            if isinstance(value, PurePath) or (isinstance(value, str) and ("." in value or os.sep in value)):
                path = str(value)
                if 2 < len(path) < 1000 and "\n" not in path and "\0" not in path:
                    yield path


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Constants, with those in constant tuples and sets."""
    for value in values:
        if isinstance(value, (tuple, frozenset)):
            yield from _flat(value)
        else:
            yield value


def _items(value: Any, depth: int = 3) -> Iterator[Any]:
    """A value, or what is in it if it is a plain container; of a large one the beginning: tables hold no files."""
    if type(value) not in (dict, list, tuple, set) or not depth:
        yield value
        return
    for item in itertools.islice(value.values() if type(value) is dict else value, 100):
        yield from _items(item, depth - 1)


def _is_standard(file: Any) -> bool:
    return file in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)


def _is_of_this_machine(path: str) -> bool:
    """Whether there is a file of this name here that other machines need not have."""
    if not os.path.exists(path):
        return False
    if not os.path.isabs(path):
        return os.path.isfile(path)
    full = f"{os.path.realpath(path)}{os.sep}"
    if full.startswith(_SHARED_MEMORY):  # the one place below /dev where people keep files
        return True
    return not full.startswith(tuple(f"{top}{os.sep}" for top in (*_EVERYWHERE, sys.prefix, sys.base_prefix)))
