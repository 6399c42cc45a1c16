"""The laws of partition functions: all pairs of a key have to meet in one partition, whoever asks and when.

keys, numbers of partitions -> here, again in another order, in a copy as a node has it -> in fresh interpreters
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from discolocal.error import DiscoError
from discolocal.testing import searching
from discolocal.testing.drivers import classic
from discolocal.testing.fresh import Interpreters
from discolocal.testing.laws.breaking import UNSAID, LawBroken, LawReport, Words, python, raised, sendable
from discolocal.testing.laws.keykinds import Kinds, distinct_keys, equal_keys
from discolocal.testing.memory import MemoryTask, copied
from discolocal.testing.parts import Parts
from discolocal.testing.records import canonical

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

COUNTS = (1, 2, 3, 4, 5, 6, 7)
"""The numbers of partitions that are tried when none are given."""
_MAX_ASKED = 400  # keys and numbers of partitions that fresh interpreters are asked for
_MAX_KEYS = 4  # keys of one example
_MAX_TOGETHER = 200  # keys that are tried in one task
_SPLIT = "pairs with this key reach several reduces, and each gives a result of its own for a part of them"
_FAILS = "the map task fails each time that it is tried, and the job with it"
_STABLE = (
    "compute the partition from the key alone, as discolocal.func.default_partition or"
    " zlib.crc32(key.encode()) % nr_partitions do"
)


def check_partitioner(
    fn: Any,
    *,
    keys: Any = None,
    nr_partitions: Any = None,
    params: Any = None,
    balance: float | None = None,
    monotone: bool = False,
    examples: int = 100,
    seed: int | None = None,
    **jobargs: Any,
) -> LawReport:
    """Search for a key that a partition function sends to no partition, or to more than one (reference 9.17 to 9.19).

    Parameters: `fn` a partition function (key, nr_partitions, params), or a Job or a class of Jobs whose one is meant;
    `keys` a list of keys or a strategy for one (default: short texts, or numbers, bytes or tuples if the function takes
    no text; of a Job that maps, keys that its map gives for lines of text); `nr_partitions` an int, a list or a
    strategy (default: what the job says, or 1 to 7); `params` the third argument; `balance` how many times the mean the
    fullest partition may have at most, of the keys that were given or of 1000; `monotone` whether greater keys may not
    have smaller partitions; `examples` how many to try; `seed` makes the search repeatable; `jobargs` job parameters.

    Raises LawBroken unless every key has a partition that is an int in ``range(nr_partitions)``, the same each time, in
    every process, after any other keys and for equal keys (1 and 1.0), and key and params stay as they are. Raises
    ValueError if no default key will do, DiscoError for a job without a partition function.
    """
    __tracebackhide__ = True  # of pytest, up to the caller
    if params is not None:
        jobargs["params"] = params
    law = _Law(classic(fn, jobargs, "partition"), random.Random(_seed(seed)), monotone)
    from hypothesis import strategies

    counts = _counts(law.parts, nr_partitions)
    with law.others() as others:
        law.kinds = Kinds(law.parts, keys, law.probe, seed)
        drawn = searching.sequences(law.kinds.given, law.kinds.default, min_size=1, max_size=_MAX_KEYS, name="keys")
        both = strategies.tuples(drawn, counts.strategy)
        first = [(part, count) for part in law.kinds.first for count in counts.first]
        tried = searching.search(law.check, both, examples=examples, seed=seed, first=first)
        # All at once: order and balance show among many keys, and so does what is kept of them.
        searching.search(law.check, both, examples=0, first=[(law.keys(), count) for count in sorted(law.counts)])
        if balance is not None:
            law.check_balance(balance, *distinct_keys(law.kinds, seed), sorted(law.counts))
        law.check_elsewhere(others)
    return LawReport(law.subject, tried, law.notes())


def _seed(seed: int | None) -> int | None:
    return searching.default_seed if seed is None else seed


class _Counts:
    """Numbers of partitions: the `strategy` for one, and those to try `first`."""

    def __init__(self, first: Sequence[int], strategy: SearchStrategy[int]) -> None:
        self.first = first
        self.strategy = strategy


def _counts(parts: Parts, given: Any) -> _Counts:
    from hypothesis import strategies

    if given is None:
        said = "partitions" in parts.jobargs or hasattr(parts.job, "partitions")
        given = [parts["partitions"]] if said and parts["partitions"] else COUNTS
    elif isinstance(given, int):
        given = [given]
    known = searching.listed(given, "nr_partitions")
    if known is None:
        return _Counts((), given)
    for count in known:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"nr_partitions must be ints of at least 1, not {count!r}")
    # With several partitions there is more to see than with one.
    return _Counts(known, strategies.sampled_from(sorted(known, key=lambda count: (count == 1, count))))


class _Law:
    """The function that is checked, and what is known of it."""

    def __init__(self, parts: Parts, chance: random.Random, monotone: bool) -> None:
        self.parts = parts
        self.chance = chance
        self.monotone = monotone
        self.subject = f"check_partitioner({parts.name})"
        self.kinds: Kinds
        #: (form of a key, number of partitions) -> (key, label): equal keys have the same form.
        self.known: dict[Any, tuple[Any, int]] = {}
        self.counts: set[int] = set()
        self.unequal = ""
        #: What is tried now, and what has passed: types of keys that occur later make no other result of it.
        self.example: tuple[str, int] = ("", 0)
        self.passed: set[tuple[str, int]] = set()

    def others(self) -> Interpreters:
        """Fresh interpreters that know the function, as it is now."""
        sendable(self.parts, self.subject)
        owner = self.parts.job, self.parts.jobargs
        return Interpreters(self.parts.data, seed=self.chance.randrange(2**32), owner=owner)

    def broken(
        self,
        law: str,
        example: dict[str, Any],
        *,
        expected: Any = UNSAID,
        found: Any = UNSAID,
        cluster: str = _SPLIT,
        mend: str = _STABLE,
        cause: BaseException | None = None,
        shown: dict[str, str] | None = None,
    ) -> NoReturn:
        """Raise LawBroken; params of the job are part of the counterexample."""
        if "params" in self.parts.jobargs and "params" not in example:
            example = {**example, "params": self.parts["params"]}
        raise LawBroken(
            law, self.subject, example, expected=expected, found=found, cluster=cluster, mend=mend, shown=shown
        ) from cause

    # One example

    def check(self, example: tuple[list[Any], int]) -> None:
        """Raise LawBroken if the keys of one task break a law with this number of partitions."""
        keys, count = example
        self.example = python(keys), count
        self.counts.add(count)
        labels = self._task(self.parts, keys, count)
        taken = [(key, label) for key, label in zip(keys, labels) if label is not None]
        self._check_again(self.parts, taken, count, "asked again")
        self._check_again(self.parts.fresh(), taken, count, "on another node, after other keys")
        for key, label in taken:
            self._remember(key, count, label)
        equal = [other for key, _ in taken for other in equal_keys(key, self.kinds)]
        for other, its_label in zip(equal, self._task(self.parts, equal, count, strict=False)):
            if its_label is not None:
                self._remember(other, count, its_label)
        if self.monotone:
            self._check_order([pair for pair in taken if self.kinds.meant(pair[0])], count)
        self.passed.add(self.example)

    def _task(self, parts: Parts, keys: Iterable[Any], count: int, strict: bool = True) -> list[int | None]:
        """The labels of keys in one task; None for a key that is none of this function's (see `Kinds`).

        If not `strict` that is any key that has no valid label.
        """
        labels: list[int | None] = []
        task = MemoryTask(parts, "map", [], {})
        with task.running():
            params = parts.begun_params()
            before = canonical(params)
            for key in keys:
                given = copied(key)
                form = canonical(given)
                try:
                    label = parts["partition"](given, count, params)
                except Exception as error:
                    if strict and self.kinds.meant(key):
                        self._not_total(key, count, error)
                    labels.append(None)
                    continue
                labels.append(self._checked(key, count, label, strict and self.kinds.meant(key)))
                if canonical(given) != form:
                    self._changed("key", key, count, key, given)
                if canonical(params) != before:
                    self._changed("params", key, count, parts.begun_params(), params)
        return labels

    def probe(self, key: Any) -> Exception | None:
        """What the function raises for a key, if anything."""
        parts = self.parts.fresh()
        with MemoryTask(parts, "map", [], {}).running():
            try:
                parts["partition"](copied(key), 3, parts.begun_params())
            except Exception as error:
                return error
        return None

    def _checked(self, key: Any, count: int, label: Any, strict: bool) -> int | None:
        """A label as an int, if it is one that a reduce gets."""
        wrong_type = isinstance(label, bool) or not hasattr(label, "__index__")
        if not wrong_type and 0 <= label.__index__() < count:
            return int(label.__index__())
        if not strict:
            return None
        example = {"key": key, "nr_partitions": count}
        if wrong_type:
            self.broken(
                "the partition of a key is an int",
                example,
                expected=Words(f"an int in range({count})"),
                found=Words(f"{python(label)} of type {type(label).__name__}"),
                cluster="the label is written as it is: no reduce gets the pair, or the task fails",
                mend="return an int in range(nr_partitions): // in place of /, and a return for every kind of key",
            )
        self.broken(
            "the partition of a key is in range(nr_partitions)",
            example,
            expected=Words(f"an int in range({count})"),
            found=label,
            cluster="the number is used as it is, and with one partition the pairs are lost",
            mend="return number % nr_partitions",
        )

    def _not_total(self, key: Any, count: int, error: Exception) -> NoReturn:
        self.broken(
            "every key has a partition",
            {"key": key, "nr_partitions": count},
            expected=Words(f"an int in range({count})"),
            found=raised(error),
            cluster=_FAILS,
            mend="return an int for this key as well; if the job has no such keys, say which it has: keys=...",
            cause=error,
        )

    def _changed(self, what: str, key: Any, count: int, before: Any, after: Any) -> NoReturn:
        if what == "key":
            cluster = "the pair is written with the changed key, after its partition was chosen"
        else:
            cluster = "the next keys of the task meet changed params, those of other tasks do not"
        self.broken(
            f"{what} unchanged",
            {"key": key, "nr_partitions": count},
            expected=before,
            found=after,
            cluster=cluster,
            mend=f"work on a copy of {what}",
        )

    def _check_again(self, parts: Parts, taken: list[tuple[Any, int]], count: int, when: str) -> None:
        """The same keys, the last one first, in another task."""
        labels = self._task(parts, [key for key, _ in reversed(taken)], count, strict=False)
        for (key, label), other in zip(reversed(taken), labels):
            if other != label:
                self._differs(key, count, label, other, when, [key for key, _ in taken])

    def _remember(self, key: Any, count: int, label: int) -> None:
        """Compare with what an equal key had before."""
        place = canonical(key), count
        before, before_label = self.known.setdefault(place, (key, label))
        if before_label == label:
            return
        if python(before) == python(key):
            self._differs(key, count, before_label, label, "asked later")
        if _equal(before, key):
            if not (self.kinds.occurs(before) and self.kinds.occurs(key)):
                unequal = f"{python(before)} and {python(key)} are equal and have different partitions"
                self.unequal = min(self.unequal or unequal, unequal, key=len)
                return
            if self.example in self.passed:
                return
            self.broken(
                "equal keys have the same partition",
                {"key": before, "equal_key": key, "nr_partitions": count},
                expected=before_label,
                found=label,
                cluster="a reduce would have grouped them as one key; in two partitions each makes a group of its own",
                mend="bring keys that are equal to one form first, such as float(key) of numbers",
            )

    def _differs(
        self, key: Any, count: int, label: int, other: int | None, when: str, keys: Sequence[Any] = ()
    ) -> NoReturn:
        example: dict[str, Any] = {"key": key, "nr_partitions": count}
        if len(keys) > 1:
            example["keys"] = keys  # the order in which they were asked for
        self.broken(
            "a key has the same partition each time",
            example,
            expected=label,
            found=Words(f"{'no partition' if other is None else other} when {when}"),
            mend=f"{_STABLE}; no counters, no random numbers, no id() or hash(), no state in params or globals",
        )

    def _check_order(self, taken: list[tuple[Any, int]], count: int) -> None:
        try:
            ordered = sorted(taken, key=lambda pair: pair[0])
        except TypeError as error:
            raise TypeError(f"monotone=True is for keys that have an order, as these have not: {error}") from error
        for (smaller, low), (greater, high) in zip(ordered, ordered[1:]):
            if low > high:
                self.broken(
                    "a greater key has no smaller partition",
                    {"smaller_key": smaller, "greater_key": greater, "nr_partitions": count},
                    expected=Words(f"a partition of at least {low} for the greater key"),
                    found=high,
                    cluster="the results, read one partition after the other, are not in the order of the keys",
                    mend="choose the partition by comparing the key with ascending bounds",
                )

    # All that was tried

    def keys(self) -> list[Any]:
        """Keys that were tried, each once, and some more where none are given."""
        tried = {place: key for (place, _), (key, _) in self.known.items() if self.kinds.meant(key)}
        return [*list(tried.values())[:_MAX_TOGETHER], *self.kinds.more()]

    def check_elsewhere(self, others: Interpreters) -> None:
        """Ask fresh interpreters for what is known, in another order."""
        rows = [(key, count, label) for (_, count), (key, label) in self.known.items() if _travels(key)]
        self.chance.shuffle(rows)
        rows = rows[:_MAX_ASKED]
        try:
            answers = others.ask(_labels, [(self.parts.name, [row[:2] for row in rows])])
        except DiscoError as error:
            self.broken(
                "it can be loaded on a node", {}, found=raised(error), cluster=_FAILS,
                mend="put what it needs into the job's own modules, or into required_files",
            )  # fmt: skip
        different = []
        for hash_seed, [answer] in zip(others.seeds, answers):
            found = answer.value if answer.error is None else [answer.error] * len(rows)
            different += [(row, label, hash_seed) for row, label in zip(rows, found) if label != row[2]]
        if not different:
            return
        (key, count, label), other, hash_seed = min(different, key=lambda item: (len(repr(item[0][0])), repr(item[0])))
        self.broken(
            "a key has the same partition in every process",
            {"key": key, "nr_partitions": count},
            expected=label,
            found=Words(f"{other} in an interpreter with PYTHONHASHSEED={hash_seed} and another clock"),
            cluster=f"each node is another process: {_SPLIT}",
            mend=f"{_STABLE}; hash() of a text is another one in each process",
        )

    def check_balance(self, bound: float, keys: list[Any], text: str, counts: Iterable[int]) -> None:
        """Raise LawBroken if a partition gets more than `bound` times the mean of the keys."""
        for count in counts:
            labels = Counter(label for label in self._task(self.parts, keys, count) if label is not None)
            total = sum(labels.values())
            most = max(-(-total // count), bound * total / count)
            if labels and max(labels.values()) > most:
                partition, size = labels.most_common(1)[0]
                self.broken(
                    f"no partition has more than {bound:g} times the mean",
                    {"nr_partitions": count, "keys": keys},
                    expected=Words(f"at most {most:g} of {total} keys in each partition"),
                    found=Words(f"{size} keys in partition {partition}"),
                    cluster="the job takes as long as the reduce of its fullest partition",
                    mend="spread the keys by a hash that mixes all of the key, as discolocal.func.default_partition"
                    " does",
                    shown={"keys": text} if text else None,
                )

    def notes(self) -> list[str]:
        """What is worth knowing of a function that keeps the laws."""
        notes = [*self.kinds.notes, *([self.unequal] if self.unequal else [])]
        several = [label for (_, count), (_, label) in self.known.items() if count > 1]
        if len(several) > 10 and len(set(several)) == 1:
            notes.append(f"every key has the partition {several[0]}, however many there are")
        return notes


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of a class of the user's own
        return False


def _travels(key: Any) -> bool:
    from discolocal.testing.fresh import dumps

    try:
        dumps(key)
    except Exception:  # of any kind: the key has no pickle
        return False
    return True


def _labels(load: Callable[[], Any], argument: Any) -> list[Any]:
    """In a fresh interpreter: the labels of (key, number of partitions), or texts of errors."""
    name, rows = argument
    job, jobargs = load()
    parts = Parts(job, jobargs, name)
    with MemoryTask(parts, "map", [], {}).running():
        return list(_each(parts["partition"], rows, parts.begun_params()))


def _each(function: Callable[..., Any], rows: Iterable[tuple[Any, int]], params: Any) -> Iterator[Any]:
    for key, count in rows:
        try:
            label = function(key, count, params)
            yield label if isinstance(label, bool) else int(label.__index__())
        except Exception as error:
            yield str(raised(error))
