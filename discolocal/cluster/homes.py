"""Job homes: what may be in one, and how a node unpacks it (reference 1.7).

A home is looked at when its job is submitted; nothing that a zip says can lead outside of the directory it is unpacked
into, and it cannot fill the disk.
"""

from __future__ import annotations

import fcntl
import io
import os
import stat
import time
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, NamedTuple

from discolocal.cluster import bytecode, store
from discolocal.cluster.orders import JobOrder, TaskOrder
from discolocal.error import DiscoError
from discolocal.wire.jobpack import JobPack

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

LIBRARY = ("discolocal/", "cloudpickle/")
"""Members of a job home that are the library itself."""
MAX_SIZE = 1 << 30  # bytes of all members, unpacked
MAX_MEMBERS = 100_000
MAX_DEPTH = 100  # parts of a path
MAX_NAME = 255  # bytes of a part
WORKERS = ("discolocal/worker/classic/worker.py", "discolocal/worker/pipeline/worker.py")
"""The programs of this library; every other worker is executed."""
_SITE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_RESERVED = ("jobfile", ".jobhome", store.INDEX_DIR)  # what a node itself puts there
LOCK_TIME = 300.0  # seconds (reference 2.2)
_MARKER = ".jobhome"
_CHUNK = 1 << 20


class Home(NamedTuple):
    """What is in a job home: `members` are files, and directories with a slash at the end; `own` not the library's."""

    members: tuple[str, ...]
    own: tuple[str, ...]


_known: dict[bytes, Home] = {}
_KNOWN_HOMES = 64


def read(jobhome: bytes) -> Home:
    """Return what is in a job home. The same home comes with every run of a job, so the answers are remembered.

    Raises DiscoError for bytes that are no zip file, for members that would be written outside of the job home (a real
    master unpacks those; refused here), or that are no files, and for homes that are too big.
    """
    if not jobhome:
        return Home((), ())
    from hashlib import sha256  # where a job is submitted: its nodes need no library of hashes

    digest = sha256(jobhome).digest()
    home = _known.get(digest)
    if home is None:
        if len(_known) >= _KNOWN_HOMES:
            _known.clear()
        members = _members(jobhome)
        home = _known[digest] = Home(members, tuple(name for name in members if not _in_library(name)))
    return home


def _failed(why: str) -> DiscoError:
    return DiscoError(f"Jobpack extraction failed: {why}")


def _members(jobhome: bytes) -> tuple[str, ...]:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(jobhome)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError) as error:
        raise _failed(f"the job home is not a zip file ({error})") from error
    if len(infos) > MAX_MEMBERS:
        raise _failed(f"the job home has {len(infos):,} members; {MAX_MEMBERS:,} are allowed")
    size = 0
    for info in infos:
        _check(info)
        size += info.file_size
        if size > MAX_SIZE:
            raise _failed(f"with member {info.filename!r} the job home has more than {MAX_SIZE:,} bytes when unpacked")
    members = tuple(dict.fromkeys(info.filename for info in infos))
    _check_tree(members)
    return members


def _check(info: ZipInfo) -> None:
    # The archive is read by the one name, and a record in the zip may have changed it from the other.
    name = next((n for n in (info.orig_filename, info.filename) if _leaves(n)), info.filename)
    parts = name.split("/")
    if len(parts) > MAX_DEPTH or max(len(part.encode("utf-8", "surrogatepass")) for part in parts) > MAX_NAME:
        raise _failed(f"member {name[:60]!r}... has a path that is too long")
    if _leaves(name):
        raise _failed(f"member {name!r} would be written outside the job home")
    if any(part in ("", ".") for part in parts[: -1 if name.endswith("/") else None]):
        raise _failed(f"member {name!r} is not a path")
    if parts[0] in _RESERVED:
        raise _failed(f"member {name!r} has the name of a file of the node")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _failed(f"member {name!r} is {'a symbolic link' if kind == stat.S_IFLNK else 'no file'}")
    if info.flag_bits & 1:
        raise _failed(f"member {name!r} is encrypted")


