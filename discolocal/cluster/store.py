"""Files of a cluster: its directories, index files and urls (reference 1.3, 2.8); job homes are in `homes`.

<root>/data/_disco_8989/<hh>/<jobname>/{jobfile,events}      the master's part
<root>/data/<host>/<hh>/<jobname>/{.disco/,.jobhome,jobfile,...}   a node's job home
<root>/ddfs/oob                                              out-of-band results, see `worker.oob`
<root>/logs, <root>/python-<digest>/bin   of workers that are programs
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable

from discolocal.cluster.grouping import DirOutput
from discolocal.cluster.orders import TaskOrder
from discolocal.wire import index, names
from discolocal.worker import oob

MASTER_DIR = "_disco_8989"
INDEX_DIR = ".disco"
LOGS = "logs"


def data_dir(root: str) -> str:
    """DISCO_DATA of a cluster whose root is `root`."""
    return os.path.join(root, "data")


def ddfs_dir(data: str) -> str:
    """The directory of out-of-band results, beside DISCO_DATA (a node's DDFS_DATA)."""
    return os.path.join(os.path.dirname(data), "ddfs")


def master_job_dir(data: str, jobname: str) -> str:
    """The directory of the master's files of a job."""
    return os.path.join(data, names.job_dir(MASTER_DIR, jobname))


def job_home(data: str, host: str, jobname: str) -> str:
    """The directory in which the job's tasks run on node `host`."""
    return os.path.join(data, names.job_dir(host, jobname))


def log_path(order: TaskOrder) -> str:
    """The path of the file for what a program prints past the protocol; its directory is made."""
    job = order.job
    directory = os.path.join(os.path.dirname(job.data), LOGS)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory)
    return os.path.join(directory, f"{job.jobname}-{order.taskid}-{order.run}")


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


def write_index(order: TaskOrder, home: str, outputs: Iterable[tuple[int, str, int]]) -> DirOutput:
    """Write the index file of a task's local outputs (label, location, size) and return it as an output.

    Raises OSError when it cannot be written in full.
    """
    job = order.job
    lines = [
        index.Line(label, names.disco_url(order.host, job.jobname, location), size) for label, location, size in outputs
    ]
    location = f"{INDEX_DIR}/{order.stage}-{order.taskid}-{time.time_ns() // 1000}.results"
    data = b"".join(map(index.dump_line, lines))
    path = os.path.join(home, location)
    fd = _create(f"{path}.partial")
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{path}.partial")
    finally:
        os.close(fd)
    os.rename(f"{path}.partial", path)
    sizes: dict[int, int] = {}
    for line in lines:
        sizes[line.label] = sizes.get(line.label, 0) + line.size
    return DirOutput(names.dir_url(order.host, job.jobname, location), order.host, tuple(sorted(sizes.items())))


def _create(path: str) -> int:
    """Make a new file, and its directory if it is the first one there; returns a descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))
        return os.open(path, flags, 0o666)


def remove_job(data: str, hosts: Iterable[str], jobname: str, master_only: bool = False) -> None:
    """Delete a job's directory of the master and, unless `master_only`, those of the nodes."""
    import shutil

    shutil.rmtree(master_job_dir(data, jobname), ignore_errors=True)
    if not master_only:
        for host in hosts:
            shutil.rmtree(job_home(data, host, jobname), ignore_errors=True)
        oob.remove(ddfs_dir(data), jobname)
