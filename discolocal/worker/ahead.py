"""Loading a job once, in a process that makes forks, for all workers that are forked from it afterwards.

Each worker would load the same bytes. A fork has the objects of its own, as if it had loaded them; that is so only
where loading is nothing but making objects. So a job is not loaded ahead where code of the user would run, a module be
imported or something be called that differs from process to process: such a job each worker loads for itself.

    node: load(jobfile) -- fork --> worker: loaded(jobfile)
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple
from weakref import ref

from discolocal.worker.apart import identity, is_of_job, new_class

_LIBRARY = ("discolocal.schemes.", "discolocal.wire.", "discolocal.worker.")
_PLAIN = frozenset(
    {"_bisect", "_collections", "_heapq", "_operator", "_struct", "base64", "binascii", "bisect", "collections"}
    | {"collections.abc", "fractions", "functools", "heapq", "itertools", "json", "math", "operator", "re", "string"}
    | {"struct", "unicodedata", "urllib.parse", "zlib"}
    | {f"discolocal.{name}" for name in ("active", "error", "func", "job", "jobdata", "modutil", "netstring", "util")}
)
"""Modules whose functions and classes return the same in every process. A `DDFS` reads settings, so it is not here."""
_PLAIN_TYPES = frozenset({"builtins", "datetime", "decimal", "pathlib", "pathlib._local"})
"""Modules of which the same is true of the classes, if not of class methods such as `date.today`."""
_PLAIN_NAMES = {
    "_codecs": frozenset({"encode"}),
    "builtins": frozenset(
        {"abs", "all", "any", "ascii", "bin", "callable", "chr", "divmod", "hex", "isinstance", "issubclass", "iter"}
        | {"len", "max", "min", "oct", "ord", "pow", "repr", "round", "sorted", "sum"}
    ),
    "copyreg": frozenset({"__newobj__", "__newobj_ex__", "_reconstructor"}),
    "dataclasses": frozenset(
        {"Field", "_DataclassParams", "_HAS_DEFAULT_FACTORY_CLASS", "_KW_ONLY_TYPE", "_MISSING_TYPE", "_replace"}
    ),
    "types": frozenset({"GenericAlias", "MappingProxyType", "SimpleNamespace", "UnionType"}),
    "typing": frozenset({"Any"}),
}
_MAKERS = frozenset({"_function_setstate", "_get_dataclass_field_type_sentinel", "_make_cell", "_make_empty_cell"})
"""Functions of cloudpickle that call nothing of what they are given."""
_REFUSED = frozenset({"__del__", "__reduce__", "__reduce_ex__"})
"""Names in a class of the user: what would run when its instances go, and what may have them made in any way."""
_HEAP_TYPE = 1 << 9  # the flag of classes that were made by a `class` statement


class _Kept(NamedTuple):
    """A job: where its pack is, its objects, and the classes that were made for it with their identities."""

    jobfile: str
    objects: Any
    classes: list[tuple[Any, type]]


_kept: _Kept | None = None


class _Refused(Exception):
    """Loading may do more than make objects."""


def load(jobfile: str, data: bytes) -> bool:
    """Load the objects of a job, those of the last one go; tells whether that could be done.

    Where it could not, no code of the user has run; what was made till then may wait for the collector.
    Parameters: `jobfile` the path of the job pack, `data` the pickle in it.
    """
    global _kept
    _kept = None
    try:
        _kept = _Kept(jobfile, *_loads(data))
    except Exception:  # each worker finds out for itself, and says what is wrong
        return False
    return True


def loaded(jobfile: str) -> Any:
    """The objects of that job, None when they are not loaded. For a worker: what it pickles names the job's classes."""
    if _kept is None or _kept.jobfile != jobfile:
        return None
    if _kept.classes:
        from cloudpickle.cloudpickle import _lookup_class_or_track

        for identity, made in _kept.classes:
            _lookup_class_or_track(identity, made)
    return _kept.objects


def drop() -> bool:
    """Let go of the objects; tells whether there were any."""
    global _kept
    had, _kept = _kept is not None, None
    return had


def _loads(data: bytes) -> tuple[Any, list[tuple[Any, type]]]:
    """What was pickled, and the classes that were made for it. Raises _Refused, and whatever unpickling raises."""
    unpickler = _Unpickler(io.BytesIO(data))
    objects = unpickler.load()
    functions, classes, stand_ins = unpickler.functions, unpickler.classes, unpickler.stand_ins
    del unpickler  # and with it all that it has found, but for what the job refers to
    if any(stand_in() is not None for stand_in in stand_ins):
        raise _Refused("the job refers to a function that has a stand-in here")
    for function, code in functions:
        function.__code__ = code
    return objects, classes


