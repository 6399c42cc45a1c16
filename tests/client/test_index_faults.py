"""Indexes from elsewhere, and names of nodes that are those of local ones (reference 2.8, 8.9)."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, DataError, DiscoError, Job, result_iterator, schemes
from discolocal.schemes import open_url, transport
from discolocal.util import read_index
from tests.client.faulty import INDEX, Server, contents, say
from tests.client.recorded import answer


def test_an_index_that_cannot_be_had(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PORT", server.url.rpartition(":")[2])
    server.acts = [say(answer(404, b"Not found.", "text/plain"))]
    with pytest.raises(CommError, match=r"Not found. \(404\)"):
        list(result_iterator(["dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"]))
    server.acts = [say(answer(200, b"<html>\n", "text/html"))]
    with pytest.raises(DataError, match="Bad line 1 in index"):
        list(result_iterator(["dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"]))
    monkeypatch.setattr(schemes, "data_roots", [])
    monkeypatch.delenv("DISCO_MASTER", raising=False)
    with pytest.raises(DiscoError, match="Cannot look up tag://disco:results:j@1:2:3: no master is known"):
        list(result_iterator(["tag://disco:results:j@1:2:3"]))


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
