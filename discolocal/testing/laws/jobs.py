"""`check_job`: a whole job gives the records of the reference, whatever a cluster does to it that it may do.

reference ---the same records---> in memory: other inputs, partitions, nodes, orders, with and without the combiner
                                  the laws of its functions, with the data that they get in this job
                                  clusters of this machine, in every start mode, with faults
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from discolocal.testing import pipelines, searching
from discolocal.testing.laws import schedules
from discolocal.testing.laws.breaking import LawBroken, LawReport, Words, raised, sendable
from discolocal.testing.laws.clusters import check_clusters
from discolocal.testing.laws.combiners import check_combiner
from discolocal.testing.laws.maps import check_map
from discolocal.testing.laws.partitioner import check_partitioner
from discolocal.testing.laws.portable import check_portable
from discolocal.testing.laws.reduces import check_reduce
from discolocal.testing.laws.schedules import Schedule
from discolocal.testing.parts import Parts, listed_inputs, resolve
from discolocal.testing.records import Difference, canonical, difference
from discolocal.testing.reference import reference_run
from discolocal.worker.classic.func import default_partition

if TYPE_CHECKING:
    from discolocal.job import Job

LAW = "a job gives the same records however a cluster runs it"
_PART_EXAMPLES = 20  # of the laws of single functions
_MOST = 150  # entries, pairs and keys that these get


def check_job(
    job: Job | type[Job],
    inputs: Iterable[Iterable[Any]],
    *,
    splits: bool = True,
    starts: Iterable[str] = ("inline", "fork", "exec"),
    examples: int = 60,
    seed: int | None = None,
    **jobargs: Any,
) -> LawReport:
    """Assert that a job gives the records of `reference_run`, whatever a cluster may do with it.

    Other splits of the data into inputs (by entry), numbers of partitions (unless the job says 1 or None) and nodes,
    orders of inputs, with and without the combiner; then the laws of map, combiner, partition function and reduce on
    what they get in this job, and `check_portable`; then clusters in every start mode, with tasks that are executed
    twice, workers that are killed and outputs that are lost.

    Parameters: `job` a Job or a class of Jobs, classic or a pipeline; `inputs` a list of inputs, each a list of entries
    as map gets them (see `run_job`); `splits` whether the inputs may be cut in another way: where map_init takes
    entries they never are, and False says that each is a unit; `starts` the start modes of clusters; `examples` how
    many schedules are tried in memory; `seed` makes all of it repeatable; `jobargs` job parameters. Returns a
    `LawReport`. Raises LawBroken with a small counterexample; where the job itself fails on the data, the error of its
    function is the cause.
    """
    parts = resolve(job, jobargs)
    seed = searching.default_seed if seed is None else seed
    check = _Check(parts, listed_inputs(inputs), splits)
    sendable(parts, check.subject)
    tried = 0
    try:
        if not check.external:
            check.whole()
        check.portable()
        if not check.external:
            tried = check.search(examples, seed)
            check.functions(seed)
        runs = check_clusters(check, tuple(starts), seed)
    finally:
        parts.home.remove()
    return LawReport(check.subject, tried, [f"run on {runs} clusters", *check.notes])


class _Check:
    """The law for one job and its data."""

    def __init__(self, parts: Parts, inputs: list[list[Any]], splits: bool) -> None:
        self.parts = parts
        self.inputs = inputs
        self.subject = f"check_job({parts.name})"
        self.notes: list[str] = []
        roles = () if parts.is_pipeline else ("map", "reduce")
        self.external = any(isinstance(parts[role], dict) for role in roles)
        #: What is left of the data by combining alone depends on the inputs: there is no reduce to level that out.
        self.combines = not parts.is_pipeline and bool(parts["combiner"]) and not parts["reduce"]
        self.space = schedules.Space(parts, inputs, splits and not self.combines)
        self.known: dict[tuple[int, ...], list[Any] | None] = {}
        self.schedules: dict[int, tuple[LawBroken, Schedule]] = {}

    def whole(self) -> None:
        """The reference for all of the data. It has to be there, and to be the same each time."""
        failed: Exception | None = None
        try:
            self.known[self.space.everything] = self.reference(self.inputs)
        except Exception as error:
            failed = error
        if failed is not None:
            raise self.failing(failed)
        again = self.reference(self.inputs)
        found = difference(again, self.expected)
        if found is not None:
            raise self.broken(
                "a job is deterministic",
                {"inputs": self.inputs},
                found,
                cluster="a task that is executed again, after a failure or on another node, gives other records",
                mend="no clock, no random numbers but of a generator with a seed of the entry's, no id() or address",
            )

    def failing(self, error: Exception) -> LawBroken:
        """The error for a job that fails on its data, or on one entry of it where that is enough."""
        inputs = self.inputs
        for entry in [entry for entries in inputs for entry in entries][:_MOST]:
            try:
                self.reference([[entry]])
            except Exception as alone:
                if type(alone) is type(error):
                    inputs, error = [[entry]], alone
                    break
        try:  # a driver says in a note where it was
            pipelines.run(self.parts.fresh(), inputs, 1, 0)
        except Exception as told:
            if type(told) is type(error):
                error = told
        return self.broken(
            "a job copes with its data",
            {"inputs": inputs},
            error,
            cluster="the task fails, and the job with it",
            mend="let the functions of the job take whatever they are given, or leave such entries out",
        )

    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        """The records of these inputs."""
        fresh = self.parts.fresh()
        return pipelines.run(fresh, inputs, 1, 0) if self.combines else reference_run(fresh, inputs)

    @property
    def expected(self) -> list[Any]:
        """The records of all of the data."""
        return self.known[self.space.everything] or []

    def broken(self, law: str, example: dict[str, Any], found: Difference | BaseException, **more: Any) -> LawBroken:
        """The error for a counterexample: records that differ, or an exception where the reference has none."""
        if isinstance(found, Difference):
            shown = Words(f"not the records of the reference\n{_indented(str(found))}")
        else:
            shown = raised(found)
        error = LawBroken(law, self.subject, example, found=shown, **more)
        if isinstance(found, BaseException):
            error.__cause__ = found
        return error

    # In memory

    def search(self, examples: int, seed: int | None) -> int:
        """Try schedules, the plain ones first; returns how many."""
        try:
            return searching.search(
                self.schedule, self.space.strategy(), examples=examples, seed=seed, first=self.space.first()
            )
        except LawBroken as broken:
            if broken.law != LAW:
                raise
            raise self.explained(broken) from broken.__cause__

    def schedule(self, schedule: Schedule) -> None:
        """Run one schedule in memory. Raises LawBroken."""
        found = self.differs(schedule)
        if found is not None:
            broken = self.broken(LAW, self.space.shown(schedule), found, replay=self.space.replay(schedule))
            self.schedules[id(broken)] = broken, schedule
            raise broken

    def differs(self, schedule: Schedule) -> Difference | Exception | None:
        """What is wrong with the records of a schedule; None too if the reference cannot do with that part of it."""
        kept = tuple(sorted(number for number, _ in schedule[0]))
        if kept not in self.known:
            try:
                self.known[kept] = self.reference(self.space.original(kept))
            except Exception:  # a part of the data that is no data
                self.known[kept] = None
        expected = self.known[kept]
        if expected is None:
            return None
        inputs, nodes, seed, jobargs = self.space.arguments(schedule)
        fresh = self.parts.fresh()
        try:
            found = pipelines.run(resolve(fresh, jobargs), inputs, nodes, seed)
        except Exception as error:
            return error
        return difference(found, expected)

    def explained(self, broken: LawBroken) -> LawBroken:
        """The same counterexample with the law that it breaks: what of the schedule it takes."""
        _, schedule = self.schedules[id(broken)]
        for reason in schedules.REASONS:
            plain = self.space.without(schedule, reason)
            if plain != schedule and self.differs(plain) is None:
                break
        else:
            reason = schedules.ANYTHING
        return LawBroken(
            reason.law,
            self.subject,
            broken.counterexample,
            found=broken.found,
            cluster=reason.cluster,
            mend=reason.mend,
            replay=broken.replay,
        )

    # The laws of its functions

    def functions(self, seed: int | None) -> None:
        """Check each function with what it gets in this job."""
        parts, space = self.parts, self.space
        if parts.is_pipeline:
            return
        if not parts["map"]:  # then one reduce gets everything
            parts = resolve(parts, {"partitions": 1})
        pairs = _some(space.pairs())
        laws: list[tuple[Any, dict[str, Any]]] = []
        if parts["map"] and not space.heads:
            laws.append((check_map, {"entries": _some(space.entries)}))
        if parts["combiner"] and parts["map"]:
            laws.append((check_combiner, {"pairs": pairs}))
            laws.append((check_combiner, {"pairs": None}))  # with many more of them
        if parts["partition"] is not default_partition and space.counts:
            keys = [pair[0] for pair in pairs]
            laws.append((check_partitioner, {"keys": keys, "nr_partitions": space.counts}))
        if parts["reduce"]:
            laws.append((check_reduce, {"pairs": pairs}))
            if parts["map"]:
                laws.append((check_reduce, {"pairs": None}))  # with other values
        for law, data in laws:
            if [] not in data.values():
                self._function(law, parts, {"examples": _PART_EXAMPLES, "seed": seed, **data})

    def _function(self, law: Any, parts: Parts, data: dict[str, Any]) -> None:
        try:
            report = law(parts, **data)
        except ValueError:  # of a function that takes the data of this job alone
            return
        except LawBroken as broken:
            if "copes with all" not in broken.law:
                raise
            # It cannot do with a part of what it gets here, and no cluster gives it that part.
            self.notes.append(f"{broken.subject} with a part of the data: {broken.law}")
        else:
            self.notes += [f"{report.subject}: {note}" for note in report.notes]

    def portable(self) -> None:
        """Check that the job runs on a cluster as it does here."""
        report = check_portable(self.parts.job, **self.parts.jobargs)
        self.notes += report.notes


def _some(elements: list[Any]) -> list[Any]:
    """Some of the elements, no two of which are equal."""
    return list({canonical(element): element for element in elements}.values())[:_MOST]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
