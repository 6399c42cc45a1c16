"""The client itself: names of tags and blobs, and the ways to say whose tags they are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Disco, DiscoError, Job, LocalCluster, Params
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS, InvalidTag, canonizetag, canonizetags, istag, relativizetag, tagname
from discolocal.error import DataError
from discolocal.tagservice import MasterTags
from discolocal.worker.classic.worker import this_master
from tests.ddfs.clients import data, read
from tests.ddfs.ddfs_master import Master


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
            both = [ddfs, params.ddfs]  # `read` is not used: a task would need its module
            yield str(ddfs.list()), [[(c.blob_name(f.url), f.read()) for f in c.pull("data")] for c in both]

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
