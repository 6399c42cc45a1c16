"""One node without processes: runs tasks of a job through `serve`, a DirectChannel and a pure Session.

It knows the order of stages of a classic job and nothing else of a cluster, so that worker tests need none.
"""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path
from typing import Any

from discolocal import schemes
from discolocal.job import Job
from discolocal.task import jobdata
from discolocal.wire import index, names, protocol
from discolocal.wire.jobpack import JobPack
from discolocal.wire.session import Session, TaskInput
from discolocal.worker import DirectChannel, serve

HOST = "node1"
JOB = "Test@703:3c361:b91aa"
TEXT = "the quick brown fox\njumps over the lazy dog\nthe end\n" * 3


def ref_records(data: bytes) -> list[Any]:
    """An independent reader of record files: the format as the reference (8.7) states it, nothing of the library."""
    result = []
    at = 0
    while at < len(data):
        assert data[at] == 0x81
        compressed = data[at + 1]
        crc = int.from_bytes(data[at + 2 : at + 6], "little")
        length = int.from_bytes(data[at + 6 : at + 14], "little")
        body = data[at + 14 : at + 14 + length]
        at += 14 + length
        body = zlib.decompress(body) if compressed else body
        assert zlib.crc32(body) == crc
        import io

        stream = io.BytesIO(body)
        while stream.tell() < len(body):
            result.append(pickle.load(stream))
    return result


def words(line: str, params: Any) -> Any:
    """The map of a count of words."""
    for word in line.split():
        yield word, 1


class TaskResult:
    """What a task did: `kind` and `text` of its end, `frames` it sent, `outputs`, `messages`."""

    def __init__(self, node: Node, session: Session, kind: str, served: str, text: str, frames: list[bytes]) -> None:
        self.node = node
        self.kind = kind
        self.served = served
        self.text = text
        self.frames = frames
        self.outputs = session.outputs
        self.messages = [pickle_free(frame) for frame in frames if frame.startswith(b"MSG ")]
        self.warnings = [m for m in self.messages if m.startswith("PortabilityWarning")]

    @property
    def headline(self) -> str:
        return self.text.split("\n", 1)[0]

    def data(self, label: int) -> bytes:
        return b"".join((self.node.home / path).read_bytes() for lab, path, _size in self.outputs if lab == label)

    def records(self, label: int = 0) -> list[Any]:
        return ref_records(self.data(label))

    def by_label(self) -> dict[int, list[Any]]:
        return {label: self.records(label) for label, _path, _size in self.outputs}


def pickle_free(frame: bytes) -> str:
    import json

    return str(json.loads(frame.split(b" ", 2)[2]))


class Node:
    """A job home below `root` laid out as on a node, and the tasks run in it."""

    def __init__(self, root: Path, job: Job, local: dict[str, Any] | None = None, **jobargs: Any) -> None:
        self.root = root
        self.job = job
        self.local = {"seed": 1, "strict": False, "start": "inline"} if local is None else local
        self.home = root / names.job_dir(HOST, JOB)
        (self.home / ".disco").mkdir(parents=True)
        worker = job.worker if job.worker is not None else job.Worker()
        job.worker = worker
        pack = JobPack(1, {}, {}, b"", jobdata(job, jobargs))
        (self.home / "jobfile").write_bytes(pack.dumps())
        self.taskid = -1

    def task(
        self, stage: str, inputs: list[TaskInput], grouping: str = "split", group: tuple[int, str] = (0, HOST)
    ) -> TaskResult:
        """Run one task; index files are written as the master writes them."""
        self.taskid += 1
        payload = {
            "taskid": self.taskid,
            "master": "http://localhost:8989",
            "disco_port": 1,
            "put_port": 2,
            "ddfs_data": str(self.root.parent / "ddfs"),
            "disco_data": str(self.root),
            "stage": stage,
            "grouping": grouping,
            "group": list(group),
            "jobfile": str(self.home / "jobfile"),
            "jobname": JOB,
            "host": HOST,
        }
        if self.local:
            payload["discolocal"] = self.local
        session = Session(payload, inputs, throttle_fatal=False)
        frames: list[bytes] = []
        ends: list[Any] = []

        def node(frame: bytes) -> bytes | None:
            frames.append(frame)
            parser = protocol.FrameParser()
            parser.feed(frame)
            got = parser.next()
            assert got is not None and not parser.pending
            reply = session.receive(*got, 0.0)
            if reply.end is not None:
                ends.append(reply.end)
            return reply.data

        served = serve(DirectChannel(node), local=True)
        end = ends[0] if ends else None
        return TaskResult(self, session, end.kind if end else "none", served, end.text if end else "", frames)

    def index(self, result: TaskResult) -> str:
        """Write the index file of a task; returns its dir:// url."""
        lines = [index.Line(label, names.disco_url(HOST, JOB, path), size) for label, path, size in result.outputs]
        location = f".disco/{result.frames and self.taskid}-{len(os.listdir(self.home / '.disco'))}.results"
        (self.home / location).write_bytes(b"".join(map(index.dump_line, lines)))
        return names.dir_url(HOST, JOB, location)

    def map(self, *replicas: str, host: str = HOST) -> TaskResult:
        return self.task("map", [TaskInput(0, list(replicas))], group=(0, host))

    def shuffle(self, *maps: TaskResult | str, stage: str = "map_shuffle") -> TaskResult:
        urls = [m if isinstance(m, str) else self.index(m) for m in maps]
        return self.task(stage, [TaskInput("all", [url]) for url in urls], "group_node")

    def reduce(self, *inputs: TaskResult | str, label: int = 0) -> TaskResult:
        urls = [i if isinstance(i, str) else self.index(i) for i in inputs]
        return self.task("reduce", [TaskInput(label, [url]) for url in urls], "group_label", (label, ""))

    def run(self, *urls: str) -> dict[int, list[Any]]:
        """All stages over the given inputs; the records of each reduce by label."""
        maps = [self.map(url) for url in urls]
        assert [m.kind for m in maps] == ["done"] * len(maps), [m.text for m in maps]
        shuffled = self.shuffle(*maps)
        assert shuffled.kind == "done", shuffled.text
        results = {}
        for label in sorted({label for label, _p, _s in shuffled.outputs}):
            result = self.reduce(shuffled, label=label)
            assert result.kind == "done", result.text
            results[label] = result.records()
        return results


__all__ = ["HOST", "JOB", "Node", "TaskResult", "ref_records", "schemes"]
