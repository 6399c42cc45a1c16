"""`check_combiner`: a combiner changes how much is written, not what comes out.

    pairs ------------------------------------> reduce \\
                                                         the same records
    pairs, dealt to tasks in any way --combiner--> reduce /

Every partition of every task has a buffer of its own. Functions run as copies that nothing has used before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.testing import searching
from discolocal.testing.drivers import classic, combined, run_partition, run_reduce
from discolocal.testing.fresh import Interpreters
from discolocal.testing.laws import data
from discolocal.testing.laws.breaking import LawBroken, LawReport, Words, raised, sendable
from discolocal.testing.laws.series import Series, climb
from discolocal.testing.laws.tasks import (
    CombinerTask,
    Law,
    Outcome,
    copy_here,
    fixed_partitions,
    frozen,
    outcome,
)
from discolocal.testing.records import canonical
from discolocal.testing.spent import Spent
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from discolocal.testing.parts import Parts

_SIZES = (2, 10, 100, 1000, 10_000)
_MANY = 100
_ROUNDS = 4  # how often pairs are combined again before they count as combined to the end
_CUTS = "how pairs are cut into tasks and buffers depends on the inputs: results differ from those without a combiner"


def check_combiner(
    job: Any, *, pairs: Any = None, examples: int = 100, seed: int | None = None, **jobargs: Any
) -> LawReport:
    """Assert that a combiner makes no difference to the results of its job (reference 8.4).

    What reduce gives of what the combiner leaves is what it gives of the pairs themselves, however these are dealt to
    tasks, in whatever order, wherever a buffer ends and a new one begins, and however many pairs and keys there are;
    numbers in the code of the combiner are taken for sizes at which it hands its buffer on. What it gives stays in the
    partition of its buffer; params and the values that it is given are not changed. Without a reduce, what is combined
    again must stay the same.

    Parameters: `job` a Job, a class of Jobs or a combiner; `pairs` a strategy of Hypothesis for one (key, value) pair,
    or a list of pairs (default: those that the job's own map makes of lines of text, else short texts and small
    integers; pairs on which combiner or reduce raise do not count then, given ones do); `examples` how many lists of
    pairs are tried; `seed` makes that repeatable; `jobargs` job parameters. Returns a `LawReport`. Raises LawBroken
    with the smallest counterexample found; ValueError when there are no pairs that the combiner can take; DiscoError
    when the job has no combiner.
    """
    parts = classic(job, jobargs, "combiner")
    if parts["combiner"] is None:
        raise DiscoError(f"{parts.name} has no combiner")
    check = _Check(parts, given=pairs is not None)
    sendable(parts, check.subject)
    source = None if pairs is not None else data.Pairs(parts, combine=False)
    from hypothesis import strategies as st

    default = None if source is None else source.strategy()
    lists = searching.sequences(pairs, default, min_size=1, max_size=10, name="pairs")
    whole_lists = searching.whole(pairs, "pairs") if source is None else source.first()
    if source is None:  # twice over: of two values the mean of means is the mean
        whole_lists += [some * 2 for some in whole_lists if check.takes(some * 2)]
    first = [(whole, number) for whole in whole_lists for number in range(4)]
    with Interpreters(parts.data, seed=seed, owner=(parts.job, parts.jobargs)) as interpreters:
        tried = searching.search(
            check.pairs, st.tuples(lists, st.integers(0, 2**16)), examples=examples, seed=seed, first=first
        )
        if not check.seen:
            check.give_up()
        check.leaves_something()
        if source is not None:
            check.many(source)
        check.iterators()
        check.elsewhere(interpreters)
    return LawReport(check.subject, tried)


def work_combined(home: str, load: Callable[[], Any], pairs: Any) -> Any:
    """For `Interpreters.ask`: what comes out of pairs of one task through the combiner, or the name of an error."""
    left = outcome(lambda: CombinerTask(copy_here(load, home), pairs).records)
    found = left if left.error is not None else reduced(copy_here(load, home), {0: left.records})
    return found.records if found.error is None else type(found.error).__name__


class _Check(Law):
    """The law for one job: `given` says whether the pairs are the user's.

    `seen` are lists of pairs that were tried, `copy` the copy of the job for the example in hand: that there is no
    state is checked first, then one is enough.
    """

    role = "combiner"
    who = "a combiner"
    what = "pairs"
    alike = "a combiner and its reduce give the same in every process"
    asked = 25
    there = staticmethod(work_combined)

    def __init__(self, parts: Parts, given: bool) -> None:
        super().__init__(parts, given)
        self.divided = not fixed_partitions(parts)
        self.error: Exception | None = None
        self.failed: Any = None
        self.copy = parts.fresh()

    def pairs(self, value: tuple[list[Any], int]) -> None:
        """Check the law for a list of pairs, and a number that says how they are dealt."""
        if self.enough():
            return
        pairs, number = value
        self.copy = self.parts.fresh()
        base = self._base(pairs, 1)
        if base.error is not None:
            if self.given:
                raise self._cannot(pairs, base.error)
            self.error, self.failed = base.error, pairs
            pairs = [pair for pair in pairs if self._base([pair], 1).error is None]
            if not pairs:
                return
            base = self._base(pairs, 1)
            if base.error is not None:
                return
        self._changes(pairs)
        partitions = self._partitions(pairs, number)
        if len(self.seen) < 300:
            self.seen.setdefault(frozen(pairs), pairs)
        for tasks in dealt(pairs, number):
            self._compare(pairs, tasks, partitions)

    def _cannot(self, pairs: list[Any], error: Exception) -> LawBroken:
        broken = self.broken(
            "the combiner copes with all pairs it is given, and reduce with what it leaves",
            {"pairs": pairs},
            found=raised(error),
            cluster="the task fails, and the job after some attempts",
            mend="let the combiner take whatever map gives, and give pairs of the same kind",
        )
        broken.__cause__ = error
        return broken

    def _partitions(self, pairs: list[Any], number: int) -> int:
        """How many partitions are tried; 1 where keys are none that the partition function takes."""
        if not self.divided:
            return 1
        partitions = self.parts["partitions"] if self.parts["partitions"] not in (None, 0, 1) else 2 + number % 6
        labels = outcome(run_partition, self.copy, [key for key, _ in pairs], partitions)
        return 1 if labels.error is not None else int(partitions)

    # What reduce gives

    def takes(self, pairs: list[Any]) -> bool:
        """Whether something comes out of these pairs."""
        return self._base(pairs, 1).error is None

    def _base(self, pairs: list[Any], partitions: int) -> Outcome:
        """What comes out without the combiner, or if reduce cannot take pairs as they are, when each is combined."""
        return base_of(self.copy, pairs, partitions)

    def _compare(self, pairs: list[Any], tasks: list[list[Any]], partitions: int) -> None:
        left: dict[int, list[Any]] = {}
        self.copy.worker["partitions"] = partitions
        for task in tasks:
            found = outcome(lambda task=task: [combined(self.copy, task)])
            if found.error is not None:
                raise self._cannot(task, found.error)
            for label, records in found.records[0].items():
                self._stays(task, records, label, partitions)
                left.setdefault(label, []).extend(records)
        expected = self._base(pairs, partitions)
        result = reduced(self.copy, left)
        if expected.error is None and not result.same(expected):
            self.copy = self.parts.fresh()
            if not self._base(pairs, partitions).same(expected):
                return  # of a reduce that gives something else each time nothing can be said
            raise self.broken(
                "reduce gives the same with and without the combiner"
                if self.parts["reduce"] is not None
                else "what is combined stays the same when it is combined again",
                {"pairs": pairs} if len(tasks) == 1 else {"pairs": pairs, "tasks": tasks},
                expected=expected.shown,
                found=result.shown,
                cluster=_CUTS,
                mend="return every pair once: all that is in the buffer when done, and what is handed on before must"
                " leave it; what two buffers leave for a key must be worth what one would (sums and counts, no means)",
                replay=f"the combiner leaves {[record for label in sorted(left) for record in left[label]]!r:.300}",
            )

    def _stays(self, task: list[Any], records: list[Any], label: int, partitions: int) -> None:
        """Check that pairs are in the partition of the buffer they came from."""
        if partitions < 2:
            return
        keys = [record[0] for record in records]
        labels = outcome(run_partition, self.copy, keys, partitions)
        wrong = [(key, other) for key, other in zip(keys, labels.records) if other != label]
        if labels.error is None and not wrong:
            return
        key, other = wrong[0] if wrong else (None, None)
        raise self.broken(
            "what a combiner gives stays in the partition of its buffer",
            {"pairs": task, "partitions": partitions},
            expected=Words(f"keys of partition {label}"),
            found=Words(f"{short_repr(key)} of partition {other}") if wrong else labels.shown,
            cluster="what a combiner gives is written to the partition of its buffer, whatever the key: the same key"
            " comes out of several reduces",
            mend="give the keys that came in; change keys in map",
        )

    def _changes(self, pairs: list[Any]) -> None:
        """Check that nothing is changed that is not the combiner's own, and that there is no state."""
        found = outcome(lambda: [CombinerTask(self.parts.fresh(), pairs)])
        if found.error is not None:
            raise self._cannot(pairs, found.error)
        task: CombinerTask = found.records[0]
        if task.changed_value is not None:
            raise self.broken(
                "a combiner leaves the values it is given as they are",
                {"pairs": pairs},
                expected=task.changed_value[0],
                found=task.changed_value[1],
                cluster="map may give the same object again: what was added to it in the buffer is counted twice",
                mend="put a copy into the buffer, or add up in an object that the combiner has made",
            )
        if task.changed_params is not None:
            raise self.broken(
                "a combiner leaves params as they are",
                {"pairs": pairs},
                expected=task.changed_params[0],
                found=task.changed_params[1],
                cluster="params are those of one task: what is noted there is lost with it, and map sees it",
                mend="keep everything in the buffer",
            )
        copy = self.parts.fresh()
        runs = [outcome(lambda: CombinerTask(copy, pairs).records) for _ in range(2)]
        if not runs[0].same(Outcome(task.records)) or not runs[1].same(runs[0]):
            again = [outcome(lambda: CombinerTask(self.parts.fresh(), pairs).records) for _ in range(8)]
            # State that moves the cuts alone, such as a count of calls, does no harm.
            results = [one if one.error else reduced(self.parts.fresh(), {0: one.records}) for one in (again[0], *runs)]
            harmless = results[1].same(results[0]) and results[2].same(results[1])
            if not harmless and all(one.same(Outcome(task.records)) for one in again):
                raise self.broken(
                    "a combiner keeps no state but its buffer",
                    {"pairs": pairs},
                    expected=runs[0].shown,
                    found=runs[1].shown,
                    cluster="there is a buffer for each partition of each task: what is kept elsewhere mixes them",
                    mend="keep everything in the buffer: no global, default argument, attribute or closure",
                    replay="expected from the first of two tasks with these pairs, found from the second",
                )

    # Many pairs

    def many(self, source: data.Pairs) -> None:
        """Check the law for many pairs; raises LawBroken for a number of them that is about the smallest."""
        numbers = data.hints(self.parts, "combiner", "params").numbers
        limits = [number for number in numbers if 1 < number <= data.MAX_NUMBER][:12]
        # One more is enough to get past a limit; the others say which side of it is wrong.
        near = [number + more for number in limits for more in ((-1, 0, 1, 2) if number <= 5000 else (1,))]
        held: dict[Series, int] = {}
        for make, size in climb(source.series(), _SIZES, near):
            if not self._holds(make, size):
                raise self._smaller(make, held.get(make, 0), size)
            held[make] = size

    def _holds(self, make: Series, size: int) -> bool:
        expected, found = self._trial(make, size)
        return expected.error is not None or found.same(expected)

    def _trial(self, make: Series, size: int) -> tuple[Outcome, Outcome]:
        """What comes out of many pairs, without and with the combiner, in one task with one partition."""
        pairs = make(size)
        self.copy = self.parts.fresh()
        expected = self._base(pairs, 1)
        left = outcome(lambda: CombinerTask(self.copy, pairs, look=False).records)
        if left.error is not None:
            return expected, left
        return expected, reduced(self.copy, {0: left.records})

    def _smaller(self, make: Series, held: int, size: int) -> LawBroken:
        low, high = held + 1, size
        while low < high:
            middle = (low + high) // 2
            if self._holds(make, middle):
                low = middle + 1
            else:
                high = middle
        if self._holds(make, high):
            high = size
        expected, found = self._trial(make, high)
        missing, extra = _excerpt(expected, found)
        return self.broken(
            "reduce gives the same with and without the combiner"
            if self.parts["reduce"] is not None
            else "what is combined stays the same when it is combined again",
            {"pairs": make(high)},
            expected=missing,
            found=extra,
            cluster="when a buffer is handed on at a certain size, records are lost or counted twice there, silently:"
            " small tests never get that far",
            mend="hand on everything that is in the buffer, with the pair that made it full, and clear it then",
        )

    # After the search

    def give_up(self) -> None:
        """Raise the error that says why nothing was tried."""
        raise ValueError(
            f"give pairs=: the combiner of {self.parts.name} (or its reduce) raises {type(self.error).__name__}"
            f" ({self.error}) for every default, such as {self.failed!r:.100}"
        ) from self.error

    def leaves_something(self) -> None:
        """Check that there is anything at all; with a reduce its results say so."""
        tried = data.spaced(self.seen.values(), self.asked)
        if self.parts["reduce"] is None and not any(CombinerTask(self.parts.fresh(), some).records for some in tried):
            raise self.broken(
                "a combiner gives what is in its buffer, when it is done at the latest",
                {"pairs": tried[0]},
                found=[],
                cluster="the job has no results, and no error",
                mend="return buffer.items() when done is true",
            )

    def here(self, pairs: list[Any]) -> Outcome:
        """What comes out without the combiner."""
        return self._base(pairs, 1)

    def task(self, fresh: Parts, pairs: list[Any], log: list[Spent]) -> CombinerTask:
        """Run a buffer of the copy `fresh`; a combiner is handed no iterators."""
        return CombinerTask(fresh, pairs)


