"""What the part laws try when they are given nothing: lines of text, pairs, and what the code of the job hints at.

Texts and numbers that stand in the code of a job are used in lines, as separators, fields and words: what a function
looks for it should find now and then. The pairs of a reduce or combiner are those of the job's own map, where that can
do something with lines: these are what it has been written for.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from discolocal.jobdata import PLAIN, codes
from discolocal.testing.laws import series
from discolocal.testing.laws.series import Series
from discolocal.testing.records import canonical
from discolocal.testing.sites import is_users

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from discolocal.testing.parts import Parts

MAX_NUMBER = 200_000
"""The largest number in code that is taken for a number of pairs."""
_WORDS = ("a", "A", "b", "c", "aa", "the", "The", "key", "k", "x", "é")
_NUMBERS = ("0", "1", "2", "3", "-3", "7", "07", "10", "15", "2.5", "-1", "100")
_SEPARATORS = (" ", ",", "\t", ";", ":", "|")
_ENOUGH = 3  # entries of which map must make something
_POOL = 240  # lines that are tried to see what a job can do with


class Hints:
    """The plain values that the code of functions uses: `texts` and `numbers`, each in the order they were found."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.texts: list[str] = []
        self.numbers: list[int] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no id is used again
        for value in values:
            self._look(value, 0)

    def _look(self, value: Any, depth: int) -> None:
        if type(value) is str:
            if 0 < len(value) <= 20 and "\n" not in value.rstrip("\n") and value not in self.texts:
                self.texts.append(value)
        elif type(value) is int or (type(value) is float and value.is_integer() and abs(value) < MAX_NUMBER):
            value = int(value)
            if value not in self.numbers:
                self.numbers.append(value)
        elif type(value) not in PLAIN and depth < 6 and id(value) not in self._seen and len(self._seen) < 2000:
            self._seen.add(id(value))
            self._kept.append(value)
            try:
                inside = list(_inside(value))
            except Exception:  # of an object that answers to every name, or to none
                return
            for inner in inside:
                self._look(inner, depth + 1)


def _inside(value: Any) -> Iterator[Any]:
    """The values that are part of a value, or are used by the code of a function or a class of the user's."""
    if isinstance(value, FunctionType):
        if is_users(value.__code__):
            yield from _of_function(value)
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from list(value)[:50]
    elif isinstance(value, dict):
        for key, item in list(value.items())[:50]:
            yield key
            yield item
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, value.keywords)
    elif isinstance(value, (staticmethod, classmethod)) or hasattr(value, "__func__"):
        yield value.__func__
        yield getattr(value, "__self__", None)
    elif hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif not isinstance(value, ModuleType) and not str(type(value).__module__).startswith("discolocal.test"):
        kind = value if isinstance(value, type) else type(value)
        if not kind.__module__.startswith(("builtins", "discolocal.worker", "discolocal.job")):
            yield from [
                item for name, item in vars(kind).items() if name not in ("__doc__", "__module__", "__qualname__")
            ]
        if not isinstance(value, type):
            yield from list(getattr(value, "__dict__", {}).values())


def _of_function(function: FunctionType) -> Iterator[Any]:
    for code in codes(function.__code__):
        # The first constant of a function with a docstring is that.
        constants = code.co_consts[1:] if code.co_consts[:1] == (function.__doc__,) else code.co_consts
        yield from [constant for constant in constants if not hasattr(constant, "co_code")]
        for name in code.co_names:
            if name in function.__globals__ and not name.startswith("__"):
                yield function.__globals__[name]
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            pass


def hints(parts: Parts, *names: str) -> Hints:
    """The `Hints` of these parameters of a job."""
    return Hints(parts[name] for name in names)


