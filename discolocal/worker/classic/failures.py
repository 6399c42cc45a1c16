"""The headline of a failure: which function failed, at which record, with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from discolocal.worker.serving import one_line, short_repr

if TYPE_CHECKING:
    from discolocal.task import Task


class Place(Protocol):
    """Where records come from, as an `Input` says it."""

    @property
    def url(self) -> str:
        """The replica of the record that is dealt with, "" for none."""

    @property
    def record(self) -> int:
        """The number of that record in it, from 1."""


class Blame:
    """Writes headlines for failures of one task.

    Parameters: `task`; `source` the input being read, which knows url and record number (None while none is).
    """

    def __init__(self, task: Task, source: Place | None = None) -> None:
        self.task = task
        self.source = source

    def note(self, error: BaseException, what: str, more: str = "") -> None:
        """Make ``<what> failed ...: <error> (<more>)`` the headline of `error`, unless it has one already."""
        if self.task.failure is not None and self.task.failure[0] is error:
            return
        headline = f"{what}: {type(error).__name__}: {one_line(error)}"
        self.task.failure = (error, f"{headline} ({more})" if more else headline)

    def at_record(self, error: BaseException, function: str, entry: object) -> None:
        """The headline for a function that failed on the entry delivered last."""
        source = self.source
        assert source is not None
        self.note(
            error,
            f"{function} failed at record {source.record} of {one_line(source.url, 200)}",
            f"entry: {short_repr(entry)}",
        )

    def for_key(self, error: BaseException, function: str, key: object) -> None:
        """The headline for a partition function or combiner that failed for a key."""
        where = ""
        if self.source is not None and self.source.url:
            where = f" at record {self.source.record} of {one_line(self.source.url, 200)}"
        self.note(error, f"{function} failed{where}", f"key: {short_repr(key)}")

    def reading(self, error: BaseException, function: str) -> None:
        """The headline for an input stream or reader that failed before it gave its next record."""
        source = self.source
        if source is None or not source.url:
            self.note(error, f"{function} failed")
        else:
            self.note(error, f"{function} failed after record {source.record} of {one_line(source.url, 200)}")