def dealt(pairs: list[Any], number: int) -> list[list[list[Any]]]:
    """Ways to deal pairs to tasks: to one, in their order; cut in pieces; to several, in any order; one to each."""
    chance = random.Random(number)
    ways = [[pairs]]
    if len(pairs) > 1:
        cut = chance.randint(1, len(pairs) - 1)
        ways.append([pairs[:cut], pairs[cut:]])
        shuffled = list(pairs)
        chance.shuffle(shuffled)
        tasks: list[list[Any]] = [[] for _ in range(chance.randint(2, 4))]
        for pair in shuffled:
            chance.choice(tasks).append(pair)
        ways.append([task for task in tasks if task])
        if len(pairs) <= 6:
            ways.append([[pair] for pair in pairs])
    return ways


def base_of(parts: Parts, pairs: list[Any], partitions: int) -> Outcome:
    """What comes out of pairs without a combiner; if reduce cannot take them as they are, when each is combined."""
    labels = [0] * len(pairs)
    if partitions > 1:
        found = outcome(run_partition, parts, [key for key, _ in pairs], partitions)
        if found.error is not None:
            return found
        labels = found.records
    by_label: dict[int, list[Any]] = {}
    for label, pair in zip(labels, pairs):
        by_label.setdefault(label, []).append(pair)
    if parts["reduce"] is not None:
        result = reduced(parts, by_label)
        if result.error is None or len(pairs) > _MANY:
            return result
    each: dict[int, list[Any]] = {}
    for label, some in by_label.items():
        for pair in some:
            alone = outcome(lambda pair=pair: CombinerTask(parts, [pair], look=False).records)
            if alone.error is not None:
                return alone
            each.setdefault(label, []).extend(alone.records)
    return reduced(parts, each)


