"""Where the store of DDFS keeps what it has (reference 7.1), and how it is found again.

    <root>/ddfs/<host>/vol0/tag/<hh>/<name>$<time>      a version of a tag
    <root>/ddfs/<host>/vol0/tag/<hh>/+<name>$<time>     the tag was deleted; no name of a tag begins with a plus
    <root>/ddfs/<host>/vol0/blob/<hh>/<name>$<time>     a replica of a blob
    <root>/ddfs/.locks/<name>, <root>/ddfs/.clock       see `tags` and `Volumes.now`

The digits <hh> depend on the time, so all directories of tags are looked at for a tag. What they hold is remembered
until they change.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from discolocal.cluster import durable
from discolocal.cluster.locks import locked
from discolocal.error import CommError, DiscoError
from discolocal.wire import names

GONE = "+"
"""What the names of files begin with that say: this tag was deleted."""

_HOST = re.compile(r"(?!\.)[^/:@\0]+")
_VOLUME = re.compile(r"vol[0-9]+")
_SETTLED = 50_000_000
"""Nanoseconds after which a directory that changes again has another time of modification: many ticks of a kernel."""


class Stored(NamedTuple):
    """A file of a version of a tag: its time in microseconds, its host and path, and whether the tag is gone since."""

    micros: int
    host: str
    path: str
    gone: bool

    @property
    def url(self) -> str:
        """The ``disco://`` url of the version."""
        return names.object_url(self.host, "tag", os.path.basename(self.path))


class _Listing(NamedTuple):
    modified: int
    sure: bool
    content: Any


class Volumes:
    """The directories of DDFS below a root.

    Parameters: `root`, and `hosts`, those that get new objects. None: those that have some already and those on which
    jobs ran, else the first node of a cluster, node1. Raises ValueError for what cannot be a host, DiscoError
    without the root, or when it may not be read.
    """

    def __init__(self, root: str, hosts: Sequence[str] | None = None) -> None:
        self.root = os.path.abspath(root)
        self.ddfs = os.path.join(self.root, "ddfs")
        if not os.path.isdir(self.root):
            raise DiscoError(f"There is no directory {self.root}: tags and blobs are kept in the root of a cluster")
        self._listings: dict[str, _Listing] = {}
        try:
            self.hosts = tuple(hosts) if hosts is not None else self._known_hosts()
        except OSError as error:
            raise DiscoError(f"The tags and blobs of {self.root} cannot be read: {error}") from error
        if not self.hosts or not all(_HOST.fullmatch(host) for host in self.hosts):
            raise ValueError(f"hosts={hosts!r}: must be one or more names of hosts")

    def check(self) -> None:
        """Raise CommError when the root is gone, as that of a cluster that was closed: nobody makes it again."""
        if not os.path.isdir(self.root):
            raise CommError("The directory of these tags is gone", f"local://{self.root}", 500)

    def _known_hosts(self) -> tuple[str, ...]:
        found = {*self.with_volumes(), *self._list(os.path.join(self.root, "data"), _entries)}
        return tuple(sorted(name for name in found if name[0] != "_" and _HOST.fullmatch(name))) or ("node1",)

    def with_volumes(self) -> list[str]:
        """The hosts that have a volume; other directories, such as that of out-of-band results, are none."""
        found = self._list(self.ddfs, _entries)
        return [name for name in found if _HOST.fullmatch(name) and self._volumes(name)]

    def _volumes(self, host: str) -> list[str]:
        names_ = self._list(os.path.join(self.ddfs, host), _entries)
        return [name for name in names_ if _VOLUME.fullmatch(name)]

    def directories(self, kind: str) -> Iterator[tuple[str, str]]:
        """The directories of the objects of a kind, "tag" or "blob", with their hosts."""
        for host in self.with_volumes():
            for volume in self._volumes(host):
                top = os.path.join(self.ddfs, host, volume, kind)
                for digits in self._list(top, _entries):
                    yield host, f"{top}/{digits}"

    def path(self, host: str, kind: str, stored: str) -> str:
        """Where a new object of `kind`, with the file name `stored`, goes on a host."""
        return os.path.join(self.ddfs, host, names.object_path(kind, stored))

    def chosen(self, stored: str, count: int, hosts: Sequence[str]) -> list[str]:
        """Which `count` of these hosts get an object: spread by the digest of its name."""
        first = int(names.hex2(stored), 16) % max(len(hosts), 1)
        return [*hosts[first:], *hosts[:first]][:count]

    def versions(self, name: str) -> list[Stored]:
        """All files of a tag, the newest first."""
        found: list[Stored] = []
        for host, directory in self.directories("tag"):
            for micros, entry, gone in self._list(directory, _tags).get(name, ()):
                found.append(Stored(micros, host, os.path.join(directory, entry), gone))
        return sorted(found, reverse=True)

    def newest(self) -> dict[str, bool]:
        """The names of all tags there have been, with whether the newest version says that the tag is gone."""
        found: dict[str, tuple[int, bool]] = {}
        for _host, directory in self.directories("tag"):
            for name, versions in self._list(directory, _tags).items():
                best = max((micros, gone) for micros, _entry, gone in versions)
                found[name] = max(found.get(name, best), best)
        return {name: gone for name, (_micros, gone) in found.items()}

    def _list(self, directory: str, parse: Callable[[list[str]], Any]) -> Any:
        """What is in a directory, parsed; that of one that is not there is empty."""
        try:
            modified = os.stat(directory).st_mtime_ns
            known = self._listings.get(directory)
            if known is not None and known.sure and known.modified == modified:
                return known.content
            before = time.time_ns()
            content = parse(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            self._listings.pop(directory, None)
            return parse([])
        # A change soon after the last one may get the same time, and would not be noticed.
        self._listings[directory] = _Listing(modified, modified < before - _SETTLED, content)
        return content

    def now(self) -> int:
        """The time for a new object in microseconds since the epoch, later than all given to anybody before."""
        self.check()
        durable.make_directories(self.ddfs)
        with locked(os.path.join(self.ddfs, ".clock")) as clock:
            last = os.pread(clock, 32, 0)
            micros = max(time.time_ns() // 1000, int(last) + 1 if last.isdigit() else 0)
            os.pwrite(clock, b"%020d" % micros, 0)
        return micros


def _entries(found: list[str]) -> list[str]:
    return sorted(found)


def _tags(found: list[str]) -> dict[str, list[tuple[int, str, bool]]]:
    """The tags in a directory: by name, time, file name and whether it says that the tag is gone."""
    tags: dict[str, list[tuple[int, str, bool]]] = {}
    for entry in found:
        gone = entry.startswith(GONE)
        stored = names.parse_object(entry.removeprefix(GONE))
        if stored is not None:
            tags.setdefault(stored.name, []).append((stored.micros, entry, gone))
    return tags
