"""The Python that programs of a job home find on a node: `python3` and `python` in a directory of the cluster.

By default a virtual environment with nothing in it: the standard library and the job home are all that a task can
import, as on a node where Python was installed and nothing else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from hashlib import sha256

from discolocal.error import DiscoError

NAMES = ("python3", "python")
SETTINGS = ("DISCO_", "DDFS_")
"""Beginnings of environment variables that a master takes away from its workers (reference 1.6)."""
_PYTHON = ("PYTHON", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def environment(python: str) -> dict[str, str]:
    """The environment of a node whose programs are found in the directory `python` first: this process's, cleaned.

    Neither Disco's settings nor what tells this process's Python how to work and where its modules are is part of it.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith((*SETTINGS, *_PYTHON))}
    environ["PATH"] = f"{python}:{os.environ.get('PATH', os.defpath)}"
    return environ


def find(python: str) -> str:
    """The absolute path of a Python given by name or path. Raises ValueError when it cannot be run."""
    found = shutil.which(python)
    if found is None:
        raise ValueError(f"python={python!r}: there is no such program that can be run")
    return os.path.abspath(found)


def provide(root: str, python: str | None) -> str:
    """Return the directory with the nodes' Python in the cluster at `root`; it is made by the first call.

    `python` is the path of the interpreter to be found there, None for a bare virtual environment of this one.
    Raises DiscoError where programs cannot be found there.
    """
    if ":" in root:
        raise DiscoError(f"Programs cannot be executed in the directory {root}: a path with a colon cannot be searched")
    base = getattr(sys, "_base_executable", None) or os.path.realpath(sys.executable)
    # A root that was kept may have that of another cluster, or of a Python that is not there any more.
    digest = sha256(f"{python} {base} {sys.version}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    place = os.path.join(root, f"python-{digest}")
    directory = os.path.join(place, "bin")
    if os.access(os.path.join(directory, NAMES[-1]), os.X_OK):
        return directory
    shutil.rmtree(place, ignore_errors=True)
    # It appears whole: two threads may submit at the same time.
    half = f"{place}.{os.getpid()}-{os.urandom(4).hex()}"
    os.makedirs(os.path.join(half, "bin"))
    if python is None:
        with open(os.path.join(half, "pyvenv.cfg"), "w") as file:
            file.write(f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\n")
    for name in NAMES:
        path = os.path.join(half, "bin", name)
        if python is None:
            os.symlink(base, path)
        else:
            # No link: an interpreter looks for its own environment beside the name it was called by.
            with open(path, "w") as file:
                file.write(f'#!/bin/sh\nexec {shlex.quote(python)} "$@"\n')
            os.chmod(path, 0o755)
    try:
        os.rename(half, place)
    except OSError:
        shutil.rmtree(half, ignore_errors=True)
        if not os.path.isdir(directory):
            raise
    return directory
