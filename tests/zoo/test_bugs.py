"""Every bug of the zoo is found.

The laws draw other examples each time; what they find must not depend on that.
"""

from __future__ import annotations

import pytest

from discolocal import testing
from discolocal.testing import LawBroken
from tests.zoo.animal import Animal
from tests.zoo.keeper import ANIMALS, check, every_animal

BY_LAW = [pytest.param(animal, law, id=f"{animal.name}-{law}") for animal in ANIMALS for law in animal.laws]


def test_there_are_thirty() -> None:
    assert len({animal.name for animal in ANIMALS}) == len(ANIMALS) == 30


@pytest.mark.parametrize(("animal", "law"), BY_LAW)
def test_the_law_of_a_part_finds_the_bug(animal: Animal, law: str) -> None:
    with pytest.raises(LawBroken) as broken:
        check(law, animal.broken(), animal)
    text = str(broken.value)
    assert any(word in text for word in animal.says), text
    assert broken.value.mend and broken.value.cluster
    assert len(text) < 2000  # the counterexample is small, or told in few words


@every_animal
def test_the_law_of_whole_jobs_finds_the_bug(animal: Animal) -> None:
    with pytest.raises(LawBroken):
        testing.check_job(animal.broken(), animal.inputs)
