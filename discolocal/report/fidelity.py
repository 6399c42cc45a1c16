"""The fidelity report: what a job would meet on a real cluster (reference 9).

    check(job) -> Job.pack and all that it warns of -> the pack as a master sees it -> a run here, its events -> Report

Nothing of a pack that was made elsewhere is unpickled or run by `check_pack`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from discolocal.error import DiscoError, JobError
from discolocal.job import Job
from discolocal.schemes import scheme_of
from discolocal.wire import event, names
from discolocal.wire.packcheck import INPUT, InvalidPack, JobInfo
from discolocal.wire.packcheck import check as as_master
from discolocal.wire.portability import CODES, NOTE, REFUSED
from discolocal.worker.client import gathering

if TYPE_CHECKING:
    from discolocal.cluster.local import LocalCluster

ERROR = "error"
"""The code and the level of what is no trap of a cluster: the job fails here too."""

_MESSAGE = re.compile(r"MSG: \[[^\]]*\] (.*)", re.DOTALL)
_PAUSE = 60_000  # milliseconds that are waited for the end of a job at a time


class Finding(NamedTuple):
    """One thing that was found.

    `code` and `level` as in `discolocal.wire.portability`, or both "error"; `traps` items of section 9 of the
    reference; `seen` what was seen here; `consequence` what a cluster does; `change` what to do.
    """

    code: str
    level: str
    traps: tuple[int, ...]
    seen: str
    consequence: str
    change: str

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.seen}"]
        if self.consequence:
            lines.append(f"  on a cluster: {self.consequence}")
        if self.change:
            lines.append(f"  change: {self.change}")
        return "\n".join(lines)


class Report:
    """What a check found: iterating gives the findings, `str` all of them as text.

    Attributes: `findings`, a tuple of `Finding`.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(dict.fromkeys(findings))

    @property
    def ok(self) -> bool:
        """Whether nothing has to be changed: there are no findings but notes."""
        return all(finding.level == NOTE for finding in self.findings)

    @property
    def codes(self) -> list[str]:
        """The codes of the findings, each once."""
        return list(dict.fromkeys(finding.code for finding in self.findings))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "nothing found"


def check(job: Job | type[Job], cluster: LocalCluster | None = None, **jobargs: Any) -> Report:
    """Return what a job would meet on a real cluster.

    Parameters: `job` a Job or a Job class; `cluster` where to run it, by default a new one; `jobargs` job parameters
    as for `run`. Everything that can be seen in the job and its pack is in the report; if the job has inputs, it is
    run as well, what its tasks meet is added, and its files are removed. A job that cannot be packed or fails has
    that error in its report. Nothing is raised or warned.
    """
    if isinstance(job, type):
        job = job()
    jobargs = job._listed(jobargs)  # it is packed here, and again for its run
    has_inputs = job._worker().getitem("input", job, jobargs) is not None
    if not has_inputs:
        jobargs = {**jobargs, "input": []}
    findings: list[Finding] = []
    with gathering(keep=True) as warnings:
        try:
            pack = (job if cluster is None else job._with_master(cluster)).pack(**jobargs).dumps()
        except Exception as error:
            findings.append(_error(error))
            pack = b""
    findings = [_finding(warning.code, warning.text) for warning in warnings] + findings
    if pack:
        known = {finding.code for finding in findings}
        findings += [finding for finding in check_pack(pack) if finding.code not in known]
        if has_inputs and not any(finding.level == REFUSED for finding in findings):
            known = {finding.code for finding in findings}
            findings += [finding for finding in _run(job, cluster, jobargs) if finding.code not in known]
    return Report(findings)


def check_pack(pack: bytes) -> Report:
    """Return what can be seen in a job pack without running anything of it; a pack that is refused is an error."""
    try:
        info = as_master(pack)
    except InvalidPack as refused:
        return Report([Finding(ERROR, ERROR, (), f"a master refuses the job pack: {refused.reply}", "", "")])
    findings = list(_of_info(info))
    if not any(finding.level == REFUSED for finding in findings):
        from discolocal.cluster.submission import vet

        try:
            vet(pack)
        except DiscoError as refused:
            text = f"a master accepts the job pack, a LocalCluster refuses it: {refused}"
            findings.append(Finding(ERROR, ERROR, (), text, "", ""))
    return Report(findings)


def _of_info(info: JobInfo) -> Iterator[Finding]:
    """What a master's view of a pack tells."""
    if not info.pipeline:
        yield _finding("no-stages", "the job has no stages")
    elif info.pipeline[0][2]:
        yield _finding("concurrent-first-stage", f"the first stage, {info.pipeline[0][0]}, is concurrent")
    if any(stage == INPUT for stage, _, _ in info.pipeline):
        yield _finding("stage-named-input", f"a stage has the name {INPUT!r}")
    if info.max_cores < 1:
        yield _finding("max-cores", f"max_cores is {info.max_cores}")
    odd = sorted({char for char in info.prefix if names.safe_name(char) != char})
    if odd:
        yield _finding("prefix-characters", f"the name {info.prefix!r} has {', '.join(map(repr, odd))} in it")
    urls = [url for item in info.inputs for url in item.urls]
    raw = next((url for url in urls if scheme_of(url) == "raw" and _spoils(url)), None)
    if raw is not None:
        yield _finding("raw-host", f"the text of the input {raw[:100]!r} spoils the names of files")
    files = [url for url in urls if scheme_of(url) in ("", "file")]
    if files:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        yield _finding("local-file", f"inputs are files of this machine: {', '.join(files[:3])}{more}")


def _spoils(url: str) -> bool:
    host = names.preferred_host(url)
    return host is not None and names.breaks_paths(host)


def _run(job: Job, cluster: LocalCluster | None, jobargs: dict[str, Any]) -> list[Finding]:
    if cluster is not None:
        return _run_on(cluster, job, jobargs)
    from discolocal.cluster.local import LocalCluster

    with LocalCluster() as own:
        return _run_on(own, job, jobargs)


def _run_on(cluster: LocalCluster, job: Job, jobargs: dict[str, Any]) -> list[Finding]:
    """Run the job to its end; what its events and its error tell."""
    handle = None
    try:
        with gathering(keep=True):  # what submission warns of is known
            handle = cluster.submit(job, strict=False, **jobargs)
        while cluster.results(handle.name, _PAUSE)[0] == "active":
            pass
        findings = list(_of_events(text for _, (_, _, text) in cluster.events(handle.name)))
        if cluster.results(handle.name)[0] != "ready":
            cluster.wait(handle.name)
        return findings
    except Exception as error:
        if handle is None or not isinstance(error, JobError):
            return [_error(error)]
        return [*findings, _error(error)]
    finally:
        if handle is not None:
            cluster.purge(handle.name)


def _of_events(texts: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for text in texts:
        message = _MESSAGE.fullmatch(text)
        found = event.parse_portability(message[1]) if message else None
        if found is not None and found[0] not in seen:
            seen.add(found[0])
            yield _finding(*found)


def _finding(code: str, seen: str) -> Finding:
    known = CODES.get(code)
    if known is None:  # of a message that a task made up
        return Finding(ERROR, ERROR, (), f"[{code}] {seen}", "", "")
    return Finding(code, known.level, known.traps, seen, known.consequence, known.change)


def _error(error: Exception) -> Finding:
    text = str(error) or type(error).__name__
    code = getattr(error, "finding", "")
    return _finding(code, text) if code else Finding(ERROR, ERROR, (), text, "", "")
