"""Tags inside tags: walks, masters that name others, and what a master may not name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster, result_iterator
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS, canonizetag
from discolocal.error import DataError
from discolocal.util import inputlist
from tests.ddfs.clients import code, data, read
from tests.ddfs.ddfs_master import HOSTS, Master


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
