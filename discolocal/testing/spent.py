"""Finds iterators that a function uses after their end, where there is nothing in them any more.

    iter, groups of kvgroup --`Once`--> note who asks again for what has ended, or for a group that was overtaken
    iterators made by the function itself --`traced`--> note which are loaded once more when they have ended

Only uses that expect something count: reading on in pieces, asking for what may be left after a search, and draining
are no mistakes.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from discolocal import util
from discolocal.testing import tracing
from discolocal.testing.sites import CALL, LOOP, WHOLE, Site, site_of

__all__ = ["Once", "Spent", "watched"]


class Spent(NamedTuple):
    """A use of something that has ended: `what` it is, in the function `function` at `line`; `why` it was empty."""

    what: str
    function: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.function} (line {self.line}) uses {self.what} again, {self.why}"


ENDED = "which has ended: it gives nothing any more"
OVERTAKEN = "after the next group was asked for: the rest of its values is lost"


class Once(Iterator[Any]):
    """An iterator that tells `log` when it is used after its end.

    Parameters: `items` what it gives; `what` what it is called; `log` a list of `Spent`. `given` counts what it gave.
    """

    def __init__(self, items: Iterable[Any], what: str, log: list[Spent]) -> None:
        self._items = iter(items)
        self._what = what
        self._log = log
        self._ended: Site | None = None
        self._over = False
        self._lost = False
        self.given = 0

    def __iter__(self) -> Once:
        if self._lost:
            self._tell(self._site(), OVERTAKEN)
        elif self._over and self.given:
            again = self._site()
            if again is not None and not again.idle and is_mistake(self._ended, again):
                self._tell(again, ENDED)
        return self

    def __next__(self) -> Any:
        if self._lost:
            self._tell(self._site(), OVERTAKEN)
            raise StopIteration
        try:
            item = next(self._items)
        except StopIteration:
            if not self._over:
                self._over = True
                self._ended = self._site()
            raise
        self.given += 1
        return item

    def overtake(self) -> None:
        """What is left is not to be had any more."""
        for _ in self._items:
            self._lost = not self._over
        self._over = True

    def _site(self) -> Site | None:
        return site_of(sys._getframe(2), _BARRIER)

    def _tell(self, site: Site | None, why: str) -> None:
        if site is not None:
            self._log.append(Spent(self._what, site.function, site.line, why))


def is_mistake(ended: Site | None, again: Site) -> bool:
    """Whether to use an iterator at `again` is a mistake, when it came to its end at `ended`.

    It is none when what took from it might as well have left something.
    """
    if ended is None or not ended.full:
        return False
    if again.kind == LOOP:
        return True
    if again.kind != CALL or again.names & {"deque", "next", "islice", "close"}:
        return False
    same = (again.code, again.offset) == (ended.code, ended.offset)
    return bool(again.names & WHOLE) if same else True


# kvgroup


class _Active(threading.local):
    log: list[Spent] | None = None


_active = _Active()
_exchange = threading.Lock()


def _kvgroup(kviter: Any) -> Any:
    """Stands for `util.kvgroup`: has its code, and no names but those of its module."""
    from discolocal.testing.spent import groups

    return groups(kviter)


def groups(pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Iterator[Any]]]:
    """What `util.kvgroup` gives; in a function that is watched its groups tell when they are used after their end."""
    return _groups(pairs, itemgetter(0), itemgetter(1), _active.log)


def _groups(pairs: Iterable[Any], key: Any, value: Any, log: list[Spent] | None) -> Iterator[tuple[Any, Iterator[Any]]]:
    for found, members in groupby(pairs, key=key):
        values = members if value is None else map(value, members)  # noqa: B031 - the other use is in other cases
        if log is None:
            yield found, values
            continue
        group = Once(values, f"the group of the key {found!r}", log)
        yield found, group
        group.overtake()


class _GroupBy:
    """Stands for `itertools.groupby` among the globals of a function that is watched."""

    def __new__(cls, iterable: Iterable[Any], key: Any = None) -> Any:
        return _groups(iterable, key, None, _active.log)


@contextmanager
def _exchanged() -> Iterator[None]:
    """Context manager: every `kvgroup` of a job is `groups`, under whatever name it has it."""
    function: Any = util.kvgroup
    with _exchange:
        before = function.__code__
        function.__code__ = _kvgroup.__code__
        try:
            yield
        finally:
            function.__code__ = before


def watched(call: Callable[[list[Spent]], Any], functions: Iterable[FunctionType] = ()) -> tuple[Any, list[Spent]]:
    """Call ``call(log)`` and return what it returns, and the uses of iterators after their end that happened in it.

    `call` hands iterators to user code as `Once` with this log. Iterators that the code makes itself are found
    by tracing, where this Python can. `functions` are copies of functions of the job that nobody else has: among their
    globals `itertools.groupby` is exchanged. Exceptions of `call` pass.
    """
    log: list[Spent] = []
    for function in functions:
        space = function.__globals__
        for name in [name for name, value in space.items() if value is groupby]:
            space[name] = _GroupBy
    before, _active.log = _active.log, log
    try:
        with _exchanged():
            result = _called(call, log)
    finally:
        _active.log = before
    return result, list(dict.fromkeys(log))


def _called(call: Callable[[list[Spent]], Any], log: list[Spent]) -> Any:
    def tell(name: str, site: Site) -> None:
        log.append(Spent(f"the iterator {name}", site.function, site.line, ENDED))

    with tracing.traced(tell, is_mistake):
        return call(log)


_BARRIER: CodeType = _called.__code__
