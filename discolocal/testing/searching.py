"""The search for a counterexample: values are drawn by Hypothesis, and what breaks a law is made smaller.

    given examples, whole -> drawn values -> the first LawBroken -> smaller ones -> the smallest is raised

Of Hypothesis' own ways nothing is left: no database, no directory, no deadline, no health checks, no chatter. It works
inside of a test that is itself one of Hypothesis; a function that is not deterministic ends with a LawBroken as well.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from discolocal.testing.laws.breaking import LawBroken, reraise

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
SHRINKING = 1.5
"""Seconds that are spent on making a counterexample smaller."""

#: The seed of searches that are given none; the option --disco-seed of pytest sets it. None: Hypothesis' own.
default_seed: int | None = None


class _Found(Exception):
    """Tells Hypothesis that a value breaks a law."""


class _Enough(BaseException):
    """Ends a search: the counterexample is small enough for the time that it took."""


class _Search:
    """One search: what was tried, and the smallest LawBroken of the law that broke first."""

    def __init__(self, check: Callable[[Any], object]) -> None:
        self.check = check
        self.tried = 0
        self.smallest: LawBroken | None = None
        self.error: Exception | None = None
        self.until = 0.0

    def breaks(self, value: Any) -> bool:
        """Whether a value breaks the law. Any other exception of the check passes."""
        self.tried += 1
        try:
            self.check(value)
        except LawBroken as broken:
            if self.smallest is None:
                self.smallest = broken
                self.until = time.monotonic() + SHRINKING
            elif broken.law == self.smallest.law:
                self.smallest = min(self.smallest, broken, key=LawBroken.size)
            else:
                return False
            return True
        except Exception as error:
            self.error = error
            raise
        return False

    def drawn(self, value: Any) -> None:
        """What Hypothesis calls with each value."""
        broken = self.breaks(value)
        if self.smallest is not None and time.monotonic() > self.until:
            raise _Enough
        if broken:
            raise _Found


def search(
    check: Callable[[T], object],
    strategy: SearchStrategy[T],
    *,
    examples: int = 100,
    seed: int | None = None,
    first: Iterable[T] = (),
) -> int:
    """Call `check` with values until it raises LawBroken, and raise the LawBroken of the smallest value that does.

    Parameters: `strategy` gives the values, `examples` of them; `seed` makes the search repeatable (None:
    `default_seed`, and if that is None, chance); `first` are values that are tried before, a list or a tuple of lists
    among them is made smaller by leaving out elements. Returns how many values were tried. Any exception but LawBroken
    passes unchanged. A value that breaks a law at one time and not at another raises LawBroken as well.
    """
    __tracebackhide__ = True
    searching = _Search(check)
    for value in first:
        if searching.breaks(value):
            _shorten(searching, value)
            assert searching.smallest is not None
            reraise(searching.smallest, searching.smallest.__cause__)
    if examples > 0:
        _with_hypothesis(searching, strategy, examples, default_seed if seed is None else seed)
    return searching.tried


def _with_hypothesis(searching: _Search, strategy: SearchStrategy[T], examples: int, seed: int | None) -> None:
    import hypothesis
    from hypothesis.errors import Flaky

    __tracebackhide__ = True

    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    flaky = False
    # Inside of a test of Hypothesis its settings would forbid one more.
    with _as_default(settings), _without_directory():

        @settings
        @hypothesis.given(strategy)
        def run(value: T) -> None:
            searching.drawn(value)

        if seed is not None:
            run = hypothesis.seed(seed)(run)
        try:
            run()
        except Flaky as error:
            if searching.smallest is None:  # of an exception that is none of a law
                raise (searching.error or error) from None
            flaky = True
        except (_Found, _Enough):
            pass
        except Exception:
            # Hypothesis itself may fail while it makes an example smaller: what was found by then is good enough.
            if searching.smallest is None:
                raise
    broken = searching.smallest
    if broken is None:
        return
    if flaky:
        raise not_deterministic(broken)
    reraise(broken, broken.__cause__)


def _as_default(settings: Any) -> contextlib.AbstractContextManager[object]:
    """A context in which these settings of Hypothesis are those of tests that have none."""
    try:
        from hypothesis._settings import local_settings
    except ImportError:
        return contextlib.nullcontext()
    return local_settings(settings)


@contextlib.contextmanager
def _without_directory() -> Iterator[None]:
    """A context in which Hypothesis makes no directory for its caches: who has none does not get one by a law."""
    from hypothesis import configuration

    try:
        home = configuration.storage_directory(intent_to_write=False).home_directory
    except (TypeError, AttributeError):  # of a version that has no such question
        yield
        return
    if not home.exists():
        configuration.set_hypothesis_home_dir(os.path.join(os.devnull, "hypothesis"))
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(home)


def _shorten(searching: _Search, value: Any) -> None:
    """Leave out elements of a list, or of the lists of a tuple, as long as the rest breaks the law.

    Single ones are tried again after others are gone, until each of them is needed.
    """
    parts = list(value) if isinstance(value, tuple) else [value]
    for index, part in enumerate(parts):
        if not isinstance(part, list):
            continue
        size = len(part)
        while size and time.monotonic() < searching.until:
            start, before = 0, len(parts[index])
            while start < len(parts[index]) and time.monotonic() < searching.until:
                kept = parts[index]
                parts[index] = kept[:start] + kept[start + size :]
                if not searching.breaks(tuple(parts) if isinstance(value, tuple) else parts[0]):
                    parts[index] = kept
                    start += size
            if size > 1 or len(parts[index]) == before:
                size //= 2


def not_deterministic(broken: LawBroken) -> LawBroken:
    """What is raised instead of `broken` when its counterexample does not break the law each time."""
    return LawBroken(
        "it is not deterministic: the same data gave one result and then another",
        broken.subject,
        broken.counterexample,
        expected=broken.expected,
        found=broken.found,
        cluster="a task that is executed again, on another node or after a failure, gives other results",
        mend="let the result depend on the arguments alone: no state that outlives a task, no random numbers without a"
        " seed of their own, no clock, no hash() of a str, no order of a set",
        shown=broken.shown,
        replay=broken.replay,
    )


def is_strategy(given: Any) -> bool:
    """Whether `given` is a strategy of Hypothesis; imports Hypothesis only if somebody has."""
    import sys

    strategies = sys.modules.get("hypothesis.strategies")
    return strategies is not None and isinstance(given, strategies.SearchStrategy)


def listed(given: Any, name: str = "examples") -> list[Any] | None:
    """The elements that a user gave as a plain iterable; None for None and for a strategy.

    Raises TypeError for a str or anything else that is no collection of examples, ValueError for an empty one.
    """
    if given is None or is_strategy(given):
        return None
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list or a strategy of Hypothesis for one element, not {given!r}")
    elements = list(given)
    if not elements:
        raise ValueError(f"{name} is empty: there is nothing to try")
    return elements


def elements(given: Any, default: SearchStrategy[Any], name: str = "examples") -> SearchStrategy[Any]:
    """The strategy for one element: `default` for None, `given` if it is a strategy, or one of the given elements."""
    from hypothesis import strategies

    known = listed(given, name)
    if known is not None:
        return strategies.sampled_from(known)
    return default if given is None else given


def sequences(
    given: Any, default: SearchStrategy[Any] | None, *, min_size: int = 0, max_size: int = 12, name: str = "examples"
) -> SearchStrategy[list[Any]]:
    """The strategy for lists of elements, as in `elements`; of given ones each is in a list once at most, in any order.

    Without `given` there has to be a `default`. `max_size` does not hold for given elements: all may be in a list.
    """
    from hypothesis import strategies

    known = listed(given, name)
    if known is None:
        element = default if given is None else given
        assert element is not None
        return strategies.lists(element, min_size=min_size, max_size=max_size)
    everything, last = known, len(known) - 1
    # Mapped to themselves: else Hypothesis draws from what is left, where leaving out one number changes the others.
    numbers = strategies.integers(0, last).map(lambda number: +number)
    chosen = strategies.lists(numbers, min_size=min(min_size, len(everything)), unique=True)
    return chosen.map(lambda numbers: [everything[number] for number in numbers])


def whole(given: Any, name: str = "examples") -> list[list[Any]]:
    """What to try first, for `first` of `search`: all elements that a user gave, in one list; else nothing."""
    known = listed(given, name)
    return [] if known is None else [known]
