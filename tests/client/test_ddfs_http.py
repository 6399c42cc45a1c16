"""The client of DDFS and a master over HTTP: recorded answers, uploads, and what may go wrong between the two."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from discolocal import CommError
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS
from discolocal.error import DataError
from discolocal.schemes import transport
from tests.client.recorded import Exchange, RecordedMaster, Recordings, Request, answer
from tests.ddfs.ddfs_master import HOSTS, Master

Recorded = Callable[[str], Exchange]


@pytest.fixture
def recorded(recordings: Recordings) -> Recorded:
    """Recorded exchanges by their names; which characters of a path are written as %xx is no matter."""

    def exchange(name: str) -> Exchange:
        found = recordings[name]
        path = quote(unquote(found.request.path), safe="/:@?=&,")
        return found._replace(request=found.request._replace(path=path))

    return exchange


def said(exchange: Exchange) -> Any:
    """What the body of a recorded answer says."""
    return json.loads(exchange.answer.partition(b"\r\n\r\n")[2])


JOB = "disco:job:oob:TeeOOB@703:3c36c:7a060"


def test_recorded_answers_are_understood(master: RecordedMaster, recorded: Recorded) -> None:
    ddfs = DDFS(master.url)
    calls: list[tuple[str, Callable[[], Any], Any]] = [
        ("ddfs_tags", ddfs.list, None),
        ("ddfs_tags_prefix", lambda: ddfs.list("disco:job"), None),
        ("oob_tag", lambda: ddfs.get(JOB, token="job"), None),
        ("oob_tag", lambda: ddfs.get(f"tag://user:job@/{JOB}"), None),
        ("oob_tag", lambda: ddfs.exists(JOB, token="job"), True),
        ("oob_tag_without_token", lambda: ddfs.exists(JOB), True),
        ("oob_tag_missing", lambda: ddfs.exists("disco:job:oob:nosuch"), False),
        ("oob_tag_missing", lambda: [*ddfs.blobs("disco:job:oob:nosuch")], []),
        ("results_tag", lambda: ddfs.get("disco:results:TeeSave@703:3c368:d47db"), None),
        ("new_blob", lambda: ddfs.service.new_blob("goldblob"), None),
        ("tag_post", lambda: ddfs.tag("gold:test", [["http://a/x"]]), None),
        ("tag_post_again", lambda: ddfs.tag("gold:test", [["http://a/x"], ["http://b/y"]], update=True), None),
        ("tag_get", lambda: ddfs.get("gold:test"), None),
        ("tag_get", lambda: ddfs.urls("gold:test"), [["http://b/y"], ["http://a/x"], ["http://a/x"]]),
        ("tag_put", lambda: ddfs.put("gold:test", [["http://c/z"]]), None),
        ("tag_attr_put", lambda: ddfs.setattr("gold:test", "myattr", "val"), None),
        ("tag_get3", lambda: ddfs.attrs("gold:test"), {"myattr": "val"}),
        ("tag_attr_get", lambda: ddfs.getattr("gold:test", "myattr"), "val"),
    ]
    for name, call, expected in calls:
        exchange = recorded(name)
        master.expect(exchange)
        assert call() == (said(exchange) if expected is None else expected), name
        assert master.problems == [], name
    master.expect(recorded("tag_delete"))
    ddfs.delete("gold:test")


def test_recorded_refusals_are_told(master: RecordedMaster, recorded: Recorded) -> None:
    ddfs = DDFS(master.url)
    calls: list[tuple[str, Callable[[], Any], int, str]] = [
        ("oob_tag_without_token", lambda: ddfs.get(JOB), 401, "Incorrect or missing token."),
        ("oob_tag_missing", lambda: ddfs.urls("disco:job:oob:nosuch"), 404, "Tag not found."),
        ("tag_get4", lambda: ddfs.attrs("gold:test"), 404, "Tag not found."),
        ("new_blob_replicas2", lambda: ddfs.service.new_blob("goldblob", 2), 403, "Not enough nodes for replicas."),
        ("new_blob_badname", lambda: ddfs.push("t", [(io.BytesIO(b"x"), "gold blob")]), 403, "Invalid tag"),
        ("tag_not_list", lambda: ddfs.tag("gold:test", "x"), 403, "Invalid url object"),
    ]
    for name, call, code, text in calls:
        master.expect(recorded(name))
        with pytest.raises(CommError) as caught:
            call()
        assert (caught.value.code, caught.value.msg) == (code, text), name
        assert str(caught.value.url).startswith(master.url)


def test_recorded_blobs_are_pulled(
    master: RecordedMaster, recorded: Recorded, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag, blob = recorded("oob_tag"), recordings["oob_blob"]
    content = recordings.body("oob_blob")
    urls = said(tag)["urls"]
    master.files = {url.partition("localhost")[2]: b"of " + url.encode() for [url] in urls}
    master.files[blob.request.path] = content
    master.expect(tag)
    found = {}
    for file in DDFS(master.url).pull(JOB, token="job"):
        with file:
            found[file.url] = (len(file), file.read())
    expected = {url: b"of " + url.encode() for [url] in urls} | {urls[0][0]: content}
    assert found == {url: (len(data), data) for url, data in expected.items()}
    # through a proxy the blobs are asked for there, too, and a whole address is not needed
    master.files = {f"/proxy/localhost/GET{path}": data for path, data in master.files.items()}
    monkeypatch.delenv("DISCO_PORT")
    host = "127.0.0.1"
    path = f"/proxy/{host}/GET{tag.request.path}"
    master.expect(tag._replace(request=tag.request._replace(path=path)))
    ddfs = DDFS(master.url, proxy=master.url)
    assert [file.read() for file in ddfs.pull(JOB, lambda name: name == "key-b", "job")][0] == content


STRANGE = [b"", b"{nope", b"5", b"null", b'"x"', b"[5]", b'{"urls": 5}', b'{"urls": [5]}', b'{"urls": [[5]]}', b"{}"]


@pytest.mark.parametrize("body", STRANGE)
def test_what_no_master_answers_is_refused(master: RecordedMaster, body: bytes) -> None:
    ddfs = DDFS(master.url)
    calls: list[tuple[str, str, bytes | None, Callable[[], Any]]] = [
        ("GET", "/ddfs/tag/t", None, lambda: ddfs.get("t")),
        ("GET", "/ddfs/tags", None, ddfs.list),
        ("GET", "/ddfs/new_blob/b", None, lambda: ddfs.push("t", [(io.BytesIO(b"x"), "b")])),
        ("POST", "/ddfs/tag/t", b"[]", lambda: ddfs.tag("t", [])),
        ("PUT", "/ddfs/tag/t", b"[]", lambda: ddfs.put("t", [])),
        ("PUT", "/ddfs/tag/t/a", b'"b"', lambda: ddfs.setattr("t", "a", "b")),
    ]
    for method, path, sent, call in calls:
        master.expect(Exchange(Request(method, path, "", sent), answer(200, body)))
        with pytest.raises(CommError, match="Not what a Disco master answers") as caught:
            call()
        assert caught.value.code is None


def test_what_no_node_answers_to_a_blob_is_refused(master: RecordedMaster) -> None:
    target = f"http://localhost:{master.port}/ddfs/b$1-2-3"
    for body in (b"", b"5", b'"http://x/y"', b"created"):
        new = answer(200, json.dumps([target]).encode())
        failed = Request("GET", "/ddfs/new_blob/b?exclude=localhost")
        master.expect(
            Exchange(Request("GET", "/ddfs/new_blob/b"), new),
            Exchange(Request("PUT", "/ddfs/b$1-2-3", "", b"x"), answer(201, body)),
            Exchange(failed, answer(403, b"Not enough nodes for replicas.", "text/plain")),
        )
        with pytest.raises(
            CommError, match="Not enough nodes for replicas.*the blob b could not be stored on localhost"
        ):
            DDFS(master.url).push("t", [(io.BytesIO(b"x"), "b")])


# Uploads


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """A master before a store on disk."""
    for name in ("DDFS_READ_TOKEN", "DDFS_WRITE_TOKEN", "DISCO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("discolocal.schemes.transport.UNIT", 0.0001)
    (tmp_path / "root").mkdir()
    with Master(TagStore(str(tmp_path / "root"), HOSTS)) as server:
        monkeypatch.setenv("DISCO_PORT", str(server.port))
        yield server


def uploads(master: Master) -> int:
    return sum(method == "PUT" and path.count("/") == 2 for method, path in master.asked)


def test_a_busy_node_is_asked_again_with_the_whole_file(real: Master) -> None:
    real.busy = 3
    ddfs = DDFS(real.url)
    content = bytes(range(256)) * 1000
    ddfs.push("t", [(io.BytesIO(content), "b")])
    assert [file.read() for file in ddfs.pull("t")] == [content]
    assert uploads(real) == 4


def test_a_node_that_fails_is_left_out(real: Master) -> None:
    real.broken = {"localhost"}
    ddfs = DDFS(real.url)
    for number in range(5):
        source = io.BytesIO(b"head, body")
        source.seek(6)
        _, [replicas] = ddfs.push("t", [(source, f"b{number}")])
        assert [url.split("/")[2] for url in replicas] == ["127.0.0.1"]
    assert {file.read() for file in ddfs.pull("t")} == {b"body"}
    with pytest.raises(
        CommError, match="Not enough nodes.*the blob b could not be stored on localhost: Internal server"
    ):
        ddfs.push("t", [(io.BytesIO(b"x"), "b")], replicas=2)
    with pytest.raises(CommError, match="Requested Replica not found.*could not be stored on localhost") as caught:
        ddfs.push("t", [(io.BytesIO(b"x"), "b")], forceon=["localhost"])
    assert caught.value.code == 403 and isinstance(caught.value.__cause__, CommError)
    before = uploads(real)
    with pytest.raises(CommError, match=r"Internal server error \(500\)$"):
        ddfs.push("t", [(io.BytesIO(b"x"), "b")], replicas=2, retries=0)
    assert uploads(real) - before <= 2 and len(ddfs.urls("t")) == 5


def test_a_master_that_offers_a_failed_host_again_is_not_asked_for_ever(real: Master) -> None:
    real.broken = set(HOSTS)
    offered = real.store.new_blob
    real.store.new_blob = lambda name, replicas=None, include=(), exclude=(): offered(name)  # type: ignore[method-assign]
    with pytest.raises(CommError, match="Internal server error"):
        DDFS(real.url).push("t", [(io.BytesIO(b"x"), "b")])
    assert uploads(real) <= 3


def test_a_node_that_cannot_be_reached_is_left_out(real: Master) -> None:
    offered = real.store.new_blob

    def new_blob(name: str, replicas: Any = None, include: Any = (), exclude: Any = ()) -> list[str]:
        if "unreachable.invalid" in exclude:
            return offered(name)
        return [f"http://unreachable.invalid/ddfs/{name}$1-2-3"]

    real.store.new_blob = new_blob  # type: ignore[method-assign]
    ddfs = DDFS(real.url)
    ddfs.push("t", [(io.BytesIO(b"x"), "b")])
    assert [file.read() for file in ddfs.pull("t")] == [b"x"]


class Failing(io.BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 100_000:
            raise OSError(5, "Input/output error")
        return super().read(size)


class Shrinking(io.BytesIO):
    """A file that becomes shorter while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        return b"" if self.tell() >= 100_000 else super().read(size)


