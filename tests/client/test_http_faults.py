"""Servers that fail, and what the client of a master and the reader of data make of it (reference 8.9)."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from discolocal import CommError, DataError, Disco, DiscoError, Job, JobError, result_iterator
from discolocal.schemes import open_url, transport
from discolocal.util import read_index
from tests.client.recorded import answer, ranged

Act = Callable[[socket.socket, bytes], None]
LARGE = 1 << 20  # bytes of a request's body that the server leaves to the act


class Server:
    """Does with its n-th connection what the n-th act says, and with all later ones what the last says.

    An act gets the connection and the head of the request. `heads` are all heads so far.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.acts: list[Act] = []
        self.heads: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(10)
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(1 << 16)
                    if not part:
                        return  # `close` has knocked
                    head += part
                head, _, body = head.partition(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                while len(body) < int(length or 0) < LARGE:
                    body += connection.recv(1 << 16)
                act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                try:
                    act(connection, head + b"\r\n\r\n" + body)
                except OSError:
                    pass  # the client went away

    def close(self) -> None:
        with socket.create_connection(self.socket.getsockname()):
            pass
        self._thread.join()
        self.socket.close()

    def ranges(self) -> list[str]:
        lines = [line for head in self.heads for line in head.decode().split("\r\n")]
        return [line.partition(": ")[2] for line in lines if line.startswith("Range:")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    monkeypatch.setattr("discolocal.monitor.POLL_PAUSE", 0.001)
    monkeypatch.delenv("DISCO_PROXY", raising=False)
    found = Server()
    yield found
    found.close()


def say(data: bytes) -> Act:
    return lambda connection, head: connection.sendall(data)


def reset(data: bytes) -> Act:
    """Send something, then break the connection."""

    def act(connection: socket.socket, head: bytes) -> None:
        connection.sendall(data)
        time.sleep(0.05)  # else what was sent is lost with the connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return act


def wait_for_ever(connection: socket.socket, head: bytes) -> None:
    connection.recv(1)  # until the client gives up


BUSY = say(answer(503, b"Maximum number of downloaders reached. Try again later", "text/plain"))
VERSION = say(answer(200, b'"0.5.4"'))
MOVED = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {}\r\n\r\n"


def nobody() -> str:
    """The url of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"http://127.0.0.1:{found.getsockname()[1]}"


# A master


def test_a_master_that_is_not_there() -> None:
    url = nobody()
    began = time.monotonic()
    with pytest.raises(CommError) as caught:
        Disco(url).submit(b"x")
    assert caught.value.code is None and time.monotonic() - began < 5
    assert str(caught.value).startswith(f"Unable to access resource ({url}/disco/job/new): ")
    assert "Connection refused" in str(caught.value) and f"is a Disco master running at {url}?" in str(caught.value)


BAD_ANSWERS = {
    "nothing": (b"", "Remote end closed connection"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "BadStatusLine"),
    "not JSON": (answer(200, b"<html>hello</html>"), "Not what a Disco master answers: b'<html>hello"),
    "empty": (answer(200, b""), "Not what a Disco master answers"),
    "cut JSON": (answer(200, b'["ok","a@1:2:3"'), "Not what a Disco master answers"),
    "not UTF-8": (answer(200, b'["\xff"]'), "Not what a Disco master answers"),
    "deep JSON": (answer(200, b"[" * 200_000), "Not what a Disco master answers"),
    "another shape": (answer(200, b'{"ok":"a@1:2:3"}'), "Not what a Disco master answers"),
    "short": (answer(200, b'"0.5.4"').replace(b"Content-Length: 7", b"Content-Length: 99"), "92 bytes are missing"),
    "bad chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "Connection lost"),
    "bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{", "Not what a Disco master answers"),
    "long header": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "LineTooLong"),
    "500": (answer(500, b"Internal server error"), r"Internal server error \(500\)"),
    "403": (answer(403, b"No new jobs should be submitted to this cluster."), r"No new jobs .*\(403\)"),
    "moved": (MOVED.format("http://127.0.0.1:9/").encode(), r"Found \(302\)"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_to_a_submission(server: Server, case: str) -> None:
    data, text = BAD_ANSWERS[case]
    server.acts = [say(data)]
    with pytest.raises(CommError, match=text) as caught:
        Disco(server.url).submit(b"x")
    assert caught.value.url == f"{server.url}/disco/job/new"
    assert len(server.heads) == 1, "a pack is submitted once"


@pytest.mark.parametrize("body", [b"[1]", b'[["a"]]', b'[["other",["ready",[]]]]', b'[["a",["ready"]]]', b"{}", b"[]"])
def test_results_of_another_shape(server: Server, body: bytes) -> None:
    server.acts = [say(answer(200, body))]
    with pytest.raises(CommError, match="Not what a Disco master answers"):
        Disco(server.url).results("a")


@pytest.mark.parametrize(
    "body",
    [b"[1]", b"[[]]", b'[["a"]]', b'[[1,"ready","a",2]]', b'[["1","ready","a"]]', b"[[1,2,3]]", b"[[true,[],{}]]"],
)
def test_a_list_of_jobs_of_another_shape(server: Server, body: bytes) -> None:
    server.acts = [say(answer(200, body))]
    with pytest.raises(CommError, match="Not what a Disco master answers"):
        Disco(server.url).joblist()


@pytest.mark.parametrize("body", [b'{"a": 1}', b"[]", b"5", b"null"])
def test_a_version_of_another_shape(server: Server, body: bytes) -> None:
    server.acts = [say(answer(200, body))]
    with pytest.raises(CommError, match="Not what a Disco master answers"):
        Disco(server.url).version()


def test_a_connection_that_breaks_in_an_answer(server: Server) -> None:
    server.acts = [reset(answer(200, b'"0.5.4"' + b" " * 90)[:-50])]
    with pytest.raises(CommError, match="Connection lost after"):
        Disco(server.url).version()


def test_too_large_an_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LIMIT", 100_000)
    server.acts = [say(answer(200, b" " * 200_000))]
    with pytest.raises(CommError, match="more than 100000 bytes"):
        Disco(server.url).version()


def test_a_busy_master_is_asked_again(server: Server) -> None:
    server.acts = [BUSY, BUSY, VERSION]
    assert Disco(server.url).version() == "0.5.4"
    server.acts = [BUSY, say(answer(200, b'["ok","a@1:2:3"]'))]
    assert Disco(server.url).submit(b"x") == "a@1:2:3"


def test_a_master_that_stays_busy(server: Server) -> None:
    server.acts = [BUSY]
    with pytest.raises(CommError, match=r"Maximum number of downloaders reached. Try again later \(503\)"):
        Disco(server.url).version()
    assert len(server.heads) == 10


def test_a_silent_master(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.1)
    monkeypatch.setattr("discolocal.core.SUBMIT_TIMEOUT", 0.1)
    server.acts = [wait_for_ever]
    disco = Disco(server.url)
    for question in (disco.version, lambda: disco.submit(b"x"), lambda: disco.results("a", timeout=0)):
        with pytest.raises(CommError, match="timed out"):
            question()
    assert len(server.heads) == 3


def test_a_verdict_before_the_pack_is_read(server: Server) -> None:
    def refuse(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(413, b"Job packet too large", "text/plain"))
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.1)  # and then closes, with the rest of the pack unread

    server.acts = [refuse]
    with pytest.raises(CommError, match=r"Job packet too large \(413\)"):
        Disco(server.url).submit(b"x" * (32 << 20))


def test_redirects(server: Server) -> None:
    server.acts = [say(MOVED.format("/elsewhere").encode()), VERSION]
    assert Disco(server.url).version() == "0.5.4"
    server.acts = [say(MOVED.format("/disco/version").encode())]
    with pytest.raises(CommError, match="More than 10 redirects"):
        Disco(server.url).version()
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        server.acts = [say(MOVED.format(place).encode())]
        with pytest.raises(CommError, match="Not a url of http"):
            Disco(server.url).version()
    for place in ("http://[::1/x", "http://127.0.0.1:99999/x", "//[/x", "http://127.0.0.1:x/"):
        server.acts = [say(MOVED.format(place).encode())]
        with pytest.raises(CommError, match="Bad url"):
            Disco(server.url).version()


def test_waiting_survives_a_master_that_fails_now_and_then(server: Server) -> None:
    active = say(answer(200, b'[["a",["active",[]]]]'))
    failing = [say(b"")] * 9
    server.acts = [*failing, active, *failing, active, say(answer(200, b'[["a",["ready",[["raw://x"]]]]]'))]
    assert Disco(server.url).wait("a", poll_interval=0) == [["raw://x"]]


def test_waiting_does_not_flood_a_master(server: Server) -> None:
    """With an interval of 0, and when a master answers before the time it was given is over."""
    server.acts = [say(answer(200, b'[["a",["active",[]]]]'))]
    for interval in (0, 0.001, 2):
        del server.heads[:]
        with pytest.raises(JobError, match="Timeout"):
            Disco(server.url).wait("a", poll_interval=interval, timeout=0.35)
        assert 2 <= len(server.heads) <= 5


def test_waiting_ends_when_the_master_is_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.acts = [say(answer(200, b'[["a",["active",[]]]]')), say(b"")]
    with pytest.raises(JobError, match="its master did not answer 10 times in a row: Unable to access") as caught:
        Disco(server.url).wait("a", poll_interval=0)
    assert isinstance(caught.value.__cause__, CommError)
    assert len(server.heads) == 11
    server.acts = [say(b"")]
    with pytest.raises(JobError, match="Timeout"):
        Disco(server.url).wait("a", poll_interval=30, timeout=0.05)
    with pytest.raises(ValueError, match="poll_interval=-1"):
        Job("a", master=server.url).wait(poll_interval=-1)


def test_a_dead_job_whose_events_cannot_be_read(server: Server) -> None:
    server.acts = [say(answer(200, b'[["a",["dead",[]]]]')), say(answer(404, b"Not found.", "text/plain"))]
    with pytest.raises(JobError, match=r"Status dead \(why cannot be found out: .*unknown job\)"):
        Disco(server.url).wait("a")


CAUSES = {
    "first line": (["WARNING: [map:3] ValueError: x\nTraceback (most recent call last):\n  File"], "ValueError: x"),
    "last line": (["FATAL: [a b:3] x", "FATAL: [map:0] Traceback (most recent call last):\n  x\nE: y\n\n"], "E: y"),
    "of the master": (["ERROR: Job killed due to an internal exception: {badmatch}"], "Job killed due to an internal"),
    "limit alone": (["ERROR: [map:0] Task map:0 failed 3 times. At most 2 failures are allowed."], "failed 3 times"),
    "no failure": (["MSG: [map:0] FATAL: [map:0] x", "DONE: [map:0] y"], "Status dead$"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_of_a_death(server: Server, case: str) -> None:
    texts, headline = CAUSES[case]
    log = "".join(json.dumps(["2026/11/21 07:38:42", "master", text]) + "\n" for text in texts).encode()
    server.acts = [say(answer(200, b'[["a",["dead",[]]]]')), say(answer(200, log, "text/plain"))]
    with pytest.raises(JobError, match=headline):
        Disco(server.url).wait("a")


# Data


def serve(data: bytes, **headers: str) -> Act:
    """A server that knows ranges, as a node does."""

    def act(connection: socket.socket, head: bytes) -> None:
        connection.sendall(ranged_answer(data, head, **headers))

    return act


def ranged_answer(data: bytes, head: bytes, **headers: str) -> bytes:
    spec = next((line[7:] for line in head.decode().split("\r\n") if line.startswith("Range: ")), "")
    status, said, body = ranged(data, spec)
    return answer(status, body, "application/octet-stream", **said, **headers)


def cut(data: bytes, keep: int, way: Callable[[bytes], Act] = say) -> Act:
    """The same with only so many bytes of the body."""

    def act(connection: socket.socket, head: bytes) -> None:
        whole = ranged_answer(data, head)
        way(whole[: whole.index(b"\r\n\r\n") + 4 + keep])(connection, head)

    return act


def contents(url: str) -> bytes:
    file, _size, _url = open_url(url)
    with file:
        return bytes(file.read())


DATA = bytes(range(256)) * 400


@pytest.mark.parametrize("way", [say, reset], ids=["short", "reset"])
def test_data_is_read_on_where_the_connection_broke(
    server: Server, monkeypatch: pytest.MonkeyPatch, way: Callable[[bytes], Act]
) -> None:
    server.acts = [cut(DATA, 70_000, way), cut(DATA, 10_000, way), serve(DATA)]
    assert contents(f"{server.url}/x") == DATA
    monkeypatch.setattr(transport, "BLOCK", 30_000)
    del server.heads[:]
    server.acts = [serve(DATA), cut(DATA, 5, way), say(b""), BUSY, serve(DATA)]
    assert contents(f"{server.url}/x") == DATA
    starts = [int(spec.partition("=")[2].partition("-")[0]) for spec in server.ranges()]
    got = 5 if way is say else 0  # a broken connection takes with it what was not read yet
    assert starts == [0, 30_000, *[30_000 + got] * 3, 60_000 + got, 90_000 + got]


def test_any_number_of_breaks_is_survived_while_data_comes(server: Server) -> None:
    server.acts = [cut(DATA, 7_000)]
    assert contents(f"{server.url}/x") == DATA
    assert len(server.heads) == 15


def test_a_server_without_ranges(server: Server) -> None:
    server.acts = [say(answer(200, DATA, "text/plain"))]
    assert contents(f"{server.url}/x") == DATA and len(server.heads) == 1
    server.acts = [say(answer(200, DATA, "text/plain")[:-10])]
    with pytest.raises(DataError, match="10 bytes are missing"):
        contents(f"{server.url}/x")
    server.acts = [reset(answer(200, DATA, "text/plain")[:-10])]
    with pytest.raises(DataError, match="Connection lost|10 bytes are missing"):
        contents(f"{server.url}/x")


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/*\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: lines 0-4/5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_ranges_of_another_kind(server: Server, first: bytes) -> None:
    server.acts = [say(first), say(answer(200, b"all of it", "text/plain"))]
    assert contents(f"{server.url}/x") == b"all of it"
    assert len(server.ranges()) == 1


def test_no_data(server: Server) -> None:
    server.acts = [serve(b"")]
    assert contents(f"{server.url}/x") == b""


def test_data_that_changes_while_it_is_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BLOCK", 60_000)
    for second in (serve(DATA + b"x"), serve(DATA[:50_000]), serve(DATA, ETag="b"), say(answer(404, b"gone"))):
        server.acts = [serve(DATA, ETag="a"), second]
        with pytest.raises(DataError, match="It has changed while it was read: no bytes from 60000 on"):
            contents(f"{server.url}/x")


def test_a_server_that_never_sends_the_rest(server: Server) -> None:
    empty = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-20/102400\r\nContent-Length: 0\r\n\r\n"
    for rest in (say(empty), cut(DATA, 0), cut(DATA, 0, reset)):
        server.acts = [cut(DATA, 10), rest]
        del server.heads[:]
        with pytest.raises(DataError, match="bytes are missing|no bytes from 10 on|Connection lost"):
            contents(f"{server.url}/x")
        assert 10 <= len(server.heads) <= 11


def test_a_slow_node(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.1)
    server.acts = [wait_for_ever, serve(DATA)]
    assert contents(f"{server.url}/x") == DATA

    def stop(connection: socket.socket, head: bytes) -> None:
        cut(DATA, 9)(connection, head)
        wait_for_ever(connection, head)

    server.acts = [stop, serve(DATA)]
    assert contents(f"{server.url}/x") == DATA


def test_a_node_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    with pytest.raises(CommError, match=r"Connection refused \(tried 10 times\)"):
        contents(f"{nobody()}/x")


def test_a_task_of_a_local_cluster_does_not_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNIT", 1e6)
    monkeypatch.setattr(transport, "LOCAL_UNIT", 0.0001)
    task: Any = SimpleNamespace(local={"start": "fork"})
    with pytest.raises(CommError, match="tried 10 times"):
        open_url(f"{nobody()}/x", task)


def test_a_host_that_does_not_exist_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(*args: object, **kwds: object) -> None:
        asked.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CommError, match="Name or service not known"):
        contents("http://nosuchhost/x")
    assert len(asked) == 1


@pytest.mark.parametrize("url", ["http://", "http://[::1/x", "http://h:port/x", "http://h\n/x"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(CommError):
        contents(url)


@pytest.mark.parametrize("place", ["h:99999", "h:0", "h:-1", "[::1", "[::1]:65536", "u:p@h:70000"])
def test_a_place_that_cannot_be_is_not_looked_for(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwds: asked.append(args) or [])
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    for url in (f"http://{place}/x", f"disco://{place}/disco/h/00/j@1:2:3/x"):
        with pytest.raises(CommError, match="Bad url"):
            contents(url)
    assert asked == []


def test_pauses_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.randint", lambda low, high: high)
    assert list(transport.pauses(1.0)) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert sum(transport.pauses(1.0)) == 511
    monkeypatch.setattr("random.randint", lambda low, high: low)
    assert list(transport.pauses(0.5)) == [0.5] * 9
    assert (transport.UNIT, transport.ATTEMPTS, transport.BLOCK) == (1.0, 10, 10 * 1024 * 1024)


def test_the_next_replica_is_read_where_a_node_fails(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    lines = b"".join(b"%d\n" % number for number in range(20_000))
    server.acts = [say(answer(200, lines, "text/plain")[:-70_000]), serve(lines)]
    found = list(result_iterator([[f"{server.url}/a", f"{nobody()}/b", f"{server.url}/c"]], reader=None))
    assert "".join(found).encode() == lines


def test_an_index_that_cannot_be_had(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    server.acts = [say(answer(404, b"Not found.", "text/plain"))]
    with pytest.raises(CommError, match=r"Not found. \(404\)"):
        list(result_iterator(["dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"]))
    server.acts = [say(answer(200, b"<html>\n", "text/html"))]
    with pytest.raises(DataError, match="Bad line 1 in index"):
        list(result_iterator(["dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"]))
    with pytest.raises(DiscoError, match="DDFS"):
        list(result_iterator(["tag://disco:results:j@1:2:3"]))


INDEX = "dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"


@pytest.mark.parametrize(
    "form", ["{}", "file://{}", "file:///{}", "FILE://{}", "file://localhost{}", "tag://{}", "x://{}"]
)
def test_an_index_from_elsewhere_cannot_name_files_of_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    (tmp_path / "secret").write_text("secret\n")
    url = form.format(tmp_path / "secret")
    server.acts = [say(answer(200, f"0 raw://harmless 8\n0 {url} 7\n".encode(), "text/plain"))]
    job = Job(map=lambda line, params: [(line, 1)])
    readers: list[Callable[[], Any]] = [
        lambda: list(result_iterator([INDEX], reader=None)),
        lambda: list(open_url(INDEX)[0]),
        lambda: read_index(INDEX),
        lambda: job.pack(input=[INDEX]),
    ]
    for reader in readers:
        with pytest.raises(DataError) as caught:
            reader()
        assert caught.value.url == INDEX and repr(url) in str(caught.value)


def test_an_index_from_elsewhere_names_what_others_serve(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    inner = INDEX.replace("map-0", "map-1")
    index = f"0 raw://one 3\n1 {server.url}/x 4\n0 {INDEX.replace('dir:', 'disco:')} 4\n0 {inner} 4\n"
    data = say(answer(200, b"data", "text/plain"))
    server.acts = [
        say(answer(200, index.encode(), "text/plain")),
        data,
        data,
        say(answer(200, b"0 raw://two 3\n")),
        data,
    ]
    assert list(result_iterator([INDEX], reader=None)) == ["one", "data", "data", "two"]


def test_an_index_that_unpacks_to_too_much(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    monkeypatch.setattr("discolocal.wire.index.MAX_SIZE", 100_000)
    text = b"0 raw://x 1\n" * 10_000
    for body in (text, gzip.compress(text), gzip.compress(text[:60_000]) * 2, text[:-1]):
        server.acts = [say(answer(200, body, "text/plain"))]
        with pytest.raises(DataError, match=r"more than 100000 bytes") as caught:
            read_index(INDEX)
        assert caught.value.url == INDEX
    server.acts = [say(answer(200, gzip.compress(text[:60_000]), "text/plain"))]
    assert len(read_index(INDEX)) == 5000


def test_a_node_of_the_same_name_as_a_local_one(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A local cluster calls its nodes node1, node2, ...: so do many real ones."""
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    monkeypatch.setattr("discolocal.schemes.data_roots", [str(tmp_path)])
    (tmp_path / "127.0.0.1" / "00" / "local@1:2:3").mkdir(parents=True)
    server.acts = [say(answer(200, b"data", "text/plain"))]
    for job in ("01/other@1:2:3", "00/other@1:2:3", "00/local@1:2:30"):
        assert contents(f"disco://127.0.0.1/disco/127.0.0.1/{job}/file") == b"data"
    asked = len(server.heads)
    with pytest.raises(DataError, match=r"No such file \("):
        contents("disco://127.0.0.1/disco/127.0.0.1/00/local@1:2:3/file")
    assert len(server.heads) == asked
    server.acts = [say(answer(404, b"Not found.", "text/plain"))]
    with pytest.raises(CommError, match=r"Not found\..* nor .*" + re.escape(str(tmp_path))) as caught:
        contents("disco://127.0.0.1/disco/127.0.0.1/00/other@1:2:3/file")
    assert caught.value.code == 404


def test_what_a_local_cluster_has_no_more_is_missed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network a name cannot be looked up, and looking again would take minutes."""
    asked: list[object] = []

    def offline(*args: object, **kwds: object) -> None:
        asked.append(args)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(transport, "UNIT", 0.0001)
    monkeypatch.setattr("discolocal.schemes.data_roots", [str(tmp_path)])
    (tmp_path / "node1").mkdir()
    with pytest.raises(DataError, match=r"No such file \("):
        contents("disco://node1/disco/node1/00/purged@1:2:3/file")
    assert len(asked) == 1