class _Unpickler(pickle.Unpickler):
    """Makes objects of plain types and of the library, functions that fail when they are called, and classes of these.

    Attributes: `functions` that were made with the code that each is to get, `classes` with their identities,
    `stand_ins` for functions that may be called here with some arguments only.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.functions: list[tuple[FunctionType, CodeType]] = []
        self.classes: list[tuple[Any, type]] = []
        self.stand_ins: list[ref[_StandIn]] = []

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler`."""
        place = sys.modules.get(module)
        first, *inner = name.split(".")
        if place is None or first not in vars(place):
            raise _Refused(f"{module}.{name}: would be imported")
        if module.partition(".")[0] == "cloudpickle":
            if name in _MAKERS:
                return super().find_class(module, name)
            calls: dict[str, Callable[..., Any]] = {
                "_make_function": partial(_make_function, self.functions),
                "_make_skeleton_class": partial(_make_class, self.classes),
                "_class_setstate": _set_state,
                "_builtin_type": _builtin_type,
                "subimport": _subimport,
            }
            if name in calls:
                return self._stand_in(calls[name], super().find_class(module, name))
        elif (module, name) == ("builtins", "getattr"):
            return self._stand_in(_getattr, getattr)
        elif _is_plain(module, name, vars(place)[first]) and (not inner or isinstance(vars(place)[first], type)):
            return super().find_class(module, name)
        raise _Refused(f"{module}.{name}: may do anything")

    def _stand_in(self, call: Callable[..., Any], original: Any) -> _StandIn:
        made = _StandIn(call, original)
        self.stand_ins.append(ref(made))
        return made


def _is_plain(module: str, name: str, found: object) -> bool:
    """Whether calling what has that name returns the same in every process."""
    return (
        module in _PLAIN
        or module.startswith(_LIBRARY)
        or (module in _PLAIN_TYPES and isinstance(found, type))
        or name in _PLAIN_NAMES.get(module, ())
    )


class _StandIn:
    """`call`, given the original of this and what this is given."""

    def __init__(self, call: Callable[..., Any], original: Any) -> None:
        self._call = call
        self._original = original

    def __call__(self, *given: Any) -> Any:
        return self._call(self._original, *given)


def _closed(*given: object, **named: object) -> None:
    # The constant becomes the exception: with the globals of another function its name would not be found.
    raise "refused"  # type: ignore[misc]  # noqa: B016


_CLOSED = _closed.__code__.replace(
    co_consts=tuple(_Refused if constant == "refused" else constant for constant in _closed.__code__.co_consts)
)


def _make_function(made: list[tuple[FunctionType, CodeType]], make: Any, code: CodeType, *given: Any) -> FunctionType:
    """A function of the user, for now with code that raises _Refused: whoever calls it runs code of the user."""
    function: FunctionType = make(_CLOSED.replace(co_freevars=code.co_freevars), *given)
    made.append((function, code))
    return function


def _make_class(made: list[tuple[Any, type]], make: Any, metaclass: Any, *given: Any) -> type:
    """A class of the user. That of another job, with the same identity, is another one: nothing here is to know it."""
    if metaclass is not type:
        raise _Refused(f"{given[0]}: its class is not `type`")
    cls = new_class(make, metaclass, *given)
    if not is_of_job(cls.__bases__):
        made.append((identity(metaclass, *given), cls))
    return cls


def _set_state(setstate: Any, cls: type, state: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    if not _REFUSED.isdisjoint(state[0]):
        raise _Refused(f"{cls.__qualname__}.{min(_REFUSED.intersection(state[0]))}")
    return setstate(cls, state)


def _builtin_type(find: Any, name: str) -> Any:
    found = find(name)
    if found is FunctionType:
        raise _Refused(f"types.{name}: makes functions")
    return found


def _subimport(find: Any, name: str) -> Any:
    if name not in sys.modules:
        raise _Refused(f"{name}: would be imported")
    return find(name)


def _getattr(find: Any, owner: Any, name: str) -> Any:
    """A method of a type of Python or of its instance; what a module has is another thing in another process."""
    kind = owner if isinstance(owner, type) else type(owner)
    if kind is ModuleType or kind.__flags__ & _HEAP_TYPE or kind.__module__ != "builtins":
        raise _Refused(f"{kind.__qualname__}.{name}")
    return find(owner, name)
