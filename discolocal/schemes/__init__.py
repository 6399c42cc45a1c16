"""Reading the data behind a url (reference 8.8): one module per scheme, `scheme_<name>`.

`open_url` is what streams use. A module of this package has ``open_source(url, task, encoding)``; users may add
modules of their own, with Disco's ``input_stream(stream, size, url, params)``, by placing
``discolocal/schemes/scheme_x.py`` (or ``disco/schemes/scheme_x.py``) into the job home with `required_files`.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from discolocal import active

if TYPE_CHECKING:
    from types import ModuleType

    from discolocal.task import Task

Source = tuple[Any, "int | None", str]

#: Directories laid out as DISCO_DATA in which this process finds files of ``disco://`` and ``dir://`` urls.
#: Clusters of this machine add theirs, so that results are read without a server.
data_roots: list[str] = []

_BUILT_IN = {"": "file", "https": "http"} | {name: name for name in ("file", "raw", "http", "disco", "dir", "tag")}


def scheme_of(url: str) -> str:
    """The scheme of a url: what is before ``://``, "" for a plain path."""
    scheme, found, _rest = url.partition("://")
    return scheme if found and "/" not in scheme else ""


def import_scheme(url: str, task: Task | None = None) -> ModuleType:
    """The module that reads `url`. Raises ImportError for a scheme nobody knows."""
    scheme = scheme_of(url)
    return _built_in(scheme) if scheme in _BUILT_IN else _foreign(scheme, url, task)


@cache
def _built_in(scheme: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"discolocal.schemes.scheme_{_BUILT_IN[scheme]}")


def _foreign(scheme: str, url: str, task: Task | None) -> ModuleType:
    """A scheme module that came with the job home or is installed beside ours."""
    import importlib
    import importlib.util

    home = os.path.dirname(task.jobfile) if task is not None else ""
    for package in ("discolocal", "disco"):
        path = os.path.join(home, package, "schemes", f"scheme_{scheme}.py")
        if home and os.path.exists(path):
            spec = importlib.util.spec_from_file_location(f"discolocal_scheme_{scheme}", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    name = f"discolocal.schemes.scheme_{scheme}"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        raise ImportError(
            f"Cannot read {url[:200]}: no module for the scheme {scheme!r}; known are file, raw, http, disco, dir and"
            f" tag, or put discolocal/schemes/scheme_{scheme}.py into required_files"
        )
    return importlib.import_module(name)


def open_url(url: str, task: Task | None = None, params: object = None, encoding: str | None = "utf-8") -> Source:
    """Open the data behind a url.

    Parameters: `task` the running task (default: the current one), `params` the job's params, `encoding` how
    iterated lines are decoded (None: bytes). Returns (file object, size in bytes or None, url). Iterating
    the file object gives lines, `read(n)` gives bytes. Raises DataError when the data is missing or damaged.
    """
    if task is None:
        task = active.current()
    module = import_scheme(url, task)
    opener = getattr(module, "open_source", None)
    if opener is not None:
        source: Source = opener(url, task, encoding)
        return source
    from discolocal.worker.task_io import call_stream

    return call_stream(module.input_stream, None, None, url, params)
