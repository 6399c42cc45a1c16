"""A process of a node that does what may take long. Processes: that is what it is."""

from __future__ import annotations

import os
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from discolocal.cluster.helper import Helper, Outcome
from discolocal.cluster.orders import TaskOrder

ORDER = cast(TaskOrder, None)  # a helper only keeps it


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest may have threads; a node has none
        yield


def outcome(work: Callable[[], object]) -> Outcome:
    """How some work ends, heard as a node hears it."""
    helper = Helper(ORDER, work, lambda _order, _outcome: None)
    while True:
        assert select.select([helper.read_fd], [], [], 20)[0]
        said = helper.hear()
        if said is not None:
            return said


def fails() -> None:
    raise OSError(28, "No space left on device")


def test_what_the_work_returns_is_heard_however_large() -> None:
    value = [("x" * 1000, number) for number in range(2000)]
    assert outcome(lambda: value) == Outcome(value, "")


@pytest.mark.parametrize(
    "work, failure",
    [
        (fails, "OSError: [Errno 28] No space left on device"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "the process that was to do it ended with status -9"),
        (lambda: os._exit(3), "the process that was to do it ended with status 3"),
        (lambda: lambda: None, "the process that was to do it ended with status 1"),  # nothing that can be pickled
        (lambda: exec("raise SystemExit(0)"), "SystemExit: 0"),
    ],
)
def test_why_it_failed_is_heard(work: Callable[[], Any], failure: str) -> None:
    assert outcome(work) == Outcome(None, failure)


def test_one_that_is_killed_is_gone() -> None:
    helper = Helper(ORDER, lambda: time.sleep(60), lambda _order, _outcome: None)
    started = time.monotonic()
    helper.kill()
    assert time.monotonic() - started < 20
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(helper.read_fd)
