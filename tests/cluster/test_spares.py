"""Workers that a node forks ahead of time, and the link on which it says what they did."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.cluster.fork import Fork
from discolocal.cluster.link import Link, LinkClosed
from discolocal.cluster.pool import NodeProcess

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")


def children(pid: int) -> dict[int, str]:
    """The children of a process and their states."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                state, parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == pid:
                found[int(name)] = state
    return found


def once(line: str, params: Any) -> Iterator[tuple[str, int]]:
    yield line, 1


def test_a_node_forks_several_workers_ahead_while_tasks_are_quick_and_ends_them_when_none_comes() -> None:
    with LocalCluster(nodes=1) as cluster:
        node = cluster.nodeinfo()["node1"]["pid"]
        most = 0
        for _ in range(3):
            assert len(list(cluster.run(Job(map=once), input=[f"raw://{n}" for n in range(20)]))) == 20
            most = max(most, len(children(node)))
        assert most > 1
        end = time.monotonic() + 20
        while len(left := children(node)) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert list(left.values()) == ["S"], "one waits for the next task, none is left as a zombie"
        assert list(cluster.run(Job(map=once), input=["raw://a"])) == [("a", 1)]


class Waiting:
    """Stands for a process that waits for its task."""

    def __init__(self) -> None:
        self.pid = 0
        self.ended: list[str] = []

    def kill(self) -> None:
        self.ended.append("kill")

    def close(self) -> None:
        self.ended.append("close")


def test_spares_double_while_they_are_used_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("discolocal.cluster.fork.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Fork, "_fork", lambda self: Waiting())
    fork = Fork()
    made = []
    for pause in (0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 100.0, 0.1):
        now[0] += pause
        fork.prepare()
        made.append(len(fork.spares()))
        fork.prepare()
        assert len(fork.spares()) == made[-1], "there are some"
        fork._spares.clear()
    assert made == [1, 2, 4, 8, 16, 16, 1, 2]


def test_only_one_spare_is_left_when_no_task_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fork, "_fork", lambda self: Waiting())
    fork = Fork()
    fork._spares[:] = [Waiting(), Waiting(), Waiting()]  # type: ignore[list-item]
    ended: Any = fork.rest()
    assert [one.ended for one in ended] == [["kill", "close"]] * 2
    assert len(fork.spares()) == 1
    assert fork.rest() == []


def test_a_node_that_cannot_be_started_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **options: Any) -> Any:
        raise OSError("no more processes")

    monkeypatch.setattr("discolocal.cluster.pool.subprocess.Popen", fails)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no more processes"):
        NodeProcess(0)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def links() -> Iterator[tuple[Link, Link]]:
    both = [Link(end.detach()) for end in socket.socketpair()]
    yield both[0], both[1]
    for link in both:
        link.close()


def test_messages_arrive_whole_and_in_their_order(links: tuple[Link, Link]) -> None:
    here, there = links
    sent: list[Any] = []
    for number in range(40):
        message = (number, "x" * (number * 2000))
        sent.append(message)
        (here.send if number % 3 == 2 else here.post)(message)
    got: list[Any] = []
    while len(got) < len(sent):
        assert here.wants_write or len(got) < len(sent)
        here.flush()
        got += there.receive()
    assert got == sent
    assert not here.wants_write
    here.close()
    with pytest.raises(LinkClosed):
        there.receive()


def test_what_is_posted_goes_with_the_next_message(links: tuple[Link, Link]) -> None:
    here, there = links
    here.post("first")
    assert here.wants_write
    assert there.receive() == []
    here.send("second")
    assert there.receive() == ["first", "second"]
