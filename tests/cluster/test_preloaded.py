"""What a node imports for its forks, and what it does without."""

from __future__ import annotations

import subprocess
import sys


def loaded_by(module: str) -> set[str]:
    """The modules that a fresh Python has when it has imported `module`."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split())


def test_what_tasks_need_is_imported_without_anything_of_the_node() -> None:
    loaded = loaded_by("discolocal.cluster.preloaded")
    assert {name for name in loaded if name.startswith("discolocal.cluster")} == {
        "discolocal.cluster",
        "discolocal.cluster.preloaded",
    }
    assert {"cloudpickle", "discolocal.schemes.scheme_disco", "discolocal.worker.classic.worker"} <= loaded


def test_a_node_is_small_as_each_of_its_forks_pays_for_its_memory() -> None:
    loaded = loaded_by("discolocal.cluster.preloaded, discolocal.cluster.node")
    assert not loaded & {"socket", "multiprocess", "tqdm", "click", "tempfile", "hashlib", "random", "urllib.request"}
