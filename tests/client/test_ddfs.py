"""The client of DDFS: the same tests over a store on disk and over HTTP with a real server before such a store."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, Disco, DiscoError, Job, LocalCluster, Params, result_iterator
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS, InvalidTag, canonizetag, canonizetags, istag, relativizetag, tagname
from discolocal.error import DataError
from discolocal.tagservice import MasterTags
from discolocal.util import inputlist
from discolocal.worker.classic.worker import this_master
from tests.client.ddfs_master import HOSTS, Master

TOKENS = ("DDFS_READ_TOKEN", "DDFS_WRITE_TOKEN")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine's; no long pauses."""
    for name in (*TOKENS, "DISCO_MASTER", "DISCO_PROXY", "DISCO_PORT", "DISCO_SETTINGS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("discolocal.schemes.transport.UNIT", 0.0001)
    monkeypatch.setattr("discolocal.schemes.data_roots", [])


@pytest.fixture
def store(tmp_path: Path) -> TagStore:
    """A store of two hosts."""
    (tmp_path / "root").mkdir()
    return TagStore(str(tmp_path / "root"), HOSTS)


@pytest.fixture
def master(store: TagStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """A master that serves the store."""
    with Master(store) as server:
        monkeypatch.setenv("DISCO_PORT", str(server.port))
        yield server


@pytest.fixture(params=["store", "http"])
def ddfs(request: pytest.FixtureRequest, store: TagStore) -> DDFS:
    """A client of either kind of service."""
    if request.param == "store":
        return DDFS(store)
    return DDFS(Disco(request.getfixturevalue("master").url))


def data(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())


def read(ddfs: DDFS, tag: str, **options: Any) -> list[tuple[str, bytes]]:
    """(name, content) of the blobs of a tag."""
    return [(ddfs.blob_name(file.url), file.read()) for file in ddfs.pull(tag, **options)]


def blob_files(store: TagStore) -> list[str]:
    """The names of the files of all blobs, whole or not."""
    return sorted(path.name for path in Path(store.volumes.ddfs).glob("*/vol0/blob/??/*"))


def code(call: Any, *args: Any, **options: Any) -> object:
    """The status of the CommError that a call raises."""
    with pytest.raises(CommError) as caught:
        result = call(*args, **options)
        if isinstance(result, Iterator):
            list(result)
    return caught.value.code


# Blobs


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


# Tags


def test_tags_are_made_listed_replaced_and_deleted(ddfs: DDFS) -> None:
    assert ddfs.list() == [] and not ddfs.exists("a:one")
    ddfs.tag("a:one", [["http://x/1"]])
    ddfs.tag("tag://a:one", [("http://x/2", "http://y/2")])
    ddfs.put("a:two", iter([["http://x/3"]]))
    found = ddfs.get("a:one")
    assert found["urls"] == [["http://x/2", "http://y/2"], ["http://x/1"]]
    assert found["version"] == 1 and found["id"].startswith("a:one$") and found["user-data"] == {}
    assert ddfs.get(["a:one", "other"]) == found  # of several the first
    assert sorted(ddfs.list()) == ["a:one", "a:two"]
    assert ddfs.list("a:t") == ["a:two"] and ddfs.list("b") == []
    ddfs.put("a:one", [])
    assert ddfs.urls("a:one") == [] and ddfs.exists("tag://a:one")
    ddfs.delete("a:one")
    ddfs.delete("a:one")
    assert not ddfs.exists("a:one") and ddfs.list() == ["a:two"]
    assert code(ddfs.get, "a:one") == code(ddfs.attrs, "a:one") == code(ddfs.getattr, "a:one", "x") == 404


def test_what_a_master_refuses_is_refused_in_its_words(ddfs: DDFS) -> None:
    for urls in ("x", ["http://x/1"], [[5]], None):
        with pytest.raises(CommError, match="Invalid url object"):
            ddfs.tag("a", urls)  # type: ignore[arg-type]
        with pytest.raises(CommError, match="Invalid url object"):
            ddfs.put("a", urls)  # type: ignore[arg-type]
    with pytest.raises(CommError, match=r"Invalid tag \(403\)"):
        ddfs.get("bad name")
    with pytest.raises(CommError, match="Invalid attribute key or value"):
        ddfs.setattr("a", "key", 5)  # type: ignore[arg-type]
    with pytest.raises(CommError, match="Attribute value too big"):
        ddfs.setattr("a", "key", "x" * 5000)
    assert code(ddfs.setattr, "a", "ddfs:key", "x") == 404
    assert ddfs.list() == []


def test_attributes(ddfs: DDFS) -> None:
    ddfs.setattr("a", "key", "välue")
    ddfs.setattr("a", "a key/of:its own?", "2")
    assert ddfs.getattr("a", "key") == "välue" and ddfs.getattr("a", "a key/of:its own?") == "2"
    ddfs.setattr("a", "key", "other")
    assert ddfs.attrs("a") == {"key": "other", "a key/of:its own?": "2"}
    ddfs.delattr("a", "a key/of:its own?")
    ddfs.delattr("a", "nosuch")
    assert ddfs.attrs("a") == {"key": "other"}
    assert code(ddfs.getattr, "a", "nosuch") == 404
    ddfs.tag("a", [["http://x/1"]])
    assert ddfs.getattr("a", "ddfs:urls") == [["http://x/1"]]
    assert ddfs.getattr("a", "ddfs:read-token") is None is ddfs.getattr("a", "ddfs:write-token")


def test_tokens_protect_tags(ddfs: DDFS) -> None:
    ddfs.setattr("r", "ddfs:read-token", "rdr")
    ddfs.setattr("w", "ddfs:write-token", "wtr")
    ddfs.setattr("empty", "ddfs:read-token", "")
    ddfs.setattr("empty", "ddfs:write-token", "")
    ddfs.push("both", [(data("x"), "x")], token="sécret")
    for tag in ("r", "empty", "both"):
        assert code(ddfs.get, tag) == code(ddfs.get, tag, token="wrong") == 401
        assert ddfs.exists(tag)
    for tag in ("w", "empty", "both"):
        assert code(ddfs.tag, tag, []) == code(ddfs.put, tag, [], token="wrong") == 401
        assert code(ddfs.delete, tag) == code(ddfs.setattr, tag, "a", "b") == code(ddfs.delattr, tag, "a") == 401
    ddfs.setattr("r", "a", "open to all writers")
    assert ddfs.attrs("r", token="rdr") == {"a": "open to all writers"}
    assert ddfs.attrs("w") == {} and ddfs.get("empty", token="")["urls"] == []
    assert ddfs.getattr("both", "ddfs:write-token", token="sécret") == "sécret"
    assert list(ddfs.blobs("both", token="sécret")) == ddfs.urls("both", token="sécret")
    assert read(ddfs, "both", token="sécret") == [("x", b"x")]
    ddfs.delete("both", token="sécret")
    assert not ddfs.exists("both")


def test_where_a_token_comes_from(ddfs: DDFS, monkeypatch: pytest.MonkeyPatch) -> None:
    ddfs.put("t", [], token="right")
    for url in ("tag://right@/t", "tag://user:right@/t"):
        assert ddfs.urls(url) == []
        ddfs.tag(url, [])
    assert code(ddfs.get, "tag://right@/t", token="wrong") == 401  # the argument wins
    monkeypatch.setenv("DDFS_READ_TOKEN", "right")
    assert ddfs.urls("t") == []
    assert code(ddfs.tag, "t", []) == 401
    assert code(ddfs.get, "tag://wrong@/t") == 401  # the url wins
    monkeypatch.setenv("DDFS_WRITE_TOKEN", "right")
    ddfs.tag("t", [])
    ddfs.setattr("t", "a", "b")
    ddfs.delattr("t", "a")
    monkeypatch.setenv("DDFS_READ_TOKEN", "wrong")
    assert code(ddfs.get, "t") == 401
    for name in TOKENS:
        monkeypatch.delenv(name)
    settings = {"DISCO_MASTER": "x", "DISCO_PROXY": "", "DDFS_WRITE_TOKEN": "right"}
    with_settings = DDFS(ddfs, settings=settings)
    with_settings.tag("t", [])
    assert code(with_settings.get, "t") == 401
    ddfs.delete("tag://right@/t")


# Tags inside tags


def test_tags_in_tags_are_walked(ddfs: DDFS) -> None:
    ddfs.tag("leaf", [["http://x/1"], ["http://x/2", "http://y/2"]])
    ddfs.tag("other", [["http://x/3"]])
    ddfs.tag("empty", [])
    ddfs.tag("top", [["tag://leaf"], ["http://x/4"], ["other"], ["tag://empty"], ["tag://nosuch"], ["tag://leaf"]])
    top, leaf, other = "tag://top", "tag://leaf", "tag://other"
    twice = ((top, leaf), [], [["http://x/1"], ["http://x/2", "http://y/2"]])
    assert list(ddfs.walk("top")) == [
        ((top,), [leaf, other, "tag://empty", "tag://nosuch", leaf], [["http://x/4"]]),
        twice,
        ((top, other), [], [["http://x/3"]]),
        ((top, "tag://empty"), [], []),
        ((top, "tag://nosuch"), (), ()),
        twice,
    ]
    blobs = [["http://x/4"], ["http://x/1"], ["http://x/2", "http://y/2"], ["http://x/3"]]
    assert list(ddfs.blobs("top")) == [*blobs, *blobs[1:3]]
    found = list(ddfs.findtags(["top", "leaf"]))
    assert [tag for tag, _tags, _blobs in found] == [top, leaf, other, "tag://empty"]
    assert [found[1]] == list(ddfs.find("leaf"))
    assert list(ddfs.find()) == []
    for walker in (ddfs.walk, ddfs.findtags, ddfs.blobs):
        assert code(walker, "top", ignore_missing=False) == 404
    assert list(ddfs.blobs("nosuch")) == [] == list(ddfs.findtags("nosuch"))
    assert list(ddfs.walk("nosuch")) == [(("tag://nosuch",), (), ())]


def test_a_tag_that_may_not_be_read_is_not_missing(ddfs: DDFS) -> None:
    ddfs.put("secret", [], token="s")
    ddfs.tag("top", [["tag://secret"]])
    assert code(ddfs.blobs, "top") == 401
    assert list(ddfs.blobs("top", token="s")) == []
    ddfs.put("top", [["tag://s@/secret"]])
    assert [path for path, _tags, _blobs in ddfs.walk("top")][1] == ("tag://top", "tag://token:s@/secret")


def test_tags_that_hold_each_other_end(ddfs: DDFS) -> None:
    ddfs.tag("a", [["tag://b"], ["http://x/a"], ["tag://a"]])
    ddfs.tag("b", [["http://x/b"], ["tag://a"]])
    assert list(ddfs.blobs("a")) == [["http://x/a"], ["http://x/b"]]
    assert [tag for tag, _tags, _blobs in ddfs.find("b")] == ["tag://b", "tag://a"]


def test_a_long_row_of_tags(ddfs: DDFS, store: TagStore) -> None:
    for number in range(60):
        store.post(f"t{number}", [[f"tag://t{number + 1}"]])
    store.post("t60", [["http://x/end"]])
    assert list(ddfs.blobs("t0")) == [["http://x/end"]]


def test_a_tag_on_another_host(store: TagStore, master: Master, tmp_path: Path) -> None:
    (tmp_path / "near").mkdir()
    near = TagStore(str(tmp_path / "near"), ["here"])
    far = f"127.0.0.1:{master.port}"
    store.post("there", [["tag://below"], ["http://x/1"]])
    store.post("below", [["http://x/2"]])
    near.post("top", [[f"tag://{far}/there"], ["tag://below"]])
    near.post("below", [["http://x/near"]])
    ddfs = DDFS(near)
    assert list(ddfs.blobs("top")) == [["http://x/1"], ["http://x/2"], ["http://x/near"]]
    assert ddfs.urls(f"tag://{far}/below") == [["http://x/2"]]
    _, [[url]] = ddfs.push(f"tag://{far}/new", [(data("x"), "x")])  # a blob is stored where its tag is
    assert url.split("/")[2] in HOSTS and read(ddfs, f"tag://{far}/new") == [("x", b"x")]
    assert near.names() == ["below", "top"] and store.names() == ["below", "new", "there"]
    asked = len(master.asked)
    other = DDFS(master.url)
    assert other.urls("tag://127.0.0.1/below") == [["http://x/2"]]  # on the port of DISCO_PORT: the master itself
    assert len(master.asked) == asked + 1


FILES_OF_OTHERS = ("file:///etc/hostname", "/etc/hostname", "x/tag:///etc/hostname", "file:/etc/hostname", "")


@pytest.mark.parametrize("url", FILES_OF_OTHERS)
@pytest.mark.parametrize("inside", [False, True])
def test_files_of_this_machine_are_not_what_a_master_may_name(
    store: TagStore, master: Master, tmp_path: Path, url: str, inside: bool
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    url = url.replace("/etc/hostname", str(secret))
    far = f"tag://127.0.0.1:{master.port}/t"
    store.post("b", [["raw://x"], ["raw://y", url]])
    store.post("t", [["tag://b"]] if inside else store.tag("b")["urls"])
    (tmp_path / "near").mkdir()
    near = TagStore(str(tmp_path / "near"), ["here"])
    near.post("t", [[far]])  # a tag of this machine leads there
    near_ddfs = DDFS(near)
    with LocalCluster(start="inline") as cluster:
        ways = (DDFS(master.url), "t"), (near_ddfs, "t"), (cluster.ddfs, far)
        readers: list[Callable[[DDFS, str], Any]] = [
            lambda ddfs, tag: list(ddfs.pull(tag)),
            lambda ddfs, tag: list(ddfs.blobs(tag)),
            lambda ddfs, tag: list(result_iterator(canonizetag(tag), None, ddfs=ddfs)),
            lambda ddfs, tag: inputlist([canonizetag(tag)], ddfs=ddfs),
            lambda ddfs, tag: near_ddfs.chunk("mine", [far]),
            lambda ddfs, tag: list(cluster.run(Job(map=lambda line, params: [line]), input=[far])),
        ]
        for ddfs, tag in ways:
            for reader in readers:
                with pytest.raises(DataError, match="Refused: it names a file"):
                    reader(ddfs, tag)
            assert [blobs for _path, _tags, blobs in ddfs.walk(tag) if blobs] == [[["raw://x"], ["raw://y", url]]]
    assert near.names() == ["t"] and store.names() == ["b", "t"]
    assert [file.read() for file in DDFS(store).pull("t", lambda name: name == "x")] == [b"x"]  # its own machine


def test_tags_may_change_while_they_are_walked(ddfs: DDFS) -> None:
    for name in "abcd":
        ddfs.tag(name, [[f"http://x/{name}"]])
    ddfs.tag("top", [["tag://a"], ["tag://b"], ["tag://c"], ["tag://d"]])
    walk = ddfs.walk("top")
    assert next(walk)[0] == ("tag://top",)
    ddfs.delete("b")
    ddfs.tag("c", [["http://x/new"]])
    ddfs.delete("top")
    assert [blobs for _path, _tags, blobs in walk] == [
        [["http://x/a"]], (), [["http://x/new"], ["http://x/c"]], [["http://x/d"]]
    ]  # fmt: skip


# Names and masters


def test_names_of_tags() -> None:
    assert canonizetag("a:b@c") == "tag://a:b@c" == canonizetag("tag://a:b@c") == canonizetag(["a:b@c", "d"])
    assert canonizetags("a") == ["tag://a"] and canonizetags(["a", "tag://b"]) == ["tag://a", "tag://b"]
    assert istag("a") == "tag://a" and istag("http://x") is istag("a/b") is istag("-") is istag([]) is None
    assert tagname("tag://tok@host:1/name") == tagname("name") == "name"
    assert relativizetag("a", "tag://host:1/b") == "tag://host:1/a"
    assert relativizetag("tag://other/a", "tag://host/b") == "tag://other/a"
    assert relativizetag("tag://tok@/a", "tag://host/b") == "tag://token:tok@host/a"
    for bad in (None, "", 5, "a/b", "./a", "tag://", "tag://host/", [], b"a"):
        with pytest.raises(InvalidTag, match="Invalid tag: "):
            canonizetag(bad)


def test_names_of_blobs() -> None:
    assert DDFS.blob_name("disco://h/ddfs/vol0/blob/08/key-b$703-3c36e-ab45c") == "key-b"
    assert DDFS.safe_name("a b/c.d:e@f_g-h") == "a_b_c_d:e@f_g-h"
    assert DDFS.job_oob("j@1:2:3") == "disco:job:oob:j@1:2:3"


def test_the_ways_to_name_whose_tags_they_are(store: TagStore, master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    store.post("it", [])
    root = store.volumes.root
    disco = Disco(master.url)
    ways: list[Any] = [store, f"local://{root}", master.url, f"127.0.0.1:{master.port}", disco, DDFS(store), disco.ddfs]
    for way in ways:
        assert DDFS(way).list() == ["it"], way
    assert isinstance(disco.ddfs.service, MasterTags)
    assert DDFS(settings={"DISCO_MASTER": master.url, "DISCO_PROXY": ""}).list() == ["it"]
    monkeypatch.setenv("DISCO_MASTER", f"local://{root}")
    assert DDFS().master == f"local://{root}" and repr(DDFS()) == f"<DDFS master at local://{root}>"
    monkeypatch.delenv("DISCO_MASTER")
    with pytest.raises(DiscoError, match="No master is given"):
        DDFS()
    with pytest.raises(DiscoError, match="needs the url of a master, a Disco or a LocalCluster"):
        DDFS(5)


def test_a_client_can_be_pickled(ddfs: DDFS) -> None:
    ddfs.push("data", [(data("x"), "x")])
    copy = pickle.loads(pickle.dumps(ddfs))
    assert copy.master == ddfs.master and read(copy, "data") == [("x", b"x")]


def test_clusters_have_tags(tmp_path: Path) -> None:
    with LocalCluster(nodes=2, start="inline", root=str(tmp_path / "kept")) as cluster:
        cluster.ddfs.push("data", [(data("a b a"), "text")], replicas=2)
        assert read(DDFS(cluster), "data") == [("text", b"a b a")]

        def tags(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
            ddfs = DDFS(this_master())
            yield str(ddfs.list()), [read(one, "data") for one in (ddfs, params.ddfs)]

        job = Job(map=tags, params=Params(ddfs=cluster.ddfs))
        assert list(cluster.run(job, input=["raw://x"])) == [("['data']", [[("text", b"a b a")]] * 2)]
    assert read(DDFS(f"local://{tmp_path}/kept"), "data") == [("text", b"a b a")]


def test_a_tag_may_have_blobs_of_another_cluster_with_the_same_names_of_nodes() -> None:
    with LocalCluster(start="inline") as one, LocalCluster(start="inline") as other:
        _, blobs = one.ddfs.push("data", [(data("x"), "x")], replicas=2)
        other.ddfs.tag("data", blobs)
        assert read(other.ddfs, "data") == [("x", b"x")]
        one.ddfs.service.discard(blobs[0])
        with pytest.raises(DataError, match="None of the 2 replicas .* No such file"):
            read(other.ddfs, "data")


def test_the_store_of_a_directory_has_the_blobs(store: TagStore) -> None:
    DDFS(store).push("data", [(data("x"), "x")], replicas=2)
    assert read(DDFS(f"local://{store.volumes.root}"), "data") == [("x", b"x")]
