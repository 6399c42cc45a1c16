"""Sources are read by several threads at once: those of everybody who submits jobs."""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from discolocal.cluster import node
from discolocal.worker.travel import parsing

_SOURCE = Path(node.__file__).read_bytes()


def _together(*work: Callable[[], object]) -> list[BaseException]:
    """What `work` raises, each part in a thread of its own, with switches of threads wherever there can be one."""
    raised: list[BaseException] = []

    def run(part: Callable[[], object]) -> None:
        try:
            for _ in range(15):
                part()
        except BaseException as error:
            raised.append(error)

    def busy(*_: object) -> None:
        sum(range(100))

    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    threads = [threading.Thread(target=run, args=(part,)) for part in work]
    try:
        sys.setswitchinterval(1e-6)
        gc.set_threshold(100)
        gc.callbacks.append(busy)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(busy)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    return raised


def test_threads_may_read_sources_at_the_same_time() -> None:
    """Python 3.11 fails with a SystemError where two threads parse at the same time."""
    expected = parsing.read(_SOURCE)
    found = []
    assert _together(*[lambda: found.append(parsing.read(_SOURCE))] * 3) == []
    assert found == [expected] * 45


def test_a_thread_of_the_caller_may_parse_meanwhile() -> None:
    def parse() -> None:
        try:
            ast.parse(_SOURCE)
        except SystemError:
            pass  # its own affair

    assert _together(lambda: parsing.read(_SOURCE), parse) == []


def test_a_failure_that_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> ast.Module:
        raise SystemError("broken")

    monkeypatch.setattr(parsing.ast, "parse", fail)
    with pytest.raises(SystemError, match="broken"):
        parsing.read(b"x = 1\n")
