"""All animals of the zoo, and how a law is run on one."""

from __future__ import annotations

from typing import Any

import pytest

from discolocal import Job, testing
from tests.zoo import combining, dividing, mapping, reducing, stages
from tests.zoo.animal import Animal

ANIMALS = [animal for house in (mapping, reducing, combining, dividing, stages) for animal in house.ANIMALS]
every_animal = pytest.mark.parametrize("animal", ANIMALS, ids=[animal.name for animal in ANIMALS])


def check(law: str, job: Job, animal: Animal, **options: Any) -> Any:
    """Run a law on a job, with the data that the animal has for it."""
    return getattr(testing, law)(job, **animal.data.get(law, {}), **options)
