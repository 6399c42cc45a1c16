"""What travels in a job home: the part of this library that a node needs, and the user's files (reference 1.7).

The library's part is compressed once per process; a job only appends to a copy of its bytes. Which of the user's
modules travel is found in `discolocal.worker.travel`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.fileutils import DiscoZipFile
from discolocal.jobdata import home_modules, jobdata
from discolocal.worker import aliases
from discolocal.worker.client import warn
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discolocal.worker.base import Worker
    from discolocal.worker.travel.finding import Place
    from discolocal.worker.travel.needs import Missing, Needs

_library: bytes | None = None

# Why a job home cannot have a module, and what to do, by the kind of its place.
_REASONS = {
    "absent": ("there is no such module here either", "correct its name or install it on every node"),
    "binary": ("it is compiled code, {file}", "install it on every node"),
    "bytecode": ("its source is not there, only {file}", "give it its source or install it on every node"),
    "client": ("nodes do not have this part of discolocal", "keep it out of the modules that tasks import"),
    "hidden": ("on a node that name is a module of Python, not {file}", "give it another name"),
    "installed": (
        "it is an installed package",
        "install it on every node or, if it is Python code alone, name it in required_modules",
    ),
    "made": ("it was made by a program and has no file", "write it into a file"),
    "unreadable": ("it cannot be read: {file}", "make it readable"),
    "zipped": ("it is in an archive, {file}", "unpack that"),
}


def library() -> bytes:
    """The archive of discolocal's node side and cloudpickle."""
    global _library
    if _library is None:
        import cloudpickle

        home = DiscoZipFile()
        _add_package(home, os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "discolocal")
        beside = os.path.dirname(os.path.abspath(cloudpickle.__file__))
        _add_package(home, beside, "cloudpickle")
        for path in _licences(os.path.dirname(beside), "cloudpickle-"):
            home.write(path, f"cloudpickle/{os.path.basename(path)}")
        _library = home.dumps()
    return _library


def _add_package(home: DiscoZipFile, path: str, name: str) -> None:
    from discolocal.worker.travel.finding import client_side

    for entry in sorted(os.listdir(path)):
        full = os.path.join(path, entry)
        if client_side(f"{name}/{entry}".removesuffix(".py").replace("/", ".")):
            continue
        if os.path.isdir(full):
            _add_package(home, full, f"{name}/{entry}")
        elif entry.endswith(".py"):
            home.write(full, f"{name}/{entry}")


def _licences(site: str, prefix: str) -> Iterator[str]:
    """The licences that came with an installed package: copies of it have to have them."""
    for entry in sorted(os.listdir(site)):
        if entry.startswith(prefix) and entry.endswith(".dist-info"):
            for directory in (os.path.join(site, entry), os.path.join(site, entry, "licenses")):
                names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
                yield from (os.path.join(directory, name) for name in names if name.startswith("LICENSE"))


def home_and_data(worker: Worker, job: Any, jobargs: dict[str, Any]) -> tuple[bytes, bytes]:
    """The job home and the job's data (reference 1.8) for a pack. Raises and warns as `job_home`.

    The home depends on what the data refers to, so that one pickle is enough for both, unless the worker has a way of
    its own to make a home: that may change the job.
    """
    if not all(str(method.__module__).startswith("discolocal.") for method in (worker.jobhome, worker.jobzip)):
        return worker.jobhome(job, **jobargs), jobdata(job, jobargs)
    home = worker.jobzip(job, **jobargs)
    return home.dumps(), home.data if isinstance(home, JobHome) else jobdata(job, jobargs)


class JobHome(DiscoZipFile):
    """The archive of a job's home; `data` is the pickle of the job, from which it is known what the home needs."""

    data = b""


