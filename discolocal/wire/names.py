"""Names, urls and time stamps as a Disco cluster writes them (reference 1.1, 1.3, 2.8, 6 and 7.1).

Everything is computed from its arguments; nothing here looks at a clock, a host or a disk.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple

from discolocal.error import DiscoError
from discolocal.wire.digest import md5

_JOB_NAME = re.compile(r"(?!\.)[^/\0]*@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+")
_HOST = re.compile(r"[a-zA-Z0-9]+://([^/:]*)")
_DATA_URL = re.compile(r"(?:disco|dir)://[^/]*/disco/(.*)", re.DOTALL)
MAX_HOST = 100  # characters of a group's host in the names of a task's files
_NO_NAMES = frozenset(("", ".", ".."))
_BLANK = re.compile(r"[\s\0]")
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9_\-@:]")
_STAMP = re.compile(r"([0-9a-f]{1,6})-([0-9a-f]{1,5})-([0-9a-f]{1,5})")
_DDFS_URL = re.compile(r"[a-zA-Z0-9]+://([^/:@]+)(?::[0-9]+)?/ddfs/(vol[0-9]+)/(blob|tag)/([0-9a-f]{2})/([^/]+)")
_MILLION = 1_000_000

MAX_NAME = 511
"""Characters of the name of a tag or blob (reference 7.1)."""
MAX_PREFIX = 200
"""Characters of a blob's name; of a longer one the md5 takes its place (reference 7.1)."""
VOLUME = "vol0"


def _erlang_time(micros: int) -> tuple[int, int, int]:
    """Split microseconds since the epoch into millions of seconds, seconds and microseconds."""
    seconds, micro = divmod(micros, _MILLION)
    mega, second = divmod(seconds, _MILLION)
    return mega, second, micro


def job_name(prefix: str, now: float) -> str:
    """Return the name of a job submitted at `now` (seconds since the epoch): ``prefix@5a0:7ba4d:4cf2``.

    The three parts are hexadecimal without padding (reference 1.3). Two jobs of one microsecond
    collide; the caller tries again.
    """
    mega, second, micro = _erlang_time(int(now * _MILLION))
    return f"{prefix}@{mega:x}:{second:x}:{micro:x}"


def hex2(text: str) -> str:
    """Return the first byte of the md5 of `text` (UTF-8) as two hex digits: the `hh` of all paths (reference 1.1)."""
    return f"{md5(text.encode('utf-8', 'surrogateescape'), usedforsecurity=False).digest()[0]:02x}"


@lru_cache(maxsize=256)
def job_dir(host: str, jobname: str) -> str:
    """Return ``<host>/<hh>/<jobname>``, the directory of a job below DISCO_DATA (reference 1.7)."""
    return f"{host}/{hex2(jobname)}/{jobname}"


def disco_url(host: str, jobname: str, location: str) -> str:
    """Return the ``disco://`` url of the file `location` (relative to the job home) on `host` (reference 2.8)."""
    return f"disco://{host}/disco/{job_dir(host, jobname)}/{location}"


def dir_url(host: str, jobname: str, location: str) -> str:
    """Return the ``dir://`` url of the index file `location` of a task on `host` (reference 2.8)."""
    return f"dir://{host}/disco/{job_dir(host, jobname)}/{location}"


def local_path(url: str) -> str:
    """Return the path below DISCO_DATA that a ``disco://`` or ``dir://`` url stands for (reference 2.8).

    Raises DiscoError when the url has another form or would lead out of the data directory.
    """
    match = _DATA_URL.match(url)
    if match is None:
        raise DiscoError(f"Not the url of a file in the data directory of a node: {url}")
    path = match.group(1)
    parts = path.split("/")
    if "\0" in path or not _NO_NAMES.isdisjoint(parts):
        raise DiscoError(f"Refused: the url leads out of the data directory of its node: {url}")
    return path


def preferred_host(url: str) -> str | None:
    """Return the host on which a task that reads `url` would best run, None if there is none (reference 1.3).

    It is the text between ``://`` and the next ``/`` or ``:``, so ``raw://abc`` has the "host" ``abc``, and
    ``file:///x`` one without a name, which is not the same as none.
    """
    match = _HOST.match(url)
    return match.group(1) if match else None


def is_job_name(name: object) -> bool:
    """Tell whether a text is the name of a job as `job_name` makes it, and that of a directory (reference 1.3)."""
    return isinstance(name, str) and _JOB_NAME.fullmatch(name) is not None


def event_time(now: float) -> str:
    """Return the time stamp of an event line, local time, e.g. ``2026/11/21 07:23:15`` (reference 6)."""
    return _local_second(int(now))


@lru_cache(maxsize=4)
def _local_second(second: int) -> str:
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))


