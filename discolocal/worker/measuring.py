"""coverage.py in a task, where the process that runs the jobs is measured by it.

    caller --DISCOLOCAL_COVERAGE in the environment--> task, which measures itself --a file of JSON--> caller

A worker is killed when its task is done, so what it has counted is written before that. Without the variable nothing
of this is imported. The caller's end is `discolocal.testing.covering`.

What is asked for is JSON: `path` is where coverage.py is, `directory` where the files go, `options` are arguments of
`coverage.Coverage`, `silent` are warnings that it need not give.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import contextmanager
from glob import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def load(asked: str) -> Any:
    """The module coverage, None where it cannot be imported; the import path stays as it is."""
    with _importable(json.loads(asked)["path"]):
        try:
            return importlib.import_module("coverage")  # by its name: nothing on a node needs it
        except ImportError:
            return None


@contextmanager
def _importable(path: str) -> Iterator[None]:
    """Context manager: modules at `path` can be imported. A node may have no packages, and tasks are to see none."""
    before = list(sys.path)
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def measured(asked: str) -> Iterator[None]:
    """Context manager: code in the block is counted, as `asked` says.

    Nothing is counted where coverage.py cannot be imported, or nobody collects any more.
    """
    said = json.loads(asked)
    module = load(asked) if os.path.isdir(said["directory"]) else None
    if module is None:
        yield
        return
    home = os.path.realpath(os.getcwd())
    with _importable(said["path"]):
        measure = module.Coverage(
            data_file=None, config_file=False, messages=False, **_with_home(said["options"], home)
        )
        measure.set_option("run:disable_warnings", said["silent"])
        measure.start()
    try:
        yield
    finally:
        # A task that moved to another directory counts as well.
        with _importable(said["path"]):
            measure.stop()
            data = measure.get_data()
        counts = data.arcs if data.has_arcs() else data.lines
        files = {name: counts(name) for name in data.measured_files()}
        _write(said["directory"], {"home": home, "files": files, "test": os.environ.get("PYTEST_CURRENT_TEST", "")})


def _with_home(options: dict[str, Any], home: str) -> dict[str, Any]:
    """The options, by which the modules in the job home count too: they are copies of the user's."""
    include = options["include"]
    return options if include is None else {**options, "include": [*include, f"{escape(home)}/*"]}


def _write(directory: str, counted: dict[str, Any]) -> None:
    """Write a file that appears whole; nothing where the directory is gone."""
    path = os.path.join(directory, os.urandom(8).hex())
    try:
        with open(f"{path}.partial", "w", encoding="utf-8") as file:
            json.dump(counted, file)
        os.rename(f"{path}.partial", f"{path}.json")
    except FileNotFoundError:
        pass
