"""The store of DDFS on disk: files as a node keeps them, and requests about tags: tokens, attributes, limits."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import pytest

from discolocal.cluster import durable
from discolocal.cluster.tags import LONGEST, TagStore
from discolocal.error import DiscoError
from discolocal.wire import names
from tests.cluster.stores import files, push, read, refusal

# Files


def test_files_lie_where_a_node_has_them(store: TagStore) -> None:
    (url,) = push(store, "blob", b"data")
    (tag,) = store.post("some:tag", [[url]], token="t")
    for found in (url, tag):
        path = Path(store.volumes.ddfs, names.ddfs_path(found))
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert path.parent.name == names.hex2(path.name)
    assert Path(store.volumes.ddfs, names.ddfs_path(url)).read_bytes() == b"data"
    version = json.loads(Path(store.volumes.ddfs, names.ddfs_path(tag)).read_bytes())
    assert version["id"] == tag.rpartition("/")[2] and version["read-token"] == version["write-token"] == "t"
    assert len(files(store)) == 2


def test_a_change_replaces_the_version(store: TagStore) -> None:
    first = store.post("t", [["a"]])
    second = store.post("t", [["b"]])
    assert first != second and store.tag("t")["urls"] == [["b"], ["a"]]
    assert files(store) == [names.ddfs_path(second[0])]
    assert store.post("t", []) == second == store.post("t", [], update=True), "nothing changed: the same version"


def test_an_empty_post_makes_a_tag(store: TagStore) -> None:
    store.post("a", [])
    store.post("b", [], update=True)
    store.set_attribute("c", "k", "v")
    assert store.names() == ["a", "b", "c"] and store.tag("c")["urls"] == []


def test_a_store_opened_again_has_everything(store: TagStore, tmp_path: Path) -> None:
    url = push(store, "blob", b"data")
    store.post("t", [url])
    store.post("gone", [url])
    store.delete("gone")
    again = TagStore(str(tmp_path))
    assert set(again.volumes.hosts) <= set(store.volumes.hosts)
    assert again.names() == ["t"] and again.tag("t") == store.tag("t")
    assert read(again, url[0]) == b"data"


def test_two_stores_see_each_other(store: TagStore, tmp_path: Path) -> None:
    """What is remembered of directories is no older than the last change, however quick that was."""
    other = TagStore(str(tmp_path), ["node2"])
    for number in range(100):
        writer, reader = (store, other) if number % 2 else (other, store)
        writer.post("t", [[f"{number}"]])
        assert reader.tag("t")["urls"][0] == [f"{number}"]
        writer.delete("d") if number % 4 > 1 else writer.post("d", [])
        assert ("d" in reader.names()) == (number % 4 < 2)


def test_two_changes_within_one_tick_of_the_clock_are_seen(store: TagStore, tmp_path: Path) -> None:
    """The kernel gives both the same time, so the time of a directory does not tell that it has changed again."""
    store.post("t", [])
    reader = TagStore(str(tmp_path))
    assert reader.names() == ["t"]
    times = {top: os.stat(top).st_mtime_ns for top, _, _ in os.walk(store.volumes.ddfs)}
    store.post("t", [["a"]])
    store.post("u", [])
    for top, when in times.items():
        os.utime(top, ns=(when, when))
    assert reader.tag("t")["urls"] == [["a"]] and reader.names() == ["t", "u"]


def test_a_directory_is_read_once(store: TagStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.post("t", [])
    for top, _, _ in os.walk(store.volumes.ddfs):
        os.utime(top, (1, 1))
    store.tag("t")
    listed: list[str] = []
    real = os.listdir
    monkeypatch.setattr("discolocal.cluster.volumes.os.listdir", lambda path: listed.append(path) or real(path))
    store.tag("t")
    assert listed == []


def test_times_increase_whatever_the_clock_says(
    store: TagStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []
    for number, now in enumerate((5_000, 5_000, 4_000, 9_000, 1_000)):
        monkeypatch.setattr("discolocal.cluster.volumes.time.time_ns", lambda now=now: now * 1000)
        store = TagStore(str(tmp_path), ["node1"])
        store.post("t", [[str(number)]])
        seen.append(names.parse_object(store.tag("t")["id"]).micros)  # type: ignore[union-attr]
        seen.append(names.parse_object(store.new_blob("b")[0].rpartition("/")[2]).micros)  # type: ignore[union-attr]
    assert seen == sorted(set(seen)) and seen[0] == 5_000
    before = store.current("t").files[0].micros
    os.unlink(os.path.join(store.volumes.ddfs, ".clock"))
    store.post("t", [["last"]])
    assert store.current("t").files[0].micros == before + 1, "later than the one before, also without that file"


def test_a_directory_of_other_things_is_no_host(tmp_path: Path) -> None:
    for name in ("oob/job@1:2:3", "node7/vol0/blob", ".locks", "empty"):
        (tmp_path / "ddfs" / name).mkdir(parents=True)
    assert TagStore(str(tmp_path)).volumes.hosts == ("node7",)


def test_hosts_of_a_root_are_those_of_its_jobs_and_of_its_blobs(tmp_path: Path) -> None:
    assert TagStore(str(tmp_path)).volumes.hosts == ("node1",)
    for name in ("node1", "node2", "_disco_8989", ".hidden"):
        (tmp_path / "data" / name).mkdir(parents=True)
    opened = TagStore(str(tmp_path))
    assert opened.volumes.hosts == ("node1", "node2")
    opened.upload(opened.new_blob("one")[0], io.BytesIO(b"x"))
    again = TagStore(str(tmp_path))
    assert again.volumes.hosts == ("node1", "node2"), "also those that have no blob yet"
    assert len(again.new_blob("two", 2)) == 2
    TagStore(str(tmp_path), ["node7"]).upload("http://node7/ddfs/three$703-1-1", io.BytesIO(b"x"))
    assert TagStore(str(tmp_path)).volumes.hosts == ("node1", "node2", "node7")


def test_a_root_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ddfs").mkdir()

    def refused(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)  # root, as whom tests may run, is never refused

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(DiscoError, match="tags and blobs of .* cannot be read: .*Permission denied.*ddfs"):
        TagStore(str(tmp_path))


def test_a_root_that_is_not_there_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(DiscoError, match="no directory .*nowhere"):
        TagStore(str(tmp_path / "nowhere"))
    root = tmp_path / "root"
    root.mkdir()
    store = TagStore(str(root), ["node1"])
    (target,) = store.new_blob("b")
    durable.remove(os.path.join(store.volumes.ddfs, ".clock"))
    (root / "ddfs").rmdir()
    root.rmdir()
    for call in (
        lambda: store.post("t", []),
        lambda: store.new_blob("b"),
        lambda: store.upload(target, io.BytesIO(b"")),
    ):
        assert refusal(call) == (500, "The directory of these tags is gone")
    assert not root.exists()


@pytest.mark.parametrize("hosts", [[], ["a/b"], [".."], [".a"], [""], ["a:1"], ["a@b"]])
def test_hosts_that_cannot_be(tmp_path: Path, hosts: list[str]) -> None:
    with pytest.raises(ValueError, match="names of hosts"):
        TagStore(str(tmp_path), hosts)


# Requests about tags


def test_a_deleted_tag_is_gone(store: TagStore) -> None:
    store.post("t", [["a"]], token="secret")
    store.delete("t", "secret")
    assert store.names() == [] and refusal(store.tag, "t") == (404, "Tag not found.")
    store.delete("t")
    store.delete("never")
    store.post("t", [["b"]])
    assert store.tag("t")["urls"] == [["b"]], "made anew, without its token"
    assert os.listdir(os.path.join(store.volumes.ddfs, ".locks")) == ["t"]


def test_an_old_version_that_comes_back_stays_deleted(store: TagStore) -> None:
    (url,) = store.post("t", [["a"]])
    path = Path(store.volumes.ddfs, names.ddfs_path(url))
    data = path.read_bytes()
    store.delete("t")
    other = Path(store.volumes.ddfs, "other", *Path(names.ddfs_path(url)).parts[1:])
    for place in (path, other):  # of a crash, or of a host that was away
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    assert store.names() == [] and refusal(store.tag, "t") == (404, "Tag not found.")


def test_the_newest_version_that_is_whole_counts(store: TagStore) -> None:
    store.post("t", [["a"]])
    newest = Path(store.volumes.path("node1", "tag", str(names.Object("t", 9 * 10**15))))
    newest.parent.mkdir(parents=True, exist_ok=True)
    newest.write_bytes(b'{"version":1')
    assert store.tag("t")["urls"] == [["a"]]
    store.post("t", [["b"]])
    assert store.tag("t")["urls"] == [["b"], ["a"]]
    assert len(files(store)) == 1


def test_a_tag_with_damaged_versions_only_is_an_error(store: TagStore) -> None:
    (url,) = store.post("t", [["a"]])
    path = Path(store.volumes.ddfs, names.ddfs_path(url))
    path.chmod(0o600)
    path.write_bytes(b"")
    for call in (lambda: store.tag("t"), lambda: store.post("t", [["b"]])):
        code, text = refusal(call)
        assert code == 500 and str(path) in str(text)
    assert path.exists()


def test_tokens_are_asked_for(store: TagStore) -> None:
    store.post("t", [["a"]], token="both")
    store.set_attribute("t", "ddfs:read-token", "r", "both")
    refused = (401, "Incorrect or missing token.")
    assert store.tag("t", "r")["urls"] == store.tag("t", "both")["urls"] == [["a"]]
    for token in (None, "", "x"):
        assert refusal(store.tag, "t", token) == refused
    for token in (None, "", "r"):
        assert refusal(store.attribute, "t", "ddfs:write-token", token) == refused
        assert refusal(store.post, "t", [["b"]], token) == refused
        assert refusal(store.put, "t", [["b"]], token) == refused
        assert refusal(store.set_attribute, "t", "a", "b", token) == refused
        assert refusal(store.delete_attribute, "t", "a", token) == refused
        assert refusal(store.delete, "t", token) == refused
    assert store.attribute("t", "ddfs:write-token", "both") == "both"
    store.delete_attribute("t", "ddfs:read-token", "both")
    assert store.tag("t") == store.tag("t", "x"), "open to everybody"
    assert "token" not in json.dumps(store.tag("t"))


def test_attributes(store: TagStore) -> None:
    refused = (404, "Tag attribute not found.")
    assert refusal(store.delete_attribute, "t", "a") == refused
    assert refusal(store.attribute, "t", "a") == (404, "Tag not found.")
    store.set_attribute("t", "a", "é\x7f")
    assert store.attribute("t", "a") == "é\x7f" and store.tag("t")["user-data"] == {"a": "é\x7f"}
    assert refusal(store.attribute, "t", "b") == refusal(store.attribute, "t", "ddfs:x") == refused
    store.delete_attribute("t", "a")
    store.delete_attribute("t", "a")
    assert store.tag("t")["user-data"] == {}
    assert refusal(store.set_attribute, "t", "a", 1) == (403, "Invalid attribute key or value")


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "+a", "x" * 512])
def test_names_of_no_tag(store: TagStore, name: str) -> None:
    for call in (
        lambda: store.tag(name),
        lambda: store.attribute(name, "a"),
        lambda: store.post(name, []),
        lambda: store.put(name, []),
        lambda: store.set_attribute(name, "a", "b"),
        lambda: store.delete_attribute(name, "a"),
        lambda: store.delete(name),
    ):
        assert refusal(call) == (403, "Invalid tag")
    assert not os.path.exists(store.volumes.ddfs)


def test_the_longest_name(store: TagStore) -> None:
    store.post("n" * LONGEST, [["a"]])
    store.delete("n" * LONGEST)
    assert store.names() == [] and len(files(store)) == 1
    for name in ("n" * (LONGEST + 1), "n" * 511):
        code, text = refusal(store.post, name, [])
        assert code == 500 and f"up to {LONGEST} characters" in str(text)
        assert refusal(store.tag, name) == (404, "Tag not found.")
        store.delete(name)


def test_a_refused_request_leaves_nothing(store: TagStore) -> None:
    assert refusal(store.post, "t", "x") == (403, "Invalid url object")
    assert refusal(store.put, "t", [["a", 1]]) == (403, "Invalid url object")
    assert refusal(store.delete_attribute, "t", "a") == (404, "Tag attribute not found.")
    store.delete("t")
    assert files(store) == [] and store._locks() == []


def test_tags_are_kept_on_several_hosts(tmp_path: Path) -> None:
    store = TagStore(str(tmp_path), ["a", "b", "c"], tag_replicas=2)
    store.post("t", [["x"]])
    urls = store.post("t", [["y"]])
    assert len({url.split("/")[2] for url in urls}) == 2 and len(files(store)) == 2
    os.unlink(Path(store.volumes.ddfs, names.ddfs_path(urls[0])))
    assert store.tag("t")["urls"] == [["y"], ["x"]] and store.post("t", []) == urls[1:]
    store.delete("t")
    assert store.names() == []
    with pytest.raises(ValueError, match="tag_replicas=4"):
        TagStore(str(tmp_path), ["a", "b", "c"], tag_replicas=4)
    with pytest.raises(ValueError, match="blob_replicas=0"):
        TagStore(str(tmp_path), ["a"], blob_replicas=0)
