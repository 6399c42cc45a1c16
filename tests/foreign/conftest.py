"""The workers of examples/workers: complete programs in several languages that need nothing of discolocal.

They run real jobs on a cluster, where an independent count says what is right, and are driven one task at a time
through the master's end of the protocol, for what a healthy cluster does not do. Processes are what is tested.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REQUIRED
from tests.foreign.conversation import WORKERS

LANGUAGES = ("c", "python", "shell")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker in C, built by make as its Makefile says: any warning is an error."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        (pytest.fail if REQUIRED else pytest.skip)("there is no C compiler or no make here")
    build = tmp_path_factory.mktemp("workers")
    made = subprocess.run(["make", "-C", str(WORKERS), f"BUILD={build}"], capture_output=True, text=True)
    assert made.returncode == 0 and "warning" not in made.stderr, made.stdout + made.stderr
    return build / "wordcount-c"


@pytest.fixture(params=LANGUAGES)
def worker(request: pytest.FixtureRequest) -> Path:
    """The program of a worker."""
    if request.param == "c":
        return request.getfixturevalue("compiled")
    return WORKERS / ("wordcount.py" if request.param == "python" else "wordcount.sh")
