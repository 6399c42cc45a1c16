"""An input of a map task."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.harness import TEXT


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "in.txt"
    path.write_text(TEXT)
    return str(path)
