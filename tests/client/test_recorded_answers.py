"""Every recorded answer of a real master, byte for byte, to the request of the client that asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from discolocal import CommError, Disco, DiscoError, JobError
from discolocal.schemes import open_url, transport
from tests.client.recorded import Exchange, RecordedMaster, Recordings, Request, ranged

NOT_SENT = {
    "put_disco": "a client of a master puts nothing",
    "tag_put": "tags are not written",
    "tag_attr_put": "tags are not written",
    "tag_delete": "tags are not written",
    "oob_tag": "by `oob_list` and `oob_get`, see test_oob.py",
    "oob_tag_profile": "by `profile_stats`, see test_oob.py",
    "dir_index_head": "HEAD is asked of nobody: a master does not know it",
    "raw.head_version": "HEAD is asked of nobody: a master does not know it",
    "dir_index_range_suffix": "no range counts from the end",
    "dir_index_range_past_end": "a range begins where the one before has ended",
    "rawevents_range_zero": "no range from the beginning",
    "dir_index_multirange": "one range at a time",
    "raw.get_version_1.0": "HTTP/1.1 is spoken; the answer is that of raw.get_version_1.1",
    "root": "the page of the web interface, which was not recorded completely",
}
"""Recorded exchanges whose requests a client does not send, and why."""

BY_DATA_READER = {"dir_index_range": 10, "data_file": 14}
"""Exchanges of `test_data_files_are_asked_for_in_ranges`, and the size of the range for which they were recorded."""

RAW = {name: f"/disco/{path}" for name, path in {
    "raw.get_version_1.1": "version",
    "raw.post_get_results": "ctrl/get_results",
    "raw.post_job_no_content_length": "job/new",
    "raw.post_job_too_large": "job/new",
    "raw.expect100": "job/new",
    "raw.chunked_job": "job/new",
}.items()}  # fmt: skip
"""Recorded on the wire, by a client of another kind: the bytes answer what ours sends to the same place."""

Call = Callable[..., Any]

QUESTIONS: dict[str, tuple[set[str], Call]] = {
    "jobinfo": ({"name"}, lambda disco, name: disco.jobinfo(name)),
    "rawevents": ({"name"}, lambda disco, name, offset=0: list(disco.events(name, offset))),
    "jobevents": ({"name"}, lambda disco, name: disco.jobevents(name)),
    "jobevents num": ({"name", "num"}, lambda disco, name, num: disco.jobevents(name, int(num))),
    "jobevents num filter": (
        {"name", "num", "filter"},
        lambda disco, **more: disco.jobevents(more.pop("name"), **more),
    ),
    "parameters": ({"name"}, lambda disco, name: disco.jobpack(name).jobdict),
    "get_stageresults": ({"name", "stage"}, lambda disco, name, stage: disco.stageresults(name, stage)),
    "nodeinfo": (set(), lambda disco: disco.nodeinfo()),
    "joblist": (set(), lambda disco: disco.joblist()),
    "load_config_table": (set(), lambda disco: disco.get_config()),
    "get_settings": (set(), lambda disco: disco.get_settings()),
    "get_blacklist": (set(), lambda disco: disco.get_blacklist()),
    "get_gc_blacklist": (set(), lambda disco: disco.get_gc_blacklist()),
}
"""For a GET of /disco/ctrl/<operation>: the names in its query, and the method that sends it."""

ORDERS: dict[str, tuple[Callable[[Any], bool], Call]] = {
    "kill_job": (lambda value: isinstance(value, str), lambda disco, name: disco.kill(name)),
    "clean_job": (lambda value: isinstance(value, str), lambda disco, name: disco.clean(name)),
    "purge_job": (lambda value: isinstance(value, str), lambda disco, name: disco.purge(name)),
    "blacklist": (lambda value: isinstance(value, str), lambda disco, node: disco.blacklist(node)),
    "whitelist": (lambda value: isinstance(value, str), lambda disco, node: disco.whitelist(node)),
    "save_settings": (lambda value: isinstance(value, dict), lambda disco, settings: disco.save_settings(settings)),
    "save_config_table": (
        lambda value: all(isinstance(cell, str) for row in value for cell in row),
        lambda disco, table: disco.set_config(table),
    ),
    "get_results": (
        lambda value: len(value) == 2 and isinstance(value[0], int) and isinstance(value[1], list),
        lambda disco, value: disco.results(value[1], timeout=value[0]),
    ),
}
"""For a POST: whether a method sends such a value, and that method."""


def value_of(body: bytes | None) -> Any:
    try:
        return json.loads(body or b"")
    except ValueError:
        return None


def partial_call(call: Call, **arguments: Any) -> Call:
    return lambda disco: call(disco, **arguments)


def call_of(request: Request) -> tuple[str, Call]:
    """The operation and the call of a client that sends this request: a method, or `Disco.request` ("")."""
    parts = urlsplit(request.path)
    operation = parts.path.removeprefix("/disco/ctrl/")
    arguments: dict[str, Any] = dict(parse_qsl(parts.query))
    offset = int(request.range.removeprefix("bytes=").removesuffix("-") or 0)
    for key, (names, call) in QUESTIONS.items():
        as_sent = request.method == "GET" and "@" not in request.path  # a method quotes it
        if as_sent and key.split()[0] == operation and names == set(arguments):
            return operation, partial_call(call, **arguments, **({"offset": offset} if offset else {}))
    if request.method == "POST" and operation in ORDERS:
        sends, order = ORDERS[operation]
        value = value_of(request.body)
        if value is not None and sends(value):
            return operation, lambda disco: order(disco, value)
    if request.path == "/disco/version":
        return "version", lambda disco: disco.version()
    return "", lambda disco: disco.request(request.path, request.body, offset)


def result_of(operation: str, request: Request, status: int, body: bytes) -> Any:
    """What the call has to return for an answer of status 200 or 206."""
    offset = int(request.range.removeprefix("bytes=").removesuffix("-") or 0)
    if operation == "":
        return body if status == 206 else body[offset:]
    if operation == "rawevents":
        return events_of(body if status == 206 else body[offset:], offset)
    if operation == "jobevents":
        return json.loads(body) if body else []
    if operation == "parameters":
        return json.loads(body[128 : int.from_bytes(body[8:12], "big")])
    if operation == "joblist":
        return [tuple(row) for row in json.loads(body)]
    if operation == "get_results":
        rows = [(name, tuple(found)) for name, found in json.loads(body)]
        return [row for row in rows if row[1][0] != "active"], [row for row in rows if row[1][0] == "active"]
    return None if operation in ORDERS else json.loads(body)


def events_of(body: bytes, offset: int) -> list[Any]:
    found = []
    for line in body.splitlines(keepends=True):
        if not line.startswith(b"["):
            break
        offset += len(line)
        found.append((offset, tuple(json.loads(line))))
    return found


def error_of(operation: str, request: Request, status: int, body: bytes) -> tuple[type[Exception], str]:
    """The class and the text of the error for an answer of another status."""
    if status == 404 and operation in ("jobinfo", "rawevents", "parameters"):
        return JobError, "Status unknown job"
    if status == 404 and operation == "get_stageresults":
        return DiscoError, "is unknown or not finished"
    return CommError, f"{request.path}): {body.decode()} ({status})"


def test_every_recorded_answer_is_understood(recordings: Recordings, master: RecordedMaster) -> None:
    disco = Disco(master.url)
    methods = set()
    for name, entry in recordings.replies.items():
        if name in NOT_SENT or name in BY_DATA_READER or name in RAW:
            continue
        exchange = recordings[name]
        operation, call = call_of(exchange.request)
        methods.add(operation)
        master.expect(exchange)
        body = recordings.body(name)
        if entry["status"] in (200, 206):
            assert call(disco) == result_of(operation, exchange.request, entry["status"], body), name
        else:
            kind, text = error_of(operation, exchange.request, entry["status"], body)
            with pytest.raises(kind) as caught:
                call(disco)
            assert type(caught.value) is kind and text in str(caught.value), name
        assert master.problems == [], name
    assert methods == {key.split()[0] for key in QUESTIONS} | set(ORDERS) | {"version", ""}


def test_every_recording_is_accounted_for(recordings: Recordings) -> None:
    accounted = [*NOT_SENT, *BY_DATA_READER, *RAW]
    assert set(accounted) <= set(recordings.replies) and len(set(accounted)) == len(accounted)
    assert {name for name in recordings.replies if name.startswith("raw.")} <= set(accounted)
    for name in set(recordings.replies) - set(RAW) - {"raw.head_version", "raw.get_version_1.0"}:
        request = recordings.replies[name]["request"]
        sendable = request["method"] in ("GET", "POST") and set(request["headers"]) <= {"Range"}
        assert sendable or name in NOT_SENT, name


def test_ranges_are_served_as_the_recorded_ones(recordings: Recordings) -> None:
    wholes = {"dir_index": "dir_index", "rawevents": "finished_classic_mr.rawevents"}
    compared = 0
    for name, entry in recordings.replies.items():
        spec = entry.get("request", {}).get("headers", {}).get("Range")
        whole = wholes.get(name.partition("_range")[0])
        if spec and whole:
            status, headers, body = ranged(recordings.body(whole), spec)
            assert (status, body) == (entry["status"], recordings.body(name)), name
            assert headers.items() <= entry["headers"].items(), name
            assert ("Content-Range" in headers) == ("Content-Range" in entry["headers"])
            compared += 1
    assert compared == 10


def test_answers_are_served_as_those_on_the_wire(recordings: Recordings) -> None:
    lines = recordings["raw.get_version_1.1"].answer.split(b"\r\n")
    assert b"\r\n".join(line for line in lines if not line.startswith(b"Date:")) == recordings["version"].answer


@pytest.mark.parametrize("name", RAW)
def test_answers_recorded_on_the_wire(recordings: Recordings, master: RecordedMaster, name: str) -> None:
    recorded = recordings[name]
    disco = Disco(master.url)
    method = "GET" if name == "raw.get_version_1.1" else "POST"
    master.expect(Exchange(Request(method, RAW[name]), recorded.answer, lambda body: True))
    if name == "raw.get_version_1.1":
        assert disco.version() == "0.5.4"
    elif name == "raw.post_get_results":
        assert disco.results("unknown", timeout=100) == ("unknown job", [])
        assert json.loads(master.asked[-1].body or b"") == json.loads(recorded.request.body or b"")
    else:
        refused = f"Unable to access resource ({master.url}/disco/job/new): {{}}"
        with pytest.raises(DiscoError) as caught:
            disco.submit(b"abc")
        assert (
            str(caught.value)
            == {
                "raw.post_job_no_content_length": refused.format("Internal server error (500)"),
                "raw.post_job_too_large": refused.format("Job packet too large (413)"),
                "raw.expect100": 'Failed to submit jobpack: Job failed to start: "invalid header"',
                "raw.chunked_job": refused.format("Internal server error (500)"),
            }[name]
        )


def test_data_files_are_asked_for_in_ranges(
    recordings: Recordings, master: RecordedMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = recordings.body("dir_index")
    path = recordings["dir_index"].request.path
    for name, block in BY_DATA_READER.items():
        monkeypatch.setattr(transport, "BLOCK", block)
        exchange = recordings[name]
        master.expect(exchange)
        if exchange.request.path == path:
            master.files[path] = index  # the ranges after the first
        file, size, _url = open_url("disco://localhost" + exchange.request.path.replace("//localhost", "//"))
        with file:
            said = recordings.replies[name]["headers"]["Content-Range"]
            assert size == int(said.rpartition("/")[2])
            assert file.read(block) == recordings.body(name)
            if exchange.request.path == path:
                assert file.read() == index[block:]
    sent = [request.range for request in master.asked if request.path == path]
    assert sent == [f"bytes={start}-{start + 9}" for start in range(0, len(index), 10)]
