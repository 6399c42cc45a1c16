"""What the quick paths of a task must not lose: updates of other threads, and reads of files without a size."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import sys
import threading
from types import FunctionType, ModuleType
from typing import Any

import pytest

from discolocal import schemes
from discolocal.fileutils import read_at_most
from discolocal.worker.classic.names import inject


class Space(dict[str, Any]):
    """Globals that another thread changes while they are being changed."""

    def update(self, *given: Any, **named: Any) -> None:
        self["count"] = 6
        super().update(*given, **named)

    def setdefault(self, name: str, value: Any = None) -> Any:
        self["count"] = 6
        return super().setdefault(name, value)


def test_names_are_given_without_writing_others_back() -> None:
    space = Space(count=5, os="the user's own")
    function = FunctionType((lambda: None).__code__, space)
    function.__module__ = "jobs"
    inject([function], {"extra": sys})
    assert (space["count"], space["os"], space["extra"]) == (6, "the user's own", sys)
    assert space["re"] is sys.modules["re"]


class Slow(importlib.machinery.SourceFileLoader):
    """Loads the module of a scheme while another thread asks for it."""

    begun = threading.Event()

    def exec_module(self, module: ModuleType) -> None:
        self.begun.set()
        threading.Event().wait(0.1)  # as long as another thread needs to ask
        super().exec_module(module)


def test_a_scheme_is_complete_for_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "discolocal.schemes.scheme_http"
    spec = importlib.machinery.PathFinder.find_spec(name, schemes.__path__)
    assert spec is not None and spec.origin is not None

    class Finder:
        @staticmethod
        def find_spec(fullname: str, path: Any = None, target: Any = None) -> Any:
            if fullname == name:
                return importlib.util.spec_from_file_location(name, spec.origin, loader=Slow(name, str(spec.origin)))
            return None

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    schemes._built_in.cache_clear()
    first = threading.Thread(target=schemes.import_scheme, args=("http://a/b",))
    first.start()
    try:
        assert Slow.begun.wait(10)
        assert hasattr(schemes.import_scheme("http://a/b"), "open_source")
    finally:
        first.join()
        schemes._built_in.cache_clear()


class Counted(io.FileIO):
    """Counts reads."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]  # a raw file may return None
        self.reads += 1
        return super().read(-1 if size is None else size) or b""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="a file of Linux")
def test_a_file_that_is_said_to_be_empty_is_read_at_once() -> None:
    with Counted("/proc/self/status") as file:
        data = read_at_most(file, 1 << 20)
    assert data is not None and data.startswith(b"Name:")
    assert file.reads <= 3
