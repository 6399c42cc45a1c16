"""A master made of recordings: it answers with the recorded bytes, and only to the recorded requests.

    RecordedMaster.expect(exchange, ...)   what will be asked, in this order, and the bytes to answer
    RecordedMaster.files[path] = data      what may be asked for at any time, as the web server of a master serves files

A request that is neither is noted in `problems`, as is an exchange that nobody asked for; the fixture `master` of
tests/client/conftest.py fails the test then.
"""

from __future__ import annotations

import json
import re
import socketserver
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

REASONS = {
    200: "OK",
    201: "Created",
    206: "Partial Content",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Object Not Found",
    413: "Request Entity Too Large",
    416: "Range Not Satisfiable",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
SERVER = "MochiWeb/1.0 (Any of you quaids got a smint?)"


def rendered(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """An answer with the headers that every recorded one has."""
    own = {"Connection": "close", "Content-Length": str(len(body)), "Content-Type": kind, "Server": SERVER}
    return rendered(status, own | headers, body)


class Request(NamedTuple):
    """What a client has sent; `range` and `authorization` are the headers of these names, "" without one."""

    method: str
    path: str
    range: str = ""
    body: bytes | None = None
    authorization: str = ""


class Exchange(NamedTuple):
    """A request that is expected and the bytes that answer it; `body` may be a function that judges the body sent."""

    request: Request
    answer: bytes
    body: Callable[[bytes | None], bool] | None = None

    def matches(self, sent: Request) -> bool:
        """Whether this is the request; bodies that are JSON are compared as values."""
        if (self.request[:3], self.request.authorization) != (sent[:3], sent.authorization):
            return False
        if self.body is not None:
            return self.body(sent.body)
        return self.request.body == sent.body or _same_json(self.request.body, sent.body)


def _same_json(one: bytes | None, other: bytes | None) -> bool:
    try:
        return one is not None and other is not None and json.loads(one) == json.loads(other)
    except ValueError:
        return False


class Recordings:
    """The recorded exchanges of golden/http_api/replies.json, by their names."""

    def __init__(self, golden: Path) -> None:
        self.golden = golden
        self.replies: dict[str, Any] = json.loads((golden / "http_api" / "replies.json").read_text())

    def __getitem__(self, name: str) -> Exchange:
        entry = self.replies[name]
        if "received" in entry:
            return Exchange(_parsed(entry["sent"]), entry["received"].encode("latin-1"))
        sent = entry["request"]
        body = None if sent["body"] is None else sent["body"].encode()
        headers = sent["headers"]
        request = Request(
            sent["method"], sent["path"], headers.get("Range", ""), body, headers.get("Authorization", "")
        )
        return Exchange(request, rendered(entry["status"], entry["headers"], self.body(name)))

    def body(self, name: str) -> bytes:
        """The body of an answer. Long ones were cut when they were recorded: they are made whole from other recordings,
        and compared with what is there."""
        entry = self.replies[name]
        shown = entry["body"]
        known = bytes.fromhex(shown["hex_prefix"]) if isinstance(shown, dict) else shown.encode("utf-8")
        if len(known) == entry["body_len"]:
            return known
        whole = self._whole(name)
        assert whole.startswith(known) and len(whole) == entry["body_len"], f"{name} is not what was recorded"
        return whole

    def _whole(self, name: str) -> bytes:
        if name == "active.joblist":
            rows = json.loads(self.body("joblist"))
            rows[0][1] = "active"
            return json.dumps(rows, separators=(",", ":")).encode()
        if name.startswith("rawevents_range"):
            spec = self.replies[name]["request"]["headers"]["Range"]
            return ranged(self.body("finished_classic_mr.rawevents"), spec)[2]
        if name == "after_crash.rawevents":
            return self.body("finished_classic_mr.rawevents")
        if name.endswith(".parameters") or name == "jobfile_via_disco":
            job = re.search(r"Tee\w+@\w+:\w+:\w+", unquote(self.replies[name]["request"]["path"]))
            assert job is not None
            return self._pack(job[0], self.replies[name])
        raise KeyError(f"{name}: its body is not recorded completely")

    def _pack(self, job: str, entry: dict[str, Any]) -> bytes:
        """A pack from its recorded header, jobdict and jobenvs; blanks in the place of what was not recorded."""
        for path in sorted((self.golden / "protocol_real_worker").glob("*.json")):
            run = json.loads(path.read_text())
            if run["job"] == job:
                break
        else:
            raise KeyError(job)
        head = bytes.fromhex(entry["body"]["hex_prefix"])[:128]
        _magic, first, second, third, _fourth = struct.unpack_from(">5I", head)
        jobdict, jobenvs = (json.dumps(run[part]).encode() for part in ("jobdict", "jobenvs"))
        assert len(jobdict) == second - first
        return (head + jobdict + jobenvs.ljust(third - second)).ljust(entry["body_len"])


def _parsed(sent: str) -> Request:
    head, _, body = sent.partition("\r\n\r\n")
    method, path, _version = head.split("\r\n")[0].split(" ")
    return Request(method, path, "", body.encode("latin-1") if method == "POST" else None)


def ranged(data: bytes, spec: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) for a file and a Range, as the recordings show it: a range that begins at the end of the
    file or behind it is ignored."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", spec)
    if found is None:
        return 200, {}, data
    first, last = found.groups()
    start = int(first) if first else len(data) - int(last)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= len(data):
        return 200, {}, data
    said = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return 206, said, data[start:stop]


class RecordedMaster(socketserver.ThreadingTCPServer):
    """The server. `url` is its address, `asked` what it was asked, `problems` what should not have happened."""

    allow_reuse_address = True
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.expected: list[Exchange] = []
        self.files: dict[str, bytes] = {}
        self.asked: list[Request] = []
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> RecordedMaster:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.problems += [f"never asked: {exchange.request}" for exchange in self.expected]

    def expect(self, *exchanges: Exchange) -> None:
        """Expect these requests, after those that are expected already."""
        self.expected += exchanges

    def answer_to(self, sent: Request) -> bytes:
        """The bytes of the answer to a request."""
        with self._lock:
            self.asked.append(sent)
            if self.expected and self.expected[0].matches(sent):
                return self.expected.pop(0).answer
            if sent.method == "GET" and sent.path in self.files:
                status, headers, body = ranged(self.files[sent.path], sent.range)
                return answer(status, body, "application/octet-stream", **headers)
            wanted = self.expected[0].request if self.expected else "nothing"
            self.problems.append(f"asked {str(sent)[:300]}, expected {str(wanted)[:300]}")
            return answer(500, b"not recorded", "text/plain")

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no problem of the server's."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").split()
        if len(line) != 3:
            return
        headers = {}
        while (text := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length")
        body = self.rfile.read(int(length)) if length is not None else None
        assert isinstance(self.server, RecordedMaster)
        sent = Request(line[0], line[1], headers.get("range", ""), body, headers.get("authorization", ""))
        self.wfile.write(self.server.answer_to(sent))
