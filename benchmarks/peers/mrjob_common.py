"""How the scripts of mrjob run a job inline and get its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mrjob.job import MRJob


@contextmanager
def ran(kind: type[MRJob], paths: list[str]) -> Iterator[Iterator[tuple[Any, Any]]]:
    """Run a job without configuration files; gives its output pairs."""
    job = kind(["--no-conf", "-r", "inline", *paths])
    with job.make_runner() as runner:
        runner.run()
        yield job.parse_output(runner.cat_output())
