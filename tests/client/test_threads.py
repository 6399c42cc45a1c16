"""The lock of threads that a fork finds open."""

from __future__ import annotations

import threading

import pytest

from discolocal.threads import ForkLock
from tests.client.test_forks import Held, in_child


def test_one_thread_at_a_time() -> None:
    lock = ForkLock()
    order: list[str] = []

    def wait() -> None:
        with lock:
            order.append("second")

    with lock:
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.05)
        order.append("first")
    other.join(5)
    assert order == ["first", "second"]


def test_an_error_opens_it() -> None:
    lock = ForkLock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    with lock:
        pass


def entered(lock: ForkLock) -> bytes:
    with lock:
        return b"open"


def test_a_fork_finds_it_open_that_another_thread_holds() -> None:
    lock = ForkLock()
    with Held(lock):
        assert in_child(lambda: entered(lock)) == b"open"


def test_a_fork_by_the_thread_that_holds_it_can_leave_it() -> None:
    lock = ForkLock()

    def leave() -> bytes:
        lock.__exit__()
        return entered(lock)

    with lock:
        assert in_child(leave) == b"open"
    assert entered(lock) == b"open"
