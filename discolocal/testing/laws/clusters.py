"""Clusters of this machine for the law of whole jobs: every start mode, and what may happen to tasks."""

from __future__ import annotations

import os
import random
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from discolocal.error import JobError
from discolocal.testing.feeding import feed
from discolocal.testing.records import Difference, difference

if TYPE_CHECKING:
    from discolocal.cluster.faults import Faults
    from discolocal.testing.laws.breaking import LawBroken
    from discolocal.testing.parts import Parts


class Law(Protocol):
    """The law of a whole job, as far as it is needed here."""

    parts: Parts
    inputs: list[list[Any]]
    external: bool

    @property
    def expected(self) -> list[Any]:
        """The records that there have to be."""

    def broken(self, law: str, example: dict[str, Any], found: Difference | BaseException, **more: Any) -> LawBroken:
        """The error for a counterexample."""


class Run(NamedTuple):
    """A run on a cluster: `start` mode, how many nodes, which faults (keywords of `Faults`), `law` if it breaks."""

    start: str
    nodes: int
    faults: dict[str, Any] | None
    law: str
    cluster: str
    mend: str


_ALIKE = (
    "the result is the same in every start mode",
    "tasks are processes of their own on several nodes, each with its hash seed, and the job home as working directory",
    "keep no state outside of pairs; no hash() of texts, no order of sets; name files in required_files",
)
_AGAIN = (
    "a task that is executed twice gives the same records",
    "tasks are executed again when a node is lost, and the outputs of one of the attempts count",
    "let the records of a task depend on its inputs alone, and do nothing twice that must be done once",
)
_DYING = (
    "workers that die and outputs that are lost change nothing",
    "a worker may be killed anywhere, and the task starts again from its beginning on another node",
    "keep nothing outside of records: what a task has done before it died is done once more",
)
RUNS = (
    Run("inline", 2, None, *_ALIKE),
    Run("fork", 2, {"duplicate": 0.6, "lost": 0.2, "slow": 0.3}, *_AGAIN),
    Run("fork", 3, {"deaths": 0.4, "lost": 0.2}, *_DYING),
    Run("exec", 1, None, *_ALIKE),
)


def check_clusters(law: Law, starts: tuple[str, ...], seed: int | None) -> int:
    """Run a job on clusters with these start modes; returns how many there were.

    Raises LawBroken when the records are not those that there have to be, or a job fails. ValueError for another start
    mode.
    """
    from discolocal.cluster.faults import Faults

    known = {run.start for run in RUNS}
    for start in starts:
        if start not in known:
            raise ValueError(f"starts: {start!r} is none of {', '.join(sorted(known))}")
    chance = random.Random(seed)
    expected: list[Any] | None = None if law.external else law.expected
    runs = [run for run in RUNS if run.start in starts]
    for run in runs:
        seed_of_run = chance.getrandbits(16)
        faults = None if run.faults is None else Faults(seed_of_run, **run.faults)
        found = _run(law, run, expected, faults, seed_of_run)
        expected = found if expected is None else expected
    return len(runs)


def _run(law: Law, run: Run, expected: list[Any] | None, faults: Faults | None, seed: int) -> list[Any]:
    from discolocal.cluster.local import LocalCluster

    parts = law.parts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they tell is another law
        with LocalCluster(nodes=run.nodes, start=run.start, seed=seed, faults=faults, progress=False) as cluster:
            # With the files of the cluster, so that they go with these, whatever happens to this process.
            given = feed(os.path.join(cluster.root, "given"), parts.job, law.inputs, parts.jobargs)
            found: list[Any] | None = None
            wrong: Difference | JobError | None
            try:
                found = list(cluster.run(parts.job, **given))
                wrong = None if expected is None else difference(found, expected)
            except JobError as error:
                wrong = error
            if wrong is None:
                assert found is not None
                return found
            replay = f"{cluster.replay}.run(job, input=...) with these inputs"
            raise law.broken(run.law, {"inputs": law.inputs}, wrong, cluster=run.cluster, mend=run.mend, replay=replay)
