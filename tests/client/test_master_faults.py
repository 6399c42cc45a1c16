"""A master that fails, and what its client makes of it (reference 8.9)."""

from __future__ import annotations

import json
import socket
import time

import pytest

from discolocal import CommError, Disco, Job, JobError
from discolocal.schemes import transport
from tests.client.faulty import BUSY, MOVED, VERSION, Server, nobody, reset, say, wait_for_ever
from tests.client.recorded import answer


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
