"""Servers of data that fail, and what readers make of it (reference 8.9)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from discolocal import CommError, DataError, result_iterator
from discolocal.schemes import open_url, transport
from tests.client.faulty import BUSY, DATA, Act, Server, contents, cut, nobody, reset, say, serve, wait_for_ever
from tests.client.recorded import answer


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
