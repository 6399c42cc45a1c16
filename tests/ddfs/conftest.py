"""The client of DDFS: the same tests over a store on disk and over HTTP with a real server before such a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from discolocal import Disco
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS
from tests.ddfs.clients import TOKENS
from tests.ddfs.ddfs_master import HOSTS, Master


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine's; no long pauses."""
    for name in (*TOKENS, "DISCO_MASTER", "DISCO_PROXY", "DISCO_PORT", "DISCO_SETTINGS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("discolocal.schemes.transport.UNIT", 0.0001)
    monkeypatch.setattr("discolocal.schemes.data_roots", [])


@pytest.fixture
def store(tmp_path: Path) -> TagStore:
    """A store of two hosts."""
    (tmp_path / "root").mkdir()
    return TagStore(str(tmp_path / "root"), HOSTS)


@pytest.fixture
def master(store: TagStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """A master that serves the store."""
    with Master(store) as server:
        monkeypatch.setenv("DISCO_PORT", str(server.port))
        yield server


@pytest.fixture(params=["store", "http"])
def ddfs(request: pytest.FixtureRequest, store: TagStore) -> DDFS:
    """A client of either kind of service."""
    if request.param == "store":
        return DDFS(store)
    return DDFS(Disco(request.getfixturevalue("master").url))