def object_time(now: float) -> str:
    """Return the time stamp in the name of a stored tag or blob, e.g. ``703-3c36f-ac289`` (reference 7.1)."""
    return _stamp(int(now * _MILLION))


def _stamp(micros: int) -> str:
    return "-".join(f"{part:x}" if part else "00" for part in _erlang_time(micros))


class Object(NamedTuple):
    """A stored tag or blob: its name, and its time in microseconds since the epoch (reference 7.1)."""

    name: str
    micros: int

    def __str__(self) -> str:
        return f"{self.name}${_stamp(self.micros)}"


def parse_object(text: str) -> Object | None:
    """Return the name and the time in ``name$703-3c36f-ac289``, None for a text of another form (reference 7.1)."""
    name, _, stamp = text.partition("$")
    match = _STAMP.fullmatch(stamp)
    if match is None or not is_name(name):
        return None
    mega, second, micro = (int(part, 16) for part in match.groups())
    found = Object(name, (mega * _MILLION + second) * _MILLION + micro)
    return found if str(found) == text else None


def object_path(kind: str, stored: str) -> str:
    """Return ``vol0/blob/<hh>/<object>``, where a node keeps the object `stored` of `kind` "blob" or "tag" (7.1)."""
    return f"{VOLUME}/{kind}/{hex2(stored)}/{stored}"


def object_url(host: str, kind: str, stored: str) -> str:
    """Return the ``disco://`` url of an object on `host`, `kind` "blob" or "tag" (reference 5.3)."""
    return f"disco://{host}/ddfs/{object_path(kind, stored)}"


def ddfs_path(url: str) -> str:
    """Return ``<host>/vol0/blob/<hh>/<object>`` for the url of a tag or blob (reference 5.3, 7.1).

    Raises DiscoError when the url has another form or would lead out of its directory.
    """
    match = _DDFS_URL.fullmatch(url)
    if match is None or match[1].startswith(".") or "\0" in url or parse_object(match[5]) is None:
        raise DiscoError(f"Not the url of a tag or blob of DDFS: {url}")
    return "/".join(match.groups())


def blob_name(url: str) -> str:
    """Return the name of a blob without its time: what is after the last ``/`` up to ``$`` (reference 7.1)."""
    return url.rpartition("/")[2].partition("$")[0]


def blob_prefix(name: str) -> str:
    """Return `name`, or the hex digits of its md5 when a blob may not have a name that long (reference 7.1)."""
    return name if len(name) <= MAX_PREFIX else str(md5(name.encode(), usedforsecurity=False).hexdigest())


def is_name(text: object) -> bool:
    """Tell whether a text can be the name of a tag or blob: 1 to 511 of ``A-Za-z0-9_-@:`` (reference 7.1)."""
    return isinstance(text, str) and 0 < len(text) <= MAX_NAME and _UNSAFE_NAME.search(text) is None


class TagUrl(NamedTuple):
    """What the url of a tag says (reference 7.1): its name, host with port ("" for none) and token (None for none)."""

    name: str
    host: str = ""
    token: str | None = None


def parse_tag(url: str) -> TagUrl:
    """Take ``tag://name``, ``tag://host:port/name``, ``tag://user:token@/name`` or ``tag://token@host/name`` apart.

    A text without ``tag://`` is a name. Names are not checked (reference 7.1).
    """
    rest = url.removeprefix("tag://")
    netloc, slash, name = rest.partition("/")
    if not slash:
        return TagUrl(rest)
    credentials, at, host = netloc.rpartition("@")
    if not at:
        return TagUrl(name, netloc)
    _, colon, token = credentials.partition(":")
    return TagUrl(name, host, token if colon else credentials)


def canonize_tag(tag: object) -> str | None:
    """Return `tag` as the url of a tag, None when it is none (reference 7.1).

    A text without ``/`` is a name, but for ``-``; of a list or tuple the first element counts.
    """
    if isinstance(tag, (list, tuple)):
        return canonize_tag(tag[0]) if tag else None
    if not isinstance(tag, str):
        return None
    if tag.startswith("tag://"):
        return tag
    return None if "/" in tag or tag == "-" else f"tag://{tag}"


def safe_name(text: str) -> str:
    """Return `text` with every character that a tag or blob name may not hold as ``_`` (reference 7.1)."""
    return _UNSAFE_NAME.sub("_", text)


def breaks_paths(host: str) -> bool:
    """Tell whether the host of a task's group, which may be the text of a raw:// url, spoils the names of its files.

    Index lines end at blanks, and a name of a file may have 255 bytes (reference 9, item 10).
    """
    return len(host) > MAX_HOST or not host.isascii() or _BLANK.search(host) is not None
