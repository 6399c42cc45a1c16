"""Tools that find bugs in jobs: functions run on plain lists, laws that they have to keep, hostile schedules.

Drivers run map, combiner, partition function, reduce or a whole job in memory; laws search for inputs and schedules on
which a job breaks; `Faults` makes a cluster of this machine misbehave. Importing this package imports none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal import _at_first_use

if TYPE_CHECKING:
    from discolocal.cluster.faults import Faults
    from discolocal.testing import strategies
    from discolocal.testing.drivers import run_combiner, run_job, run_map, run_partition, run_reduce
    from discolocal.testing.laws.breaking import LawBroken, LawReport
    from discolocal.testing.laws.combiners import check_combiner
    from discolocal.testing.laws.jobs import check_job
    from discolocal.testing.laws.maps import check_map
    from discolocal.testing.laws.partitioner import check_partitioner
    from discolocal.testing.laws.portable import check_portable
    from discolocal.testing.laws.reduces import check_reduce
    from discolocal.testing.records import assert_same_records
    from discolocal.testing.reference import reference_run

__all__ = [
    "Faults",
    "LawBroken",
    "LawReport",
    "assert_same_records",
    "check_combiner",
    "check_job",
    "check_map",
    "check_partitioner",
    "check_portable",
    "check_reduce",
    "reference_run",
    "run_combiner",
    "run_job",
    "run_map",
    "run_partition",
    "run_reduce",
    "strategies",
]

_HOMES = {
    "Faults": "discolocal.cluster.faults",
    "LawBroken": "discolocal.testing.laws.breaking",
    "LawReport": "discolocal.testing.laws.breaking",
    "assert_same_records": "discolocal.testing.records",
    "check_combiner": "discolocal.testing.laws.combiners",
    "check_job": "discolocal.testing.laws.jobs",
    "check_map": "discolocal.testing.laws.maps",
    "check_partitioner": "discolocal.testing.laws.partitioner",
    "check_portable": "discolocal.testing.laws.portable",
    "check_reduce": "discolocal.testing.laws.reduces",
    "reference_run": "discolocal.testing.reference",
    "run_combiner": "discolocal.testing.drivers",
    "run_job": "discolocal.testing.drivers",
    "run_map": "discolocal.testing.drivers",
    "run_partition": "discolocal.testing.drivers",
    "run_reduce": "discolocal.testing.drivers",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "strategies":
        import importlib

        return importlib.import_module("discolocal.testing.strategies")
    return _at_first_use(name, _HOMES, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
