"""No twin of the zoo is taken for a bug by the law of whole jobs. A module of its own, so that two processes share."""

from __future__ import annotations

from discolocal import testing
from tests.zoo.animal import Animal
from tests.zoo.keeper import every_animal


@every_animal
def test_the_law_of_whole_jobs_does_not_flag_the_twin(animal: Animal) -> None:
    # Programs that are executed are the most dear, and differ the least from forks: the tests of `check_job` have some.
    testing.check_job(animal.twin(), animal.inputs, starts=("inline", "fork"))
