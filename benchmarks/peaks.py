"""Peak memory of a process and of everything it starts, from /proc.

    watcher thread --- every 20 ms ---> /proc/<pid>/task/*/children, down the whole tree
                                        /proc/<pid>/status: VmHWM, the kernel's own high-water mark

A process that was seen once is followed until it ends, also when its parent is gone. A process that lives less than
an interval may be missed, and what a process grew in its last moments; `os.wait4` of the runner tells the peak of the
largest one without such a gap, provided that every process was waited for by its parent. Where there is no /proc,
nothing is seen.
"""

from __future__ import annotations

import threading
from pathlib import Path

INTERVAL = 0.02
PROC = Path("/proc")


class Watcher:
    """Context manager that follows process `pid` and its descendants; `peaks` has their peaks afterwards."""

    def __init__(self, pid: int) -> None:
        self.peaks: dict[int, float] = {}  # MB (10**6 bytes) by pid
        self.names: dict[int, str] = {}
        self._alive = {pid}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peaks", daemon=True)

    def __enter__(self) -> Watcher:
        if PROC.is_dir():
            self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        """One pass over all processes known and their children."""
        todo = list(self._alive)
        while todo:
            pid = todo.pop()
            peak = _peak(pid)
            if peak is None:
                self._alive.discard(pid)
                continue
            self.peaks[pid] = max(peak, self.peaks.get(pid, 0.0))
            self.names[pid] = _name(pid) or self.names.get(pid, "")
            fresh = _children(pid) - self._alive
            self._alive |= fresh
            todo.extend(fresh)

    def largest(self, count: int = 10) -> list[tuple[str, float]]:
        """The largest processes, as (command line, MB)."""
        ordered = sorted(self.peaks.items(), key=lambda item: -item[1])
        return [(self.names[pid], peak) for pid, peak in ordered[:count]]


def _peak(pid: int) -> float | None:
    """VmHWM in MB, or None when the process has ended."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def _name(pid: int) -> str:
    """The command line, cut to one short line; empty when the process has ended."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return " ".join(" ".join(Path(word.decode("utf-8", "replace")).name for word in words).split())[:60]


def _children(pid: int) -> set[int]:
    """The children of all threads of a process."""
    found: set[int] = set()
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            found.update(int(word) for word in (thread / "children").read_text().split())
    except OSError:
        pass  # the process or the thread has just ended
    return found
