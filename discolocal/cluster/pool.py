"""Node processes: started once per Python process and lent to one cluster at a time.

    caller's process                       node process (own session)
      NodeProcess --- socketpair (link) ---  node.main
           `--------- sentinel pipe --------- (closed by the kernel when the node ends)

A node starts as a fresh interpreter with a hash seed of its own and without the caller's main module:
multiprocess's own spawn would import that, so only its process object is used and the command
line is ours. Nodes that a cluster gives back wait for the next cluster of the same shape.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from multiprocess import util
from multiprocess.popen_fork import Popen as _Popen
from multiprocess.process import BaseProcess

from discolocal.cluster.holding import at_exit
from discolocal.cluster.link import Link, LinkClosed
from discolocal.cluster.orders import READY, import_path
from discolocal.cluster.watcher import watcher

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; import discolocal.cluster.preloaded;"
    " from discolocal.cluster.node import main; main({fd}, {sentinel})"
)
_IDLE_GROUPS = 2  # groups of nodes of one shape that wait for the next cluster; more are ended
_HASH_SEED = 0x5EED  # any fixed number: the seeds of the nodes differ, and are the same in every run


class _NodePopen(_Popen):  # type: ignore[misc]
    """Starts the interpreter of a node; the rest of the interface is multiprocess's."""

    method = "node"

    def _launch(self, process: NodeProcess) -> None:
        self.sentinel, child_sentinel = os.pipe()
        fds = (process.child_socket.fileno(), child_sentinel)
        program = _PROGRAM.format(path=import_path(), fd=fds[0], sentinel=fds[1])
        environment = {**os.environ, "PYTHONHASHSEED": str(_HASH_SEED + process.number)}
        command = [sys.executable, *util._args_from_interpreter_flags(), "-c", program]
        try:
            self._process = subprocess.Popen(
                command, env=environment, pass_fds=fds, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError:
            os.close(self.sentinel)
            raise
        finally:
            os.close(child_sentinel)
        self.pid = self._process.pid
        self.finalizer = util.Finalize(self, util.close_fds, (self.sentinel,))

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code once the process has ended (waits for that unless `flag` is WNOHANG)."""
        self.returncode = self._process.poll() if flag else self._process.wait()
        return self.returncode


class NodeProcess(BaseProcess):  # type: ignore[misc]
    """One node: its process and the link to it. `number` counts from 0 within its cluster."""

    _start_method = "node"

    def __init__(self, number: int) -> None:
        super().__init__(name=f"discolocal-node{number + 1}", daemon=True)
        self.number = number
        self.ready = False
        ours, self.child_socket = socket.socketpair()
        self.link = Link(ours.detach())
        try:
            self.start()
        except BaseException:
            self.link.close()
            raise
        finally:
            self.child_socket.close()
        watcher.add_node(self.pid)

    def receive(self) -> list[Any]:
        """Return the messages of the node that are complete. Raises LinkClosed when it is gone."""
        messages = self.link.receive()
        if READY in messages:
            self.ready = True
            messages.remove(READY)
        return messages

    @staticmethod
    def _Popen(process: NodeProcess) -> _NodePopen:
        return _NodePopen(process)

    def end(self) -> None:
        """Kill the node and its workers now and take its exit status. Safe to call twice."""
        pid = self.pid
        if self.exitcode is None:
            # The node ends its workers itself when its socket closes; a stopped node cannot.
            self.link.close()
            self.join(0.5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, 9)
        self.join()
        self.link.close()
        watcher.forget_node(pid)


class Pool:
    """The nodes of this Python process, by shape (nodes, workers per node)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._idle: dict[tuple[int, int], list[list[NodeProcess]]] = {}
        self._lent: list[list[NodeProcess]] = []

    def acquire(self, nodes: int, workers: int) -> list[NodeProcess]:
        """Return living nodes for a cluster: idle ones of the same shape, else new ones."""
        while (idle := self._take_idle(nodes, workers)) is not None:
            if all(node.is_alive() for node in idle):
                return idle
            self.discard(idle)
        group: list[NodeProcess] = []
        try:
            for number in range(nodes):
                group.append(NodeProcess(number))
        except BaseException:
            for node in group:
                node.end()
            raise
        with self._lock:
            self._lent.append(group)
        return group

    def _take_idle(self, nodes: int, workers: int) -> list[NodeProcess] | None:
        with self._lock:
            sets = self._idle.get((nodes, workers))
            if not sets:
                return None
            self._lent.append(sets[-1])
            return sets.pop()

    def replace(self, group: list[NodeProcess], number: int) -> NodeProcess:
        """Start a new process for node `number` of a lent group, whose old one is gone."""
        group[number].end()
        group[number] = NodeProcess(number)
        return group[number]

    def release(self, group: list[NodeProcess], workers: int) -> None:
        """Take back nodes that run no task."""
        with self._lock:
            if not any(lent is group for lent in self._lent):
                return
            self._lent = [lent for lent in self._lent if lent is not group]
            idle = self._idle.setdefault((len(group), workers), [])
            if len(idle) < _IDLE_GROUPS:
                idle.append(group)
                return
        self.discard(group)

    def discard(self, group: list[NodeProcess]) -> None:
        """End nodes that cannot be used again."""
        with self._lock:
            self._lent = [lent for lent in self._lent if lent is not group]
        for node in group:
            node.end()

    def processes(self) -> Iterator[NodeProcess]:
        """All nodes, lent and idle."""
        with self._lock:
            groups = [*self._lent, *(group for sets in self._idle.values() for group in sets)]
        for group in groups:
            yield from group

    def close(self) -> None:
        """End all nodes; used at interpreter exit and by tests."""
        nodes = list(self.processes())
        for node in nodes:
            node.link.close()
        for node in nodes:
            node.end()
        with self._lock:
            self._idle, self._lent = {}, []

    def forked(self) -> None:
        """In a fork of the caller the nodes still belong to the parent: drop our copies of their sockets."""
        groups = [*self._lent, *(group for sets in self._idle.values() for group in sets)]
        for node in (node for group in groups for node in group):
            node.link.close()
        self._lock = threading.RLock()
        self._idle, self._lent = {}, []


pool = Pool()
"""The pool of this Python process."""

# multiprocess would kill its children at exit before anybody could close a cluster in order.
at_exit(pool.close)
os.register_at_fork(after_in_child=pool.forked)


def owned_pids() -> set[int]:
    """Pids of the processes that stay between clusters: nodes, their spare workers and the watcher.

    Spares are asked from nodes that are idle; for use by tests that look for leaked processes.
    """
    pids = {watcher.pid} if watcher.pid is not None else set()
    with pool._lock:
        idle = [node for sets in pool._idle.values() for group in sets for node in group]
    for node in pool.processes():
        pids.add(node.pid)
    for node in idle:
        with contextlib.suppress(LinkClosed, OSError):
            pids.update(_spares(node))
    return pids


def _spares(node: NodeProcess) -> list[int]:
    import select

    node.link.send(("pids",))
    while select.select([node.link], [], [], 5)[0]:
        for message in node.receive():
            if isinstance(message, tuple) and message and message[0] == "pids":
                return list(message[1])
    return []
