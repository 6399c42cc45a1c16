"""Blobs in the store of DDFS: replicas, hosts, names, and writing each once and whole."""

from __future__ import annotations

import io
import os
import re
import threading
from pathlib import Path

import pytest

from discolocal.cluster import blobs
from discolocal.cluster.tags import TagStore
from discolocal.error import DataError
from discolocal.wire import names
from tests.cluster.stores import files, push, read, refusal


def test_replicas_of_a_blob_are_on_distinct_hosts(store: TagStore) -> None:
    for count in (1, 2, 3):
        urls = push(store, "b", b"data", count)
        assert len({url.split("/")[2] for url in urls}) == count == len(urls)
        assert len({url.rpartition("/")[2] for url in urls}) == 1
        assert [read(store, url) for url in urls] == [b"data"] * count
    assert len(store.new_blob("b")) == 1
    assert len(TagStore(store.volumes.root, ["a", "b"], blob_replicas=2).new_blob("b")) == 2


def hosts(targets: list[str]) -> set[str]:
    return {target.split("/")[2] for target in targets}


def test_hosts_are_included_and_excluded(store: TagStore) -> None:
    for _ in range(20):
        assert hosts(store.new_blob("b", 1, include=["node2"])) == {"node2"}
        assert hosts(store.new_blob("b", 2, exclude=["node1"])) == {"node2", "node3"}
        assert "node3" in hosts(store.new_blob("b", 2, include=["node3"]))
        assert hosts(store.new_blob("b", 1, include=["node1", "node3"])) == {"node1", "node3"}
    assert {host for _ in range(100) for host in hosts(store.new_blob("b"))} == {"node1", "node2", "node3"}
    enough, found = (403, "Not enough nodes for replicas."), (403, "Requested Replica not found.")
    for count in (0, -1, 4, True):
        assert refusal(store.new_blob, "b", count) == enough
    assert refusal(store.new_blob, "b", 3, exclude=["node1"]) == enough
    assert refusal(store.new_blob, "b", exclude=["node1", "node2", "node3"]) == enough
    assert refusal(store.new_blob, "b", include=["node9"]) == found
    assert refusal(store.new_blob, "b", include=["node1"], exclude=["node1"]) == found
    assert store.new_blob("b", exclude=["nobody"])


def test_names_of_blobs(store: TagStore) -> None:
    (target,) = store.new_blob("n" * 300)
    assert re.fullmatch(r"http://node\d/ddfs/[0-9a-f]{32}\$[0-9a-f]+-[0-9a-f]+-[0-9a-f]+", target)
    for name in ("", "a b", "../x", "n" * 512):
        assert refusal(store.new_blob, name) == (403, "Invalid tag")


@pytest.mark.parametrize(
    "target",
    [
        "http://node1/ddfs/b",
        "http://node1/ddfs/../b$1-2-3",
        "http://node1/ddfs/a/b$1-2-3",
        "http://node1/b$1-2-3",
        "http://node1/ddfs/" + "n" * 201 + "$1-2-3",
        "b$1-2-3",
        "",
    ],
)
def test_targets_that_nobody_was_given(store: TagStore, target: str) -> None:
    assert refusal(store.upload, target, io.BytesIO(b"")) == (403, "Invalid blob name")
    for host in ("node9", "..", ""):
        assert refusal(store.upload, f"http://{host}/ddfs/b$1-2-3", io.BytesIO(b"")) == (404, "Unknown host.")
    assert files(store) == []


def test_a_blob_is_never_written_twice(store: TagStore) -> None:
    (target,) = store.new_blob("b")
    url = store.upload(target, io.BytesIO(b"first"))
    code, text = refusal(store.upload, target, io.BytesIO(b"second"))
    assert code == 500 and str(text).startswith("File exists")
    assert read(store, url) == b"first" and len(files(store)) == 1


class Source(io.RawIOBase):
    """A source of many bytes that remembers how many were asked for at once."""

    def __init__(self, size: int, fail_at: int = -1) -> None:
        self.left, self.asked, self.fail_at = size, 0, fail_at

    def read(self, size: int = -1) -> bytes:
        self.asked = max(self.asked, size)
        if 0 <= self.fail_at >= self.left:
            raise OSError(5, "the source is broken")
        part = b"x" * min(size, self.left)
        self.left -= len(part)
        return part


def test_a_blob_is_copied_in_blocks(store: TagStore) -> None:
    (target,) = store.new_blob("b")
    source = Source(5 * blobs.BLOCK + 3)
    url = store.upload(target, source)  # type: ignore[arg-type]
    assert source.asked == blobs.BLOCK
    assert os.path.getsize(Path(store.volumes.ddfs, names.ddfs_path(url))) == 5 * blobs.BLOCK + 3


def test_a_source_that_fails_leaves_nothing(store: TagStore) -> None:
    (target,) = store.new_blob("b")
    code, text = refusal(store.upload, target, Source(3 * blobs.BLOCK, fail_at=blobs.BLOCK))
    assert code == 500 and "the source is broken" in str(text)
    assert files(store) == []
    assert store.upload(target, io.BytesIO(b"data")), "so it can be tried again"


def test_a_blob_that_is_being_written_is_not_there_yet(store: TagStore) -> None:
    (target,) = store.new_blob("b")
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Source):
        def read(self, size: int = -1) -> bytes:
            begun.set()
            go_on.wait(10)
            return super().read(size)

    thread = threading.Thread(target=store.upload, args=(target, Slow(10)))
    thread.start()
    try:
        assert begun.wait(10)
        assert [os.path.basename(path).partition("$")[0] for path in files(store)] == ["!partial.b"]
        assert refusal(store.upload, target, io.BytesIO(b"")) == (500, f"File exists: {target.rpartition('/')[2]}")
        assert store.collect(0).unfinished == 0, "its writer is alive"
    finally:
        go_on.set()
        thread.join()
    assert [os.path.basename(path).partition("$")[0] for path in files(store)] == ["b"]


def test_blobs_are_forgotten_that_will_be_in_no_tag(store: TagStore) -> None:
    kept, *gone = (store.upload(store.new_blob("b")[0], io.BytesIO(b"x")) for _ in range(3))
    store.post("t", [["http://x/1"]])
    version = store.tag("t")["id"]
    outside = Path(store.volumes.root, "secret")
    outside.write_text("kept")
    strange = (
        "disco://node1/ddfs/../../secret",
        "disco://elsewhere/ddfs/vol0/blob/aa/b$1-1-1",
        "/etc/hostname",
        "",
        gone[0],
    )
    store.discard([*gone, *strange])
    assert [read(store, kept), outside.read_text(), store.tag("t")["id"]] == [b"x", "kept", version]
    for url in gone:
        with pytest.raises(DataError, match="No such file"):
            store.open(url)
    blob = blobs.find(store.volumes, kept)
    assert blob is not None
    os.unlink(blob)
    os.mkdir(blob)
    store.discard([kept])  # cannot be removed, which is no error: nobody waits for it
    assert os.path.isdir(blob)


def test_other_urls_are_opened_too(store: TagStore, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"one\ntwo\n")
    with store.open(f"file://{tmp_path}/plain") as file:
        assert list(file) == [b"one\n", b"two\n"]
    (url,) = push(store, "b", b"")
    with store.open(url) as file:
        assert file.read() == b"" and file.url == url and len(file) == 0  # type: ignore[attr-defined,arg-type]
    os.unlink(Path(store.volumes.ddfs, names.ddfs_path(url)))
    with pytest.raises(DataError):
        store.open(url)
