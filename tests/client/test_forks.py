"""Processes that are forked while another thread is inside of the library."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from discolocal import LocalCluster, active, jobdata
from discolocal.error import PortabilityWarning
from discolocal.job import Job
from discolocal.worker import messages
from tests.worker.harness import Node


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads is what this is about
        yield


def in_child(function: Callable[[], bytes]) -> bytes:
    """What `function` returns in a forked process; b"" when it is not done in ten seconds or fails."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            threading.Timer(10, os._exit, (1,)).start()
            os.write(write, function())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return data


class Held:
    """Another thread holds a lock inside of the block."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.held, self.free = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self) -> None:
        with self.lock:
            self.held.set()
            self.free.wait(30)

    def __enter__(self) -> None:
        self.thread.start()
        assert self.held.wait(10)

    def __exit__(self, *exc: object) -> None:
        self.free.set()
        self.thread.join()


def test_a_child_can_pack_a_job_while_a_thread_of_its_parent_does() -> None:
    with Held(jobdata._lock):
        job = Job(map=lambda e, p: [])
        assert in_child(lambda: job.pack(input=["raw://x"]).dumps()[:2]) == b"\xd5\xc0"


def test_a_child_can_run_an_inline_task_while_a_thread_of_its_parent_does(tmp_path: Any) -> None:
    with Held(messages._lock):
        node = Node(tmp_path, Job(map=lambda e, p: [(e, 1)]))
        assert in_child(lambda: node.map("raw://x").kind.encode()) == b"done"


def test_the_prints_of_a_child_of_a_task_are_no_messages(tmp_path: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def forks(line: str, params: Any) -> Any:
        import logging
        import sys

        handler = logging.StreamHandler()  # holds the task's stream
        print("before")
        pid = os.fork()
        if pid == 0:
            print("of the child")
            handler.emit(logging.makeLogRecord({"msg": "logged by the child"}))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        print("after")
        return []

    result = Node(tmp_path, Job(map=forks)).map("raw://x")
    assert result.kind == "done", result.text
    assert result.messages[:3:2] == ["before", "after"]
    assert result.messages[1].startswith("PortabilityWarning [fork-in-task]: ")
    out, err = capfd.readouterr()
    assert ("of the child" in out, "logged by the child" in err) == (True, True)
    assert (out.count("before"), err.count("before")) == (0, 1)


def test_streams_of_other_threads_tasks_are_given_back_in_a_child(tmp_path: Any) -> None:
    original = sys.stdout
    go, there = threading.Event(), threading.Event()
    GO.update(go=go, there=there)

    def waits(line: str, params: Any) -> Any:
        from tests.client.test_forks import GO

        GO["there"].set()
        GO["go"].wait(10)
        return []

    thread = threading.Thread(target=Node(tmp_path, Job(map=waits)).map, args=("raw://x",))
    thread.start()
    assert there.wait(10)
    try:
        assert sys.stdout is not original
        same = in_child(lambda: b"yes" if sys.stdout is original and active.current() is None else b"no")
    finally:
        go.set()
        thread.join()
    assert same == b"yes"
    assert sys.stdout is original


GO: dict[str, threading.Event] = {}


def test_a_task_goes_on_reading_after_its_children_have_printed() -> None:
    """What they print is shown, every line once, and does not disturb the conversation of the task."""

    def forks(iter: Any, params: Any) -> Any:
        for key, value in iter:
            pid = os.fork()
            if pid == 0:
                for number in range(20):
                    print(f"{key} {number} of a child")
                os._exit(0)
            os.waitpid(pid, 0)
            yield key, value

    inputs = [f"raw://{n}" for n in range(6)]
    with LocalCluster(nodes=2) as cluster, warnings.catch_warnings():
        warnings.simplefilter("ignore", PortabilityWarning)
        results = cluster.run(Job(map=lambda e, p: [(e, 1)], reduce=forks), input=inputs)
        assert sorted(results) == [(str(n), 1) for n in range(6)]
        said = [text for _offset, (_time, _host, text) in results.job.events()]
    for line in [f"{key} {number} of a child" for key in range(6) for number in range(20)]:
        assert sum(text.endswith(f" {line}") for text in said) == 1, line
