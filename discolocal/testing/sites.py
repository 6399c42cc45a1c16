"""What an instruction of a function does with an iterator: a loop over it, a call with it, all of it or a part.

Reads bytecode by the names of instructions, those of Python 3.10 to 3.14. What it cannot tell it calls a part, on which
nobody builds an accusation. Nothing is run here.
"""

from __future__ import annotations

import dis
import inspect
from functools import lru_cache
from types import CodeType, FrameType
from typing import NamedTuple

from discolocal.jobdata import LOCAL, whose

LOOP, CALL, OTHER = "for", "call", "other"

PARTIAL = frozenset(
    ("any", "all", "next", "islice", "takewhile", "dropwhile", "zip", "zip_longest", "iter", "tee", "batched")
    + ("peekable", "peek", "spy", "first", "take", "chunked", "grouper", "send", "throw", "close", "deque")
    + ("isinstance", "type", "id", "hasattr", "callable", "print", "repr", "str")
)
"""Names of what takes a part of an iterator, or none of it, or drains it on purpose."""
WHOLE = frozenset(
    ("list", "tuple", "set", "frozenset", "dict", "sorted", "sum", "max", "min", "Counter", "join", "extend", "update")
    + ("fsum", "mean", "median")
)
"""Names of what takes an iterator to its end, whatever is in it."""
_NAMED = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD")
_IN_BODY = ("STORE_", "POP_TOP", "NOP", "UNPACK_", "JUMP", "RESUME", "NOT_TAKEN", "CACHE")


class Site(NamedTuple):
    """A place that uses an iterator.

    `function`, `line` and `offset` say where; `kind` is LOOP, CALL or OTHER; `full` whether it is sure to take all
    there is; `idle` whether it is a loop that does nothing with the elements; `names` are those on the line of a call.
    """

    function: str
    line: int
    code: CodeType
    offset: int
    kind: str
    full: bool
    idle: bool = False
    names: frozenset[str] = frozenset()


class Listing:
    """The instructions of a piece of code, to be asked by offset."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.all = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
        self.index = {step.offset: number for number, step in enumerate(self.all)}
        #: Local names of what the function itself imports: `iter` and others are names of parameters as well.
        self.imported = {
            str(after.argval)
            for step, after in zip(self.all, self.all[1:])
            if step.opname == "IMPORT_FROM" and after.opname.startswith("STORE_")
        }
        self.lines: list[int] = []
        line = code.co_firstlineno
        starts = {offset: number for offset, number in dis.findlinestarts(code) if number is not None}
        for step in self.all:
            line = starts.get(step.offset, line)
            self.lines.append(line)

    def site(self, number: int, loop: int | None = None) -> Site:
        """The site of the instruction of this number, which gets an iterator, takes from it or is called with it."""
        step = self.all[number]
        kind, full, idle, names = OTHER, False, False, frozenset[str]()
        if step.opname == "FOR_ITER" or loop is not None:
            kind, (full, idle) = LOOP, self._loop(number if loop is None else loop)
        elif step.opname == "GET_ITER":
            return self._getting(number)
        elif step.opname in ("GET_YIELD_FROM_ITER", "SEND", "UNPACK_EX", "LIST_EXTEND", "SET_UPDATE"):
            kind, full = LOOP, True
        elif step.opname.startswith(("CALL", "PRECALL")):
            kind, names = CALL, self._names(number)
            full = not names & PARTIAL
        return Site(self.code.co_name, self.lines[number], self.code, self.all[number].offset, kind, full, idle, names)

    def _getting(self, number: int) -> Site:
        """The site of a GET_ITER: of a loop, of a comprehension, or of a generator that is passed on."""
        for later in range(number + 1, min(number + 8, len(self.all))):
            name = self.all[later].opname
            if name == "FOR_ITER":
                return self.site(number, loop=later)
            if name.startswith("CALL"):
                made = [step.argval for step in self.all[max(0, number - 6) : number] if step.opname == "LOAD_CONST"]
                lazy = any(isinstance(value, CodeType) and value.co_name == "<genexpr>" for value in made)
                names = self._names(later + 1) if lazy else frozenset[str]()
                full = not names & PARTIAL
                return Site(self.code.co_name, self.lines[number], self.code, self.all[number].offset, LOOP, full)
        return Site(self.code.co_name, self.lines[number], self.code, self.all[number].offset, LOOP, False)

    def _names(self, number: int) -> frozenset[str]:
        """The names and attributes read on the lines of the call at or after this instruction; variables are none."""
        lines = set(self.lines[number : number + 1])
        for step in self.all[number : number + 4]:
            if step.opname.startswith("CALL"):
                where = getattr(step, "positions", None)
                if where is not None and where.lineno is not None and where.end_lineno is not None:
                    lines.update(range(where.lineno, where.end_lineno + 1))
                break
        found: set[str] = set()
        for step, line in zip(self.all, self.lines):
            if line in lines and (step.opname.startswith(_NAMED) or self._imports(step)):
                found.add(step.argval)
        return frozenset(found)

    def _imports(self, step: dis.Instruction) -> bool:
        return step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and step.argval in self.imported

    def _loop(self, number: int) -> tuple[bool, bool]:
        """Whether the loop of this FOR_ITER goes on to the end in any case, and whether it does nothing else."""
        head = self.all[number].offset
        jumps = dis.hasjrel + dis.hasjabs
        backs = [
            index
            for index in range(number + 1, len(self.all))
            if self.all[index].opcode in jumps and self.all[index].argval == head
        ]
        if not backs:
            return False, False  # left in its first round
        body = self.all[number + 1 : backs[-1] + 1]
        end = body[-1].offset
        leaves = any(
            step.opname.startswith("RETURN_")
            and step.opname != "RETURN_GENERATOR"
            or (step.opcode in jumps and not head <= step.argval <= end)
            for step in body
        )
        return not leaves, all(step.opname.startswith(_IN_BODY) for step in body)


@lru_cache(maxsize=512)
def listing(code: CodeType) -> Listing:
    """The `Listing` of a piece of code."""
    return Listing(code)


def is_users(code: CodeType) -> bool:
    """Whether code is the user's own: not of Python, of an installed package or of discolocal."""
    return _is_users(code.co_filename)


@lru_cache(maxsize=512)
def _is_users(file: str) -> bool:
    return not file.startswith(("<frozen", _OWN)) and whose(file) == LOCAL


_OWN = __file__.rpartition("testing")[0]


def site_of(frame: FrameType | None, barrier: CodeType) -> Site | None:
    """The site of the user's code that runs in this frame or called it; None when there is none.

    Frames from the one of `barrier` on are none of the job's. A generator takes all there is only if what it gives is
    all taken as well.
    """
    found: Site | None = None
    while frame is not None and frame.f_code is not barrier:
        code = frame.f_code
        if is_users(code) and code.co_name != "<genexpr>":
            here = _here(frame)
            if found is None:
                found = here
            if here is None or not here.full:
                return found and found._replace(full=False)
            if not code.co_flags & inspect.CO_GENERATOR:
                return found
        frame = frame.f_back
    return found


def _here(frame: FrameType) -> Site | None:
    steps = listing(frame.f_code)
    number = steps.index.get(frame.f_lasti)
    return None if number is None else steps.site(number)
