"""No twin is taken for a bug by the laws that find the bug; `test_whole_twins` has all laws, by `check_job`."""

from __future__ import annotations

from tests.zoo.animal import Animal
from tests.zoo.keeper import check, every_animal


@every_animal
def test_the_law_of_a_part_does_not_flag_the_twin(animal: Animal) -> None:
    for law in animal.laws:
        check(law, animal.twin(), animal)
