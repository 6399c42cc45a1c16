"""Names, urls and time stamps as a Disco cluster writes them (reference 1.1, 1.3, 2.8, 6 and 7.1).

Everything is computed from its arguments; nothing here looks at a clock, a host or a disk.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from hashlib import md5

from discolocal.error import DiscoError

_JOB_NAME = re.compile(r"(?!\.)[^/\0]*@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+")
_HOST = re.compile(r"[a-zA-Z0-9]+://([^/:]*)")
_DATA_URL = re.compile(r"(?:disco|dir)://[^/]*/disco/(.*)", re.DOTALL)
MAX_HOST = 100  # characters of a group's host in the names of a task's files
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9_\-@:]")


def _erlang_time(now: float) -> tuple[int, int, int]:
    """Split seconds since the epoch into millions of seconds, seconds and microseconds."""
    micros = int(now * 1_000_000)
    seconds, micro = divmod(micros, 1_000_000)
    mega, second = divmod(seconds, 1_000_000)
    return mega, second, micro


def job_name(prefix: str, now: float) -> str:
    """Return the name of a job submitted at `now` (seconds since the epoch): ``prefix@5a0:7ba4d:4cf2``.

    The three parts are hexadecimal without padding (reference 1.3). Two jobs of one microsecond
    collide; the caller tries again.
    """
    mega, second, micro = _erlang_time(now)
    return f"{prefix}@{mega:x}:{second:x}:{micro:x}"


def hex2(text: str) -> str:
    """Return the first byte of the md5 of `text` (UTF-8) as two hex digits: the `hh` of all paths (reference 1.1)."""
    return md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:2]


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
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
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
    return "-".join(f"{part:x}" if part else "00" for part in _erlang_time(now))


def safe_name(text: str) -> str:
    """Return `text` with every character that a tag or blob name may not hold as ``_`` (reference 7.1)."""
    return _UNSAFE_NAME.sub("_", text)


def breaks_paths(host: str) -> bool:
    """Tell whether the host of a task's group, which may be the text of a raw:// url, spoils the names of its files.

    Index lines end at blanks, and a name of a file may have 255 bytes (reference 9, item 10).
    """
    return len(host) > MAX_HOST or not host.isascii() or any(c.isspace() or c == "\0" for c in host)
