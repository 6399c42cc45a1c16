"""Shared libraries of a job home, found by their bare names as on a cluster (reference 1.6).

`LD_LIBRARY_PATH=lib` of the job's environment is read when a process starts. A fork of a node and an inline task have
started before: there, `ctypes` is given the files of ``<home>/lib`` as long as the task runs.
"""

from __future__ import annotations

import os
from typing import Any


class libraries_found:
    """Context manager: `ctypes` finds the shared libraries in `directory` before those of the system.

    Without any there, nothing is changed, and `ctypes` is not imported.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._ctypes: Any = None
        self._original: Any = None

    def __enter__(self) -> None:
        if _has_libraries(self._directory):
            import ctypes

            self._ctypes = ctypes
            self._original = self._ctypes._dlopen  # what CDLL and its kin open libraries with
            self._ctypes._dlopen = _Finder(self._original, self._directory)

    def __exit__(self, *exc: object) -> None:
        if self._ctypes is not None:
            self._ctypes._dlopen = self._original


def _has_libraries(directory: str) -> bool:
    try:
        return any(name.endswith(".so") or ".so." in name for name in os.listdir(directory))
    except OSError:
        return False  # a home without files of the user's


class _Finder:
    """Opens shared libraries, those of one directory by their bare names."""

    def __init__(self, original: Any, directory: str) -> None:
        self._original = original
        self._directory = directory

    def __call__(self, name: Any, *more: Any) -> Any:
        return self._open(name, more, set())

    def _open(self, name: Any, more: tuple[Any, ...], tried: set[Any]) -> Any:
        tried.add(name)
        while True:
            try:
                return self._original(self._path(name) or name, *more)
            except OSError as error:
                # What a library needs in its turn is named in the system's words, and found once it is loaded.
                needed = str(error).partition(":")[0]
                if needed in tried or self._path(needed) is None:
                    raise
                self._open(needed, more, tried)

    def _path(self, name: Any) -> str | None:
        """The file of a bare name in the directory, None when there is none."""
        if not isinstance(name, str) or not name or "/" in name:
            return None
        path = os.path.join(self._directory, name)
        return path if os.path.isfile(path) else None
