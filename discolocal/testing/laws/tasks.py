"""One task of a job as the part laws need it: what each entry gave, what was changed on the way, what was asked twice.

    copies of entries --map_init, map--> an `Outcome` for each, and what became of entries, params and pairs
    copies of pairs --reduce_init, reduce--> one `Outcome`

Drivers give what a task writes; laws look at what it does as well.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import GeneratorType
from typing import Any, ClassVar

from discolocal.jobdata import PLAIN
from discolocal.testing.drivers import ENTRIES
from discolocal.testing.fresh import Interpreters
from discolocal.testing.laws import data
from discolocal.testing.laws.breaking import LawBroken, Words, raised
from discolocal.testing.memory import Home, MemoryTask, Scratch
from discolocal.testing.parts import Parts
from discolocal.testing.records import TOLERANCE, by_state, canonical, difference
from discolocal.testing.spent import Once, Spent, watched
from discolocal.wire import byvalue
from discolocal.wire.sortfile import decode, encode
from discolocal.worker.classic.names import job_functions
from discolocal.worker.serving import short_repr
from discolocal.worker.task_io import argument_count

_BUDGET = 1.2
"""Seconds of the processor that a law spends on examples, if these are more than `_LEAST`."""
_LEAST = 20
_WATCHED = 25
"""Values with which a law looks for iterators that are used after their end."""
_SHRINKING = 1.0
"""Seconds for a smaller counterexample of what fresh interpreters have found."""


class Flood(Exception):
    """A combiner gives much more than it gets; nobody waits for the end."""


class NotAPair(TypeError):
    """A function gave something that no output takes."""


class Outcome:
    """What came of something: `records`, or the `error` that it raised."""

    __slots__ = ("error", "records")

    def __init__(self, records: list[Any], error: Exception | None = None) -> None:
        self.records = records
        self.error = error

    def same(self, other: Outcome, exact: bool = False) -> bool:
        """Whether both are the same records in any order, or errors of the same class; `exact`: to the last digit."""
        if self.error is not None or other.error is not None:
            return type(self.error) is type(other.error)
        tolerance = 0 if exact else TOLERANCE
        if difference(self.records, other.records, tolerance) is None:
            return True
        # Copies of a job have classes of their own, whose objects may say that they are not equal to any other's.
        return difference(map(by_state, self.records), map(by_state, other.records), tolerance) is None

    @property
    def shown(self) -> Any:
        """What a law shows of it."""
        return self.records if self.error is None else raised(self.error)


def outcome(call: Callable[..., list[Any]], *arguments: Any) -> Outcome:
    """The outcome of a call."""
    try:
        return Outcome(call(*arguments))
    except LawBroken:
        raise
    except Exception as error:  # whatever user code raises
        return Outcome([], error)


def frozen(value: Any) -> Any:
    """A form of a value that changes when the value is changed; None for what cannot be followed."""
    try:
        return canonical(value)
    except Exception:  # of the user's own objects
        return None


def copied(value: Any) -> Any:
    """A copy, as another process would have it. Raises NotAPair for what cannot be sent to one."""
    kind = type(value)
    if kind in PLAIN or (kind is tuple and all(type(item) in PLAIN for item in value)):
        return value
    try:
        return pickle.loads(pickle.dumps(value, 4))
    except byvalue.UNNAMEABLE as error:
        try:
            return pickle.loads(byvalue.dumps(value, error))
        except pickle.PicklingError as reason:
            raise NotAPair(f"{short_repr(value)} cannot be written: {type(reason).__name__}: {reason}") from reason


def _dumped(value: Any) -> bytes | None:
    """The pickle of a value, None where there is none."""
    try:
        return pickle.dumps(value, 4)
    except Exception:  # of any kind
        return None


def pair_of(found: Any, function: str) -> tuple[Any, Any]:
    """What a function yielded, as a pair. Raises NotAPair."""
    try:
        key, value = found
    except (TypeError, ValueError):
        raise NotAPair(f"{function} gave {short_repr(found)}, which is no (key, value) pair") from None
    return key, value


class Law:
    """What the laws of parts have in common.

    Parameters and attributes: `parts` of the job; `given` whether the data are the user's; `subject` as in `LawBroken`;
    `seen` values that were tried, by their form. Each law has `role`, the job parameter whose function it is about,
    called `who` in texts; `what` its values are called in counterexamples; for `elsewhere` the law `alike`, how many
    values are `asked` for, and `there`, the work that gives what comes of one in a fresh interpreter.
    """

    role: ClassVar[str]
    who: ClassVar[str]
    what: ClassVar[str]
    alike: ClassVar[str]
    asked: ClassVar[int]
    there: ClassVar[Callable[..., Any]]

    def __init__(self, parts: Parts, given: bool) -> None:
        self.parts = parts
        self.given = given
        self.subject = f"check_{self.role}({parts.name})"
        self.seen: dict[Any, Any] = {}
        self._until = time.process_time() + _BUDGET
        self._tried = 0
        self._broken = False

    def broken(self, law: str, example: dict[str, Any], **more: Any) -> LawBroken:
        """The error for a counterexample."""
        self._broken = True
        return LawBroken(law, self.subject, example, **more)

    def enough(self) -> bool:
        """Whether no more examples are to be tried, because they take too long; a found one is made smaller still."""
        self._tried += 1
        return not self._broken and self._tried > _LEAST and time.process_time() > self._until

    def here(self, value: Any) -> Outcome:
        """What comes of a value in this process."""
        raise NotImplementedError

    def task(self, fresh: Parts, value: Any, log: list[Spent]) -> object:
        """Run a task of the copy `fresh` with a value; iterators that are handed to it tell `log`."""
        raise NotImplementedError

    def sent(self, value: Any) -> Any:
        """What the work in fresh interpreters gets for a value."""
        return value

    def smaller(self, value: Any) -> list[Any]:
        """The values that tell less than one that breaks the law: a list without one of its elements."""
        return [value[:number] + value[number + 1 :] for number in range(len(value))]

    def sure(self, value: Any, wanted: Outcome) -> None:
        """Raise LawBroken when it is no matter of the process that another one has not what is `wanted` for a value."""

    def iterators(self) -> None:
        """Check that no iterator is used after its end."""
        for value in data.spaced(self.seen.values(), _WATCHED):
            fresh = self.parts.fresh()
            spent = spent_in(fresh, self.role, partial(self.task, fresh, value))
            if spent:
                raise self.broken(
                    f"{self.who} uses no iterator after its end",
                    {self.what: value},
                    found=Words(spent),
                    cluster="the same as here: what the second use is to give is missing from the results, silently",
                    mend="go through it once, or make a list of it first",
                )

    def elsewhere(self, interpreters: Interpreters) -> None:
        """Check that fresh interpreters give the same."""
        found = broken = self._differs(interpreters, data.spaced(self.seen.values(), self.asked))
        until = time.monotonic() + _SHRINKING
        while found is not None and time.monotonic() < until:
            found = self._differs(interpreters, self.smaller(found.counterexample[self.what]))
            broken = found or broken
        if broken is not None:
            raise broken

    def _differs(self, interpreters: Interpreters, values: list[Any]) -> LawBroken | None:
        """The first of these values of which something else comes in fresh interpreters than here, as an error."""
        if not values:
            return None
        answers = zip(*interpreters.ask(work(self.there, self.parts), map(self.sent, values)))
        for value, outcomes in zip(values, answers):
            wanted = self.here(value)
            for seed, one in zip(interpreters.seeds, outcomes):
                error = one.error or (one.value if isinstance(one.value, str) else None)
                if wanted.error is not None or (error is None and wanted.same(Outcome(one.value))):
                    continue
                self.sure(value, wanted)
                return self.broken(
                    self.alike,
                    {self.what: value},
                    expected=wanted.shown,
                    found=one.value if error is None else Words(error),
                    cluster="a task that is executed again on another node gives other results: each has a hash seed, a"
                    " working directory and a process of its own",
                    mend="take no value from the order of a set, from hash() of a text, or from files that are only"
                    " here (required_files brings them along)",
                    replay=f"PYTHONHASHSEED={seed}",
                )
        return None


def followed(params: Any, init: Callable[..., Any] | None, source: Iterator[Any]) -> Callable[[], Any]:
    """Run the init of a task; returns what gives the part of params that the task's function is to leave as it is.

    Attributes or items that init has put there are the task's own: a memo, a table, totals.
    """
    if init is None:
        return lambda: params
    before = dict(_fields(params))
    init(source, params)
    own = [name for name, value in _fields(params).items() if name not in before or before[name] is not value]
    if not own:
        return lambda: params
    return lambda: {name: value for name, value in _fields(params).items() if name not in own}


def _fields(params: Any) -> dict[Any, Any]:
    """The items or attributes of params."""
    return params if isinstance(params, dict) else getattr(params, "__dict__", {})


class MapTask:
    """One map task over copies of `entries`, run by the parts of a job.

    Attributes: `taken` how many entries map_init took; `outcomes` one for each of the others, of the pairs as they were
    yielded; `changed_entry` (entry, what it became), `changed_params` (entry, before, after) and `changed_pair` (as it
    was yielded, as it is now), each None or the first found.
    """

    def __init__(self, parts: Parts, entries: Iterable[Any], look: bool = False) -> None:
        self.parts = parts
        self.look = look
        self.taken = 0
        self._count = 0
        self.outcomes: list[Outcome] = []
        self.changed_entry: tuple[Any, Any] | None = None
        self.changed_params: tuple[Any, Any, Any] | None = None
        self.changed_pair: tuple[Any, Any] | None = None
        self._live: list[tuple[Any, Any, Any]] = []
        task = MemoryTask(parts, "map", [(0, ENTRIES)], {ENTRIES: []})
        with task.running():
            params = parts.params()
            source = self._source(entries)
            self.followed = followed(params, parts["map_init"], source)
            self.taken = self._count
            for entry in source:
                self._map(entry, params)
        for pair, snapshot, written in self._live:
            if self.changed_pair is None and _dumped(pair) != written and frozen(pair) != frozen(snapshot):
                self.changed_pair = snapshot, pair

    def _source(self, entries: Iterable[Any]) -> Iterator[Any]:
        for entry in entries:
            self._count += 1
            yield copied(entry)

    def _map(self, entry: Any, params: Any) -> None:
        look = self.look
        followed = self.followed
        before, entry_before = (frozen(followed()), copied(entry)) if look else (None, None)
        params_before = copied_or_none(followed()) if look else None
        self.outcomes.append(outcome(self._pairs, entry, params))
        if not look:
            return
        if self.changed_entry is None and frozen(entry) != frozen(entry_before):
            self.changed_entry = entry_before, entry
        if self.changed_params is None and frozen(followed()) != before:
            self.changed_params = entry, params_before, followed()

    def _pairs(self, entry: Any, params: Any) -> list[Any]:
        given = self.parts["map"](entry, params)
        if given is None:
            raise NotAPair("map returned None, where an iterable of (key, value) pairs must be")
        try:
            pairs = iter(given)
        except TypeError:
            raise NotAPair(f"map gave {short_repr(given)}, which is no iterable of (key, value) pairs") from None
        try:
            return [self._written(pair_of(one, "map")) for one in pairs]
        finally:
            if isinstance(pairs, GeneratorType):
                pairs.close()  # what it has opened is closed now, not when nobody looks at the error any more

    def _written(self, pair: tuple[Any, Any]) -> Any:
        """A pair as a reader would read it back. Raises NotAPair."""
        snapshot = copied(pair)
        if [type(one).__qualname__ for one in snapshot] != [type(one).__qualname__ for one in pair]:
            raise NotAPair(f"{short_repr(pair)} cannot be written: it comes back as {short_repr(snapshot)}")
        if snapshot is not pair and self.look:
            self._live.append((pair, snapshot, _dumped(pair)))
        return snapshot


def copied_or_none(value: Any) -> Any:
    """A copy to be shown, None where there can be none."""
    try:
        return pickle.loads(pickle.dumps(value, 4))
    except Exception:  # of any kind
        return None


def map_task(parts: Parts, entries: Iterable[Any]) -> list[Outcome]:
    """The outcomes of the entries of a map task; an error in map_init passes."""
    return MapTask(parts, entries).outcomes


class ReduceTask:
    """One reduce task over copies of `pairs` in this order, or sorted if the job says so; see `reduce_pairs`.

    Attributes: `records` what it gave; `read` how many pairs it had taken when it gave the first one, None when it gave
    none; `changed_params` (before, after) or None.
    """

    def __init__(self, parts: Parts, pairs: Iterable[Any], log: list[Spent] | None = None) -> None:
        self.records: list[Any] = []
        self.read: int | None = None
        self.changed_params: tuple[Any, Any] | None = None
        task = MemoryTask(parts, "reduce", [(0, ENTRIES)], {ENTRIES: []})
        with task.running():
            params = parts.params()
            source = Once(ordered(parts, [copied(pair) for pair in pairs]), "iter", [] if log is None else log)
            self._source = source
            follow = followed(params, parts["reduce_init"], source)
            before, shown = frozen(follow()), copied_or_none(follow())
            function = parts["reduce"]
            if argument_count(function) >= 3:
                if isinstance(function(source, self, params), GeneratorType):
                    raise NotAPair(
                        "reduce has three parameters, so it gets an output object as the second, but it has a yield in"
                        " it: nobody runs it, and nothing is given"
                    )
            else:
                given = function(source, params)
                if given is None:
                    raise NotAPair("reduce of two parameters returned None, where (key, value) pairs must be")
                for one in given:
                    self.add(*pair_of(one, "reduce"))
            if frozen(follow()) != before:
                self.changed_params = shown, follow()

    def add(self, key: Any, value: Any) -> None:
        """What reduce calls for each record."""
        if self.read is None:
            self.read = self._source.given
        self.records.append(copied((key, value)))


class CombinerTask:
    """The pairs of one buffer through a combiner, as a map task does it, with its end.

    Attributes: `records` what is written; with `look` also `changed_value` (before, after) of a value that was given to
    it, and `changed_params` (before, after), each None or the first found.
    """

    def __init__(self, parts: Parts, pairs: Iterable[Any], look: bool = True) -> None:
        self.records: list[Any] = []
        self.changed_value: tuple[Any, Any] | None = None
        self.changed_params: tuple[Any, Any] | None = None
        task = MemoryTask(parts, "map", [(0, ENTRIES)], {ENTRIES: []})
        given: list[tuple[Any, Any]] = []
        buffer: dict[Any, Any] = {}
        combiner = parts["combiner"]
        with task.running():
            params = parts.begun_params()
            before, shown = (frozen(params), copied_or_none(params)) if look else (None, None)
            for count, pair in enumerate(pairs, 1):
                key, value = copied(pair)
                if look:
                    given.append((value, copied(value)))
                self._written(combiner(key, value, buffer, False, params))
                if len(self.records) > 4 * count + 1000:
                    raise Flood(f"the combiner gave {len(self.records)} pairs for {count}")
            self._written(combiner(None, None, buffer, True, params))
            if look and frozen(params) != before:
                self.changed_params = shown, params
        for value, snapshot in given:
            if value is not snapshot and self.changed_value is None and frozen(value) != frozen(snapshot):
                self.changed_value = snapshot, value

    def _written(self, pairs: Any) -> None:
        if pairs is None:
            return
        for one in pairs:
            self.records.append(copied(pair_of(one, "the combiner")))


def ordered(parts: Parts, pairs: list[Any]) -> list[Any]:
    """Pairs in the order in which reduce gets them: as they are, or as the external sort leaves them."""
    if not parts["sort"]:
        return pairs
    return list(decode(sorted(encode(key, value) for key, value in pairs)))


def spent_in(fresh: Parts, name: str, call: Callable[[list[Spent]], object]) -> Spent | None:
    """The first iterator that is used after its end in ``call(log)``, which runs the function `name` of `fresh`."""
    try:
        found = watched(call, list(job_functions(fresh[name])))[1]
    except Exception:  # laws have seen it before
        return None
    return found[0] if found else None


def fixed_partitions(parts: Parts) -> bool:
    """Whether the job itself says that there is one partition, or none."""
    for source in (parts.jobargs, vars(parts.job)):
        if "partitions" in source:
            return source["partitions"] in (1, 0, None)
    given = getattr(type(parts.job), "partitions", ...)
    return given is not ... and given in (1, 0, None)


# What fresh interpreters are asked

_asked: list[Parts] = []


class _Elsewhere(Home):
    """The job home of another process, at `path`; "" if it has no files."""

    def __init__(self, path: str) -> None:
        Scratch.__init__(self)
        self.files = bool(path)
        self._there = path

    @property
    def path(self) -> str:
        """The path of the directory."""
        return self._there


def work(function: Callable[..., Any], parts: Parts) -> Callable[..., Any]:
    """What to ask `Interpreters` for: one of the functions below, with the job home of these parts."""
    return partial(function, parts.home.path if parts.home.files else "")


def copy_here(load: Callable[[], Any], home: str) -> Parts:
    """The parts of a job in a fresh interpreter, new ones each time; checked the first time."""
    job, jobargs = load()
    if _asked:
        return _asked[0].again(job, jobargs)
    parts = Parts(job, jobargs, "the job")
    vars(parts)["home"] = _Elsewhere(home)
    _asked.append(parts)
    return parts.again(*load())


def work_map(home: str, load: Callable[[], Any], argument: Any) -> Any:
    """The pairs of an entry after those of a head; the name of the class of an error."""
    head, entry = argument
    found = map_task(copy_here(load, home), [*head, entry])[-1]
    return found.records if found.error is None else type(found.error).__name__


def work_reduce(home: str, load: Callable[[], Any], pairs: Any) -> Any:
    """The records of a reduce task; the name of the class of an error."""
    found = outcome(lambda: ReduceTask(copy_here(load, home), pairs).records)
    return found.records if found.error is None else type(found.error).__name__
