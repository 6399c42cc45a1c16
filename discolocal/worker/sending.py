"""What Disco's own client could not send of a job, though the pack made here has it (reference 1.8; 9, items 23, 24).

Disco's client sends the code of a function without its module, and objects by the name of their class. Such a job runs
on any cluster as long as it is packed here, so only strict runs and checks look for it.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from discolocal.jobdata import is_local
from discolocal.worker import aliases, client
from discolocal.worker.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from discolocal.worker.base import Worker

_STANDARD = os.path.dirname(os.path.realpath(os.__file__))


def check(worker: Worker, job: Any, jobargs: dict[str, Any], home: bytes) -> None:
    """Warn of what Disco's own client could not send: the codes of level `CLIENT`. `home` is the job home as packed."""
    _check_class(type(job))
    required = worker.getitem("required_modules", job, jobargs)
    modules = [item if isinstance(item, str) else item[0] for item in required or ()]
    reachable = {*modules, *(cls.__module__ for cls in type(job).__mro__)}
    injected = {name.rpartition(".")[2] for name in modules}
    for name, value in _values(worker, job, jobargs):
        if _has_file(value):
            client.warn(
                "open-file",
                f"{name} has an open file: what is left to read of it is sent here, but Disco's own client cannot send"
                " it; give the text, or the file in required_files",
            )
        for thing in _things(value):
            if isinstance(thing, FunctionType):
                _check_function(name, thing, injected)
            else:
                _check_object(name, thing, reachable)
    _check_modules(type(job), modules, home)


def _values(worker: Worker, job: Any, jobargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters that are sent by value: (name, value)."""
    own = {key: value for key, value in vars(job).items() if key not in ("name", "master", "worker")}
    given = {} if worker is not vars(job).get("worker") else worker
    for source in (given, own, jobargs):
        for key, value in source.items():
            if key != "input":
                yield key, value


def _has_file(value: Any, depth: int = 3) -> bool:
    """Whether there is an open text file in a parameter, as far down as `depth`: pickle does not take it.

    Our pickles have what is left to read of it; of other files they have as little as pickle.
    """
    if isinstance(value, Params):
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return depth > 0 and any(_has_file(item, depth - 1) for item in value)
    return isinstance(value, io.TextIOWrapper)


def _things(value: Any, around: frozenset[int] = frozenset()) -> Iterator[Any]:
    """The functions and callable objects in a parameter, without those of Python and of this library.

    `around` are the ids of what `value` is a part of: a stage may be an argument of its own functions.
    """
    parts: Iterable[Any] | None = None
    if isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, partial):
        parts = [value.func, *value.args, *value.keywords.values()]
    elif hasattr(type(value), "job_functions"):  # a stage of a pipeline
        parts = value.job_functions()
    if parts is not None:
        if id(value) not in around:
            for part in parts:
                yield from _things(part, around | {id(value)})
    elif callable(value) and not isinstance(value, BuiltinFunctionType):
        module = str(getattr(_named(value), "__module__", ""))
        if not f"{module}.".startswith(("discolocal.", "disco.", "builtins.")) and not _is_standard(module):
            yield value


def _named(value: Any) -> Any:
    """The function or class by whose name a callable is sent."""
    owner = value.__self__ if isinstance(value, MethodType) else value
    return owner if isinstance(owner, (FunctionType, type)) else type(owner)


def _is_standard(module: str) -> bool:
    """Whether Disco's client sends the functions of a module by name: its file is in Python's own directory."""
    if module == "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return bool(file) and os.path.dirname(os.path.realpath(str(file))) == _STANDARD


def _check_class(cls: type) -> None:
    for base in cls.__mro__:
        if base.__module__ == "__main__":
            client.warn(
                "main-class",
                f"the class {base.__qualname__} is defined in __main__, which is another module on a node: Disco's own"
                " client could not send it; move it into a module",
            )
            return
        if "<locals>" in base.__qualname__:
            client.warn(
                "local-class",
                f"the class {base.__qualname__} is defined inside of a function: Disco's own client could not send it;"
                " move it to the top level of a module",
            )
            return


def _check_modules(cls: type, required: list[str], home: bytes) -> None:
    """Check what the module of the job's class makes the client send; functions come without their modules."""
    from zipfile import ZipFile

    own = {base.__module__ for base in cls.__mro__ if base is not object}
    own = {name for name in own if not f"{name}.".startswith("discolocal.")}
    if not own or "__main__" in own:
        return
    with ZipFile(io.BytesIO(home)) as archive:
        paths = [name[4:-3] for name in archive.namelist() if name.startswith("lib/") and name.endswith(".py")]
    sent = {path.removesuffix("/__init__").replace("/", ".") for path in paths} - {aliases.NAME}
    asked = tuple(f"{name}." for name in required)
    found = sorted(name for name in sent if not f"{name}.".startswith(asked) and not _leads_to(name, own))
    if found:
        client.warn(
            "required-modules",
            f"the job needs the {'module' if len(found) == 1 else 'modules'} {', '.join(found)}: Disco's own client"
            " finds no imports on Python 3.6 and later; name them in required_modules",
        )


def _leads_to(name: str, modules: set[str]) -> bool:
    """Whether `name` is one of the modules or a package that holds one."""
    return any(f"{module}.".startswith(f"{name}.") for module in modules)


def _check_function(parameter: str, function: FunctionType, injected: set[str]) -> None:
    what = f"{parameter} ({function.__qualname__})"
    names = sorted(_own_globals(function, injected))
    if names:
        client.warn(
            "function-globals",
            f"{what} uses {', '.join(names[:5])}{', ...' if len(names) > 5 else ''} of its module: Disco's own client"
            " sends a function without its module, and each use is a NameError there; make it a staticmethod of a job"
            " class in a module, or import inside of the function",
        )
    if function.__closure__:
        client.warn(
            "function-closure",
            f"{what} uses {', '.join(function.__code__.co_freevars)} of the function around it: Disco's own client"
            " loses such variables and each task fails with a TypeError; hand them over in params, and do without"
            " decorators that wrap the function",
        )
    if function.__kwdefaults__:
        client.warn(
            "function-defaults",
            f"{what} has keyword-only parameters with defaults ({', '.join(function.__kwdefaults__)}), which Disco's"
            " own client loses; use positional parameters, or params",
        )


def _own_globals(function: FunctionType, injected: set[str]) -> set[str]:
    """The names that a function takes from its module: no builtins, and none that Disco puts there (reference 8.3)."""
    space = function.__globals__
    # Attributes are among these names as well; the long way only for a function that may have something to tell.
    names = {name for name in _names(function.__code__) if name in space and not hasattr(builtins, name)} - injected
    if not names:
        return names
    from discolocal.worker.classic.names import injected_names

    names -= injected_names()
    return names & set(_loaded(function.__code__)) if names else names


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _loaded(code: CodeType) -> Iterator[str]:
    """The global names that code reads."""
    import dis

    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _loaded(constant)


def _check_object(parameter: str, thing: Any, reachable: set[str]) -> None:
    """Check the class of a callable object, or of what a method is bound to."""
    cls = _named(thing)
    module = cls.__module__
    if module == "__main__" or "<locals>" in cls.__qualname__:
        where = "in __main__" if module == "__main__" else "inside of a function"
    elif module not in reachable and is_local(sys.modules.get(module)):
        where = f"in {module}, which is not sent"
    else:
        return
    client.warn(
        "function-object",
        f"{parameter} is an object of the class {cls.__qualname__}, which is defined {where}: Disco's own client sends"
        " objects by the name of their class, which a node could not import; use a function, or put the class into the"
        " module of the job",
    )
