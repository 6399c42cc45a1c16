"""What is known of an animal of the zoo: a job with one bug, its correct twin, and the laws that tell them apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from discolocal import Job


class Animal(NamedTuple):
    """A bug that jobs have, as a job.

    `bug` says in one sentence what is wrong. `laws` are the part laws that must find it by themselves (none: only
    `check_job` sees it), `says` words of which the text must have one. `broken` and `twin` make the two jobs. `data`
    has keywords of part laws where their defaults do not fit the functions. `inputs` are lists of entries.
    """

    name: str
    bug: str
    laws: tuple[str, ...]
    says: tuple[str, ...]
    broken: Callable[[], Job]
    twin: Callable[[], Job]
    inputs: list[list[Any]]
    data: dict[str, dict[str, Any]] = {}


def lines(*texts: str) -> list[list[str]]:
    """Texts as inputs: a list of lines, with their newlines, for each."""
    return [text.splitlines(keepends=True) for text in texts]