def _leaves(name: str) -> bool:
    """Whether a name may lead out of the directory that it is unpacked into."""
    return name.startswith("/") or ".." in name.split("/") or "\0" in name or "\\" in name


def _check_tree(members: Iterable[str]) -> None:
    known = {name for name in members if not name.endswith("/")}
    for name in members:
        name = name.rstrip("/") + "/" if name.endswith("/") else name
        while "/" in name:
            name = name.rpartition("/")[0]
            if name in known:
                raise _failed(f"member {name!r} is a file and a directory")


def _in_library(name: str) -> bool:
    """Whether a member is the library's own; a user may have added to its package, `schemes/scheme_x.py` for one."""
    return name.startswith(LIBRARY) and (not name.startswith(LIBRARY[0]) or os.path.exists(_installed(name)))


def _installed(name: str) -> str:
    """The path of the file that a member of the library was made from."""
    if name.startswith(LIBRARY[0]):
        return os.path.join(_SITE, name)
    import cloudpickle

    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(cloudpickle.__file__))), name)


def is_ready(order: TaskOrder) -> bool:
    """Whether the job home for the order's job is there on its node."""
    return os.path.exists(os.path.join(store.job_home(order.job.data, order.host, order.job.jobname), _MARKER))


def prepare(order: TaskOrder) -> str:
    """Make the job home for the order's job on its node, once, and return its path.

    Where workers are no programs, the library's own files are not unpacked: they have it loaded.
    Raises DiscoError or OSError when the home cannot be unpacked.
    """
    job = order.job
    home = store.job_home(job.data, order.host, job.jobname)
    if is_ready(order):
        return home
    marker = os.path.join(home, _MARKER)
    os.makedirs(home, exist_ok=True)
    with _locked(home, LOCK_TIME * job.timeouts):
        if not os.path.exists(marker):
            _copy(job.jobfile, os.path.join(home, "jobfile"))
            if job.files:
                _unpack(job, home)
            with open(marker, "wb"):
                pass
    return home


class _locked:
    """Context manager: this process alone works in `directory`. Raises DiscoError after `patience` seconds."""

    def __init__(self, directory: str, patience: float) -> None:
        self._fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        self._until = time.monotonic() + patience

    def __enter__(self) -> None:
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > self._until:
                    os.close(self._fd)
                    raise _failed("another process has been unpacking the job home for too long") from None
                time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _unpack(job: JobOrder, home: str) -> None:
    import zipfile
    import zlib

    with open(job.jobfile, "rb") as file:
        pack = JobPack.load(file)
    try:
        with zipfile.ZipFile(io.BytesIO(pack.jobhome)) as archive:
            for name in job.files:
                _extract(archive, name, home, job.start == "exec")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _failed(f"the job home is damaged ({type(error).__name__}: {error})") from error
    if job.start == "exec":
        os.chmod(os.path.join(home, job.worker), 0o755)


def _extract(archive: ZipFile, name: str, home: str, with_code: bool) -> None:
    """Write one member (the archive gives never more bytes of it than it says it has)."""
    if name.endswith("/"):
        os.makedirs(os.path.join(home, name), exist_ok=True)
        return
    with archive.open(name) as member, _create(os.path.join(home, name)) as out:
        data = member.read(_CHUNK)
        out.write(data)
        while more := member.read(_CHUNK):
            out.write(more)
    if with_code and name.endswith(".py") and name.startswith(LIBRARY):
        code = bytecode.compiled(name, data, _installed(name))
        if code is not None:
            with _create(os.path.join(home, code[0])) as out:
                out.write(code[1])


def _create(path: str) -> IO[bytes]:
    try:
        return open(path, "wb", buffering=0)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "wb", buffering=0)


def _copy(source: str, target: str) -> None:
    """Give a node a copy of its own; it appears whole. Not by `shutil`, whose libraries every fork would pay for."""
    with open(source, "rb", buffering=0) as file, open(f"{target}.partial", "wb", buffering=0) as copy:
        while data := file.read(_CHUNK):
            view = memoryview(data)
            while view:
                view = view[copy.write(view) :]
    os.rename(f"{target}.partial", target)
