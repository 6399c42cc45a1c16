"""Prints of tasks, the protocol's channel, and the state of the process around an inline task."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from discolocal.job import Job
from discolocal.wire import protocol
from discolocal.worker import ChannelClosed, DirectChannel, PipeChannel, current, serve
from discolocal.worker.messages import TaskStream
from tests.worker.harness import Node


def printed(tmp_path: Path, function: Any, **local: Any) -> list[str]:
    result = Node(tmp_path / "data", Job(map=function), **local).map("raw://x")
    assert result.kind == "done", result.text
    return result.messages[:-2]


def test_a_line_is_a_message(tmp_path: Path) -> None:
    def prints(line: str, params: Any) -> Any:
        print("a", 1, None)
        print("two\nlines  ")
        print()
        print("   ")
        print("no ", end="")
        print("newline ", end="")
        print("yet")
        sys.stderr.write("to stderr\n")
        print("  indented é \udc80")
        return []

    want = ["a 1 None", "two", "lines", "no newline yet", "to stderr", "  indented é \\udc80"]
    assert printed(tmp_path, prints) == want


def test_an_unfinished_line_comes_at_the_end_even_of_a_failure(tmp_path: Path) -> None:
    def prints(line: str, params: Any) -> Any:
        print("last words", end="")
        raise ValueError

    result = Node(tmp_path / "data", Job(map=prints)).map("raw://x")
    assert result.messages == ["last words"]
    assert result.frames[-2].startswith(b"MSG") and result.frames[-1].startswith(b"FATAL")


def test_logging_and_bytes(tmp_path: Path) -> None:
    def logs(line: str, params: Any) -> Any:
        import logging

        logger = logging.getLogger("dl.test")
        logger.propagate = False
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.warning("careful %d", 3)
        logger.removeHandler(handler)
        sys.stdout.buffer.write(b"raw \xff\n")
        return []

    assert printed(tmp_path, logs) == ["WARNING careful 3", "raw \\xff"]
    assert not logging.getLogger("dl.test").handlers


def test_inline_prints_are_also_shown_with_their_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def prints(line: str, params: Any) -> Any:
        print("hello")
        print("(Pdb) ", end="")
        sys.stdout.flush()
        print("rest")
        print("error", file=sys.stderr)
        return []

    assert printed(tmp_path, prints) == ["hello", "(Pdb) rest", "error"]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "[map:0] hello\n(Pdb) rest\n[map:0] error\n"), "standard output is the caller's own"


STOPS = """
from discolocal import Job, LocalCluster

def map(line, params):
    x = 41
    breakpoint()
    yield line, x

with LocalCluster(nodes=1, start="inline") as cluster:
    print(list(cluster.run(Job(map=map), input=["raw://a"])))