class Lines:
    """Lines of text for a job: `pool(number)` gives some, `strategy()` one for Hypothesis."""

    def __init__(self, found: Hints) -> None:
        texts = found.texts
        self.separators = [*_SEPARATORS, *[text for text in texts if len(text) < 4 and not text.isalnum()]]
        self.cells = [*_WORDS, *_NUMBERS, *texts, *[str(number) for number in found.numbers if abs(number) < 10**6]]
        self.cells = [cell.rstrip("\n") for cell in dict.fromkeys(self.cells)]

    def line(self, separator: str, cells: list[str], end: str) -> str:
        """One line."""
        return separator.join(cells) + end

    def pool(self, size: int = _POOL) -> list[str]:
        """Always the same lines."""
        chance = random.Random(20)
        found = ["\n", "a\n", "a b a\n", "a 1\n", "a,3\n", "b\t-3\n", "7\n"]
        while len(found) < size:
            cells = [chance.choice(self.cells) for _ in range(chance.choice((1, 2, 2, 3, 3, 4, 5, 6, 8)))]
            if chance.random() < 0.5:  # words first, then numbers: so most files look
                cells.sort(key=lambda cell: cell in _NUMBERS)
            separator = chance.choice(self.separators)
            found.append(self.line(separator, cells, "" if chance.random() < 0.1 else "\n"))
        return found

    def strategy(self) -> SearchStrategy[str]:
        """One line: of `strategies.text_lines`, or one that is made of what the code hints at."""
        from hypothesis import strategies as st

        from discolocal.testing.strategies import text_lines

        made = st.builds(
            self.line,
            st.sampled_from(self.separators),
            st.lists(st.sampled_from(self.cells), max_size=6),
            st.sampled_from(("\n", "\n", "\n", "")),
        )
        return st.one_of(text_lines(), made)


Shape = tuple[str, list[Any], "Callable[[], SearchStrategy[Any]]"]


def shapes(found: Hints) -> list[Shape]:
    """What entries may be: (name, some of them, strategy), the most likely first."""
    from hypothesis import strategies as st

    lines = Lines(found)
    chance = random.Random(7)
    texts = [text for text in found.texts if text.isidentifier()] or ["a", "b"]
    cells = [*lines.cells[:12], *texts]
    values = [*cells, 0, 1, 2, 5, -3, 2.5]

    def some(make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(60)]

    pairs = some(lambda: (chance.choice(cells), chance.randint(-3, 20)))
    numbers = some(lambda: chance.randint(-3, 100))
    rows = some(lambda: [chance.choice(cells) for _ in range(chance.randint(0, 6))])
    vectors = some(lambda: [chance.randint(-3, 20) for _ in range(chance.randint(1, 5))])
    names = [text for text in texts if len(text) > 1] or texts
    tables = some(lambda: {name: chance.choice(values) for name in names})
    counts = some(lambda: {name: chance.randint(-3, 20) for name in names})
    words = some(lambda: {name: chance.choice(cells) for name in names})
    encoded = [line.encode() for line in lines.pool(60)]
    found_shapes: list[Shape] = [("lines of text", lines.pool(), lines.strategy)]
    others: tuple[tuple[str, list[Any]], ...] = (
        ("(text, number) pairs", pairs),
        ("numbers", numbers),
        ("lists of texts", rows),
        ("lists of numbers", vectors),
        ("dicts of texts", words),
        ("dicts of numbers", counts),
        ("dicts", tables),
        ("lines of bytes", encoded),
    )
    for name, some_entries in others:
        some_entries.sort(key=lambda entry: len(repr(entry)))
        found_shapes.append((name, some_entries, functools.partial(st.sampled_from, some_entries)))
    return found_shapes


def distinct(values: Iterable[Any], limit: int = 400) -> list[Any]:
    """Values without their doubles, those first that look smallest."""
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(canonical(value), value)
    return sorted(found.values(), key=lambda value: len(repr(value)))[:limit]


