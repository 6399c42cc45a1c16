"""What a test may leave behind, seen from outside: processes, threads, descriptors and temporary paths.

What the library keeps on purpose for the life of the process is not a leak: the pool of node processes with their
pipes, spare workers and watcher, and threads whose names start with ``discolocal-``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

GRACE = 5.0
"""Seconds that processes and threads get to end by themselves after a test."""


class Snapshot(NamedTuple):
    """The state of this process at one moment: `processes` maps pids below this one to their parents."""

    processes: dict[int, int]
    threads: set[threading.Thread]
    descriptors: dict[int, str]
    paths: set[str]
    pool: set[int]
    nodes: set[int]
    lent: set[int]
    watcher: set[int]


def descendants() -> dict[int, int]:
    """The processes below this one, zombies included, with their parents."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _descendants_by_ps()
    found: dict[int, int] = {}
    todo = [os.getpid()]
    while todo:
        parent = todo.pop()
        children = _children(parent) - found.keys()
        found.update(dict.fromkeys(children, parent))
        todo += children
    return found


def _children(pid: int) -> set[int]:
    children: set[int] = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children.update(map(int, file.read().split()))
    except OSError:  # the process or the thread has ended meanwhile
        pass
    return children


def _descendants_by_ps() -> dict[int, int]:
    ps = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True)
    lines = ps.communicate()[0].splitlines()
    parents = {int(pid): int(parent) for pid, parent in map(str.split, lines) if int(pid) != ps.pid}
    found: dict[int, int] = {}
    todo = {os.getpid()}
    while todo:
        children = {pid: parent for pid, parent in parents.items() if parent in todo}
        found |= children
        todo = set(children)
    return found


def descriptors() -> dict[int, str]:
    """Open descriptors and what they lead to, where the system tells."""
    root = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(root):
        try:
            os.fstat(int(name))
        except OSError:  # the one that listed the directory
            continue
        try:
            found[int(name)] = os.readlink(f"{root}/{name}")
        except OSError:
            found[int(name)] = "?"
    return found


def temporary_paths() -> set[str]:
    """Paths of the library directly below the directory for temporary files."""
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("discolocal-")}


def snapshot() -> Snapshot:
    """The state now."""
    module = sys.modules.get("discolocal.cluster.pool")
    pool = set(module.owned_pids()) if module is not None else _watcher()
    nodes = {node.pid for node in module.pool.processes()} if module is not None else set()
    lent = {node.pid for group in module.pool._lent for node in group} if module is not None else set()
    threads, watcher = set(threading.enumerate()), _watcher()
    return Snapshot(descendants(), threads, descriptors(), temporary_paths(), pool, nodes, lent, watcher)


def _watcher() -> set[int]:
    """The watcher, which is all that is kept in a process whose clusters were all inline, so that it has no pool."""
    module = sys.modules.get("discolocal.cluster.watcher")
    return {module.watcher.pid} - {None} if module is not None else set()


def left_since(before: Snapshot) -> list[str]:
    """One text for each kind of thing that is here now, was not `before` and is not the pool's; waits up to `GRACE`."""
    deadline = time.monotonic() + GRACE
    while left := _compare(before, snapshot()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


def _compare(before: Snapshot, now: Snapshot) -> list[str]:
    left = []
    # Nodes lent to a cluster that outlives the test have spare workers, which only idle nodes tell about.
    spares = {pid for pid, parent in now.processes.items() if parent in now.lent & before.lent}
    processes = now.processes.keys() - before.processes.keys() - now.pool - spares
    if processes:
        left.append("processes " + ", ".join(f"{pid} ({_command(pid)})" for pid in sorted(processes)))
    threads = {thread.name for thread in now.threads - before.threads if not thread.name.startswith("discolocal-")}
    if threads:
        left.append("threads " + ", ".join(sorted(threads)))
    grown = len(now.nodes) != len(before.nodes) or len(now.watcher) != len(before.watcher)
    if not grown and len(now.descriptors) > len(before.descriptors):
        # A pool that has grown in this test, or a watcher that began in it, has more pipes: that is not judged.
        opened = {fd: target for fd, target in now.descriptors.items() if before.descriptors.get(fd) != target}
        left.append(f"descriptors {opened}")
    paths = now.paths - before.paths
    if paths:
        left.append("temporary paths " + ", ".join(sorted(paths)))
    return left


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:200] or "zombie"
    except OSError:
        return "?"
