"""The law that a job runs on a cluster as it does here: the fidelity report as an assertion, and local files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from discolocal.job import Job
from discolocal.report.fidelity import Finding, check
from discolocal.testing.laws.breaking import LawBroken, LawReport, Words
from discolocal.testing.laws.files import OpenFile, Place, local_files
from discolocal.wire.portability import CLIENT, NOTE, WARNING

_HARMLESS = ("force-local",)
"""Codes of warnings that change nothing of what a job gives."""


def check_portable(job: Any, *, strict: bool = False, **jobargs: Any) -> LawReport:
    """Assert that nothing of a job fails or changes on a cluster (section 9 of the reference).

    Parameters: `job` a Job or a class of Jobs; `strict` whether what only Disco's own client could not send counts as
    well; `jobargs` job parameters. A job with `input` is run, as `discolocal.report.check` does.

    Raises LawBroken with everything that was found: what that report calls an error, refused or a warning (but for
    `force-local`, which is ignored), a file of this machine that a function opens and that is not among
    `required_files`, an open file that a function holds. Notes, and without `strict` what concerns Disco's own client,
    are notes of the LawReport.
    """
    __tracebackhide__ = True  # of pytest, up to the caller
    if isinstance(job, type) and issubclass(job, Job):
        job = job()
    if not isinstance(job, Job):
        raise TypeError(f"job must be a Job or a class of Jobs, not {job!r}")
    name = type(job).__qualname__ if type(job) is not Job else repr(job)
    findings = [*check(job, **jobargs), *_of_files(job, jobargs)]
    notes = {NOTE} if strict else {NOTE, CLIENT}
    failing = [found for found in findings if found.level not in notes and found.code not in _HARMLESS]
    if failing:
        raise _broken(f"check_portable({name})", failing)
    return LawReport(f"check_portable({name})", 0, [f"{found.code}: {found.seen}" for found in findings])


def _broken(subject: str, findings: list[Finding]) -> LawBroken:
    """What is raised for findings: one is told in full, of several each with its code."""
    if len(findings) == 1:
        law = f"it runs on a cluster as it does here ({findings[0].code})"
        return LawBroken(
            law, subject, {}, found=Words(findings[0].seen), cluster=findings[0].consequence, mend=findings[0].change
        )
    return LawBroken(
        f"it runs on a cluster as it does here ({', '.join(dict.fromkeys(found.code for found in findings))})",
        subject,
        {},
        found=_listed((found.code, found.seen) for found in findings),
        cluster=_listed((found.code, found.consequence) for found in findings),
        mend=_listed((found.code, found.change) for found in findings),
    )


def _listed(rows: Iterable[tuple[str, str]]) -> Words:
    return Words("".join(f"\n    {code}: {text}" for code, text in rows if text))


def _of_files(job: Job, jobargs: dict[str, Any]) -> Iterator[Finding]:
    worker = job._worker()
    values = {key: worker.getitem(key, job, jobargs) for key in worker}
    for found in local_files(values):
        if isinstance(found, Place):
            consequence = "each node opens the path on its own disk: no such file, or another one"
            yield Finding("local-path", WARNING, (), str(found), consequence, found.change)
        elif isinstance(found, OpenFile):
            yield Finding(
                "open-file-held",
                WARNING,
                (),
                str(found),
                "each task has what was left to read of it when the job was packed, and reads that once: what an entry"
                " gets depends on the entries before it",
                "read the file before the job runs and hand over its content, in params or as a constant",
            )
