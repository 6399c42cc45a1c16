"""What travels in a job home: the part of this library that a node needs, and the user's files (reference 1.7).

The library's part is compressed once per process; a job only appends to a copy of its bytes.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.fileutils import DiscoZipFile
from discolocal.jobdata import home_modules, is_local
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from discolocal.worker.base import Worker

# What only a client or a cluster uses. `demo` is not among them: the functions of its job are found by its name.
_CLIENT_ONLY = frozenset(("cluster", "testing", "report", "cli", "__main__", "__pycache__"))
_library: bytes | None = None


def library() -> bytes:
    """The archive of discolocal's node side and cloudpickle."""
    global _library
    if _library is None:
        import cloudpickle

        home = DiscoZipFile()
        _add_package(home, os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "discolocal")
        _add_package(home, os.path.dirname(os.path.abspath(cloudpickle.__file__)), "cloudpickle")
        _library = home.dumps()
    return _library


def _add_package(home: DiscoZipFile, path: str, name: str) -> None:
    for entry in sorted(os.listdir(path)):
        full = os.path.join(path, entry)
        if entry.removesuffix(".py") in _CLIENT_ONLY:
            continue
        if os.path.isdir(full):
            _add_package(home, full, f"{name}/{entry}")
        elif entry.endswith(".py"):
            home.write(full, f"{name}/{entry}")


def job_home(worker: Worker, job: Any, jobargs: dict[str, Any]) -> DiscoZipFile:
    """The archive of a job's home. Raises DiscoError for files that cannot be read or would lie outside of it."""
    home = DiscoZipFile(library())
    modules = local_modules(home_modules(job, jobargs))
    for item in worker.getitem("required_modules", job, jobargs) or ():
        if isinstance(item, str):
            modules += [module for module in local_modules([_find(item)]) if module not in modules]
        else:
            home.write(os.fspath(item[1]), f"lib/{os.path.basename(item[1])}")
    for module in modules:
        _add_module(home, module)
    _add_files(home, worker.getitem("required_files", job, jobargs))
    return home


def _add_files(home: DiscoZipFile, required: Any) -> None:
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


def _add_module(home: DiscoZipFile, module: ModuleType) -> None:
    file = module.__file__
    if file is None or not file.endswith(".py") or not os.path.exists(file):
        return
    path = module.__name__.replace(".", "/")
    package = "/__init__" if os.path.basename(file) == "__init__.py" else ""
    home.write(file, f"lib/{path}{package}.py")


def _find(name: str) -> ModuleType | None:
    """A module named in `required_modules`, when it is one of the user's own. Raises DiscoError when there is none."""
    import importlib.util
    from types import ModuleType

    if name in sys.modules:
        return sys.modules[name]
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise DiscoError(f"required_modules: there is no module {name!r}")
    module = ModuleType(name)
    module.__file__ = spec.origin
    return module


def local_modules(roots: Iterable[ModuleType | None]) -> list[ModuleType]:
    """The user's own modules among `roots` and all of the user's own that these refer to."""
    found: dict[str, ModuleType] = {}
    waiting = [module for module in roots if module is not None]
    while waiting:
        module = waiting.pop()
        if module.__name__ in found or not is_local(module) or module.__name__ in sys.stdlib_module_names:
            continue
        found[module.__name__] = module
        parent = module.__name__.rpartition(".")[0]
        names = {parent} if parent else set()
        for value in list(vars(module).values()):
            if isinstance(value, type(sys)):
                names.add(value.__name__)
            elif callable(value):
                names.add(getattr(value, "__module__", None) or "")
        waiting += [sys.modules[name] for name in names if name in sys.modules]
    return [found[name] for name in sorted(found)]
