"""Schedules: the ways in which a cluster may run a job, for the law of whole jobs.

A schedule says which entries are there and in which input each is, how many partitions and nodes there are, in which
order outputs are read, and whether the combiner runs. It is a plain tuple, so that a search can make it smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.testing.drivers import run_map, run_partition
from discolocal.testing.laws.tasks import MapTask, fixed_partitions
from discolocal.worker.classic.func import default_partition, init

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from discolocal.testing.parts import Parts

Placed = list[tuple[int, int]]
"""The numbers of entries, in the order in which they are read, each with the number of the input that it is in."""
Schedule = tuple[Any, ...]
"""Entries (`Placed`), how many inputs there are at least, partitions, nodes, seed, whether the combiner runs."""
PLACED, INPUTS, PARTITIONS, NODES, SEED, COMBINER = range(6)
_MOST_PARTITIONS = 7
_MOST_NODES = 3
_MOST_PAIRS = 300
_FEW = 12  # entries of a part of the data


class Reason(NamedTuple):
    """What of a schedule makes the result another one, and what to say then."""

    parts: tuple[int, ...]
    law: str
    cluster: str
    mend: str


REASONS = (
    Reason(
        (COMBINER,),
        "combining changes nothing",
        "the combiner runs in each map task on what the task has, and what it leaves is reduced again",
        "a combiner gives what reduce takes, partial sums and not averages, and all of it: each pair counts once",
    ),
    Reason(
        (PARTITIONS,),
        "the result is the same for any number of partitions",
        "each partition is a reduce of its own, which sees its keys alone, and keys meet where the partition function"
        " sends them",
        "reduce each key by itself; what is to be counted, ranked or totalled over all keys needs partitions=1; the"
        " partition function returns an int in range(nr_partitions) that depends on the key alone",
    ),
    Reason(
        (PLACED, INPUTS),
        "the result is the same however the data is cut into inputs",
        "each input is a map task of its own, and big files are cut into several",
        "keep nothing from entry to entry: what belongs together needs the same key, and is put together in reduce",
    ),
    Reason(
        (SEED, NODES),
        "the result is the same in whatever order tasks end and outputs are read",
        "the outputs of map tasks reach a reduce in an order that is another one each time",
        "do not trust the order of values: sort them, or use sum, min, max or the like; sort=True has keys sorted",
    ),
)
ANYTHING = Reason(
    (),
    "a job gives the same records however a cluster runs it",
    "inputs, partitions and the order of outputs are what they happen to be",
    "let each function depend on its arguments alone, and reduce on all values of a key in any order",
)


class Space:
    """The schedules of a job with its data.

    Parameters: `parts` of the job; `inputs`; `splits` whether these may be cut in another way.
    """

    def __init__(self, parts: Parts, inputs: list[list[Any]], splits: bool) -> None:
        self.parts = parts
        self.entries = [entry for entries in inputs for entry in entries]
        self.home = [number for number, entries in enumerate(inputs) for _ in entries]
        self.count = len(inputs)
        self.everything = tuple(range(len(self.entries)))
        #: Whether map_init takes entries, such as the header of a file: then each input has to stay what it is.
        self.heads = _heads(parts, inputs)
        self.splits = splits and not self.heads
        classic = not parts.is_pipeline
        self.partitions: Any = parts["partitions"] if classic else None
        self.combiner = classic and bool(parts["combiner"]) and bool(parts["reduce"])
        self.counts = self._partition_counts() if classic else []

    def _partition_counts(self) -> list[Any]:
        """The numbers of partitions that the job has to cope with."""
        parts = self.parts
        if not parts["map"] or fixed_partitions(parts):
            return []
        if parts["partition"] is default_partition or not _says_partitions(parts):
            return list(range(1, _MOST_PARTITIONS + 1))
        # A function of the job's own may be made for this number: others count if it can do with them.
        keys = [pair[0] for pair in self.pairs()]
        return [parts["partitions"], *filter(lambda count: _copes(parts, keys, count), range(1, _MOST_PARTITIONS + 1))]

    def pairs(self) -> list[Any]:
        """What map gives for all of the data, or the pairs themselves where there is none; no more than 300."""
        if not callable(self.parts["map"]):
            return self.entries[:_MOST_PAIRS]
        try:
            pairs = [
                pair for entries in self.original(self.everything) for pair in run_map(self.parts.fresh(), entries)
            ]
        except Exception:  # the reference tells of it
            return []
        return pairs[:_MOST_PAIRS]

    def plain(self) -> Schedule:
        """Everything as it was given, on one node."""
        placed = list(zip(self.everything, self.home))
        return placed, self.count, self.partitions, 1, 0, self.combiner

    def first(self) -> list[Schedule]:
        """Schedules of all of the data that are tried first, one thing changed in each, then all."""
        plain = self.plain()
        placed, count = plain[:2]
        found = [plain, (*plain[:3], 2, 1, plain[COMBINER])]
        if self.combiner:
            found.append((*plain[:5], False))
        found += [(placed, count, number, 2, number, self.combiner) for number in self.counts[:4] if number != plain[2]]
        found.append((placed[::-1] if self.splits else placed, count, self.partitions, 2, 2, self.combiner))
        if self.splits:
            size = len(self.entries)
            found += [
                ([(number, 0) for number in self.everything], 1, self.partitions, 1, 0, self.combiner),
                ([(number, number % 3) for number in self.everything], 3, self.partitions, 3, 3, self.combiner),
            ]
            if size <= 50:
                alone = [(number, number) for number in self.everything]
                found.append((alone, size + 1, (self.counts or [self.partitions])[-1], 2, 4, self.combiner))
        return found

    def strategy(self) -> SearchStrategy[Schedule]:
        """Any schedule, of all of the data or of a part of it."""
        from hypothesis import strategies as st

        last = len(self.entries) - 1
        some: SearchStrategy[list[int]] = st.just([])
        if last >= 0:
            chosen = st.lists(st.integers(0, last).map(lambda number: +number), max_size=_FEW, unique=True)
            some = st.one_of(chosen.map(sorted), st.just(list(self.everything)), chosen.map(sorted))
        return st.builds(
            self._placed,
            some,
            st.integers(1, 5),
            st.integers(0, 2**16),
            st.sampled_from(self.counts or [self.partitions]),
            st.integers(1, _MOST_NODES),
            st.integers(0, 2**16),
            st.booleans() if self.combiner else st.just(False),
        )

    def _placed(
        self, kept: list[int], count: int, cut: int, partitions: int | None, nodes: int, seed: int, combiner: bool
    ) -> Schedule:
        """A schedule; `cut` is drawn, for how the entries are dealt out to `count` inputs."""
        import random

        if not self.splits:
            return [(number, self.home[number]) for number in kept], self.count, partitions, nodes, seed, combiner
        chance = random.Random(cut)
        if cut % 2:
            placed = [(number, chance.randrange(count)) for number in kept]
        else:
            placed = [(number, place * count // len(kept)) for place, number in enumerate(kept)]
        return placed, count, partitions, nodes, seed, combiner

    def without(self, schedule: Schedule, reason: Reason) -> Schedule:
        """A schedule without what a reason is about: that is as it is in the plain one."""
        plain = list(self.plain())
        kept = sorted(number for number, _ in schedule[PLACED])
        plain[PLACED] = [(number, self.home[number]) for number in kept]
        # One partition is what all counts are compared with.
        found = tuple(plain[part] if part in reason.parts else value for part, value in enumerate(schedule))
        if COMBINER in reason.parts:
            found = (*found[:COMBINER], False)
        return found

    def original(self, kept: tuple[int, ...]) -> list[list[Any]]:
        """The inputs as they were given, with these entries alone."""
        return self._inputs([(number, self.home[number]) for number in kept], self.count)

    def _inputs(self, placed: Placed, count: int) -> list[list[Any]]:
        inputs: list[list[Any]] = [[] for _ in range(max([count, *(place + 1 for _, place in placed)]))]
        for number, place in placed:
            inputs[place].append(self.entries[number])
        return inputs

    def arguments(self, schedule: Schedule) -> tuple[list[list[Any]], int, int, dict[str, Any]]:
        """What `run_job` gets for a schedule: inputs, nodes, seed and job parameters."""
        placed, count, partitions, nodes, seed, combiner = schedule
        jobargs: dict[str, Any] = {}
        if partitions != self.partitions:
            jobargs["partitions"] = partitions
        if self.combiner and not combiner:
            jobargs["combiner"] = None
        return self._inputs(placed, count), nodes, seed, jobargs

    def shown(self, schedule: Schedule) -> dict[str, Any]:
        """The counterexample that a schedule is."""
        inputs, _nodes, _seed, jobargs = self.arguments(schedule)
        found = {"inputs": inputs, **jobargs}
        original = self.original(tuple(sorted(number for number, _ in schedule[PLACED])))
        return found if original == inputs else {**found, "original_inputs": original}

    def replay(self, schedule: Schedule) -> str:
        """The call of `run_job` that gives the records of a schedule."""
        _inputs, nodes, seed, jobargs = self.arguments(schedule)
        more = "".join(f", {name}={value!r}" for name, value in jobargs.items())
        if self.parts.jobargs:
            more += ", and the parameters of check_job"
        return f"run_job(job, inputs, nodes={nodes}, seed={seed}{more})"


def _heads(parts: Parts, inputs: list[list[Any]]) -> bool:
    if parts.is_pipeline or not callable(parts["map"]) or parts["map_init"] in (None, init):
        return False
    try:
        return any(MapTask(parts.fresh(), entries).taken for entries in inputs[:5])
    except Exception:  # the reference tells of it
        return False


def _copes(parts: Parts, keys: list[Any], count: int) -> bool:
    """Whether the partition function of a job has a partition for each key."""
    try:
        run_partition(parts.fresh(), keys, count)
    except Exception:  # whatever it says to a number that it is not made for
        return False
    return True


def _says_partitions(parts: Parts) -> bool:
    """Whether the job itself says how many partitions it has."""
    return "partitions" in parts.jobargs or "partitions" in vars(parts.job) or hasattr(type(parts.job), "partitions")