def reduced(parts: Parts, by_label: dict[int, list[Any]]) -> Outcome:
    """What the reduces of a job give for these pairs by label, all together.

    The pairs are put in order: whether the order matters is not the question here. Without a reduce they are combined
    to the end, the pairs of each key for themselves.
    """
    records: list[Any] = []
    for label in sorted(by_label):
        pairs = sorted(by_label[label], key=repr)
        found = _to_the_end(parts, pairs) if parts["reduce"] is None else outcome(run_reduce, parts, pairs)
        if found.error is not None:
            return found
        records += found.records
    return Outcome(records)


def _to_the_end(parts: Parts, pairs: Iterable[Any]) -> Outcome:
    by_key: dict[Any, list[Any]] = {}
    for pair in pairs:
        by_key.setdefault(canonical(pair[0]), []).append(pair)
    for _ in range(_ROUNDS):
        last, by_key = by_key, {}
        for some in last.values():
            found = outcome(lambda some=some: CombinerTask(parts, some, look=False).records)
            if found.error is not None:
                return found
            for pair in found.records:
                by_key.setdefault(canonical(pair[0]), []).append(pair)
        if all(len(some) == 1 for some in by_key.values()):
            break
    return Outcome([pair for some in by_key.values() for pair in some])


def _excerpt(expected: Outcome, found: Outcome) -> tuple[Words, Words]:
    """The records that are missing and those that are extra, a few of each, in words."""
    if found.error is not None:
        return Words(f"{len(expected.records)} records"), raised(found.error)
    wanted = {canonical(record): record for record in expected.records}
    got = {canonical(record): record for record in found.records}
    missing = [record for form, record in wanted.items() if form not in got]
    extra = [record for form, record in got.items() if form not in wanted]
    return (
        Words(f"{len(expected.records)} records, among them {missing[:3]!r:.200}"),
        Words(f"{len(found.records)} records, among them {extra[:3]!r:.200}"),
    )
