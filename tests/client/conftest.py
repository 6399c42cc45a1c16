"""Masters made of recordings and servers that fail, for tests of the client of a real master; a cluster of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from discolocal import LocalCluster
from discolocal.schemes import transport
from tests.client.commands import JOBS
from tests.client.faulty import Server
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
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    with RecordedMaster() as server:
        monkeypatch.setenv("DISCO_PORT", str(server.port))
        yield server
    assert server.problems == []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that fails as it is told; clients lose no time with it."""
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    monkeypatch.setattr("discolocal.monitor.POLL_PAUSE", 0.001)
    monkeypatch.delenv("DISCO_PROXY", raising=False)
    found = Server()
    yield found
    found.close()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory with a module of jobs, for the command."""
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two nodes with worker processes that the tests of a module share."""
    with LocalCluster(nodes=2, seed=3) as started:
        yield started
