"""Blobs of a tag, by the client: what may be pushed, where replicas are, and what a failure leaves."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS, InvalidTag
from discolocal.error import DataError
from tests.ddfs.clients import blob_files, code, data, read
from tests.ddfs.ddfs_master import HOSTS


def test_files_are_pushed_and_pulled_the_newest_first(ddfs: DDFS, tmp_path: Path) -> None:
    path = tmp_path / "a file.txt"
    path.write_bytes(b"one\ntwo\n" * 1000)
    tag_urls, blobs = ddfs.push("tag://data", [str(path), (path, "again"), (data("three"), "other")])
    assert len(tag_urls) == 1 and tag_urls[0].startswith("disco://")
    assert [[ddfs.blob_name(url) for url in replicas] for replicas in blobs] == [["a_file_txt"], ["again"], ["other"]]
    assert ddfs.urls("data") == blobs
    ddfs.push("data", [(data("last"), "last")])
    content = path.read_bytes()
    expected = [("last", b"last"), ("a_file_txt", content), ("again", content), ("other", b"three")]
    assert read(ddfs, "data") == expected
    assert read(ddfs, "data", blobfilter=lambda name: "t" in name) == [*expected[:1], expected[1], expected[3]]
    assert code(ddfs.pull, "nosuch") == 404


def test_what_is_pulled_is_a_file(ddfs: DDFS) -> None:
    ddfs.push("data", [(data("one\ntwo\nthree"), "lines"), (data(""), "empty")])
    lines, empty = ddfs.pull("data")
    assert (len(lines), len(empty), bool(empty)) == (13, 0, True)
    assert lines.read(2) == b"on" and list(lines) == [b"e\n", b"two\n", b"three"]
    assert lines.url == ddfs.urls("data")[0][0]
    for file in (lines, empty):
        file.close()


def test_a_file_object_is_read_from_where_it_stands(ddfs: DDFS) -> None:
    source = data("head and body")
    source.seek(5)
    ddfs.push("data", [(source, "body")])
    assert read(ddfs, "data") == [("body", b"and body")]
    assert not source.closed


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


def test_a_stream_that_cannot_seek_is_pushed_too(ddfs: DDFS) -> None:
    ddfs.push("data", [(Pipe(b"x" * 200_000), "pipe")], replicas=2)
    assert read(ddfs, "data") == [("pipe", b"x" * 200_000)]


def test_replicas_are_on_different_hosts(ddfs: DDFS, store: TagStore) -> None:
    _, blobs = ddfs.push("data", [(data("x"), "x") for _ in range(3)], replicas=2)
    for replicas in blobs:
        assert sorted(url.split("/")[2] for url in replicas) == sorted(HOSTS)
        for url in replicas:
            with store.open(url) as file:
                assert file.read() == b"x"
    assert code(ddfs.push, "data", [(data("x"), "x")], replicas=3) == 403
    assert len(ddfs.urls("data")) == 3
    for host in HOSTS:
        for hosts in ([host], host):
            _, [[url]] = ddfs.push("data", [(data("x"), "x")], forceon=hosts)
            assert url.split("/")[2] == host
    assert code(ddfs.push, "data", [(data("x"), "x")], forceon=["elsewhere"]) == 403


def test_bad_sources_are_refused_before_anything_is_stored(ddfs: DDFS, tmp_path: Path) -> None:
    good = (data("x"), "good")
    bad: list[tuple[Any, type[Exception], str]] = [
        (str(tmp_path / "nosuch"), DataError, "No such file"),
        (str(tmp_path), DataError, "Not a regular file"),
        (data("x"), TypeError, "a file is given as a path, .path, name. or .file object, name."),
        ((io.StringIO("x"), "text"), TypeError, "open it in binary mode"),
        ((data("x"), 5), TypeError, "the name of a blob is a str, not 5"),
        (5, TypeError, "cannot push 5"),
        (b"bytes", TypeError, "cannot push"),
    ]
    for item, kind, message in bad:
        with pytest.raises(kind, match=message):
            ddfs.push("data", [good, item])
    for name, call in (("files", ddfs.push), ("urls", ddfs.chunk)):
        with pytest.raises(TypeError, match=f"{name}='abc': must be a list of {name}"):
            call("data", "abc")
    with pytest.raises(InvalidTag, match="Invalid tag: 'no/tag'"):
        ddfs.push("no/tag", [good])
    assert ddfs.list() == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "good" in path.name]


def test_a_tag_is_not_changed_when_a_source_fails(ddfs: DDFS, tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("x")

    def files() -> Iterator[Any]:
        yield data("x"), "one"
        os.unlink(tmp_path / "gone")
        yield tmp_path / "gone"

    ddfs.push("data", [(data("x"), "first")])
    with pytest.raises(DataError, match="No such file"):
        ddfs.push("data", files())
    assert [ddfs.blob_name(url) for [url] in ddfs.urls("data")] == ["first"]
    stored = {path.name.partition("$")[0] for path in tmp_path.rglob("blob/*/*$*")}
    assert stored == ({"first"} if isinstance(ddfs.service, TagStore) else {"first", "one"})  # a master has to collect
    assert code(ddfs.push, "data", [(data("x"), "bad name")]) == 403


@pytest.mark.parametrize("tag, token", [("mine", "wrong"), ("mine", None), ("..", None), ("a" * 512, None)])
def test_blobs_that_no_tag_may_have_are_forgotten(store: TagStore, tmp_path: Path, tag: str, token: str | None) -> None:
    (tmp_path / "lines").write_text("x\n")
    ddfs = DDFS(store)
    ddfs.push("mine", [(data("x"), "x")], token="secret")
    before = blob_files(store)
    assert code(ddfs.push, tag, [(data("y"), "y")], token=token) in (401, 403)
    assert code(ddfs.chunk, tag, [str(tmp_path / "lines")], token=token) in (401, 403)
    assert blob_files(store) == before and len(before) == 1


def test_blobs_that_a_tag_may_have_are_kept(store: TagStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails after the tag has them: whoever is told of it cannot know."""

    def fails(shown: object, old: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("discolocal.cluster.tags._settle", fails)
    assert code(DDFS(store).push, "t", [(data("y"), "y")]) == 503
    monkeypatch.undo()
    assert read(DDFS(store), "t") == [("y", b"y")]


def test_replicas_are_stored_all_or_none(store: TagStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = store.upload

    def failing(target: str, source: Any) -> str:
        if "localhost" in target:
            raise CommError("No space left", target, 500)
        return upload(target, source)

    monkeypatch.setattr(store, "upload", failing)
    ddfs = DDFS(store)
    with pytest.raises(CommError, match="Not enough nodes.*could not be stored on localhost: No space left"):
        ddfs.push("data", [(data("x"), "x")], replicas=2)
    assert list(tmp_path.rglob("blob/*/*$*")) == [] and ddfs.list() == []
    ddfs.push("data", [(data("x"), "x")])
    assert len(list(tmp_path.rglob("blob/*/*$*"))) == 1


def test_update_leaves_out_blobs_that_are_there(ddfs: DDFS) -> None:
    for delayed in (False, True):
        for _ in range(3):
            ddfs.push("data", [(data("x"), f"dup{delayed}")] * 2, update=True, delayed=delayed)
    ddfs.push("data", [(data("x"), "dupTrue")], delayed=True)
    assert [ddfs.blob_name(url) for [url] in ddfs.urls("data")] == ["dupTrue", "dupTrue", "dupFalse"]


def test_a_replica_that_is_gone_is_passed_over(ddfs: DDFS, store: TagStore, tmp_path: Path) -> None:
    _, [replicas] = ddfs.push("data", [(data("content"), "it")], replicas=2)
    stored = {url: next(tmp_path.rglob(f"ddfs/{url.split('/')[2]}/vol0/blob/*/it*")) for url in replicas}
    stored[replicas[0]].unlink()
    for _ in range(8):  # they are tried in any order
        assert read(ddfs, "data") == [("it", b"content")]
    stored[replicas[1]].unlink()
    with pytest.raises(DataError, match="None of the 2 replicas of the blob it can be read") as caught:
        read(ddfs, "data")
    assert all(url.rpartition("/")[2] in str(caught.value) for url in replicas)
    if isinstance(ddfs.service, TagStore):
        assert str(caught.value).count("No such file") == 2  # nobody else was asked, which takes minutes


def test_old_workers_saved_results(ddfs: DDFS, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("part-0", "part-1")]
    for path in paths:
        path.write_text(path.name)
    assert ddfs.save("Job@1:2:3", map(str, paths)) == "disco:job:results:Job@1:2:3"
    ddfs.save("Job@1:2:3", map(str, paths))  # by an attempt that was repeated
    assert sorted(read(ddfs, ddfs.job_tag("Job@1:2:3"))) == [
        (f"disco:blob:Job@1:2:3:{path.name}", path.name.encode()) for path in paths
    ]


def test_the_files_of_a_tar_archive_are_pushed(ddfs: DDFS, tmp_path: Path) -> None:
    content = {"a/one.txt": b"1" * 5000, "a/two.txt": b"22", "b/three.txt": b""}
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    found = ddfs.tarblobs(str(tmp_path / "x.tar"), compress=False, include="a/")
    ddfs.push("plain", ((file, name) for name, file, size in found if size))
    assert dict(read(ddfs, "plain")) == {"a_one_txt": b"1" * 5000, "a_two_txt": b"22"}
    packed = ddfs.tarblobs(str(tmp_path / "x.tar"), exclude="two")
    ddfs.push("packed", ((file, name) for name, file, _size in packed))
    unpacked = {name: gzip.decompress(text) for name, text in read(ddfs, "packed")}
    assert unpacked == {"a_one_txt_gz": b"1" * 5000, "b_three_txt_gz": b""}
