"""The fork of a process with one thread, without what Python does in a child for the sake of other threads."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.cluster import fork
from discolocal.cluster.launch import plain_fork

PROGRAM = """
import os, sys
from discolocal.cluster.launch import plain_fork
if {random}:
    import random

def child(work):
    sys.stdout.flush()
    pid = fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

fork = plain_fork()
os.fork = lambda: sys.exit("the costly way was taken")
{work}
for _ in range(3):
    child(work)
"""

WORK = {
    "threads": """
def work():
    import threading, queue
    from concurrent.futures import ThreadPoolExecutor
    lock, q = threading.Lock(), queue.Queue()
    thread = threading.Thread(target=lambda: (lock.acquire(), q.put(1), lock.release()))
    thread.start(); thread.join(10)
    with ThreadPoolExecutor(2) as pool:
        print(q.get(timeout=10), sum(pool.map(abs, [-1, -2])), threading.main_thread() is threading.current_thread())
""",
    "processes": """
def work():
    import posix, subprocess
    print(subprocess.run(["echo", "1"], capture_output=True, text=True).stdout.strip(), end=" ", flush=True)
    pid = posix.fork()  # as it is: that of `os` is replaced here
    if pid == 0:
        print(3, os.getppid() != os.getpid(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
""",
    "imports and garbage": """
def work():
    import gc, json, logging, decimal
    logging.getLogger("x").addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("x").warning("1 %d True", 3)
    gc.collect()
""",
}


def run(work: str, random: bool = False) -> list[str]:
    program = PROGRAM.format(work=work, random=random)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the plain way is that of Linux")


@linux
@pytest.mark.parametrize("work", WORK)
def test_a_child_can_do_what_any_process_can(work: str) -> None:
    assert run(WORK[work]) == ["1 3 True"] * 3


@linux
def test_random_numbers_of_children_differ() -> None:
    numbers = run("def work():\n    import random\n    print(random.random())", random=True)
    assert len(numbers) == len(set(numbers)) == 3


def test_a_process_with_threads_forks_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def asked() -> int:
        raise Asked

    monkeypatch.setattr(os, "fork", asked)
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        with pytest.raises(Asked):
            plain_fork()()
    finally:
        go.set()
        thread.join()


@linux
def test_a_fork_that_fails_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def fork(self) -> int:
            ctypes.set_errno(errno.EAGAIN)
            return -1

    monkeypatch.setattr(ctypes, "PyDLL", Full)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with pytest.raises(OSError) as failed:
        plain_fork()()
    assert failed.value.errno == errno.EAGAIN


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_without_ctypes_it_is_that_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert plain_fork() is os.fork


def draw(line: str, params: Any) -> Iterator[tuple[str, float]]:
    import random

    yield line, random.random()


def test_random_numbers_of_tasks_differ() -> None:
    with LocalCluster(nodes=1) as cluster:
        inputs = [f"raw://{n}" for n in range(4 * fork._MOST_SPARES)]
        numbers = [number for _, number in cluster.run(Job(map=draw), input=inputs)]
    assert len(set(numbers)) == len(inputs)
