"""The store of DDFS used by many processes and threads at once, and by some that are killed.

Processes are the point here: they are forks of the test, which end without going back to it.
"""

from __future__ import annotations

import fcntl
import io
import os
import random
import select
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal.cluster import locks
from discolocal.cluster.tags import TagStore
from discolocal.wire import names

HOSTS = ("node1", "node2")


@pytest.fixture
def root() -> Iterator[Path]:
    """The root of a store in memory, where there is such a directory: a disk that syncs is slow, and not the point."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


def child(body: Callable[[], object]) -> int:
    """Run `body` in a fork; its exit status is 0 when it returns."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return process


def ended(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


def push(store: TagStore, tag: str, name: str, **how: Any) -> str:
    """Push a blob that holds its own name."""
    (target,) = store.new_blob(name)
    url = store.upload(target, io.BytesIO(name.encode()))
    store.post(tag, [[url]], **how)
    return url


def pushed(store: TagStore, tag: str) -> list[str]:
    """The names of the blobs of a tag, the oldest first; each is there and whole."""
    found = [url for (url,) in reversed(store.tag(tag)["urls"])]
    for url in found:
        path = Path(store.volumes.ddfs, names.ddfs_path(url))
        assert path.read_bytes() == names.blob_name(url).encode()
    return [names.blob_name(url) for url in found]


def test_eight_processes_lose_nothing(root: Path) -> None:
    def work(number: int) -> None:
        store = TagStore(str(root), HOSTS)
        for count in range(200):
            push(store, "tag", f"{number}-{count:03}", delayed=count % 2 == 0, update=count % 3 == 0)

    processes = [child(lambda number=number: work(number)) for number in range(8)]  # type: ignore[misc]
    assert {ended(process) for process in processes} == {True}
    found = pushed(TagStore(str(root)), "tag")
    assert sorted(found) == [f"{number}-{count:03}" for number in range(8) for count in range(200)]
    for number in range(8):
        own = [name for name in found if name.startswith(f"{number}-")]
        assert own == sorted(own), "each process's in its order"


def test_threads_of_one_store_lose_nothing(root: Path) -> None:
    store = TagStore(str(root), HOSTS)
    threads = [
        threading.Thread(target=lambda number=number: [push(store, "tag", f"{number}-{n}") for n in range(20)])
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pushed(store, "tag")) == sorted(f"{number}-{n}" for number in range(8) for n in range(20))


def test_one_who_reads_sees_every_tag_all_the_time(root: Path) -> None:
    """A tag is never missing while its version is replaced, and goes only forward."""
    store = TagStore(str(root), HOSTS)
    store.post("still", [])
    store.post("busy", [])

    def write() -> None:
        writer = TagStore(str(root), HOSTS)
        for number in range(300):
            writer.post("busy", [[str(number)]])

    process = child(write)
    last = 0
    while last < 300:
        count = len(store.tag("busy")["urls"])
        assert count >= last
        last = count
        assert store.names() == ["busy", "still"]
    assert ended(process)


def test_a_tag_deleted_by_one_and_made_by_another(root: Path) -> None:
    """Whoever comes last, the tag has all or nothing of what was there; nobody gets an error."""

    def work(number: int) -> None:
        store = TagStore(str(root), HOSTS)
        for count in range(60):
            store.delete("tag") if (count + number) % 3 == 0 else push(store, "tag", f"{number}-{count}")

    processes = [child(lambda n=n: work(n)) for n in range(4)]  # type: ignore[misc]
    assert {ended(process) for process in processes} == {True}
    store = TagStore(str(root))
    store.post("tag", [["http://last"]])
    assert store.tag("tag")["urls"][0] == ["http://last"]
    store.delete("tag")
    assert store.names() == []


class Killed:
    """A process that pushes without end and says what was acknowledged, until it is killed."""

    def __init__(self, root: Path, tag: str, first: int) -> None:
        self._end, write = os.pipe()

        def work() -> None:
            store = TagStore(str(root), HOSTS)
            number = first
            while True:
                push(store, tag, f"{number:06}")
                os.write(write, b"%d\n" % number)
                number += 1

        self.process = child(work)
        os.close(write)

    def kill(self, after: float) -> list[str]:
        """Kill it some seconds after its first push; the names of the blobs whose push had returned."""
        select.select([self._end], [], [], 10)
        time.sleep(after)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        with open(self._end, "rb") as said:
            return [f"{int(line):06}" for line in said.read().splitlines()]


def test_kills_at_any_time_leave_what_was_acknowledged(root: Path) -> None:
    """A hundred rounds; besides, the push that was going on may have been done, once and whole."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    known: dict[str, list[str]] = {f"tag{number}": [] for number in range(4)}
    unfinished = 0
    for turn in range(100):
        tag = f"tag{turn % 4}"
        told = known[tag]
        first = int(told[-1]) + 1 if told else 0
        acknowledged = Killed(root, tag, first).kill(chance.uniform(0, 0.02))
        store = TagStore(str(root))
        found = pushed(store, tag)
        assert found[: len(told)] == told
        new = found[len(told) :]
        assert acknowledged and new in (acknowledged, [*acknowledged, f"{int(acknowledged[-1]) + 1:06}"])
        unfinished += new != acknowledged
        known[tag] = found
        assert store.names() == sorted(name for name, blobs in known.items() if blobs)
    store.collect(0, 0)
    assert {tag: pushed(store, tag) for tag in known} == known
    left = [path.name for path in root.glob("ddfs/*/vol0/*/*/*")]
    assert len(left) == sum(map(len, known.values())) + len(known), "one version of each tag, and its blobs"


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@pytest.fixture
def holder(lock: str) -> Iterator[int]:
    """A process that holds the lock until it is killed."""
    end, write = os.pipe()

    def hold() -> None:
        with locks.locked(lock):
            os.write(write, b"x")
            time.sleep(60)

    process = child(hold)
    os.read(end, 1)
    yield process
    os.close(end)
    os.close(write)


def test_the_lock_of_one_who_is_killed_is_free(lock: str, holder: int) -> None:
    threading.Timer(0.05, os.kill, (holder, signal.SIGKILL)).start()
    with locks.locked(lock), pytest.raises(ProcessLookupError):
        os.waitpid(holder, 0)
        os.kill(holder, 0)


def test_readers_share_and_wait_for_the_writer(lock: str, holder: int) -> None:
    came = threading.Event()

    def read() -> None:
        with locks.shared(lock) as held, locks.shared(lock):
            assert held
            came.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert not came.wait(0.05)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    thread.join(10)
    assert came.is_set()


def test_where_there_is_no_lock_nobody_writes(lock: str) -> None:
    with locks.shared(lock) as held:
        assert not held
    assert not os.path.exists(lock)


def is_free(path: str) -> bool:
    """Whether the lock of a file is free within some seconds."""
    with open(path) as file:
        for _ in range(500):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(0.01)
    return False


def test_a_child_does_not_keep_the_lock_of_a_parent_that_is_killed(lock: str) -> None:
    end, write = os.pipe()

    def parent() -> None:
        with locks.locked(lock):
            os.write(write, b"%d" % child(lambda: time.sleep(60)))
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(child(parent), 0)
    grandchild = int(os.read(end, 20))
    try:
        assert is_free(lock)
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(end)
        os.close(write)


def test_a_descriptor_that_somebody_inherited_keeps_no_lock(lock: str) -> None:
    with locks.locked(lock) as file:
        inherited = os.dup(file)
    assert is_free(lock)
    os.close(inherited)


def test_a_child_may_take_the_lock_that_a_thread_of_its_parent_holds(lock: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.locked(lock):
            begun.set()
            go_on.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)

    def take() -> None:
        with locks.locked(lock):
            pass

    process = child(take)
    assert os.waitpid(process, os.WNOHANG) == (0, 0) or not go_on.is_set()
    go_on.set()
    thread.join()
    assert ended(process)


def test_a_lock_that_was_removed_is_none(lock: str) -> None:
    """Somebody who waited for the lock of a tag that is gone takes the one that is there now."""
    with locks.locked(lock):
        thread_has: list[bool] = []

        def take() -> None:
            with locks.locked(lock) as file:
                thread_has.append(locks.is_at(file, lock))

        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(0.05)
        assert not thread_has
        os.unlink(lock)
    thread.join(10)
    assert thread_has == [True]
