"""From the bytes of a job pack to a job that can start (reference 1.2, 1.4)."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import NamedTuple

from discolocal import schemes
from discolocal.cluster import store
from discolocal.cluster.events import EventLog
from discolocal.cluster.grouping import DataOutput, DirOutput, Output
from discolocal.cluster.jobrun import JobRun
from discolocal.cluster.orders import JobOrder, import_path
from discolocal.cluster.state import JobState
from discolocal.error import DiscoError
from discolocal.schemes import scheme_dir
from discolocal.wire import names
from discolocal.wire.jobpack import JobPack
from discolocal.wire.packcheck import InvalidPack, JobInput, check

_name_lock = threading.Lock()


def _forked() -> None:
    """In a fork of the caller: another thread of the parent may have held the lock."""
    global _name_lock
    _name_lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
_last_name = ""


class Site(NamedTuple):
    """The cluster a job runs on: its root directory, node names and the parameters of `LocalCluster`."""

    root: str
    nodes: tuple[str, ...]
    start: str
    seed: int
    max_failures: int
    strict: bool


def job_run(pack: bytes, site: Site) -> JobRun:
    """Check a pack as a master does, give the job a name and save its files.

    Raises DiscoError for a pack that a master would refuse, with the master's words, and for one that
    cannot run here.
    """
    try:
        info = check(pack, master_rules=False)
    except InvalidPack as error:
        raise _refused(str(error)) from error
    parsed = JobPack.loads(pack)
    if not info.worker.startswith(store.LIBRARY):
        raise _refused(f"its worker {info.worker!r} is a program; start={site.start!r} runs discolocal's own workers")
    if info.max_cores < 1:
        raise _refused(f"max_cores={info.max_cores}: no task of the job would ever start")
    if any(concurrent for _, _, concurrent in info.pipeline):
        raise _refused("concurrent stages are not supported")
    files = store.home_files(parsed.jobhome)
    inputs = [_input(item, site.seed) for item in info.inputs]
    data = store.data_dir(site.root)
    name = _unique_name(info.prefix)
    jobfile = store.save_jobfile(data, name, pack)
    order = JobOrder(
        jobname=name,
        jobfile=jobfile,
        data=data,
        roots=tuple(schemes.data_roots),
        master=f"local://{site.root}",
        environ={name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"},
        envs=info.jobenvs,
        sys_path=import_path(),
        files=files,
        seed=site.seed,
        strict=site.strict,
        start=site.start,
    )
    stages = [(stage, grouping) for stage, grouping, _ in info.pipeline]
    state = JobState(name, stages, inputs, site.nodes, site.max_failures, time.time())
    return JobRun(order, info, state, EventLog(os.path.join(os.path.dirname(jobfile), "events")))


def _refused(why: str) -> DiscoError:
    return DiscoError(f"Failed to submit jobpack: {why}")


def _input(item: JobInput, seed: int) -> Output:
    """An input of the job as an output of the pseudo stage "input"; the index behind a `dir://` url is read."""
    if not item.isdir:
        hosts = [host for url in item.urls if (host := names.preferred_host(url)) is not None]
        host = random.Random(f"{seed}:{item.urls}").choice(hosts) if hosts else None
        return DataOutput(item.label, item.size, tuple(item.urls), host)
    url = item.urls[0]
    sizes: dict[int, int] = {}
    for line in scheme_dir.read_index(url):
        sizes[line.label] = sizes.get(line.label, 0) + max(line.size, 0)
    return DirOutput(url, names.preferred_host(url), tuple(sorted(sizes.items())))


def _unique_name(prefix: str) -> str:
    """Return a job name that this process has not given yet (reference 1.3)."""
    global _last_name
    with _name_lock:
        while (name := names.job_name(prefix, time.time())) == _last_name:
            pass
        _last_name = name
    return name
