"""The command `discolocal` for tests: the installed program, or the same function where it is not installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_INSTALLED = Path(sys.executable).with_name("discolocal")

DISCOLOCAL = (
    [str(_INSTALLED)]
    if _INSTALLED.exists()
    else [sys.executable, "-c", "from discolocal.cli import main; main(prog_name='discolocal')"]
)
"""The beginning of a command line."""

SHELL_FUNCTION = f'discolocal() {{ {shlex.join(DISCOLOCAL)} "$@"; }}\n'
"""Lets a shell script call it by its name."""