def job_home(worker: Worker, job: Any, jobargs: dict[str, Any]) -> JobHome:
    """The archive of a job's home.

    Raises DiscoError for files that cannot be read or would lie outside of it, and for a job that cannot be pickled.
    Warns of modules that a node would miss.
    """
    from discolocal.worker.travel.needs import Needs
    from discolocal.worker.travel.references import references

    home = JobHome(library())
    if aliases.installed():
        home.writestr(f"lib/{aliases.NAME}/__init__.py", aliases.SHIM)
    needs = Needs()
    required = [
        path for item in worker.getitem("required_modules", job, jobargs) or () for path in _require(needs, item)
    ]
    for module in home_modules(job, jobargs):
        needs.own(module.__name__)
    found = references(job, jobargs)
    home.data = found.data
    needs.referred(found)
    needs.finish()
    for path in required:
        home.write(path, f"lib/{os.path.basename(path)}")  # where Disco has it, by the file's own name
    for name in sorted(needs.sent):
        place, source = needs.sent[name]
        home.writestr(f"lib/{_path(name, place)}", source.data)
    add_required_files(home, worker.getitem("required_files", job, jobargs))
    if needs.missing:
        # In one warning: a run shows no more than one of a code.
        warn("missing-module", "\n".join(map(_warning, needs.missing.values())))
    return home


def _path(name: str, place: Place) -> str:
    """Where below ``lib`` the source of a module goes."""
    return name.replace(".", "/") + (".py" if place.search is None else "/__init__.py")


def _warning(missing: Missing) -> str:
    return f"a node would miss the module {missing.name}, which {missing.who} needs: {_reason(missing.place)}"


def _reason(place: Place) -> str:
    why, remedy = _REASONS[place.kind]
    return f"{why.format(file=place.file)}; {remedy}"


# What the user names


def _require(needs: Needs, item: Any) -> list[str]:
    """One element of `required_modules`; returns the file it names. Raises DiscoError when it cannot be sent."""
    if not isinstance(item, str):
        name, path = item[0], os.path.abspath(os.fspath(item[1]))
        if not (isinstance(name, str) and name and all(part.isidentifier() for part in name.split("."))):
            raise DiscoError(f"required_modules: {short_repr(name)} is no name of a module")
        if not os.path.exists(path):
            raise DiscoError(f"required_modules: there is no file {path} for the module {name}")
        if not os.path.isdir(path) and not path.endswith(".py"):
            raise DiscoError(f"required_modules: {path} is no Python source, which the module {name} has to be")
        _refuse_binaries(name, path)
        if needs.find(name).kind != "node":
            needs.given(name, path)
        return [] if os.path.isdir(path) else [path]
    from discolocal.worker.travel.finding import prefixes

    kind = needs.find(item).kind
    if kind == "absent":
        raise DiscoError(f"required_modules: there is no module {item!r}")
    whole = needs.required(item)
    place = needs.find(whole)
    for directory in place.search or ((place.file,) if kind == "installed" and place.file else ()):
        _refuse_binaries(whole, directory)
    for part in prefixes(item):
        if part in needs.missing:
            raise DiscoError(f"required_modules: {part} cannot be sent: {_reason(needs.missing[part].place)}")
    return []


def _refuse_binaries(name: str, path: str) -> None:
    from importlib.machinery import EXTENSION_SUFFIXES

    for directory, _inner, files in os.walk(path) if os.path.isdir(path) else [("", [], [path])]:
        for file in sorted(files):
            if file.endswith(tuple(EXTENSION_SUFFIXES)):
                path = os.path.join(directory, file)
                raise DiscoError(
                    f"required_modules: {name} cannot be sent, as it has compiled code, {path};"
                    " install it on every node"
                )


def add_required_files(home: DiscoZipFile, required: Any) -> None:
    """Add what the parameter `required_files` names. Raises DiscoError for what it cannot hold."""
    if isinstance(required, dict):
        for name, content in required.items():
            if not isinstance(name, str):
                raise DiscoError(f"required_files must have paths in the job home as keys, not {short_repr(name)}")
            if not isinstance(content, (str, bytes)):
                raise DiscoError(
                    f"required_files[{short_repr(name)}] must be the content of the file, not {short_repr(content)}"
                )
            home.writestr(name, content)
        return
    for path in required or ():
        if not isinstance(path, (str, os.PathLike)):
            raise DiscoError(f"required_files must hold paths, not {short_repr(path)}")
        home.write(os.fspath(path), f"lib/{os.path.basename(path)}")
