"""The errors and warnings of the library, one place for all of them.

Names and texts follow Disco's own `disco.error` where it has them (reference 8.9).
"""

from __future__ import annotations

from typing import Any


class DiscoError(Exception):
    """Base of every error that discolocal raises on purpose.

    `finding` is the code of the portability finding that the error is (see `discolocal.wire.portability`), "" if none.
    """

    finding = ""


class JobError(DiscoError):
    """A job could not be submitted or did not finish.

    Parameters: `job` is the job (or its name), `message` says what failed, what was tried
    and what to do. When a task failed, `__cause__` is the `RemoteTraceback` of its last attempt.
    The arguments of Disco 0.3, `JobError(message, master, name)`, are understood, with a DeprecationWarning.
    """

    def __init__(self, job: object, message: str, name: str | None = None) -> None:
        if name is not None:
            _deprecated("JobError(message, master, name) has arguments of old: use JobError(name, message)")
            job, message = name, str(job)
        super().__init__(job, message)
        self.job = job
        self.message = message

    def __str__(self) -> str:
        name = self.job if isinstance(self.job, str) else getattr(self.job, "name", self.job)
        return f"Job {name} failed: {self.message}"


class _ResourceError(DiscoError):
    """An error about one resource; the text is that of the real library (reference 8.9)."""

    def __init__(self, msg: object, url: object, code: object = None) -> None:
        super().__init__(msg, url, code)
        self.msg = msg
        self.url = url
        self.code = code

    def __str__(self) -> str:
        code = "" if self.code is None else f" ({self.code})"
        return f"Unable to access resource ({self.url}): {self.msg}{code}"


class DataError(_ResourceError):
    """Data could not be read or is damaged; a task that raises it is retried (reference 2.10)."""


class CommError(DataError):
    """A server could not be reached or answered with an error status `code`."""


class PortabilityWarning(UserWarning):
    """The job works here, but a real Disco cluster would behave differently.

    `code` is a stable short name, e.g. ``"sort-text-keys"``; the text says what would happen on a
    cluster and what to change. A strict run makes it an error.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"[{self.code}] {self.text}"


class RemoteTraceback(Exception):
    """The traceback text of an exception that was raised inside a task."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return "\n" + self.text


def __getattr__(name: str) -> Any:
    """The name that `JobError` had in Disco 0.2 (reference 11.2)."""
    if name != "JobException":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _deprecated("JobException is an old name: use JobError")
    return JobError


def _deprecated(text: str) -> None:
    import warnings

    warnings.warn(text, DeprecationWarning, stacklevel=3)
