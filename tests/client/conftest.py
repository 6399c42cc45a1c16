"""A master made of recordings, for tests of the client of a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.recorded import RecordedMaster, Recordings


@pytest.fixture(scope="session")
def recordings(golden: Path) -> Recordings:
    """The recorded HTTP exchanges."""
    return Recordings(golden)


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedMaster]:
    """A server whose nodes answer on the same port; it must be asked exactly what the test expects."""
    for name in ("DISCO_MASTER", "DISCO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("discolocal.schemes.transport.UNIT", 0.0001)
    with RecordedMaster() as server:
        monkeypatch.setenv("DISCO_PORT", str(server.port))
        yield server
    assert server.problems == []
