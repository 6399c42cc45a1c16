"""Programs of a user, run as a user runs them, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "DISCOLOCAL_TEST_MARK"


class Program:
    """A program in a directory of its own, with a directory for temporary files that it should leave empty.

    Every process below it inherits a mark in its environment by which it is found, whatever its parent.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.mark = uuid.uuid4().hex
        self.tmp = place / "tmp"
        self.cwd = place / "work"
        self.tmp.mkdir(parents=True)
        self.cwd.mkdir()
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.tmp),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            MARK: self.mark,
        }
        self.process: subprocess.Popen[str] | None = None

    def write(self, name: str, source: str) -> str:
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return str(path)

    def run(self, *command: str, stdin: str | None = None, status: int = 0) -> str:
        """Run a Python program to its end; returns what it printed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.cwd,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.stderr = done.stderr
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a Python program in a process group of its own."""
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self.process

    def interrupt(self) -> None:
        """Ctrl-C: the whole foreground group gets SIGINT."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def processes(self) -> list[int]:
        """Pids of the processes that carry the mark."""
        return [pid for pid in _marked(f"{MARK}={self.mark}") if not _zombie(pid)]

    def leftovers(self) -> list[str]:
        """What is left now: processes and temporary files."""
        return [*(f"process {pid}" for pid in self.processes()), *(f"file {name}" for name in os.listdir(self.tmp))]

    def gone_within(self, seconds: float) -> list[str]:
        """Wait until nothing is left; returns what is left after `seconds`."""
        end = time.monotonic() + seconds
        while (left := self.leftovers()) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def end(self) -> None:
        """Kill what is left of the program, so that one failing test does not disturb the next."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def _marked(text: str) -> list[int]:
    if not os.path.isdir("/proc/self"):
        lines = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True).stdout
        return [int(line.split()[0]) for line in lines.splitlines() if text in line]
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if text.encode() in environ.split(b"\0"):
                found.append(int(name))
    return found


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not os.path.isdir("/proc/self")
