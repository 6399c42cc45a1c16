"""What is cleared away of the store of DDFS, and what is not."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from discolocal.cluster import collector
from discolocal.cluster.collector import Collected
from discolocal.cluster.tags import TagStore
from discolocal.error import DataError
from discolocal.wire import names
from tests.cluster.disk import Crash, Disk, on

DAY = 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> TagStore:
    return TagStore(str(tmp_path), ["a", "b"])


def push(store: TagStore, name: str, replicas: int = 1) -> list[str]:
    return [store.upload(target, io.BytesIO(b"12345")) for target in store.new_blob(name, replicas)]


def path(store: TagStore, url: str) -> Path:
    return Path(store.volumes.ddfs, names.ddfs_path(url))


def make_old(place: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(place, (then, then))


def removed(found: Collected) -> dict[str, int]:
    return {name: count for name, count in found._asdict().items() if count}


def test_a_blob_without_a_tag_goes_when_it_is_old(store: TagStore) -> None:
    young, old, tagged = push(store, "young"), push(store, "old", 2), push(store, "tagged", 2)
    make_old(path(store, young[0]), 4.9)
    for url in old + tagged:
        make_old(path(store, url), 5.1)
    store.post("t", [tagged[:1]])  # the other replica has no url in any tag, but it is the same blob
    assert removed(store.collect()) == {"blobs": 2, "bytes": 10}
    assert [path(store, url).exists() for url in young + old + tagged] == [True, False, False, True, True]
    assert removed(store.collect()) == {}


def test_with_age_nought_all_that_no_tag_has_goes(store: TagStore) -> None:
    one, two, three = push(store, "one"), push(store, "two"), push(store, "three")
    store.post("t", [one])
    store.post("u", [["tag://t"], two])
    store.put("u", [three])
    assert removed(store.collect(age=0)) == {"blobs": 1, "bytes": 5}
    store.delete("t")
    assert removed(store.collect(age=0)) == {"blobs": 1, "bytes": 5}
    assert not path(store, one[0]).exists() and path(store, three[0]).exists()


def test_urls_with_ports_and_of_other_hosts_keep_a_blob(store: TagStore) -> None:
    one, two = push(store, "one"), push(store, "two")
    store.post("t", [[one[0].replace("://a/", "://a:8989/").replace("://b/", "://b:8989/")]])
    store.post("u", [[f"http://gone/{two[0].partition('://')[2].partition('/')[2]}"]])
    assert removed(store.collect(age=0)) == {}


def test_a_tag_of_another_host_counts(store: TagStore, tmp_path: Path) -> None:
    (url,) = push(store, "one")
    TagStore(str(tmp_path), ["c"]).post("t", [[url]])
    assert removed(store.collect(age=0)) == {}


def test_nothing_goes_while_a_tag_cannot_be_read(store: TagStore) -> None:
    """Not even when an older version of it can."""
    (url,) = push(store, "one")
    store.post("t", [["x"]])
    damaged = Path(store.volumes.path("a", "tag", str(names.Object("t", 9 * 10**15))))
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(b"{")
    with pytest.raises(DataError, match="no tag"):
        store.collect(age=0)
    assert path(store, url).exists()


def test_deleted_names_are_forgotten_after_a_month(store: TagStore) -> None:
    store.post("t", [])
    store.post("u", [])
    store.delete("t")
    assert removed(store.collect()) == {}
    assert removed(store.collect(deleted_age=0)) == {"names": 1}
    assert store.names() == ["u"] and store._locks() == ["u"]
    assert len(list(Path(store.volumes.ddfs).glob("*/vol0/tag/*/*"))) == 1
    store.post("t", [])
    assert store.names() == ["t", "u"]


def test_the_month_is_a_month() -> None:
    assert (collector.ORPHAN_AGE, collector.DELETED_AGE) == (5 * DAY, 30 * DAY)


def test_a_version_that_came_back_goes_with_the_name(store: TagStore) -> None:
    (url,) = store.post("t", [])
    data = path(store, url).read_bytes()
    store.delete("t")
    path(store, url).write_bytes(data)
    assert removed(store.collect(deleted_age=0)) == {"versions": 1, "names": 1}
    assert store.names() == [] and not path(store, url).exists()


def test_what_crashes_have_left_goes(store: TagStore) -> None:
    (target,) = store.new_blob("one")
    with pytest.raises(Crash), on(Disk(name="write")):
        store.upload(target, io.BytesIO(b"12345"))
    store.post("t", [["old"]])
    with pytest.raises(Crash), on(Disk(name="unlink")):
        store.post("t", [["new"]])
    left = {place.name.partition("$")[0] for place in Path(store.volumes.ddfs).glob("*/vol0/*/*/*")}
    assert left == {"!partial.one", "t"} and len(store.volumes.versions("t")) == 2
    assert removed(store.collect()) == {"unfinished": 1, "bytes": 2, "versions": 1}
    assert store.tag("t")["urls"] == [["new"], ["old"]] and len(store.volumes.versions("t")) == 1


def test_a_store_without_anything(store: TagStore) -> None:
    assert removed(store.collect(0, 0)) == {}
    assert not os.path.exists(store.volumes.ddfs)