def spaced(values: Iterable[Any], limit: int) -> list[Any]:
    """Up to `limit` of the values, small ones and large ones, the smallest first; of 1 the largest."""
    ordered = sorted(values, key=lambda value: len(repr(value)))
    if limit == 1:
        return ordered[-1:]
    if len(ordered) <= limit:
        return ordered
    return [ordered[number * (len(ordered) - 1) // (limit - 1)] for number in range(limit)]


def mostly(good: list[Any], others: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """A strategy for one of the good elements, now and then for one of the others."""
    from hypothesis import strategies as st

    known = st.sampled_from(sorted(good, key=lambda entry: len(repr(entry))))
    return st.one_of(known, known, known, others)


class Pairs:
    """What a reduce or a combiner of a job may get, when the user does not say it.

    `own` says whether these are pairs of the job's own map, in `some`: different ones, the smallest first. If not, they
    are short texts and small numbers.
    """

    def __init__(self, parts: Parts, combine: bool) -> None:
        self.parts = parts
        self.some, entries = _own_pairs(parts, combine)
        self.own = bool(self.some)
        combined = combine and parts["combiner"] is not None
        lines = [] if combined else [entry for entry in entries if isinstance(entry, str)]
        self.template = self._template(sorted(lines, key=len))

    def strategy(self) -> SearchStrategy[Any]:
        """One pair."""
        from hypothesis import strategies as st

        from discolocal.testing import strategies

        if not self.own:
            return strategies.pairs()
        by_key: dict[Any, list[Any]] = {}
        for pair in self.some:
            by_key.setdefault(canonical(pair[0]), []).append(pair)
        # Those that say something about order: different values of the same key.
        several = [pair for same in by_key.values() if len(same) > 1 for pair in same] or self.some
        own = [st.sampled_from(several), st.sampled_from(self.some[:12]), st.sampled_from(self.some)]
        values = [value for _, value in self.some]
        if all(type(key) is str and type(value) is int for key, value in self.some) and len(set(values)) > 1:
            # Where a number seems to follow from its key, that is so by chance: a line could have said another one.
            keys = [key for key, _ in self.some[:40]]
            own.append(st.tuples(st.sampled_from(keys), st.integers(min(values), max(values))))
        return st.one_of(*own)

    def first(self) -> list[list[Any]]:
        """Lists of pairs that are tried before any are drawn: with keys that are nearly the same, and equal ones."""
        if self.own:
            return []
        keys = ("a", "b", "A", "a ", "a", "", "1", "01", "b", "a")
        return [[(key, 2 * number % 7 - 1) for number, key in enumerate(keys)]]

    def series(self) -> list[Series]:
        """How to make many pairs of these: of one key, and of as many keys."""
        if not self.own:
            values = list(range(-3, 21))
            return [series.of_one_key("a", values), series.of_many_keys(values)]
        by_key: dict[Any, list[Any]] = {}
        for pair in self.some:
            by_key.setdefault(canonical(pair[0]), []).append(pair)
        most = max(by_key.values(), key=len)[:24]
        found = [series.of_one_key(most[0][0], [value for _, value in most])]
        if _made_of_words([key for key, _ in self.some]):
            found.append(series.of_many_keys(distinct((value for _, value in self.some), 24)))
        elif self.template:
            found.append(series.mapped(self.template, self._mapped))
        return found

    def _mapped(self, lines: list[str]) -> list[Any]:
        from discolocal.testing.laws.tasks import map_task

        return [pair for one in map_task(self.parts.fresh(), lines) for pair in one.records]

    def _template(self, lines: list[str]) -> str:
        """A template of lines of which map makes many keys, "" if it makes none such of any."""
        for line in lines[:40]:
            made = series.template(line)
            pairs = series.mapped(made, self._mapped)(10)
            if len({canonical(key) for key, _ in pairs}) >= 10:
                return made
        return ""


def _made_of_words(keys: list[Any]) -> bool:
    """Whether keys are words of lines, as they stand there: then any word may be one."""
    return all(type(key) is str for key in keys) and len({"a", "b", "c", "aa"} & set(keys)) > 2


def _own_pairs(parts: Parts, combine: bool) -> tuple[list[Any], list[Any]]:
    """Different pairs that the map of a job makes of entries, through its combiner if `combine`.

    None if it has no map, or none that gives pairs for any of the entries that are tried. Also returns the entries that
    gave some, none if map_init takes entries.
    """
    from discolocal.testing.drivers import run_combiner
    from discolocal.testing.laws.tasks import MapTask, map_task, outcome

    if not callable(parts["map"]):
        return [], []
    for _name, entries, _strategy in shapes(hints(parts, "map", "map_init", "params")):
        taken = outcome(lambda entries=entries: [MapTask(parts.fresh(), entries).taken])
        if taken.error is not None:
            continue
        found = map_task(parts.fresh(), [*entries[: taken.records[0]], *entries])
        pairs = [pair for one in found for pair in one.records]
        if len([one for one in found if one.records]) < _ENOUGH:
            continue
        if combine and parts["combiner"] is not None:
            tasks = [pairs[:1], pairs[:2], *(pairs[start : start + 7] for start in range(0, len(pairs), 7))]
            combined = [outcome(run_combiner, parts.fresh(), task) for task in tasks]
            pairs = [pair for one in combined for pair in one.records]
        good = [entry for entry, one in zip(entries, found[-len(entries) :]) if one.records]
        return distinct(pairs), [] if taken.records[0] else good
    return [], []
