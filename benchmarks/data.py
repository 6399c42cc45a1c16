"""The data sets of a run: each is made once by a process of its own and kept in one directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Want(NamedTuple):
    """A set of data: a kind that benchmarks.gen writes and its size there."""

    kind: str
    size: int

    def __str__(self) -> str:
        """The size in words."""
        units = {"text": "MB", "records": "records", "singles": "tasks"}
        return f"{self.size:,} {units.get(self.kind, self.kind)}"


class DataSets:
    """Makes sets of data below `directory`, which is left in place, and finds those made before."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = environment

    def paths(self, want: Want) -> list[str]:
        """The files of a set, in order; they are written if they are not there yet."""
        home = self.directory / f"{want.kind}-{want.size}"
        if not home.is_dir():
            partial = home.with_suffix(".partial")
            print(f"writing {home}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "benchmarks.gen", want.kind, str(partial), "--size", str(want.size)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=self.environment)
            partial.rename(home)
        return sorted(str(path) for path in home.iterdir())
