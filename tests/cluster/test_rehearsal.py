"""Tasks that a node runs before the workers that are forked from it: what they leave is what Python has learned."""

from __future__ import annotations

import dis
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.cluster import fork, rehearsal
from discolocal.cluster.execution import TaskRun
from discolocal.cluster.homes import WORKERS

PROGRAM = """
import dis, sys
from discolocal.cluster import rehearsal
from discolocal.wire.protocol import FrameParser
from discolocal.worker import base, serving

def adapted():
    # An instruction that Python has adapted to what it works on has another name than in the code as compiled.
    functions = (serving._run, base.Worker.start, FrameParser.next)
    return [
        any(now.opname != then.opname and not now.opname.endswith(("_ADAPTIVE", "_QUICK"))
            for now, then in zip(dis.get_instructions(f, adaptive=True), dis.get_instructions(f)))
        for f in functions
    ]

print(adapted())
rehearsal.rehearse(sys.argv[1], sys.argv[2])
print(adapted())
"""


@pytest.mark.parametrize("worker", WORKERS)
def test_all_stages_are_played_to_their_end_and_write_their_outputs(
    worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []

    class Watched(TaskRun):
        def feed(self, data: bytes) -> bytes:
            answer = super().feed(data)
            if self.end is not None:
                ends.append((self.order.stage, self.end.kind, len(self.end.outputs)))
            return answer

    monkeypatch.setattr(rehearsal, "TaskRun", Watched)
    rehearsal.rehearse(worker, str(tmp_path))
    stages = [stage.name for stage in rehearsal._STAGES[worker]]
    assert ends == [(name, "done", 1) for name in stages] * rehearsal._ROUNDS


@pytest.mark.parametrize("worker", WORKERS)
def test_nothing_of_the_process_is_changed_and_no_file_is_left(worker: str, tmp_path: Path) -> None:
    def state() -> list[Any]:
        import gc
        import signal

        return [
            dict(os.environ), list(sys.path), os.getcwd(), sys.stdout, sys.stderr, sys.stdin, gc.get_threshold(),
            sys.dont_write_bytecode, sorted(os.listdir("/dev/fd")), signal.getsignal(signal.SIGINT), os.umask(0o22),
            list(tmp_path.iterdir()),
        ]  # fmt: skip

    os.umask(0o22)
    rehearsal.rehearse(worker, str(tmp_path))
    before = state()
    rehearsal.rehearse(worker, str(tmp_path))
    assert state() == before
    assert before[-1] == []


def test_what_cannot_be_rehearsed_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal.rehearse(WORKERS[0], str(tmp_path / "missing"))
    rehearsal.rehearse("worker.py", str(tmp_path))  # a program of the user's own
    descriptors = sorted(os.listdir("/dev/fd"))

    class Deaf(TaskRun):
        def feed(self, data: bytes) -> bytes:
            return b""

    monkeypatch.setattr(rehearsal, "TaskRun", Deaf)
    rehearsal.rehearse(WORKERS[0], str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert sorted(os.listdir("/dev/fd")) == descriptors


@pytest.mark.skipif(
    sys.version_info < (3, 11) or not hasattr(dis, "_unpack_opargs"), reason="CPython adapts since 3.11"
)
@pytest.mark.parametrize("worker", WORKERS)
def test_functions_of_worker_and_node_are_adapted_afterwards(worker: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, worker, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[False, False, False]\n[True, True, True]\n", "")


def record(line: str, params: Any) -> Iterator[tuple[str, int]]:
    import sys

    yield line, "discolocal.cluster.rehearsal" in sys.modules


def test_a_node_rehearses_when_many_tasks_follow_one_another(tmp_path: Path) -> None:
    number = fork._REHEARSE_AFTER + 2 * fork._MOST_SPARES + 2
    with LocalCluster(nodes=1, root=str(tmp_path / "root")) as cluster:
        results = list(cluster.run(Job(map=record), input=[f"raw://{n:03}" for n in range(number)]))
        assert sorted(line for line, _ in results) == [f"{n:03}" for n in range(number)]
        assert not list((tmp_path / "root").rglob("rehearsal-*"))
    assert any(late for _, late in results), "the last tasks run in forks of a node that has rehearsed"
