"""Fixtures of the behavioural tests: one suite over all the ways in which a worker can start."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from discolocal import LocalCluster
from tests.behaviour import events
from tests.behaviour.classic import TEXT_A, TEXT_B, Write
from tests.behaviour.programs import Program

STARTS = ("fork", "exec", "inline")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most parameters of the tests marked `sampled` where workers are executed.

    Such parameters are values of one kind that the same code looks at in every mode, and a program takes ten times
    longer to start than a fork: its first and last ones say that it is the same code.
    """
    executed: dict[str, list[pytest.Item]] = {}
    for item in items:
        start = getattr(item, "callspec", None) and item.callspec.params.get("start")
        if start == "exec" and item.get_closest_marker("sampled"):
            executed.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left = {item for found in executed.values() for item in found[1:-1]}
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


@pytest.fixture(params=STARTS, scope="module")
def start(request: pytest.FixtureRequest) -> str:
    """How workers start."""
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(start: str) -> Iterator[LocalCluster]:
    """Two nodes that the tests of a module share."""
    with LocalCluster(nodes=2, start=start, seed=7) as started:
        yield started


_events: dict[str, tuple[str, list[Counter[str]]]] = {}
"""By test, without how workers start: the first way it ran, and the events of its jobs."""


@pytest.fixture(autouse=True)
def same_events_however_workers_start(request: pytest.FixtureRequest) -> Iterator[None]:
    """The jobs of a test have the same events whether workers are forks, programs or the test's own thread."""
    if "cluster" not in request.fixturenames or request.node.get_closest_marker("own_events"):
        yield
        return
    cluster: LocalCluster = request.getfixturevalue("cluster")
    before = set(cluster._jobs)
    yield
    names = [name for name in cluster._jobs if name not in before and cluster._jobs[name].ended]
    found = [events.texts(cluster, name) for name in names]
    test = re.sub(rf"\b{cluster.start}\b", "START", request.node.nodeid)
    start, expected = _events.setdefault(test, (cluster.start, found))
    for here, there in zip(found, expected):
        unlike = events.difference(here, there)
        assert not unlike, f"events of {cluster.start} and of {start}: {unlike}"
    assert len(found) == len(expected)


@pytest.fixture(scope="module")
def forked() -> Iterator[LocalCluster]:
    """Two nodes with worker processes, for what cannot be done in the test's own process."""
    with LocalCluster(nodes=2, start="fork", seed=11) as started:
        yield started


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Write a file below the test's directory and return its path."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def texts(write: Write) -> list[str]:
    """The paths of two files of text, the second without a newline at its end."""
    return [write("a.txt", TEXT_A), write("b.txt", TEXT_B)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; it must be empty, or as the test left it, at the end."""
    place = tmp_path / "cwd"
    place.mkdir()
    monkeypatch.chdir(place)
    yield place
    assert os.listdir(place) == [], "something was written to the working directory"


class Server:
    """An HTTP server on loopback. `pages` maps paths to lists of replies (status, headers, body), used in turn."""

    def __init__(self) -> None:
        self.pages: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                replies = outer.pages.get(self.path) or [(404, {}, b"no such page")]
                status, headers, body = replies.pop(0) if len(replies) > 1 else replies[0]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def page(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Add a reply for `path`; the last one is repeated. Returns the url."""
        self.pages.setdefault(path, []).append((status, {k.replace("_", "-"): v for k, v in headers.items()}, body))
        return self.url(path)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server on loopback."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A program of a user that runs in a process of its own."""
    one = Program(tmp_path / "program")
    yield one
    one.end()
