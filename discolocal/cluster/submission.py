"""From the bytes of a job pack to a job that can start (reference 1.2, 1.4)."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from discolocal import schemes
from discolocal.cluster import homes, nodepython, store
from discolocal.cluster.events import EventLog
from discolocal.cluster.grouping import DataOutput, DirOutput, Output
from discolocal.cluster.jobrun import JobRun
from discolocal.cluster.orders import JobOrder, import_path
from discolocal.cluster.state import JobState
from discolocal.error import DiscoError
from discolocal.schemes import scheme_dir
from discolocal.threads import ForkLock
from discolocal.wire import names
from discolocal.wire.jobpack import JobPack
from discolocal.wire.packcheck import InvalidPack, JobInfo, JobInput, check
from discolocal.worker.client import warn

if TYPE_CHECKING:
    from discolocal.cluster.faults import Faults

_name_lock = ForkLock()
_last_name = ""


class Site(NamedTuple):
    """The cluster a job runs on: its root directory, node names and the parameters of `LocalCluster`.

    `replay` is a call that makes another one like it.
    """

    root: str
    nodes: tuple[str, ...]
    start: str
    seed: int
    max_failures: int
    strict: bool
    timeouts: float
    python: str | None
    faults: Faults | None
    replay: str


class Plan(NamedTuple):
    """A job that can run: its pack, what that says, what is in its home, its inputs, and how its workers start."""

    pack: bytes
    info: JobInfo
    home: homes.Home
    inputs: list[Output]
    start: str


def plan(pack: bytes, site: Site) -> Plan:
    """Check a pack as a master does and read the indexes among its inputs, which may take its time; writes nothing.

    Raises DiscoError as `vet`, and for a pack that this cluster cannot run. Warns of what would never end on a
    cluster.
    """
    info, home = vet(pack)
    start = _start(info.worker, site)
    _warn(info)
    return Plan(pack, info, home, [_input(item, site.seed) for item in info.inputs], start)


def job_run(plan: Plan, site: Site) -> JobRun:
    """Give a job a name and save its files."""
    _, info, home, inputs, start = plan
    environ = _environment(start, site)
    data = store.data_dir(site.root)
    name = _unique_name(info.prefix)
    jobfile = store.save_jobfile(data, name, plan.pack)
    order = JobOrder(
        jobname=name,
        jobfile=jobfile,
        data=data,
        roots=tuple(schemes.data_roots),
        master=f"local://{site.root}",
        worker=info.worker,
        environ=environ,
        envs=info.jobenvs,
        sys_path=() if start == "exec" else import_path(),
        files=home.members if start == "exec" else home.own,
        seed=site.seed,
        strict=site.strict,
        start=start,
        timeouts=site.timeouts,
        nodes=site.nodes,
    )
    state = JobState(name, info.pipeline, inputs, site.nodes, site.max_failures, time.time(), info.save_results)
    log = EventLog(os.path.join(os.path.dirname(jobfile), "events"))
    if site.faults is None:
        return JobRun(order, info, state, log)
    from discolocal.cluster.injecting import JobFaults

    return JobRun(order, info, state, log, JobFaults(site.faults, site.replay, order, state, log))


def vet(pack: bytes) -> tuple[JobInfo, homes.Home]:
    """Return what a pack says and what is in its job home; nothing is written.

    Raises DiscoError for a pack that a master would refuse, with the master's words, and for one that no cluster runs
    here, or whose tasks would all fail.
    """
    try:
        info = check(pack, master_rules=False)
    except InvalidPack as error:
        raise _refused(str(error)) from error
    if info.max_cores < 1:
        raise _refused(f"max_cores={info.max_cores}: no task of the job would ever start")
    if info.save_results:
        _check_saving(info)
    home = homes.read(JobPack.loads(pack).jobhome)
    if info.worker not in home.members:
        raise _refused(f"its worker {info.worker!r} is not in the job home")
    return info, home


def _warn(info: JobInfo) -> None:
    """Warn of what the pack says; its client may have done so, or not."""
    if info.pipeline and info.pipeline[0][2]:
        warn(
            "concurrent-first-stage",
            f"the first stage, {info.pipeline[0][0]}, is concurrent: a master accepts the job and never runs a task of"
            " it. Let it not be concurrent",
        )


def _check_saving(info: JobInfo) -> None:
    """Refuse results that nobody could save."""
    if not info.save_info.startswith("ddfs"):
        raise _refused(f"save_info={info.save_info!r}: results are saved to DDFS alone, save_info='ddfs'")
    from discolocal.cluster import saving

    try:
        saving.check_name(info.prefix)
    except DiscoError as error:
        raise _refused(f"save_results: {error}") from None


def _start(worker: str, site: Site) -> str:
    """How the workers of a job start: programs that are not this library's can only be executed."""
    if worker in homes.WORKERS:
        return site.start
    if site.start == "inline":
        raise _refused(
            f"its worker {worker!r} is a program of its own, which cannot run in the calling thread: use a cluster with"
            " start='exec' (or 'fork')"
        )
    return "exec"


def _environment(start: str, site: Site) -> dict[str, str]:
    if start == "exec":
        return nodepython.environment(nodepython.provide(site.root, site.python))
    unset = (*nodepython.SETTINGS, "PYTHONHASHSEED")
    return {name: value for name, value in os.environ.items() if not name.startswith(unset)}


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
