"""The store of DDFS on the disk of this machine (reference 5.3, 7).

    TagStore --.locks/<name>--> read the newest version, change it, write the next one, remove the older ones

A tag is what its newest version says; that is one file, which appears by a rename, so a crash leaves the tag as it was
before or after a request. Nobody has to run for this: all processes that open the same root share its tags.
Readers share the lock of a tag, writers have it for themselves.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple, cast

from discolocal.cluster import blobs, collector, durable
from discolocal.cluster.collector import Collected
from discolocal.cluster.locks import locked, shared
from discolocal.cluster.volumes import GONE, Stored, Volumes
from discolocal.error import CommError, DataError
from discolocal.wire import names, tag
from discolocal.wire.tag import Tag, TagError

LONGEST = durable.LONGEST - len(GONE) - len("$fff-fffff-fffff") - 1
"""Characters of the name of a tag that can be stored: the file system takes no longer ones."""


class Version(NamedTuple):
    """The newest version of a tag that is whole, None where there is none or the tag was deleted; all files of the tag,
    the newest first; and what is wrong with newer ones that are not whole.
    """

    tag: Tag | None
    files: list[Stored]
    damage: DataError | None = None


class TagStore:
    """Tags and blobs in a directory, a `discolocal.tagservice.TagService`.

    Parameters: `root`, the directory of a cluster; `hosts`, the names of its nodes, None for those found there (see
    `Volumes`); `tag_replicas` and `blob_replicas`, on how many hosts tags and blobs are kept. What is there is found on
    all hosts. Raises ValueError for parameters out of range, DiscoError where there is no such directory. Its methods
    raise CommError with a master's status and words (reference 5.3).
    """

    def __init__(
        self, root: str, hosts: Sequence[str] | None = None, tag_replicas: int = 1, blob_replicas: int = 1
    ) -> None:
        self.volumes = Volumes(root, hosts)
        for parameter, number in (("tag_replicas", tag_replicas), ("blob_replicas", blob_replicas)):
            if not isinstance(number, int) or not 0 < number <= len(self.volumes.hosts):
                raise ValueError(f"{parameter}={number!r}: must be an int from 1 to the number of hosts")
        self.tag_replicas = tag_replicas
        self.blob_replicas = blob_replicas

    def __repr__(self) -> str:
        return f"<TagStore {self.master}>"

    @property
    def master(self) -> str:
        """``local://`` and the root."""
        return f"local://{self.volumes.root}"

    # Tags

    def names(self, prefix: str = "") -> list[str]:
        """The names of the tags that begin with `prefix`, sorted."""
        with _answers(f"{self.master}/ddfs/tags/{prefix}"):
            found = self.volumes.newest()
            # One whose version was replaced between the looks into two directories was seen in none of them.
            for name in self._locks():
                if name not in found and name.startswith(prefix) and self.current(name).tag is not None:
                    found[name] = False
        return sorted(name for name, gone in found.items() if not gone and name.startswith(prefix))

    def tag(self, name: str, token: str | None = None) -> dict[str, Any]:
        """The tag as everybody sees it who may read it (reference 7.2)."""
        with _answers(f"tag://{name}"):
            found = self._get(name)
            found.check_read(token)
            return found.public()

    def attribute(self, name: str, attribute: str, token: str | None = None) -> Any:
        """The value of an attribute; `ddfs:urls`, `ddfs:read-token` and `ddfs:write-token` are parts of the tag."""
        with _answers(f"tag://{name}"):
            tag.check_attribute(attribute)
            return self._get(name).attribute(attribute, token)

    def post(
        self, name: str, urls: list[list[str]], token: str | None = None, update: bool = False, delayed: bool = False
    ) -> list[str]:
        """Put replica lists in front of those of a tag, which is made if there is none; return the urls of the tag.

        With `update` a blob or tag whose name is there already is left out. `delayed` changes nothing: on a master it
        means that requests of one second are committed together and answered then; here each is committed
        before it returns.
        """

        def posted(old: Tag | None) -> Tag | None:
            new = (old or _new(name, token)).posted(checked, update)
            return new if new is not None or old is not None else _new(name, token)

        with _answers(f"tag://{name}"):
            tag.check_name(name)
            checked = tag.check_urls(urls)
            return self._change(name, token, posted)

    def put(self, name: str, urls: list[list[str]], token: str | None = None) -> list[str]:
        """Replace the replica lists of a tag, which is made if there is none; return the urls of the tag."""
        with _answers(f"tag://{name}"):
            tag.check_name(name)
            checked = tag.check_urls(urls)
            return self._change(name, token, lambda old: (old or _new(name, token)).with_attribute(tag.URLS, checked))

    def set_attribute(self, name: str, attribute: str, value: str, token: str | None = None) -> list[str]:
        """Set an attribute of a tag, which is made if there is none, or one of its tokens; return the tag's urls."""
        with _answers(f"tag://{name}"):
            tag.check_name(name)
            tag.check_value(attribute, value)
            return self._change(name, token, lambda old: (old or _new(name, token)).with_attribute(attribute, value))

    def delete_attribute(self, name: str, attribute: str, token: str | None = None) -> None:
        """Delete an attribute of a tag; the tokens become null. Without the tag it is 404."""

        def without(old: Tag | None) -> Tag | None:
            if old is None:
                raise TagError(404, "Tag attribute not found.")
            return old.without_attribute(attribute)

        with _answers(f"tag://{name}"):
            tag.check_name(name)
            tag.check_attribute(attribute)
            self._change(name, token, without)

    def delete(self, name: str, token: str | None = None) -> None:
        """Delete a tag; one that there is not is no error. Its blobs stay until `collect`."""
        with _answers(f"tag://{name}"):
            tag.check_name(name)
            if self.current(name).tag is None:
                return
            with self.locked(name) as version:
                if version.tag is None:
                    return
                version.tag.check_write(token)
                stored = names.Object(name, self._time(version))
                hosts = sorted({file.host for file in version.files})
                shown = self._show(hosts, f"{GONE}{stored}", b"")
            _settle(shown, version.files)

    # Blobs

    def new_blob(
        self, name: str, replicas: int | None = None, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[str]:
        """Where to upload a new blob to, see `blobs.new_blob`."""
        with _answers(name):
            count = self.blob_replicas if replicas is None else replicas
            return blobs.new_blob(self.volumes, name, count, include, exclude)

    def upload(self, target: str, source: BinaryIO) -> str:
        """Store what is left in a binary file at one target; return the ``disco://`` url. See `blobs.upload`."""
        self.volumes.check()
        return blobs.upload(self.volumes, target, source)

    def open(self, url: str) -> BinaryIO:
        """Open a blob, or any other url that the schemes can read, as bytes. Raises DataError."""
        from discolocal import schemes
        from discolocal.schemes import scheme_disco
        from discolocal.tagservice import Blob

        try:
            path = blobs.find(self.volumes, url)
        except DataError:
            path = scheme_disco.find_local(url, None)  # another cluster of this machine may have a host of that name
            if path is None:
                raise
        file, size, _url = schemes.open_url(url if path is None else f"file://{path}", encoding=None)
        return cast(BinaryIO, Blob(file, url, size))

    def discard(self, urls: Iterable[str]) -> None:
        """Remove replicas of blobs that were just stored and are in no tag. What cannot be removed is for `collect`."""
        for url in urls:
            with contextlib.suppress(OSError, DataError):
                path = blobs.find(self.volumes, url)
                if path is not None:
                    durable.remove(path)

    def collect(self, age: float = collector.ORPHAN_AGE, deleted_age: float = collector.DELETED_AGE) -> Collected:
        """Remove blobs without a tag, and what crashes have left; see `collector.collect`."""
        with _answers(self.master):
            return collector.collect(self, age, deleted_age)

    # How tags are kept

    def _get(self, name: str) -> Tag:
        tag.check_name(name)
        found = self.current(name).tag
        if found is None:
            raise tag.not_found()
        return found

    def current(self, name: str) -> Version:
        """The newest version of a tag. Raises CommError when there are versions but none that is whole."""
        path = self._lock_path(name)
        if len(name) > LONGEST:
            return Version(None, [])
        while True:
            with shared(path) as held, contextlib.suppress(*() if held else (FileNotFoundError,)):
                version = self._newest(name)
                if held or not os.path.exists(path):  # without a lock there is nobody who writes
                    return version

    def _newest(self, name: str) -> Version:
        """The newest version that is whole. Raises FileNotFoundError when it was replaced, which the lock prevents."""
        files = self.volumes.versions(name)
        damage: DataError | None = None
        for file in files:
            if file.gone:
                return Version(None, files, damage)
            try:
                with open(file.path, "rb") as opened:
                    return Version(tag.loads(opened.read(), file.path), files, damage)
            except DataError as error:
                damage = damage or error
        if damage is not None:
            raise CommError(f"Internal server error: {damage}", f"tag://{name}", 500)
        return Version(None, files)

    def _lock_path(self, name: str) -> str:
        return os.path.join(self.volumes.ddfs, ".locks", name)

    def _locks(self) -> list[str]:
        try:
            return os.listdir(os.path.join(self.volumes.ddfs, ".locks"))
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Version]:
        """Hold the lock of a tag; gives its newest version. The lock of a tag that has no version goes away again."""
        path = self._lock_path(name)
        self.volumes.check()
        durable.make_directories(os.path.dirname(path))
        with locked(path):
            version = self._newest(name)
            try:
                yield version
            finally:
                if version.tag is None and not self.volumes.versions(name):
                    os.unlink(path)

    def _change(self, name: str, token: str | None, change: Callable[[Tag | None], Tag | None]) -> list[str]:
        """Write what `change` makes of a tag (of None where there is none) unless that is None; the urls of the tag."""
        if len(name) > LONGEST:
            raise TagError(500, f"Internal server error: a file system takes names of tags up to {LONGEST} characters")
        with self.locked(name) as version:
            if version.tag is not None:
                version.tag.check_write(token)
            new = change(version.tag)
            if new is not None:
                micros = self._time(version)
                new = replace(new, micros=micros, modified=names.event_time(micros / 1e6))
                hosts = self.volumes.chosen(name, self.tag_replicas, self.volumes.hosts)
                shown = self._show(hosts, new.id, new.dumps())
        if new is None:
            return _settled(version)
        _settle(shown, version.files)
        return [names.object_url(host, "tag", new.id) for host, _file in shown]

    def _time(self, version: Version) -> int:
        """The time of the next version: never before that of the last one, whatever the clock says."""
        return max(self.volumes.now(), version.files[0].micros + 1 if version.files else 0)

    def _show(self, hosts: list[str], stored: str, data: bytes) -> list[tuple[str, durable.Pending]]:
        """Write a version, whole on all hosts before it appears on the first; the files, with their hosts."""
        shown, failure = [], None
        with contextlib.ExitStack() as stack:
            pending = []
            for host in hosts:
                pending.append((host, durable.Pending(self.volumes.path(host, "tag", stored), [data])))
                stack.callback(pending[-1][1].discard)
            for host, file in pending:
                try:
                    file.appear()
                    shown.append((host, file))
                except OSError as error:  # one of several is enough: it is the newest
                    failure = error
        if failure is not None and not shown:
            raise failure
        return shown


def _settle(shown: list[tuple[str, durable.Pending]], old: list[Stored]) -> None:
    """Make a version last, then remove the files of older ones.

    This needs no lock: whoever has it sees the new version, and what comes after that holds all of it.
    """
    for _host, file in shown:
        file.settle()
    for stored in reversed(old):
        with contextlib.suppress(OSError):
            durable.remove(stored.path)


def _settled(version: Version) -> list[str]:
    """The urls of a version that is to be answered with; whoever wrote it may still be about to make it last."""
    assert version.tag is not None
    found = [file for file in version.files if file.micros == version.tag.micros]
    for file in found:
        durable.sync_directory(os.path.dirname(file.path))
    return [file.url for file in found]


def _new(name: str, token: str | None) -> Tag:
    """A tag that is made with a token, which it gets as both of its own (reference 7.3)."""
    return Tag(name, read_token=token, write_token=token)


@contextlib.contextmanager
def _answers(url: str) -> Iterator[None]:
    """Errors become those of a master's client."""
    try:
        yield
    except TagError as error:
        raise CommError(error.text, url, error.code) from None
    except OSError as error:
        raise CommError(f"Temporary server error. Try again. ({error})", url, 503) from error
