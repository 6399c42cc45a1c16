"""Where the small samples of every format are that were made for this project."""

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no reason for an example to fail.
settings.register_profile("wire", deadline=None)
settings.load_profile("wire")

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="session")
def data_file():
    """A function that finds a file of tests/data by its name."""
    return DATA.joinpath
