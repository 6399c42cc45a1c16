"""Modules of a user for one test: written below a directory, importable while the test runs, forgotten after it."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from discolocal.error import PortabilityWarning
from discolocal.job import Job


class Modules:
    """Files of the user's own in `directory`, which is first in sys.path."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        monkeypatch.syspath_prepend(str(directory))

    def write(self, **files: str) -> None:
        """Write modules: ``pkg__mod="..."`` is ``pkg/mod.py``, ``pkg__="..."`` is ``pkg/__init__.py``."""
        for name, text in files.items():
            path = self.directory / (name.replace("__", "/") + ("__init__" if name.endswith("__") else "") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()

    def load(self, name: str) -> Any:
        """Import a module."""
        return importlib.import_module(name)

    def forget(self) -> None:
        """Take the modules out of sys.modules."""
        here = str(self.directory)
        mine = []
        for name, module in list(sys.modules.items()):
            places = [getattr(module, "__file__", None), *list(getattr(module, "__path__", None) or ())]
            if any(str(place).startswith(here) for place in places):
                mine.append(name)
        for name in mine:  # only now: the path of a namespace is worked out from its parent's
            del sys.modules[name]


def home_files(job: Job, **jobargs: Any) -> dict[str, bytes]:
    """The members of a job's home; it must be a good archive in which no name comes twice."""
    job.worker = job.worker or job.Worker()
    with zipfile.ZipFile(io.BytesIO(job.worker.jobhome(job, **jobargs))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def sent(job: Job, **jobargs: Any) -> list[str]:
    """The names of the user's modules in a job home, without what belongs to the tests of this project themselves."""
    return sorted(name[4:] for name in home_files(job, **jobargs) if name.startswith("lib/"))


def missing(job: Job, **jobargs: Any) -> dict[str, str]:
    """The modules that packing a job warns of, each with the text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        home_files(job, **jobargs)
    found = [w.message for w in caught if isinstance(w.message, PortabilityWarning)]
    assert [warning.code for warning in found] in ([], ["missing-module"])
    lines = [line for warning in found for line in str(warning.text).splitlines()]
    return {line.split(" the module ")[1].split(",")[0]: line for line in lines}
