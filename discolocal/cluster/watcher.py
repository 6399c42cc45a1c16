"""The watcher: a tiny process that cleans up after a caller that was killed.

    caller --pipe (commands)--> watcher

While the caller lives the watcher only keeps two lists: directories to remove and node processes to
kill. At end of file it kills those nodes' sessions and removes the directories. The caller sends what
to forget when it cleans up by itself, so after an orderly end there is nothing to do.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading

_PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
roots, nodes = set(), set()
for line in sys.stdin.buffer:
    kind, _, text = line[:-1].partition(b" ")
    things = roots if kind.endswith(b"root") else nodes
    text = bytes.fromhex(text.decode())
    (things.discard if kind.startswith(b"-") else things.add)(text)
def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except OSError:
        return False
def kill(function, pid):
    try:
        function(pid, signal.SIGKILL)
    except OSError:
        pass
nodes = set(map(int, nodes))
end = time.monotonic() + 1.5
while any(map(alive, nodes)) and time.monotonic() < end:
    time.sleep(0.02)
for pid in nodes:
    kill(os.killpg, pid)
if nodes and os.path.isdir("/proc/self"):
    for name in os.listdir("/proc"):
        try:
            with open("/proc/" + name + "/stat", "rb") as file:
                session = int(file.read().rpartition(b")")[2].split()[3])
        except (OSError, ValueError, IndexError):
            continue
        if session in nodes:
            kill(os.kill, int(name))
if roots:
    import shutil
    end = time.monotonic() + 8
    while any(map(os.path.lexists, roots)) and time.monotonic() < end:
        for root in roots:
            shutil.rmtree(root, ignore_errors=True)
        time.sleep(0.05)
"""


class Watcher:
    """A handle on the watcher process, started on first use and again if it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # the collector may close a cluster while it is held
        self._kept: set[tuple[str, bytes]] = set()

    @property
    def pid(self) -> int | None:
        """The watcher's pid, None when there is none for this process."""
        return self._process.pid if self._process is not None else None

    def add_root(self, path: str) -> None:
        """Remove `path` when this process dies."""
        self._change("+root", os.fsencode(path))

    def forget_root(self, path: str) -> None:
        """`path` is gone or is to stay."""
        self._change("-root", os.fsencode(path))

    def add_node(self, pid: int) -> None:
        """Kill the node process (it leads its process group) when this process dies."""
        self._change("+node", b"%d" % pid)

    def forget_node(self, pid: int) -> None:
        """The node process is gone."""
        self._change("-node", b"%d" % pid)

    def _change(self, command: str, text: bytes) -> None:
        with self._lock:
            entry = (command[1:], text)
            (self._kept.add if command[0] == "+" else self._kept.discard)(entry)
            if self._process is None or self._process.poll() is not None:
                if command[0] == "-":
                    return
                self._process = self._start()
                self._send([("+" + kind, kept) for kind, kept in self._kept])
            else:
                self._send([(command, text)])

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-I", "-S", "-c", _PROGRAM]
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True, cwd="/")

    def _send(self, changes: list[tuple[str, bytes]]) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"".join(b"%s %s\n" % (c.encode(), t.hex().encode()) for c, t in changes))
            self._process.stdin.flush()

    def forked(self) -> None:
        """In a fork of the caller the watcher belongs to the parent, and so do the directories it watches."""
        process, self._process, self._kept = self._process, None, set()
        self._lock = threading.RLock()
        if process is not None and process.stdin is not None:
            # Our copy of its pipe would hide the parent's end from it.
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.returncode = 0  # not our child: nothing to wait for

    def close(self) -> None:
        """End the watcher at interpreter exit; what is still on its lists is cleaned up by it."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or process.stdin is None:
                return
            if not self._kept:
                process.kill()
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()


watcher = Watcher()
"""The watcher of this process."""

# Registered when this module is imported, which is before anything that needs the watcher registers
# its own clean-up: so this runs last.
atexit.register(watcher.close)
os.register_at_fork(after_in_child=watcher.forked)