"""


def test_a_debugger_stops_in_an_inline_task_and_is_talked_to(tmp_path: Path) -> None:
    """In a process of its own: pdb reads the real standard input."""
    import subprocess

    (tmp_path / "stops.py").write_text(STOPS)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONBREAKPOINT"}
    environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, str(tmp_path / "stops.py")]
    said = "p x + 1\nx = 7\nc\n"
    done = subprocess.run(command, input=said, capture_output=True, text=True, env=environ, timeout=60, check=True)
    assert done.stdout == "[('a', 7)]\n"
    assert "(Pdb) 42\n(Pdb) " in done.stderr


def test_streams_path_and_current_task_are_restored(tmp_path: Path) -> None:
    before = (sys.stdout, sys.stderr, list(sys.path))
    Node(tmp_path / "1", Job(map=lambda e, p: [(e, 1)])).map("raw://x")
    Node(tmp_path / "2", Job(map=lambda e, p: 1 // 0)).map("raw://x")
    assert (sys.stdout, sys.stderr, sys.path) == before
    assert current() is None


def test_two_inline_tasks_in_threads_keep_their_prints_apart(tmp_path: Path) -> None:
    def prints(line: str, params: Any) -> Any:
        for number in range(50):
            print(line, number)
        yield current().taskid, this_inputs()  # type: ignore[name-defined,union-attr]  # noqa: F821

    results: dict[str, Any] = {}

    def run(name: str) -> None:
        results[name] = Node(tmp_path / name, Job(map=prints, partitions=None)).map(f"raw://{name}")

    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abc":
        result = results[name]
        assert result.kind == "done", result.text
        assert [m for m in result.messages if not m.startswith("PortabilityWarning")][:50] == [
            f"{name} {number}" for number in range(50)
        ]
        assert result.records() == [(0, [[f"raw://{name}"]])]


def test_threads_of_a_task_in_a_process_of_its_own_print_too(tmp_path: Path) -> None:
    def prints(line: str, params: Any) -> Any:
        import threading

        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        return []

    node = Node(tmp_path / "data", Job(map=prints), local={"start": "fork", "strict": False})
    # `local=True` of the harness keeps this process as it is; only the owner of prints matters here.
    assert node.map("raw://x").kind == "done"


def test_a_task_that_the_node_has_given_up_on_is_lost(tmp_path: Path) -> None:
    frames = []

    def node(frame: bytes) -> bytes | None:
        frames.append(frame)
        return protocol.encode_reply("OK", "ok") if frame.startswith(b"WORKER") else None

    assert serve(DirectChannel(node), local=True) == "lost"
    assert len(frames) == 2


def test_system_exit_is_not_caught(tmp_path: Path) -> None:
    def exits(line: str, params: Any) -> Any:
        sys.exit(3)

    with pytest.raises(SystemExit):
        Node(tmp_path / "data", Job(map=exits)).map("raw://x")
    assert not list((tmp_path / "data").rglob("*.partial"))
    assert current() is None


def pipes() -> tuple[PipeChannel, int, int]:
    to_worker_r, to_worker_w = os.pipe()
    from_worker_r, from_worker_w = os.pipe()
    return PipeChannel(to_worker_r, from_worker_w), to_worker_w, from_worker_r


def close(channel: PipeChannel, *fds: int) -> None:
    for fd in {channel._rfd, channel._wfd, *fds}:
        try:
            os.close(fd)
        except OSError:
            pass


def test_a_pipe_channel_survives_any_chunking_of_the_reply() -> None:
    channel, write, read = pipes()
    reply = protocol.encode_reply("INPUT", ["done", [[0, "ok", 0, [[0, "raw://é"]]]]])

    def answer() -> None:
        for byte in reply:
            os.write(write, bytes([byte]))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert channel.request("INPUT", ["exclude", []]) == ("INPUT", ["done", [[0, "ok", 0, [[0, "raw://é"]]]]])
        assert os.read(read, 100) == b'INPUT 15 ["exclude", []]\n'
    finally:
        thread.join()
        close(channel, write, read)


@pytest.mark.parametrize("half", [b"", b'OK 4 "o'])
def test_a_pipe_that_ends_is_a_lost_node(half: bytes) -> None:
    channel, write, read = pipes()
    os.write(write, half)
    os.close(write)
    try:
        with pytest.raises(ChannelClosed):
            channel.request("MSG", "x")
        os.close(read)
        with pytest.raises(ChannelClosed):
            channel.send("DONE", "")
    finally:
        close(channel)


def test_memory_limit_of_the_environment(tmp_path: Path) -> None:
    from discolocal.error import DiscoError
    from discolocal.worker.base import _limit_memory

    _limit_memory("")
    _limit_memory("0")
    _limit_memory("0%")
    with pytest.raises(DiscoError, match="DISCO_WORKER_MAX_MEM"):
        _limit_memory("lots")
    program = (
        "from discolocal.worker.base import _limit_memory; _limit_memory(str(400 << 20))\n"
        "try: bytearray(1 << 30)\nexcept MemoryError: print('limited')"
    )
    import subprocess

    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=root, check=True)
    assert done.stdout == b"limited\n"


def test_a_stream_that_is_given_up_does_nothing() -> None:
    """What a stream does at its end is silenced by Python, Ctrl-C too."""

    class Original(io.StringIO):
        flushed = False

        def flush(self) -> None:
            self.flushed = True

    original = Original()
    stream = TaskStream(original, None)
    data = stream.buffer
    del data, stream
    gc.collect()
    assert not original.flushed and not original.closed
