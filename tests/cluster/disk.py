"""A disk that fails: every call of the store's that changes something is counted, and may be its last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from discolocal.cluster import durable

CHANGES = ("open", "write", "fchmod", "fsync", "rename", "unlink", "mkdir")


class Crash(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


class Call(NamedTuple):
    """One change: the name of the function, its first argument (a path or descriptor), all, and what it returned."""

    name: str
    on: Any
    arguments: tuple[Any, ...]
    result: Any


class Disk:
    """What `durable` takes for the module `os`.

    Parameters: after `calls` changes (None: never), or before the first one called `name`, the next one raises `error`,
    a `Crash` or an OSError; of a write half is done then. With `for_good` all later ones raise too. `trace` has the
    calls that were made.
    """

    def __init__(
        self, calls: int | None = None, error: BaseException | None = None, for_good: bool = True, name: str = ""
    ) -> None:
        self.calls = calls
        self.name = name
        self.error = error or Crash()
        self.for_good = for_good
        self.trace: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES:
            return real

        def call(*arguments: Any) -> Any:
            if name == self.name:
                self.calls = 0
            if self.calls is not None and len(self.trace) >= self.calls:
                if name == "write":
                    os.write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                self.calls = self.calls if self.for_good else None
                raise self.error
            self.trace.append(Call(name, arguments[0], arguments, real(*arguments)))
            return self.trace[-1].result

        return call


@contextmanager
def on(disk: Disk) -> Iterator[Disk]:
    """Have the store use this disk during a block."""
    durable.os = disk  # type: ignore[attr-defined]
    try:
        yield disk
    finally:
        durable.os = os  # type: ignore[attr-defined]
