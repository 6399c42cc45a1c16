"""The job's Python objects on their way into a job pack (reference 1.8).

Functions and classes of the user's own modules go by value, so that a node needs none of these modules;
everything else goes by reference. Module globals, closures and lambdas keep working.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from functools import lru_cache
from io import BytesIO
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeVar

from discolocal.error import DiscoError
from discolocal.threads import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

T = TypeVar("T")
PROTOCOL = 5
LOCAL, PYTHON, INSTALLED = "local", "python", "installed"
#: Types of values that hold no functions: a parameter may be a list of a million of them.
PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_MANY = 64  # inputs of a job
_stdlib = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_lock = ForkLock()


@lru_cache(maxsize=4096)
def whose(file: str) -> str:
    """Whose a module's file is, by its path: LOCAL the user's own, PYTHON or INSTALLED."""
    if "site-packages" in file or "dist-packages" in file:
        return INSTALLED  # where the file is said to be counts, not where a link to it leads
    return PYTHON if os.path.realpath(file).startswith(_stdlib) else LOCAL


def is_local(module: ModuleType | None) -> bool:
    """Whether `module` is the user's own: a file that is not of Python, of an installed package or of discolocal."""
    name = getattr(module, "__name__", "")
    file = getattr(module, "__file__", None)
    if not name or not file or name == "__main__" or name.partition(".")[0] == "discolocal":
        return False
    return file.endswith((".py", ".pyc")) and whose(file) == LOCAL


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of all functions, lambdas and classes inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def functions(value: Any) -> Iterator[Any]:
    """The callables in `value`: itself, those in lists, tuples, dicts, stages, and what partials and methods wrap."""
    if isinstance(value, (list, tuple)):
        for item in value:
            if type(item) not in PLAIN:
                yield from functions(item)
    elif isinstance(value, dict):
        yield from functions(list(value.values()))
    elif hasattr(type(value), "job_functions"):  # a stage of a pipeline
        yield from functions(list(value.job_functions()))
    elif callable(value):
        yield value
        inner = getattr(value, "func", None) or getattr(value, "__func__", None)
        if inner is not None and inner is not value:
            yield from functions(inner)


def home_modules(job: Any, jobargs: dict[str, Any]) -> list[ModuleType]:
    """The user's own modules that define the classes of the job and its worker, and the functions given to it."""
    places: list[Any] = [*type(job).__mro__, *type(getattr(job, "worker", None)).__mro__]
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
    return dumped(job, jobargs, _dumps)


def dumped(job: Any, jobargs: dict[str, Any], dump: Callable[[object], T]) -> T:
    """What `dump((job, jobargs))` returns, with the user's own modules going by value if that can be.

    Raises DiscoError naming the parameter that cannot be pickled.
    """
    modules = home_modules(job, jobargs)
    objects = job, _folded(jobargs)
    try:
        with _by_value(modules):
            return dump(objects)
    except Exception as error:
        by_value = error
    try:
        return dump(objects)
    except Exception:
        raise DiscoError(_blame(job, jobargs, modules, by_value)) from by_value


def _folded(jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` with many inputs as a pickle of their own.

    Every task loads the arguments, and hardly one of them looks at the inputs of all others.
    """
    inputs = jobargs.get("input")
    if type(inputs) is not list or len(inputs) < _MANY or not all(map(_is_plain, inputs)):
        return jobargs
    return {**jobargs, "input": _Inputs(inputs)}


def _is_plain(source: object) -> bool:
    return type(source) is str or (type(source) is list and all(type(url) is str for url in source))


class _Inputs:
    """Stands for many inputs while they are pickled."""

    def __init__(self, inputs: list[Any]) -> None:
        self._inputs = inputs

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return many_inputs, (pickle.dumps(self._inputs, PROTOCOL),)


def many_inputs(data: bytes) -> Any:
    """The inputs of a job that has many of them, as they stand in its data: lists and texts. Raises UnpicklingError."""
    return _Texts(BytesIO(data)).load()


class _Texts(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the inputs of a job are lists of texts, without {module}.{name}")


def _dumps(value: object) -> bytes:
    from discolocal.worker.travel.pickler import JobPickler

    file = BytesIO()
    JobPickler(file).dump(value)
    return file.getvalue()


def with_cache(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Callable[..., Any]:
    """A function with a cache of results, empty at first, as it stands in the data of a job."""
    return lru_cache(maxsize=maxsize, typed=typed)(function)


@contextlib.contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    """Functions and classes of these modules are pickled by value inside of the block."""
    import cloudpickle

    # The registry is one for the whole process: two threads may not dump at the same time.
    with _lock:
        known = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in modules if module.__name__ not in known]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
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
                with _by_value(modules):
                    _dumps(value)
            except Exception as reason:
                return f"Cannot send the {kind} {name!r} to the nodes: {type(reason).__name__}: {reason}"
    return f"Cannot send the job {type(job).__qualname__} to the nodes: {type(error).__name__}: {error}"
