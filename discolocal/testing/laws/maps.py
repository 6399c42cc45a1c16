"""`check_map`: what a map function gives for an entry depends on the entry and the params alone.

    alone, in a fresh copy of the job --the same pairs--> among others, in any order, again, in another process

Functions run as copies that nothing has used before, as a node gets them.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.testing import searching
from discolocal.testing.drivers import classic
from discolocal.testing.fresh import Interpreters, hash_seeds, how_many
from discolocal.testing.laws import data, series
from discolocal.testing.laws.breaking import LawBroken, LawReport, raised, sendable
from discolocal.testing.laws.tasks import (
    Law,
    MapTask,
    NotAPair,
    Outcome,
    frozen,
    map_task,
    outcome,
    work_map,
)
from discolocal.testing.spent import Spent

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from discolocal.testing.parts import Parts

_MANY = 60  # entries of one list of which each has a fresh copy for itself
_SEVERAL = 5
_PATIENCE = 0.3  # seconds for them
_SHORT, _LONG, _LONGEST = 130, 1200, 30_000  # entries of one task
_ENOUGH = 3  # entries that map can take, among those that are tried
_RETRIED = "a task that is executed again after a failure, or on another node, gives other records"


def check_map(
    job: Any, *, entries: Any = None, examples: int = 100, seed: int | None = None, **jobargs: Any
) -> LawReport:
    """Assert that a map function has no state and changes nothing (reference 8.4).

    The pairs of an entry are the same when it is alone, among others in any order, executed again, in another task and
    in fresh interpreters with other hash seeds and working directories; entry, params and pairs that were yielded are
    not changed; there is an iterable of pairs for each entry, which can be written; no iterator is used after its end.

    Parameters: `job` a Job, a class of Jobs or a map function; `entries` a strategy of Hypothesis for one entry, or a
    list of entries (default: lines of text; entries on which map raises do not count then, given ones do); `examples`
    how many lists of entries are tried; `seed` makes that repeatable; `jobargs` job parameters. Returns a `LawReport`.
    Raises LawBroken with the smallest counterexample found; ValueError when there are no entries that map can take.
    """
    parts = classic(job, jobargs, "map")
    check = _Check(parts, given=entries is not None)
    sendable(parts, check.subject)
    notes = []
    if entries is None:
        name, default = _default(parts)
        if name != "lines of text":
            notes.append(f"tried with {name}: map does not take lines of text")
    else:
        default = None
    lists = searching.sequences(entries, default, min_size=1, max_size=6, name="entries")
    first = searching.whole(entries, "entries")
    seeds = hash_seeds(how_many(len(first[0]) if first else None), seed)
    with Interpreters(parts.data, seeds, owner=(parts.job, parts.jobargs)) as interpreters:
        tried = searching.search(check.entries, lists, examples=examples, seed=seed, first=first)
        check.many()
        check.iterators()
        check.elsewhere(interpreters)
    return LawReport(check.subject, tried, notes)


def _default(parts: Parts) -> tuple[str, SearchStrategy[Any]]:
    """What entries the map function takes, as words and as a strategy. Raises ValueError when it is none known."""
    first: Exception | None = None
    for name, some, strategy in data.shapes(data.hints(parts, "map", "map_init", "params")):
        taken = outcome(lambda entries=some: [_head(parts.fresh(), entries)])
        if taken.error is not None:
            first = first or taken.error
            continue
        found = map_task(parts.fresh(), [*some[: taken.records[0]], *some])
        good = [entry for entry, one in zip(some, found) if one.error is None or isinstance(one.error, NotAPair)]
        if len(good) > len(some) / 2:
            return name, strategy()
        if len(good) >= _ENOUGH:
            return name, data.mostly(good, strategy())
        first = first or next(one.error for one in found if one.error is not None)
    raise ValueError(
        f"give entries=: map of {parts.name} raises {type(first).__name__} ({first}) for every default"
    ) from first


def _head(parts: Parts, entries: list[Any]) -> int:
    """How many entries map_init takes."""
    if parts["map_init"] is None:
        return 0
    return MapTask(parts, entries).taken


class _Check(Law):
    """The law for one job: `given` says whether the entries are the user's; `seen` are entries that were tried."""

    role = who = "map"
    what = "entry"
    alike = "map gives the same pairs in every process"
    asked = 60
    there = staticmethod(work_map)

    def __init__(self, parts: Parts, given: bool) -> None:
        super().__init__(parts, given)
        self.head: list[Any] = []

    def broken(self, law: str, example: dict[str, Any], **more: Any) -> LawBroken:
        """The error for a counterexample, with the entries that map_init took."""
        return super().broken(law, {"head": self.head, **example} if self.head else example, **more)

    def alone(self, entry: Any) -> Outcome:
        """The outcome of an entry in a fresh copy of the job that has seen no other."""
        task = MapTask(self.parts.fresh(), [*self.head, entry], look=True)
        found = task.outcomes[0] if task.outcomes else Outcome([])
        if isinstance(found.error, NotAPair):
            raise self.broken(
                "map gives an iterable of (key, value) pairs that can be written, for every entry",
                {"entry": entry},
                found=raised(found.error),
                cluster="the task fails, and the job with it",
                mend="yield (key, value) tuples of plain values; return an empty list where there is nothing to give",
            )
        if found.error is not None and self.given:
            raise self.broken(
                "map copes with every entry it is given",
                {"entry": entry},
                found=raised(found.error),
                cluster="the task fails at this entry, and the job after some attempts",
                mend="catch the error and skip or count such entries, or give entries as the job's reader makes them",
            ) from found.error
        if task.changed_entry is not None:
            raise self.broken(
                "map leaves its entry as it is",
                {"entry": entry},
                expected=task.changed_entry[0],
                found=task.changed_entry[1],
                cluster="a reader or an init that keeps entries sees them change, and so does what was yielded before",
                mend="work on a copy of the entry",
            )
        if task.changed_params is not None:
            raise self.broken(
                "map leaves params as they are",
                {"entry": entry},
                expected=task.changed_params[1],
                found=task.changed_params[2],
                cluster="every task has a copy of its own: what is noted there is lost with the task, and what an entry"
                " gives depends on those before it",
                mend="change params in map_init only; what is to be added up belongs into pairs, for reduce",
            )
        if task.changed_pair is not None:
            raise self._changed_pair([entry], task)
        return found

    def _changed_pair(self, entries: list[Any], task: MapTask) -> LawBroken:
        assert task.changed_pair is not None
        return self.broken(
            "pairs that were yielded are not changed later",
            {"entries": entries},
            expected=task.changed_pair[0],
            found=task.changed_pair[1],
            cluster="a combiner, and whoever keeps pairs in memory, sees the last state in all of them",
            mend="yield a copy, or make a new object for each pair",
        )

    def entries(self, entries: list[Any]) -> None:
        """Check the law for a list of entries. Raises LawBroken."""
        if self.enough():
            return
        if self.parts["map_init"] is not None:
            self.head = []
            taken = outcome(lambda: [_head(self.parts.fresh(), entries)])
            if taken.error is not None:
                if self.given:
                    raise self.broken(
                        "map_init copes with the entries of every task",
                        {"entries": entries},
                        found=raised(taken.error),
                        cluster="the task fails at once: next(iter) of a task without entries raises StopIteration",
                        mend="use next(iter, None)",
                    ) from taken.error
                return
            self.head = entries[: taken.records[0]]
        rest = entries[len(self.head) :]
        alone = self._all_alone(rest)
        if not self.given:
            kept = [number for number, one in enumerate(alone) if one.error is None]
            rest, alone = [rest[number] for number in kept], [alone[number] for number in kept]
        for entry in rest[:20]:
            if len(self.seen) < 400:
                self.seen.setdefault((frozen(entry), type(entry)), entry)
        if rest:
            if not self.alone(rest[0]).same(alone[0], exact=True):
                self._same_again(rest[0], alone[0])
            self._together(rest, alone)

    def _all_alone(self, rest: list[Any]) -> list[Outcome]:
        """The outcomes of entries in copies of their own; of very many of them only some have such."""
        if len(rest) <= _MANY:
            return [self.alone(entry) for entry in rest]
        own = set(range(20)) | set(random.Random(3).sample(range(len(rest)), _MANY - 20))
        common = map_task(self.parts.fresh(), [*self.head, *rest])
        return [
            self.alone(entry) if number in own or one.error is not None else one
            for number, (entry, one) in enumerate(zip(rest, common))
        ]

    def _together(self, rest: list[Any], alone: list[Outcome]) -> None:
        """Entries in one task, there and back, and in a second task of the same process."""
        fresh = self.parts.fresh()
        order = [*range(len(rest)), *reversed(range(len(rest)))]
        entries = [rest[number] for number in order]
        task = MapTask(fresh, [*self.head, *entries], look=True)
        self._compare(entries, task.outcomes, [alone[number] for number in order], "task")
        if task.changed_pair is not None:
            raise self._changed_pair(rest, task)
        again = map_task(fresh, [*self.head, *rest])
        self._compare(rest, again, alone, "process")

    def _compare(self, entries: list[Any], found: list[Outcome], alone: list[Outcome], within: str) -> None:
        for number, (entry, one, expected) in enumerate(zip(entries, found, alone)):
            if one.same(expected):
                continue
            self._same_again(entry, expected)
            raise self.broken(
                f"map keeps no state between {'entries' if within == 'task' else 'tasks'}",
                {"entries": entries[: number + 1] if within == "task" and number + 1 < len(entries) else entries},
                expected=expected.shown,
                found=one.shown,
                cluster="which entries share a task depends on how the input is cut, and a task may be executed again:"
                " the results differ from run to run",
                mend="let the pairs depend on entry and params alone: no global, default argument, attribute or closure"
                " that is changed; add up in reduce",
                replay=f"the last entry, {entry!r:.100}, gives `expected` when it is alone",
            )

    def _same_again(self, entry: Any, expected: Outcome) -> None:
        """Raise LawBroken when an entry gives something else each time, whatever was there before."""
        others = (self.alone(entry) for _ in range(8))
        found = next((one for one in others if not one.same(expected, exact=True)), None)
        if found is not None:
            raise self.broken(
                "map is deterministic",
                {"entry": entry},
                expected=expected.shown,
                found=found.shown,
                cluster=_RETRIED,
                mend="no clock, no random numbers but of random.Random(a seed made of the entry), no id() or address",
            )

    def many(self) -> None:
        """Check for state that shows in the long run: a buffer that is full at some time, every hundredth entry."""
        entries = data.spaced(self.seen.values(), _SEVERAL)
        if not entries or self.head:
            return
        numbers = data.hints(self.parts, "map", "params").numbers
        size = max([_LONG, *(number + 3 for number in numbers if _LONG < number + 3 <= _LONGEST)])
        for some in (entries, entries[:1]):
            begun = time.process_time()
            alone = [self.alone(entry) for entry in some]
            seconds = (time.process_time() - begun) / len(some)
            size = min(size, max(_SHORT, int(_PATIENCE / (seconds + 1e-6))))
            many = series.repeated(some, size)
            found = map_task(self.parts.fresh(), many)
            wrong = next((at for at, one in enumerate(found) if not one.same(alone[at % len(some)])), None)
            if wrong is not None and not isinstance(found[wrong].error, DiscoError):  # of a limit that tasks have
                many = series.repeated(some, wrong + 1)
                self._compare(many, found[: wrong + 1], [alone[at % len(some)] for at in range(wrong + 1)], "task")

    def here(self, entry: Any) -> Outcome:
        """What `alone` gives."""
        return self.alone(entry)

    def task(self, fresh: Parts, entry: Any, log: list[Spent]) -> MapTask:
        """Run a task of the copy `fresh`; a map is handed no iterators."""
        return MapTask(fresh, [*self.head, entry])

    def sent(self, entry: Any) -> tuple[list[Any], Any]:
        """The entries that map_init takes, and the entry."""
        return self.head, entry

    def smaller(self, entry: Any) -> list[Any]:
        """None: of a part of an entry nobody knows whether it is one."""
        return []

    def sure(self, entry: Any, wanted: Outcome) -> None:
        """Raise LawBroken when an entry gives something else each time."""
        self._same_again(entry, wanted)
