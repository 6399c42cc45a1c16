"""The master's end of the protocol, spoken with one worker of examples/workers for one task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from discolocal.wire.protocol import FrameParser
from discolocal.wire.session import Reply, Session, TaskInput
from examples.workers.make_pack import make_pack

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ROOT / "examples" / "workers"


class Conversation:
    """A worker in a directory of its own and the master's end of its protocol; `ends` is what it said last."""

    def __init__(self, program: Path, home: Path, partitions: int = 1, **task: Any) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        (home / "jobfile").write_bytes(make_pack(program, ["raw://a"], partitions).dumps())
        self.task = {
            "taskid": 7, "master": "http://localhost:8989", "disco_port": 1, "put_port": 2, "ddfs_data": "/nowhere",
            "disco_data": str(home), "stage": "map", "grouping": "split", "group": [0, ""],
            "jobfile": str(home / "jobfile"), "jobname": "Job@1:2:3", "host": "here",
        }  # fmt: skip
        self.task |= task
        self.asked: list[tuple[str, Any]] = []
        self._process = subprocess.Popen(
            [str(program)],
            cwd=home,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._parser = FrameParser()
        self._watchdog = threading.Timer(30, self._process.kill)
        self._watchdog.start()

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """What the worker says, up to the end of its output."""
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):
            self._parser.feed(data)
            while (frame := self._parser.next()) is not None:
                self.asked.append((frame[0], json.loads(frame[1])))
                yield frame
        assert self._parser.pending == b""

    def send(self, data: bytes, pieces: int = 1 << 20) -> None:
        """Send bytes in pieces of a size."""
        assert self._process.stdin is not None
        for start in range(0, len(data), pieces):
            self._process.stdin.write(data[start : start + pieces])

    def close(self) -> int:
        """End of the replies; the exit code."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            return self._process.wait()
        finally:
            self._watchdog.cancel()

    def answer(self, session: Session, pieces: int = 1 << 20) -> Reply:
        """Answer as a master does until the task ends."""
        for name, body in self.messages():
            reply = session.receive(name, body, 0.0)
            if reply.data is not None:
                self.send(reply.data, pieces)
            if reply.end is not None:
                self.close()
                return reply
        self.close()
        raise AssertionError(f"the worker ended without a word after {self.asked}")

    def run(self, *inputs: TaskInput, pieces: int = 1 << 20) -> tuple[str, str, dict[int, bytes]]:
        """Do the whole task; how it ended, and the outputs by label, whose sizes must be right."""
        session = Session(self.task, inputs)
        end = self.answer(session, pieces).end
        assert end is not None
        outputs = {}
        for label, location, size in session.outputs:
            outputs[label] = (self.home / location).read_bytes()
            assert len(outputs[label]) == size
        assert not list(self.home.rglob("*.partial"))
        return end.kind, end.text, outputs


def records(counts: dict[bytes, int]) -> bytes:
    return b"".join(b"%d %b %d %d\n" % (len(w), w, len(str(n)), n) for w, n in sorted(counts.items()))
