"""The store of DDFS against a model of 40 lines, opened again at any time, and with a crash between any two changes of
the disk; a disk that fails; and the order in which things are made to last.
"""

from __future__ import annotations

import copy
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from discolocal.cluster.tags import TagStore
from discolocal.error import CommError
from discolocal.wire import names
from tests.cluster.disk import Crash, Disk, on

HOSTS = ("a", "b")
NAMES = ("t", "T", "disco:results:job@1:2:3")
TOKENS = (None, None, None, "", "x")
# Urls, and by which name an update knows them.
URLS = {
    "disco://a/ddfs/vol0/blob/00/one$1-2-3": "one",
    "disco://b/ddfs/vol0/blob/01/one$1-2-4": "one",
    "disco://a/ddfs/vol0/blob/02/two$1-2-5": "two",
    "tag://one": "one",
    "tag://three": "three",
    "http://h/one": None,
}


class Refused(Exception):
    """The status of a master."""


class Model:
    """What a master with tags does, and nothing else: a dict."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, Any]] = {}

    def get(self, name: str, token: str | None) -> dict[str, Any]:
        tag = self.tags.setdefault(name, {"urls": [], "user": {}, "read": token, "write": token})
        if tag["write"] is not None and tag["write"] != token:
            raise Refused(401)
        return tag

    def post(self, name: str, urls: list[list[str]], token: str | None, update: bool) -> None:
        tag = self.get(name, token)
        if not update:
            tag["urls"] = urls + tag["urls"]
            return
        for replicas in urls:
            known = [URLS.get(old[0], names.blob_name(old[0])) for old in tag["urls"]]
            name_ = URLS.get(replicas[0], names.blob_name(replicas[0]))
            if name_ is None or name_ not in known:
                tag["urls"] = [replicas, *tag["urls"]]

    def put(self, name: str, urls: list[list[str]], token: str | None) -> None:
        self.get(name, token)["urls"] = urls

    def set_attribute(self, name: str, attribute: str, value: str, token: str | None) -> None:
        tag = self.get(name, token)
        part = {"ddfs:read-token": "read", "ddfs:write-token": "write"}.get(attribute)
        (tag if part else tag["user"])[part or attribute] = value

    def delete_attribute(self, name: str, attribute: str, token: str | None) -> None:
        if name not in self.tags:
            raise Refused(404)
        self.get(name, token)["user"].pop(attribute, None)

    def delete(self, name: str, token: str | None) -> None:
        if name in self.tags:
            self.get(name, token)
            del self.tags[name]


lists = st.lists(st.lists(st.sampled_from(sorted(URLS)), min_size=1, max_size=2), max_size=3)
crashes = st.none() | st.integers(0, 24)


class Store(RuleBasedStateMachine):
    """Each request is made of the store and of the model; one that crashes has been done or not, as the tag tells."""

    @initialize(replicas=st.integers(1, 2))
    def begin(self, replicas: int) -> None:
        self.root = tempfile.mkdtemp()
        self.replicas = replicas
        self.model = Model()
        self.blobs: dict[str, bytes] = {}
        self.reopen()

    def reopen(self) -> None:
        self.store = TagStore(self.root, HOSTS, tag_replicas=self.replicas)

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def ask(self, crash: int | None, method: str, *arguments: Any) -> Any:
        """Make a request of both."""
        model = copy.deepcopy(self.model)
        refused = None
        try:
            getattr(model, method)(*arguments)
        except Refused as error:
            refused, model = error.args[0], self.model
        try:
            with on(Disk(crash)):
                found = getattr(self.store, method)(*arguments)
        except CommError as error:
            assert error.code == refused
        except Crash:
            self.reopen()
            if self.seen() == model.tags:
                self.model = model
            return None  # or it is as before, which is looked at after each request
        else:
            assert refused is None
            self.model = model
            return found

    def seen(self) -> dict[str, Any]:
        """The tags of the store in the form of the model."""
        found = {}
        for name in self.store.names():
            version = self.store.current(name)
            assert version.tag is not None and version.damage is None
            tag = version.tag
            found[name] = {
                "urls": tag.urls,
                "user": tag.attributes,
                "read": tag.read_token,
                "write": tag.write_token,
            }
        return found

    @rule(name=st.sampled_from(NAMES), urls=lists, token=st.sampled_from(TOKENS), update=st.booleans(), crash=crashes)
    def post(self, name: str, urls: list[list[str]], token: str | None, update: bool, crash: int | None) -> None:
        self.ask(crash, "post", name, urls, token, update)

    @rule(name=st.sampled_from(NAMES), urls=lists, token=st.sampled_from(TOKENS), crash=crashes)
    def put(self, name: str, urls: list[list[str]], token: str | None, crash: int | None) -> None:
        self.ask(crash, "put", name, urls, token)

    @rule(
        name=st.sampled_from(NAMES),
        attribute=st.sampled_from(("k", "l", "ddfs:read-token", "ddfs:write-token")),
        value=st.sampled_from(("", "x", "é")),
        token=st.sampled_from(TOKENS),
        crash=crashes,
    )
    def set_attribute(self, name: str, attribute: str, value: str, token: str | None, crash: int | None) -> None:
        self.ask(crash, "set_attribute", name, attribute, value, token)

    @rule(name=st.sampled_from(NAMES), attribute=st.sampled_from("kl"), token=st.sampled_from(TOKENS), crash=crashes)
    def delete_attribute(self, name: str, attribute: str, token: str | None, crash: int | None) -> None:
        self.ask(crash, "delete_attribute", name, attribute, token)

    @rule(name=st.sampled_from(NAMES), token=st.sampled_from(TOKENS), crash=crashes)
    def delete(self, name: str, token: str | None, crash: int | None) -> None:
        self.ask(crash, "delete", name, token)

    @rule(name=st.sampled_from(NAMES), data=st.binary(max_size=9), crash=crashes, token=st.sampled_from(TOKENS))
    def push(self, name: str, data: bytes, crash: int | None, token: str | None) -> None:
        targets = self.store.new_blob("blob", 2)
        try:
            with on(Disk(crash)):
                urls = [self.store.upload(target, io.BytesIO(data)) for target in targets]
        except Crash:
            self.reopen()
            return
        for url in urls:
            self.blobs[url] = data
        self.ask(None, "post", name, [urls], token, False)

    @rule(crash=crashes)
    def collect(self, crash: int | None) -> None:
        used = {url for tag in self.model.tags.values() for replicas in tag["urls"] for url in replicas}
        self.blobs = {url: data for url, data in self.blobs.items() if url in used}
        try:
            with on(Disk(crash)):
                self.store.collect(age=0, deleted_age=0)
        except Crash:
            self.reopen()
            return
        assert self.files("!partial.") == [] == self.files("+")
        assert set(self.store._locks()) == set(self.model.tags)
        blobs = [path.name for path in self.files("") if path.parent.parent.name == "blob"]
        assert sorted(blobs) == sorted(url.rpartition("/")[2] for url in self.blobs)

    @rule()
    def open_again(self) -> None:
        self.reopen()

    def files(self, prefix: str) -> list[Path]:
        return sorted(path for path in Path(self.root, "ddfs").glob("*/vol0/*/*/*") if path.name.startswith(prefix))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def the_tags_are_those_of_the_model(self) -> None:
        assert self.seen() == self.model.tags
        assert self.store.names() == sorted(self.model.tags)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def no_blob_is_lost(self) -> None:
        for url, data in self.blobs.items():
            assert Path(self.root, "ddfs", names.ddfs_path(url)).read_bytes() == data

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def what_is_visible_is_whole(self) -> None:
        for path in self.files(""):
            if not path.name.startswith("!partial."):
                assert names.parse_object(path.name.removeprefix("+")) and path.stat().st_mode & 0o777 == 0o400


Store.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestStore = Store.TestCase


# Every change of a request fails


def post(store: TagStore) -> None:
    store.post("t", [["new"]])


def make(store: TagStore) -> None:
    store.post("made", [["new"]])


def delete(store: TagStore) -> None:
    store.delete("t")


def push(store: TagStore) -> None:
    (target,) = store.new_blob("blob")
    store.upload(target, io.BytesIO(b"data" * 100))


def prepared(root: Path) -> TagStore:
    root.mkdir()
    store = TagStore(str(root), HOSTS, tag_replicas=2)
    store.post("t", [["old"]])
    return store


def state(store: TagStore) -> dict[str, Any]:
    return {name: store.tag(name)["urls"] for name in store.names()}


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("request_", [post, make, delete, push])
def test_a_disk_that_fails(tmp_path: Path, request_: Callable[[TagStore], None], code: int, for_good: bool) -> None:
    """At each change in turn: an error, the tag as before or after, nothing half done, and the next request works."""
    store = prepared(tmp_path / "whole")
    before = state(store)
    with on(Disk()) as disk:
        request_(store)
    after = state(store)
    assert len(disk.trace) > 5
    for calls in range(len(disk.trace)):
        store = prepared(tmp_path / f"{calls}")
        failed = None
        with on(Disk(calls, OSError(code, os.strerror(code)), for_good)):
            try:
                request_(store)
            except CommError as error:
                failed = error
        if failed is not None:
            assert failed.code in (500, 503) and os.strerror(code) in str(failed)
        assert state(store) in ([before, after] if failed else [after])
        left = [path.name for path in tmp_path.joinpath(f"{calls}", "ddfs").glob("*/vol0/*/*/*")]
        if not for_good:  # where nothing can be removed any more, something stays
            assert not any(name.startswith("!partial.") for name in left)
        request_(store)
        store.collect(0, 0)
        shutil.rmtree(tmp_path / f"{calls}")


class Reluctant(Disk):
    """A disk that takes a few bytes at once."""

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)
        return real if name != "write" else lambda file, data: real(file, bytes(data)[:7])


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    store = prepared(tmp_path / "root")
    with on(Reluctant()) as disk:
        post(store)
        push(store)
    assert sum(call.name == "write" for call in disk.trace) > 60
    assert state(store) == {"t": [["new"], ["old"]]}
    (blob,) = (tmp_path / "root").glob("ddfs/*/vol0/blob/*/*")
    assert blob.read_bytes() == b"data" * 100


@pytest.mark.parametrize("request_", [post, make, delete, push])
def test_what_is_done_lasts(tmp_path: Path, request_: Callable[[TagStore], None]) -> None:
    """Each file is on the disk before it has its name, each name and directory before the request goes on."""
    store = prepared(tmp_path / "root")
    with on(Disk()) as disk:
        request_(store)
    lasting: set[str] = set()  # paths of files and directories in which nothing changed since their fsync
    opened: dict[int, str] = {}
    changed: list[str] = []  # the directories that must last
    for call in disk.trace:
        if call.name == "open":
            opened[call.result] = call.on
        elif call.name == "fsync":
            lasting.add(opened[call.on])
        elif call.name in ("write", "fchmod"):
            lasting.discard(opened[call.on])
        elif call.name == "unlink":
            assert set(changed) <= lasting, "what replaces it lasts before it goes"
        else:
            assert call.name == "mkdir" or call.on in lasting, "a name for what is not on the disk"
            changed.append(os.path.dirname(call.arguments[1] if call.name == "rename" else call.on))
            lasting.discard(changed[-1])
    assert set(changed) <= lasting and len(changed) > 0
