"""Reduce tasks of workers in several languages: indexes, files of this machine and of others, and damaged ones."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from discolocal.wire.session import TaskInput
from tests.conftest import REQUIRED
from tests.foreign.conversation import Conversation, records


def node_files(data: Path) -> list[TaskInput]:
    """The files that two map tasks leave on two nodes, labels 0 and 5; returns the inputs of a reduce of label 5."""
    inputs = []
    for node in ("one", "two"):
        home = data / node / "ab" / "Job@1:2:3"
        (home / ".disco").mkdir(parents=True)
        index = b""
        for label, words in ((0, {b"zero": 1}), (5, {b"five": 5, node.encode(): 1})):
            content = records(words)
            (home / f"part-{label}").write_bytes(content)
            index += b"%d disco://%s/disco/%s/ab/Job@1:2:3/part-%d %d\n" % (
                label, node.encode(), node.encode(), label, len(content),
            )  # fmt: skip
        (home / ".disco" / "map.results").write_bytes(index)
        inputs.append(TaskInput(5, [f"dir://{node}/disco/{node}/ab/Job@1:2:3/.disco/map.results"]))
    return inputs


SUMS = records({b"five": 10, b"one": 1, b"two": 1})


def reduce_of(worker: Path, tmp_path: Path, data: Path, port: int = 1) -> Conversation:
    return Conversation(
        worker, tmp_path / "home", stage="reduce", grouping="group_label", group=[5, ""],
        disco_data=str(data), disco_port=port,
    )  # fmt: skip


def test_a_reduce_reads_its_label_of_every_index(worker: Path, tmp_path: Path) -> None:
    inputs = node_files(tmp_path / "data")
    assert reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs) == ("done", "", {5: SUMS})


def test_all_labels_of_an_index(worker: Path, tmp_path: Path) -> None:
    inputs = [TaskInput("all", one.replicas) for one in node_files(tmp_path / "data")]
    kind, _text, outputs = reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)
    assert (kind, outputs) == ("done", {5: records({b"five": 10, b"one": 1, b"two": 1, b"zero": 2})})


@pytest.mark.parametrize("damage", ["short", "long", "gone", "index", "index cut"])
def test_damaged_files_are_errors(worker: Path, tmp_path: Path, damage: str) -> None:
    inputs = node_files(tmp_path / "data")
    home = tmp_path / "data" / "two" / "ab" / "Job@1:2:3"
    part, index = home / "part-5", home / ".disco" / "map.results"
    if damage == "gone":
        part.unlink()
    elif damage == "short":
        part.write_bytes(part.read_bytes()[:-8])
    elif damage == "long":
        part.write_bytes(part.read_bytes() * 2)
    elif damage == "index":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:-4])
    kind, text, outputs = reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)
    assert (kind, outputs) == ("error", {})
    assert "input 1 cannot be read: dir://two/" in text


def test_records_that_are_none_end_the_job(worker: Path, tmp_path: Path) -> None:
    inputs = node_files(tmp_path / "data")
    part = tmp_path / "data" / "two" / "ab" / "Job@1:2:3" / "part-5"
    part.write_bytes(b"x" * len(part.read_bytes()))
    assert reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)[::2] == ("fatal", {})


class Files(BaseHTTPRequestHandler):
    """A node that serves the files of its data directory; `short` cuts them."""

    data = Path()
    short = False

    def do_GET(self) -> None:
        path = self.data / self.path.removeprefix("/disco/")
        found = self.path.startswith("/disco/") and path.is_file()
        body = path.read_bytes() if found else b"not found"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-1] if self.short else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[False, True], ids=["whole", "short"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Files,), {"data": tmp_path / "elsewhere", "short": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_another_machine_come_by_http(worker: Path, tmp_path: Path, serving: ThreadingHTTPServer) -> None:
    if worker.suffix == ".sh" and shutil.which("curl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("the worker in shell fetches files with curl, which is not here")
    found = [
        TaskInput(5, [url.replace("dir://one/", "dir://localhost/").replace("dir://two/", "dir://localhost/")])
        for one in node_files(tmp_path / "elsewhere")
        for url in one.replicas
    ]
    for index in (tmp_path / "elsewhere").rglob("map.results"):
        text = index.read_text()
        index.write_text(
            text.replace("disco://one/", "disco://localhost/").replace("disco://two/", "disco://127.0.0.1/")
        )
    one = reduce_of(worker, tmp_path, tmp_path / "here", serving.server_port)
    kind, text, outputs = one.run(*found)
    if serving.RequestHandlerClass.short:
        assert (kind, outputs) == ("error", {}) and "input 0 cannot be read: dir://localhost/" in text
    else:
        assert (kind, text, outputs) == ("done", "", {5: SUMS})
