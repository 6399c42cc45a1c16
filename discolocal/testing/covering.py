"""Code in tasks counts where coverage.py measures this process: the caller's end of `discolocal.worker.measuring`.

    tasks --files--> Covering --names of the user's own files--> the data of this process's Coverage

So there is one set of data however pytest was started: `coverage run -m pytest`, pytest-cov, with pytest-xdist or
without. Inline tasks are measured without any of this.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from glob import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from discolocal.worker.serving import MEASURING

if TYPE_CHECKING:
    import pytest

_THREADS = ("thread", "gevent", "greenlet", "eventlet")
_SILENT = ("no-data-collected", "module-not-imported", "module-not-measured", "module-not-python", "already-imported")
_PHASES = {"setup": "setup", "call": "run", "teardown": "teardown"}  # how pytest-cov calls them

_Counts = dict[str, set[Any]]


class Covering:
    """A context manager: tasks of jobs that this process submits are measured as `coverage`, a running Coverage, is."""

    def __init__(self, coverage: Any, config: pytest.Config) -> None:
        self._coverage = coverage
        self._base = str(config.invocation_params.dir)
        self._by_test = getattr(config.option, "cov_context", None) == "test"
        self._options = self._settings()
        self._directory = ""
        self._before: str | None = None

    def __enter__(self) -> Covering:
        self._directory = tempfile.mkdtemp(prefix="discolocal-coverage-")
        package = os.path.dirname(os.path.abspath(sys.modules["coverage"].__file__ or ""))
        asked = {
            "path": os.path.dirname(package),
            "directory": self._directory,
            "options": self._options,
            "silent": _SILENT,
        }
        self._before = os.environ.get(MEASURING)
        os.environ[MEASURING] = json.dumps(asked)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            os.environ.pop(MEASURING, None)
        else:
            os.environ[MEASURING] = self._before
        try:
            self._add(self._counted())
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _settings(self) -> dict[str, Any]:
        """The options of the Coverage for tasks, which run elsewhere: all paths are absolute.

        Sources are patterns of files there. As sources, every task would look for files that were not run.
        """
        get = self._coverage.get_option
        concurrency = get("run:concurrency") or ()
        concurrency = [concurrency] if isinstance(concurrency, str) else concurrency
        omit = self._patterns(get("run:omit"))
        include = self._patterns(get("run:include"))
        named = [*(get("run:source") or ()), *(get("run:source_pkgs") or ()), *(_option(get, "run:source_dirs") or ())]
        if named:
            places = [place for name in named for place in self._places(name)]
            include = [escape(place) + ("/*" if os.path.isdir(place) else "") for place in places] or [os.devnull]
            omit += [f"{escape(path)}/*" for path in _installed() if not any(_inside(place, path) for place in places)]
        return {
            "branch": bool(get("run:branch")),
            "timid": bool(get("run:timid")),
            "concurrency": [kind for kind in concurrency if kind in _THREADS] or None,
            "omit": omit or None,
            "include": include or None,
        }

    def _patterns(self, patterns: Iterable[str] | None) -> list[str]:
        """Patterns of paths; relative ones, too, begin at the directory that pytest was started in."""
        given = list(patterns or ())
        return given + [os.path.join(self._base, one) for one in given if not one.startswith(("*", "?", "/"))]

    def _places(self, name: str) -> list[str]:
        """The directories or the file of a source: a directory, or the name of a module."""
        path = os.path.join(self._base, name)
        if os.path.isdir(path):
            return [os.path.realpath(path)]
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return []
        found = [] if spec is None else list(spec.submodule_search_locations or [spec.origin or ""])
        return [os.path.realpath(path) for path in found if os.path.exists(path)]

    def _counted(self) -> dict[str, _Counts]:
        """What the tasks have counted, by context and name of file."""
        counted: dict[str, _Counts] = defaultdict(lambda: defaultdict(set))
        for entry in sorted(os.listdir(self._directory)):
            if entry.endswith(".json"):
                with open(os.path.join(self._directory, entry), encoding="utf-8") as file:
                    said = json.load(file)
                context = counted[self._context(said["test"])]
                for name, counts in self._own(said["home"], said["files"]):
                    context[name].update(tuple(one) if isinstance(one, list) else one for one in counts)
        return counted

    def _context(self, test: str) -> str:
        """The context as pytest-cov gives it to the test that submitted the job; "" where it gives none."""
        found = re.fullmatch(r"(.*) \((\w+)\)", test, re.DOTALL) if self._by_test else None
        return f"{found[1]}|{_PHASES.get(found[2], found[2])}" if found else ""

    def _own(self, home: str, files: dict[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """The counts by names of files that are here: what tasks read in a job home are copies of these."""
        for name, counts in files.items():
            if not name.startswith(home + os.sep):
                yield self._named(name), counts
                continue
            inside = name[len(home) + 1 :].removeprefix(f"lib{os.sep}")
            module = inside.removesuffix(".py").removesuffix(f"{os.sep}__init__").replace(os.sep, ".")
            original = _original(inside, module)
            if original is not None and self._wanted(original):
                yield self._named(original), counts

    def _named(self, path: str) -> str:
        """The path as this process's data has it."""
        return path.removeprefix(self._base + os.sep) if self._coverage.get_option("run:relative_files") else path

    def _wanted(self, path: str) -> bool:
        """Whether a module counts that was measured as the copy in a job home."""
        omit, include = self._options["omit"], self._options["include"]
        if any(fnmatch(path, pattern) for pattern in omit or ()):
            return False
        if include:
            return any(fnmatch(path, pattern) for pattern in include)
        return not any(_inside(path, directory) for directory in _installed("stdlib"))

    def _add(self, counted: dict[str, _Counts]) -> None:
        """Add all to the data of this process."""
        if not counted:
            return
        data = self._coverage.get_data()
        for context, counts in counted.items():
            if self._by_test:
                data.set_context(context)
            (data.add_arcs if self._options["branch"] else data.add_lines)(counts)


def _installed(*more: str) -> set[str]:
    """The directories of installed packages."""
    return {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib", *more)}


def _inside(path: str, directory: str) -> bool:
    return f"{path}{os.sep}".startswith(directory + os.sep)


def _option(get: Any, name: str) -> Any:
    """The value of an option that not every version of coverage.py has."""
    try:
        return get(name)
    except Exception:  # its class depends on the version as well
        return None


def _original(inside: str, module: str) -> str | None:
    """The user's file of which a module in a job home is the copy; None if it is not found any more."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    candidates = [loaded] if loaded and loaded.endswith(".py") else []
    candidates += [os.path.join(entry, inside) for entry in sys.path]
    return next((os.path.realpath(path) for path in candidates if os.path.isfile(path)), None)
