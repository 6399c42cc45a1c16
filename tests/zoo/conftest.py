"""Where the animals of the zoo live."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.zoo import mapping


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Where the files that jobs read are; closes those that they have left open."""
    monkeypatch.chdir(mapping.HERE)
    yield
    while mapping.opened:
        mapping.opened.pop().close()
    if "local-path" in request.node.name:
        gc.collect()  # the job home that its functions had goes with the last reference to it
