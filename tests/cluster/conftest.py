"""A store of DDFS on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from discolocal.cluster.tags import TagStore


@pytest.fixture
def store(tmp_path: Path) -> TagStore:
    return TagStore(str(tmp_path), ["node1", "node2", "node3"])
