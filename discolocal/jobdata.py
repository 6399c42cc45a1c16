"""The job's Python objects on their way into a job pack (reference 1.8).

Functions and classes of the user's own modules go by value, so that a node needs none of these modules;
everything else goes by reference. Module globals, closures and lambdas keep working.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

PROTOCOL = 5
_stdlib = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_lock = threading.Lock()


def _forked() -> None:
    """Renew the lock in a child process: another thread of its parent may have held it, and is not there any more."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def is_local(module: ModuleType | None) -> bool:
    """Whether `module` is the user's own: a file that is not of Python, of an installed package or of discolocal."""
    name = getattr(module, "__name__", "")
    file = getattr(module, "__file__", None)
    if not name or not file or name == "__main__" or name.partition(".")[0] == "discolocal":
        return False
    if not file.endswith((".py", ".pyc")):
        return False
    file = os.path.realpath(file)
    return not (file.startswith(_stdlib) or "site-packages" in file or "dist-packages" in file)


def functions(value: Any) -> Iterator[Any]:
    """The callables in `value`: itself, those in lists, tuples and dicts, and what partials and methods wrap."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from functions(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from functions(item)
    elif callable(value):
        yield value
        inner = getattr(value, "func", None) or getattr(value, "__func__", None)
        if inner is not None and inner is not value:
            yield from functions(inner)


def home_modules(job: Any, jobargs: dict[str, Any]) -> list[ModuleType]:
    """The user's own modules that define the job's class and the functions given to it."""
    places: list[Any] = list(type(job).__mro__)
    for source in (jobargs, getattr(job, "worker", None) or {}, vars(job)):
        if isinstance(source, dict):
            places += functions(source)
    return _local({getattr(place, "__module__", None) for place in places})


def _local(module_names: Iterable[str | None]) -> list[ModuleType]:
    modules = (sys.modules.get(name) for name in sorted(name for name in module_names if name))
    return [module for module in modules if module is not None and is_local(module)]


def jobdata(job: Any, jobargs: dict[str, Any]) -> bytes:
    """Return the pickle of (job, jobargs) for a job pack (reference 1.8).

    Raises DiscoError naming the parameter that cannot be pickled.
    """
    import cloudpickle

    modules = home_modules(job, jobargs)
    try:
        return _dump_by_value((job, jobargs), modules)
    except Exception as error:
        by_value = error
    try:
        return bytes(cloudpickle.dumps((job, jobargs), protocol=PROTOCOL))
    except Exception:
        raise DiscoError(_blame(job, jobargs, modules, by_value)) from by_value


def _dump_by_value(value: object, modules: list[ModuleType]) -> bytes:
    import cloudpickle

    # The registry is one for the whole process: two threads may not dump at the same time.
    with _lock:
        known = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in modules if module.__name__ not in known]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            return bytes(cloudpickle.dumps(value, protocol=PROTOCOL))
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


def _blame(job: Any, jobargs: dict[str, Any], modules: list[ModuleType], error: Exception) -> str:
    """The text of the error: the first parameter that cannot be pickled on its own, and why."""
    sources = (("argument", jobargs), ("attribute of the job", vars(job)), ("worker item", job.worker))
    for kind, values in sources:
        for name, value in values.items():
            if name in ("master", "disco", "worker") or name.startswith("_"):
                continue
            try:
                _dump_by_value(value, modules)
            except Exception as reason:
                return f"Cannot send the {kind} {name!r} to the nodes: {type(reason).__name__}: {reason}"
    return f"Cannot send the job {type(job).__qualname__} to the nodes: {type(error).__name__}: {error}"
