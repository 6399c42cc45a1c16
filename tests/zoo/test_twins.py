"""No twin of the zoo is taken for a bug by the law of a part; those of whole jobs are in `test_whole_twins`."""

from __future__ import annotations

from discolocal import testing
from tests.zoo.animal import Animal
from tests.zoo.keeper import check, every_animal

LAWS = {
    "check_map": "map",
    "check_reduce": "reduce",
    "check_combiner": "combiner",
    "check_partitioner": "partition",
}


@every_animal
def test_no_law_of_a_part_flags_the_twin(animal: Animal) -> None:
    job = animal.twin()
    for law, parameter in LAWS.items():
        if getattr(job, parameter, None) is not None:
            check(law, job, animal, examples=40)
    testing.check_portable(job)
