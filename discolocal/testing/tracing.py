"""Traces the loads of iterators in user code, to see which are used after their end.

A trace function looks at each instruction of the user's functions that loads a name: an iterator that was seen alive
by an earlier load, and has ended since, is used again when a loop or a call gets it. The trace function that was there
before (of a debugger, of coverage) is put back.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType, GeneratorType
from typing import Any

from discolocal.testing.sites import Listing, Site, is_users, listing

_LOADS = ("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_CLASSDEREF")
_NOT_LOADS = ("LOAD_FAST_AND_CLEAR",)
_REPLACED = ("LOAD_ATTR", "LOAD_METHOD", "BUILD_", "YIELD_", "UNARY_", "SWAP", "COPY")
_WRAPPED = (map, filter, zip, enumerate)
_LIKE: tuple[Any, ...] = ([], (), "", "é", b"", bytearray(), range(1), range(1 << 70), set())
_LIKE += ({}, {}.keys(), {}.values(), {}.items())
_PLAIN = frozenset(
    [*(type(iter(value)) for value in _LIKE), type(reversed([])), type(reversed(())), type(reversed({}))]
)
"""Types of iterators that tell how much is left in them."""
_CALLING = type(iter(int, 0))
"""The type of iterators that call something until it has no more, such as those of `re.finditer`."""


def traced(tell: Callable[[str, Site], None], is_mistake: Callable[[Site | None, Site], bool]) -> Any:
    """A context manager that traces this thread; `tell(name, site)` is called for each mistake.

    `is_mistake(ended, again)` judges a use at the site `again` of what had ended at the site `ended`.
    """
    return _tracing(_Watch(tell, is_mistake))


@contextmanager
def _tracing(watch: _Watch) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(watch.enter)
    try:
        yield
    finally:
        sys.settrace(before)


class _Watch:
    """What is known of the iterators of one call."""

    def __init__(self, tell: Callable[[str, Site], None], is_mistake: Callable[[Site | None, Site], bool]) -> None:
        self.tell = tell
        self.is_mistake = is_mistake
        self.alive: dict[int, tuple[Any, Site, int]] = {}  # by id of iterators, which are kept, where they were used
        self.gave: set[int] = set()  # ids of generators that have given something

    def enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        """The trace function of the thread: called for every frame."""
        code = frame.f_code
        if is_users(code):
            loads = _loads(code)
            frame.f_trace_lines = False
            frame.f_trace_opcodes = bool(loads)
            if loads or code.co_flags & inspect.CO_GENERATOR:
                return self.step
        elif code.co_flags & inspect.CO_GENERATOR:
            frame.f_trace_lines = False
            return self.step
        return None

    def step(self, frame: FrameType, event: str, arg: Any) -> Any:
        """The trace function of a frame: called before each instruction, and when it returns."""
        if event == "opcode":
            load = _loads(frame.f_code).get(frame.f_lasti)
            if load is not None:
                self.load(frame, *load)
        elif event == "return" and frame.f_code.co_flags & inspect.CO_GENERATOR and arg is not None:
            self.gave.add(id(frame))
        return self.step

    def load(self, frame: FrameType, names: tuple[str, ...], site: Site) -> None:
        """Note an iterator that is about to be loaded, or tell that it has ended."""
        for name in names:
            value = frame.f_locals.get(name, _MISSING)
            if value is _MISSING:
                value = frame.f_globals.get(name)
            root = _root(value)
            if root is None:
                continue
            known = self.alive.get(id(root))
            if not _has_ended(root):
                self.alive[id(root)] = (root, site, _frame_id(root))
            elif known is not None and not site.idle and self._delivered(known) and self.is_mistake(known[1], site):
                self.tell(name, site)

    def _delivered(self, known: Any) -> bool:
        return known[2] == 0 or known[2] in self.gave


_MISSING = object()


@lru_cache(maxsize=512)
def _loads(code: CodeType) -> dict[int, tuple[tuple[str, ...], Site]]:
    """By offset, the instructions of a function that load a name, and the site that gets what they load."""
    steps = listing(code)
    found = {}
    for number, step in enumerate(steps.all):
        if step.opname.startswith(_LOADS) and step.opname not in _NOT_LOADS:
            taker = _taker(steps, number)
            if taker is not None:
                names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
                if names != (".0",):
                    found[step.offset] = (names, steps.site(taker)._replace(offset=step.offset))
    return found


def _taker(steps: Listing, number: int) -> int | None:
    """The number of the loop or call that takes what an instruction loads, None for anything else."""
    above = 0  # values on the stack above it
    for index in range(number + 1, len(steps.all)):
        step = steps.all[index]
        if step.opname in ("KW_NAMES", "NOP", "CACHE", "RESUME"):
            continue
        if not above and step.opname in ("GET_ITER", "GET_YIELD_FROM_ITER", "UNPACK_EX"):
            return index
        if step.opname in ("LIST_EXTEND", "SET_UPDATE") and not above:
            return index
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            return None
        above += dis.stack_effect(step.opcode, step.arg if step.opcode >= dis.HAVE_ARGUMENT else None)
        if above < 0:
            return index if step.opname.startswith(("CALL", "PRECALL")) else None
        if not above and step.opname.startswith(
            ("LOAD_ATTR", "LOAD_METHOD", "BUILD_", "YIELD_", "UNARY_", "SWAP", "COPY")
        ):
            return None
    return None


def _root(value: Any) -> Any:
    """The iterator that an iterator reads from in the end, if it is of a kind that tells its state; else None."""
    for _ in range(8):
        kind = type(value)
        if kind is GeneratorType or kind is _CALLING or kind in _PLAIN:
            return value
        if kind not in _WRAPPED:
            return None
        try:
            inner = value.__reduce__()[1]
        except Exception:
            return None
        value = next((one for one in reversed(inner) if hasattr(type(one), "__next__")), None)
    return None


def _has_ended(root: Any) -> bool:
    if type(root) is GeneratorType:
        return root.gi_frame is None
    if type(root) is _CALLING:
        return len(root.__reduce__()[1]) == 1  # of an empty tuple then, not of a function and its last value
    return not root.__length_hint__()


def _frame_id(root: Any) -> int:
    """What marks a generator that is to be seen giving something; 0 where that is known."""
    return id(root.gi_frame) if type(root) is GeneratorType else 0