@pytest.mark.parametrize(("kind", "text"), [(Failing, "Input/output error"), (Shrinking, "It became shorter")])
def test_a_source_that_fails_is_not_the_fault_of_a_node(real: Master, kind: type[io.BytesIO], text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        DDFS(real.url).push("t", [(kind(b"x" * 1_000_000), "b")])
    assert not isinstance(caught.value, CommError)
    assert uploads(real) <= 1 and real.store.names() == []


def test_large_files_are_streamed(real: Master, tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 48 << 20
    with path.open("wb") as file:
        file.truncate(size)
    for master in (real.url, real.store):
        tracemalloc.start()
        try:
            _, [[url]] = DDFS(master).push("t", [path])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 << 20, master  # of the server's blocks as well
        with real.store.open(url) as file:
            assert file.seek(0, 2) == size


def test_a_file_is_sent_as_often_as_needed_from_where_it_stood(real: Master) -> None:
    target = real.store.new_blob("b")[0].replace("/ddfs/", f":{real.port}/ddfs/", 1)
    source = io.BytesIO(b"not this, but this")
    source.seek(10)
    real.busy = 1
    assert transport.fetch("PUT", target, source).status == 201
    with real.store.open(json.loads(transport.fetch("PUT", _next(real), io.BytesIO()).body)) as file:
        assert file.read() == b""


def _next(real: Master) -> str:
    return real.store.new_blob("b")[0].replace("/ddfs/", f":{real.port}/ddfs/", 1)
