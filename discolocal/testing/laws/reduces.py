"""`check_reduce`: what a reduce gives depends on which records it gets, not on how a cluster happens to hand them over.

    pairs --reduce--> records, the same for: any order, any spread of the keys over partitions, any task and process

Functions run as copies that nothing has used before, as a node gets them.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from discolocal.testing import searching
from discolocal.testing.drivers import classic, run_reduce
from discolocal.testing.fresh import Interpreters, hash_seeds, how_many
from discolocal.testing.laws import data
from discolocal.testing.laws.breaking import LawBroken, LawReport, Words, raised, sendable
from discolocal.testing.laws.series import Series, climb
from discolocal.testing.laws.tasks import (
    Law,
    NotAPair,
    Outcome,
    ReduceTask,
    fixed_partitions,
    frozen,
    outcome,
    work_reduce,
)
from discolocal.testing.spent import Spent
from discolocal.worker.task_io import argument_count

if TYPE_CHECKING:
    from discolocal.testing.parts import Parts

_SIZES = (15, 150, 1500)
_LARGEST = 30_000
_FILES = "the files of a partition are read in any order: results differ from run to run"


def check_reduce(
    job: Any, *, pairs: Any = None, examples: int = 100, seed: int | None = None, **jobargs: Any
) -> LawReport:
    """Assert that a reduce depends on its records alone (reference 8.5).

    Its results are the same for records in any order (with `sort=True` in that of the sort), for keys that are spread
    over partitions in any way (unless the job itself has one partition, or none), for a task that is executed again,
    and in fresh interpreters with other hash seeds. It copes with a partition without records, leaves params as they
    are, and uses no iterator after its end.

    Parameters: `job` a Job, a class of Jobs or a reduce function of either form; `pairs` a strategy of Hypothesis for
    one (key, value) pair, or a list of pairs (default: those that the job's own map makes of lines of text, else short
    texts and small integers; pairs on which reduce raises do not count then, given ones do); `examples` how many lists
    of pairs are tried; `seed` makes that repeatable; `jobargs` job parameters. Returns a `LawReport`; a note in it says
    when reduce reads everything before it gives its first record and need not. Raises LawBroken with the smallest
    counterexample found; ValueError when there are no pairs that reduce can take.
    """
    parts = classic(job, jobargs, "reduce")
    check = _Check(parts, given=pairs is not None)
    sendable(parts, check.subject)
    check.empty()
    source = None
    if pairs is None:
        source = data.Pairs(parts, combine=True)
        default = source.strategy()
    else:
        default = None
    from hypothesis import strategies as st

    lists = searching.sequences(pairs, default, min_size=1, max_size=10, name="pairs")
    whole_lists = searching.whole(pairs, "pairs") if source is None else source.first()
    first = [(whole, number) for whole in whole_lists for number in (0, 1, 2)]
    # The order of a set shows only where a key has several values.
    seeds = hash_seeds(how_many(len(whole_lists[0]) // 2 if source is None and whole_lists else None), seed)
    with Interpreters(parts.data, seeds, owner=(parts.job, parts.jobargs)) as interpreters:
        tried = searching.search(
            check.pairs, st.tuples(lists, st.integers(0, 2**16)), examples=examples, seed=seed, first=first
        )
        if not check.seen:
            check.give_up()
        if source is not None:
            check.many(source)
        check.iterators()
        check.elsewhere(interpreters)
    return LawReport(check.subject, tried, check.notes())


class _Check(Law):
    """The law for one job: `given` says whether the pairs are the user's; `seen` are lists of pairs that were tried."""

    role = who = "reduce"
    what = "pairs"
    alike = "reduce gives the same records in every process"
    asked = 30
    there = staticmethod(work_reduce)

    def __init__(self, parts: Parts, given: bool) -> None:
        super().__init__(parts, given)
        self.one_partition = fixed_partitions(parts)
        self.error: Exception | None = None
        self.failed: list[Any] = []
        self.holds: bool | None = None

    def run(self, pairs: list[Any], parts: Parts | None = None) -> Outcome:
        """The outcome of a reduce task, in a fresh copy of the job unless `parts` is one."""
        return outcome(run_reduce, parts or self.parts.fresh(), pairs)

    def empty(self) -> None:
        """Check that a partition without records does no harm."""
        found = self.run([])
        if found.error is not None:
            raise self.broken(
                "reduce copes with a partition without records",
                {"pairs": []},
                found=raised(found.error),
                cluster="a job whose maps give nothing for a partition fails there",
                mend="use next(iter, None), or a loop, and expect that there may be no record",
            ) from found.error

    def pairs(self, value: tuple[list[Any], int]) -> None:
        """Check the law for a list of pairs, and a number that says which order and spread are tried."""
        if self.enough():
            return
        pairs, number = value
        base = self.run(pairs)
        if base.error is not None:
            if self.given:
                raise self._cannot(pairs, base)
            self.error, self.failed = base.error, pairs
            pairs = [pair for pair in pairs if self.run([pair]).error is None]
            base = self.run(pairs)
            if not pairs or base.error is not None:
                return
        if len(self.seen) < 300:
            self.seen.setdefault(frozen(pairs), pairs)
        self._again(pairs, base)
        self._params(pairs)
        chance = random.Random(number)
        if not self.parts["sort"]:
            self._orders(pairs, base, chance)
        if not self.one_partition:
            self._spread(pairs, base, chance)

    def _cannot(self, pairs: list[Any], found: Outcome) -> LawBroken:
        assert found.error is not None
        broken = self.broken(
            "reduce copes with all records it is given",
            {"pairs": pairs},
            found=raised(found.error),
            cluster="the task fails, and the job after some attempts",
            mend="let reduce take whatever map or the combiner gives",
        )
        broken.__cause__ = found.error
        return broken

    def _again(self, pairs: list[Any], base: Outcome) -> None:
        for _ in range(2):
            again = self.run(pairs)
            if not again.same(base, exact=True):
                raise self._random(pairs, base, again)
        copy = self.parts.fresh()
        self.run(pairs, copy)
        again = self.run(pairs, copy)
        if not again.same(base):
            raise self.broken(
                "reduce keeps no state between tasks",
                {"pairs": pairs},
                expected=base.shown,
                found=again.shown,
                cluster="tasks of one node may share a process here, there is one for each there: what is kept between"
                " them makes results differ",
                mend="begin with new variables in each call: no global, default argument, attribute or closure that is"
                " changed",
                replay="expected from the first of two calls with these pairs, found from the second",
            )

    def _random(self, pairs: list[Any], base: Outcome, again: Outcome) -> LawBroken:
        return self.broken(
            "reduce is deterministic",
            {"pairs": pairs},
            expected=base.shown,
            found=again.shown,
            cluster="a task that is executed again after a failure gives other results",
            mend="no clock, no random numbers but of random.Random(a seed of its own), no id() or address",
        )

    def _params(self, pairs: list[Any]) -> None:
        task = outcome(lambda: [ReduceTask(self.parts.fresh(), pairs)])
        if task.error is not None:
            if isinstance(task.error, NotAPair):
                raise self.broken(
                    "reduce gives (key, value) pairs that can be written",
                    {"pairs": pairs},
                    found=raised(task.error),
                    cluster="the task fails, and the job with it",
                    mend="yield (key, value) tuples of plain values",
                )
            return
        found: ReduceTask = task.records[0]
        keys = {frozen(pair[0]) for pair in pairs}
        if len(keys) > 2 and found.read is not None and self.holds is not False:
            self.holds = found.read == len(pairs)
        if found.changed_params is not None:
            raise self.broken(
                "reduce leaves params as they are",
                {"pairs": pairs},
                expected=found.changed_params[0],
                found=found.changed_params[1],
                cluster="every task has a copy of its own: what is noted there is lost with the task",
                mend="change params in reduce_init only, or use local variables",
            )

    def _orders(self, pairs: list[Any], base: Outcome, chance: random.Random) -> None:
        shuffled = list(pairs)
        chance.shuffle(shuffled)
        by_key = sorted(pairs, key=lambda pair: repr(pair[0]))
        for order in (list(reversed(pairs)), shuffled, by_key):
            found = self.run(order)
            if not found.same(base):
                raise self.broken(
                    "reduce gives the same for any order of its records",
                    {"pairs": pairs, "other_order": order},
                    expected=base.shown,
                    found=found.shown,
                    cluster=_FILES,
                    mend="sort (kvgroup(sorted(iter)), or sort=True), collect by key in a dict, and let no value count"
                    " because it comes first or last; sort lists of values before they are given",
                )

    def _spread(self, pairs: list[Any], base: Outcome, chance: random.Random) -> None:
        keys = list(dict.fromkeys(frozen(pair[0]) for pair in pairs))
        if len(keys) < 2:
            return
        here = set(chance.sample(keys, chance.randint(1, len(keys) - 1)))
        one = [pair for pair in pairs if frozen(pair[0]) in here]
        other = [pair for pair in pairs if frozen(pair[0]) not in here]
        found = [self.run(part) for part in (one, other)]
        error = next((part.error for part in found if part.error is not None), None)
        both = Outcome([record for part in found for record in part.records], error)
        if both.same(base):
            return
        raise self.broken(
            "reduce gives the same however keys are spread over partitions",
            {"pairs": pairs, "partitions": [one, other]},
            expected=base.shown,
            found=both.shown,
            cluster="every partition has a reduce task of its own, which sees its keys alone: totals, ranks and such"
            " are those of a partition",
            mend="let what is given for a key depend on the values of this key alone, give the job partitions=1, or"
            " join the results of the partitions in a second job",
        )

    def many(self, source: data.Pairs) -> None:
        """Check the law for many pairs; raises LawBroken for a number of them that is about the smallest."""
        numbers = data.hints(self.parts, "reduce", "reduce_init", "params").numbers
        near = [number + 2 for number in numbers if 5 < number <= _LARGEST]
        held: dict[Series, int] = {}
        for make, size in climb(source.series(), _SIZES, near[:8]):
            try:
                self._trial(make, size)
            except LawBroken:
                raise self._smaller(make, held.get(make, 0), size) from None
            held[make] = size

    def _trial(self, make: Series, size: int) -> None:
        pairs = make(size)
        base = self.run(pairs)
        if base.error is not None:
            return
        if not self.parts["sort"]:
            self._orders(pairs, base, random.Random(size))
        if not self.one_partition:
            self._spread(pairs, base, random.Random(size))

    def _smaller(self, make: Series, held: int, size: int) -> LawBroken:
        low, high = held + 1, size
        broken: LawBroken | None = None
        while low < high:
            middle = (low + high) // 2
            try:
                self._trial(make, middle)
            except LawBroken as error:
                high, broken = middle, error
            else:
                low = middle + 1
        if broken is None or high != low or len(broken.counterexample["pairs"]) != high:
            try:
                self._trial(make, high)
            except LawBroken as error:
                broken = error
        assert broken is not None
        return self.broken(
            broken.law,
            {"pairs": broken.counterexample["pairs"]},
            cluster=broken.cluster,
            mend=broken.mend,
        )

    def give_up(self) -> None:
        """Raise the error that says why nothing was tried."""
        function = self.parts["reduce"]
        defaults: tuple[Any, ...] = getattr(function, "__defaults__", None) or ()
        if argument_count(function) == 3 and len(defaults) == 1 and defaults[0] is not None:
            raise self.broken(
                "reduce is called with as many arguments as it has positional parameters",
                {"pairs": self.failed},
                found=raised(self.error) if self.error is not None else Words(),
                cluster="a parameter with a default counts: the second argument is an output object then",
                mend="let the other parameters be keyword-only, after a *, or values in params",
            ) from self.error
        raise ValueError(
            f"give pairs=: reduce of {self.parts.name} raises {type(self.error).__name__} ({self.error}) for every"
            f" default, such as {self.failed!r:.100}"
        ) from self.error

    def here(self, pairs: list[Any]) -> Outcome:
        """The records of a task, in a fresh copy of the job."""
        return outcome(lambda: ReduceTask(self.parts.fresh(), pairs).records)

    def task(self, fresh: Parts, pairs: list[Any], log: list[Spent]) -> ReduceTask:
        """Run a task of the copy `fresh`."""
        return ReduceTask(fresh, pairs, log)

    def notes(self) -> list[str]:
        """What is worth knowing about a reduce that keeps the law."""
        if self.holds and self._holds_many() and self._could_stream():
            return ["reduce reads all its records before it gives the first one, and need not: it holds them in memory"]
        return []

    def _holds_many(self) -> bool:
        """Whether it takes all of many records as well: it may read a few at a time."""
        # What gives no record says nothing about when the first one is given.
        pairs = next((some for some in reversed(self.seen.values()) if some and self.run(some).records), None)
        if pairs is None:
            return False
        pairs = pairs * (2000 // len(pairs) + 1)
        found = outcome(lambda: [ReduceTask(self.parts.fresh(), pairs).read])
        return found.error is None and found.records == [len(pairs)]

    def _could_stream(self) -> bool:
        """Whether the records of some keys, or single records, give the same as all together."""
        if self.parts["sort"]:
            return not self.one_partition
        # Without a sort a reduce need not wait when each record stands for itself.
        for some in data.spaced(self.seen.values(), 5):
            pairs = [*some, *some]  # so that it shows when pairs of a key belong together
            single = [self.run([pair]) for pair in pairs]
            if not Outcome([record for one in single for record in one.records]).same(self.run(pairs)):
                return False
        return True
