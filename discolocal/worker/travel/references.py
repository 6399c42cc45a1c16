"""What the pickle of a job refers to: functions that go by value, and modules that have to be imported to read it."""

from __future__ import annotations

import copyreg
import sys
from io import BytesIO
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle

from discolocal.jobdata import PROTOCOL, codes, dumped
from discolocal.worker.travel.finding import HOME
from discolocal.worker.travel.pickler import JobPickler

if TYPE_CHECKING:
    from collections.abc import Iterator


class References:
    """What was met while a job was pickled.

    `functions` go by value. `modules` are imported where the pickle is read: name to the object that refers to it,
    None where that is the job itself. `names` are the names of functions and classes that go by reference. `data` is
    the pickle.
    """

    def __init__(self) -> None:
        self.functions: list[FunctionType] = []
        self.modules: dict[str, Any] = {}
        self.names: set[str] = set()
        self.data = b""


def references(job: Any, jobargs: dict[str, Any]) -> References:
    """What the data of a job refers to. Raises DiscoError as `jobdata` does."""
    return dumped(job, jobargs, _record)


def _record(value: object) -> References:
    file = BytesIO()
    recorder = _Recorder(file)
    recorder.dump(value)
    recorder.found.data = file.getvalue()
    return recorder.found


class _Recorder(JobPickler):
    """A pickler that notes functions, classes and modules as they pass."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.found = References()
        self._by_value = cloudpickle.list_registry_pickle_by_value()
        self._referrers: dict[int, Any] = {}

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`: called for everything but plain values and containers."""
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            self._by_name(obj)
        elif isinstance(obj, FunctionType):
            self.found.functions.append(obj)
            self._refers(obj, _values(obj))
        elif isinstance(obj, type):
            self._refers(obj, (*obj.__bases__, *vars(obj).values()))
        return reduced

    def _refers(self, referrer: Any, values: Any) -> None:
        for value in values:
            self._referrers.setdefault(id(value), referrer)

    def _by_name(self, obj: Any) -> None:
        if isinstance(obj, ModuleType):
            if obj.__name__ in sys.modules and not self._goes_by_value(obj.__name__):
                self.found.modules.setdefault(obj.__name__, self._referrers.get(id(obj)))
            return
        named = isinstance(obj, (type, FunctionType, BuiltinFunctionType))
        if not named and not _is_global(obj):
            return  # it is made anew from parts, which come by themselves
        module = getattr(obj, "__module__", None) or type(obj).__module__
        if not isinstance(module, str) or module == "__main__":
            return
        self.found.modules.setdefault(module, self._referrers.get(id(obj)))
        if not _everywhere(module):
            self.found.names.update(getattr(obj, "__qualname__", obj.__name__).split("."))
            for cls in obj.__mro__ if isinstance(obj, type) else ():
                if not _everywhere(cls.__module__):
                    self.found.names.update(vars(cls))  # whoever has an object of it may call any method

    def _goes_by_value(self, module: str) -> bool:
        """Whether a module is pickled with all that is in it."""
        return any(module == name or module.startswith(f"{name}.") for name in self._by_value)


def _is_global(obj: Any) -> bool:
    """Whether an object other than a function or class is pickled by its name, such as a cached function."""
    if not callable(obj) or isinstance(obj, MethodType) or not isinstance(getattr(obj, "__name__", None), str):
        return False
    try:
        reduce = copyreg.dispatch_table.get(type(obj))
        return isinstance(reduce(obj) if reduce is not None else obj.__reduce_ex__(PROTOCOL), str)
    except Exception:
        return False  # pickling it will say why


def _everywhere(module: str) -> bool:
    """Whether every node has a module, and what its functions do need not be looked at."""
    top = module.partition(".")[0]
    return top in HOME or top in sys.stdlib_module_names


def _values(function: FunctionType) -> Iterator[Any]:
    """What a function refers to: globals, closure, defaults."""
    for name in mentions(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that has no value yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def mentions(code: CodeType) -> set[str]:
    """The globals, attributes and imports that occur in the code of a function."""
    return {name for part in codes(code) for name in part.co_names}
