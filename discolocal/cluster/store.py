"""Files of a cluster: its directories, job homes, index files and urls (reference 1.3, 1.7, 2.8).

<root>/data/_disco_8989/<hh>/<jobname>/{jobfile,events}      the master's part
<root>/data/<host>/<hh>/<jobname>/{.disco/,.jobhome,jobfile,...}   a node's job home
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import time
from collections.abc import Iterable
from hashlib import md5

from discolocal.cluster.grouping import DirOutput
from discolocal.cluster.orders import TaskOrder
from discolocal.error import DiscoError
from discolocal.wire import index, names
from discolocal.wire.jobpack import JobPack

MASTER_DIR = "_disco_8989"
INDEX_DIR = ".disco"
LIBRARY = ("discolocal/", "cloudpickle/")
"""Members of a job home that are the library itself."""
_SITE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def data_dir(root: str) -> str:
    """DISCO_DATA of a cluster whose root is `root`."""
    return os.path.join(root, "data")


def master_job_dir(data: str, jobname: str) -> str:
    """The directory of the master's files of a job."""
    return os.path.join(data, names.job_dir(MASTER_DIR, jobname))


def job_home(data: str, host: str, jobname: str) -> str:
    """The directory in which the job's tasks run on node `host`."""
    return os.path.join(data, names.job_dir(host, jobname))


def save_jobfile(data: str, jobname: str, pack: bytes) -> str:
    """Write the master's copy of a job pack and return its path. It appears whole or not at all."""
    directory = master_job_dir(data, jobname)
    os.makedirs(directory)
    path = os.path.join(directory, "jobfile")
    temporary = f"{path}@{names.object_time(time.time())}"
    with open(temporary, "wb") as out:
        out.write(pack)
    os.rename(temporary, path)
    return path


_known_homes: dict[bytes, tuple[str, ...]] = {}
_KNOWN_HOMES = 64


def home_files(jobhome: bytes) -> tuple[str, ...]:
    """Names of the members of a job home that are not the library itself.

    The same job home comes again with every run of a job, so the answers are remembered.

    Raises DiscoError for bytes that are no zip file and for members that would be written outside
    the job home (a real master unpacks those; refused here).
    """
    if not jobhome:
        return ()
    digest = md5(jobhome, usedforsecurity=False).digest()
    if digest not in _known_homes:
        if len(_known_homes) >= _KNOWN_HOMES:
            _known_homes.clear()
        _known_homes[digest] = _user_files(jobhome)
    return _known_homes[digest]


def _user_files(jobhome: bytes) -> tuple[str, ...]:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(jobhome)) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise DiscoError(f"Jobpack extraction failed: the job home is not a zip file ({error})") from error
    for name in members:
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise DiscoError(f"Jobpack extraction failed: member {name!r} would be written outside the job home")
    return tuple(name for name in members if not _in_library(name))


def _in_library(name: str) -> bool:
    """Whether a member is the library's own; a user may have added to its package, `schemes/scheme_x.py` for one."""
    return name.startswith(LIBRARY) and (not name.startswith(LIBRARY[0]) or os.path.exists(os.path.join(_SITE, name)))


def prepare_home(order: TaskOrder) -> str:
    """Make the job home for the order's job on its node, once, and return its path.

    The library's own files are not unpacked: workers started by `fork` and `inline` have it loaded.
    """
    job = order.job
    home = job_home(job.data, order.host, job.jobname)
    marker = os.path.join(home, ".jobhome")
    if os.path.exists(marker):
        return home
    os.makedirs(home, exist_ok=True)
    _copy(job.jobfile, os.path.join(home, "jobfile"))
    if job.files:
        import zipfile

        with open(job.jobfile, "rb") as file:
            pack = JobPack.load(file)
        with zipfile.ZipFile(io.BytesIO(pack.jobhome)) as archive:
            for name in job.files:
                archive.extract(name, home)
    with open(marker, "wb"):
        pass
    return home


def _copy(source: str, target: str) -> None:
    """Give a node its own name for a file; a link where the file system can, since nobody changes it."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            import shutil

            shutil.copyfile(source, target)


def write_index(order: TaskOrder, home: str, outputs: Iterable[tuple[int, str, int]]) -> DirOutput:
    """Write the index file of a task's local outputs (label, location, size) and return it as an output.

    Raises OSError when it cannot be written in full.
    """
    job = order.job
    lines = [
        index.Line(label, names.disco_url(order.host, job.jobname, location), size) for label, location, size in outputs
    ]
    location = f"{INDEX_DIR}/{order.stage}-{order.taskid}-{time.time_ns() // 1000}.results"
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.join(home, INDEX_DIR))
    data = b"".join(map(index.dump_line, lines))
    path = os.path.join(home, location)
    with open(f"{path}.partial", "xb", buffering=0) as out:
        if out.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), out.name)
    os.rename(f"{path}.partial", path)
    sizes: dict[int, int] = {}
    for line in lines:
        sizes[line.label] = sizes.get(line.label, 0) + line.size
    return DirOutput(names.dir_url(order.host, job.jobname, location), order.host, tuple(sorted(sizes.items())))


def remove_job(data: str, hosts: Iterable[str], jobname: str, master_only: bool = False) -> None:
    """Delete a job's directory of the master and, unless `master_only`, those of the nodes."""
    import shutil

    shutil.rmtree(master_job_dir(data, jobname), ignore_errors=True)
    if not master_only:
        for host in hosts:
            shutil.rmtree(job_home(data, host, jobname), ignore_errors=True)
