"""The client's side of a worker: checks parameters (reference 1.5); inputs are expanded in `expanding`.

Whatever can be found wrong before a job is submitted is found here, with the name of the parameter.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError, PortabilityWarning
from discolocal.wire import names
from discolocal.worker.base import plain_function
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from discolocal.worker.base import Worker

# What a url may hold as it is (reference 2.8: the job's name is part of urls and of lines that end at a blank).
_NAME = re.compile(r"[A-Za-z0-9!$&'()*+,:;=@_~-]+")
_UNIQUE = re.compile(r"@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+\Z")
_MAX_NAME = 200  # the unique name is also the name of a directory, which may have 255 bytes
_SCHEDULER = ("max_cores", "force_local", "force_remote")


class _Gathered(threading.local):
    warnings: list[PortabilityWarning] | None = None
    thorough = False


_gathered = _Gathered()


class gathering:
    """Context manager: what `warn` is told in this thread inside of the block is gathered.

    At the end of the outermost block the warnings are issued, each code once, unless it ends with an exception; with
    `strict` they are raised as one error; with `keep` neither: the block's list has all of them.
    """

    def __init__(self, strict: bool = False, keep: bool = False) -> None:
        self.strict = strict
        self.keep = keep
        self.outermost = False

    def __enter__(self) -> list[PortabilityWarning]:
        if _gathered.warnings is None:
            self.outermost = True
            _gathered.warnings = []
            _gathered.thorough = self.strict or self.keep
        return _gathered.warnings

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if not self.outermost:
            return
        found: dict[str, PortabilityWarning] = {}
        for warning in _gathered.warnings or ():
            found.setdefault(warning.code, warning)
        _gathered.warnings = None
        _gathered.thorough = False
        if self.keep or not found:
            return
        first, *others = found.values()
        if self.strict and (kind is None or issubclass(kind, Exception)):
            more = "".join(f"\n{other}" for other in others)
            raise PortabilityWarning(first.code, first.text + more)
        for warning in (first, *others) if kind is None else ():
            _issue(warning)


def thorough() -> bool:
    """Whether somebody asks in this thread for what only Disco's own client fails at (level `CLIENT`)."""
    return _gathered.thorough


def warn(code: str, text: str) -> None:
    """Issue a PortabilityWarning to whoever submits the job, or leave it to the `gathering` around."""
    warning = PortabilityWarning(code, text)
    if _gathered.warnings is None:
        _issue(warning)
    else:
        _gathered.warnings.append(warning)


def _issue(warning: Warning) -> None:
    import warnings

    from discolocal.util import callers_level

    warnings.warn(warning, stacklevel=callers_level())


class UnknownArgument(TypeError):
    """An argument of `run` that is no parameter of the job."""

    finding = "unknown-argument"


def refusal(code: str, text: str) -> DiscoError:
    """An error for what a cluster would take, though it cannot work there; `code` is that of the finding."""
    error = DiscoError(text)
    error.finding = code
    return error


def check_parameters(worker: Worker, job: Any, given: dict[str, Any]) -> None:
    """Raise TypeError for an argument that neither the worker nor the job knows as a parameter."""
    for text in _unknown(worker, job, given):
        raise UnknownArgument(text)


def check_arguments(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Raise TypeError for an argument of `run` that neither the worker nor the job knows as a parameter.

    Disco has no such error, and warnings take its place where it would be one too many: a UserWarning for a worker
    whose `run` may read the argument from its `jobargs`, a PortabilityWarning after `ignore_unknown_arguments`.
    """
    for text in _unknown(worker, job, jobargs):
        if _reads_arguments(worker):
            _issue(UserWarning(f"{text}; only the worker's own code sees it, in its jobargs"))
        elif _ignoring[0]:
            warn("unknown-argument", f"{text}; it has no effect")
        else:
            raise UnknownArgument(text)


_ignoring = [False]


def ignore_unknown_arguments(ignored: bool) -> None:
    """From now on only warn of arguments of `run` that nobody knows, or refuse them again.

    Programs that say `disco` are used to it: Disco ignores what it does not know.
    """
    _ignoring[0] = ignored


def _unknown(worker: Worker, job: Any, jobargs: dict[str, Any]) -> Iterator[str]:
    """What is wrong with each argument that is no parameter."""
    known = {*worker, *worker.job_parameters}
    reserved = getattr(type(job), "reserved_names", ())
    for name in jobargs:
        if name in known:
            continue
        text = f"run() got an unexpected argument {name!r}"
        if name in reserved:
            yield f"{text}: it is no parameter, every Job has that name"
        elif not hasattr(job, name):
            yield f"{text}{_nearest(name, known)}"


def _reads_arguments(worker: Worker) -> bool:
    """Whether code of the user's gets all arguments of `run`: with the classic and the pipeline worker none does."""
    return type(worker).run.__module__ not in ("discolocal.worker.classic.worker", "discolocal.worker.pipeline.worker")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error text: what `name` may have been meant to be."""
    if name == "pipeline":
        return "; only jobs whose worker is discolocal.worker.pipeline.worker.Worker have one"
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def check_common(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Check the parameters of every worker. Raises DiscoError for values that cannot work."""
    required = worker.getitem("required_files", job, jobargs)
    if required and not isinstance(required, dict) and not is_iterable(required):
        raise DiscoError(
            f"required_files must be a list of paths or a dict of names and contents, not {short_repr(required)}"
        )
    modules = worker.getitem("required_modules", job, jobargs)
    if modules is not None and not is_iterable(modules):
        raise DiscoError(f"required_modules must be a list of names or (name, path) pairs, not {short_repr(modules)}")
    for item in modules or ():
        if not isinstance(item, str) and not (isinstance(item, (tuple, list)) and len(item) == 2):
            raise DiscoError(f"required_modules must hold names or (name, path) pairs, not {short_repr(item)}")


def saves_results(worker: Worker, job: Any, jobargs: dict[str, Any]) -> bool:
    """Whether the results become blobs of a tag: `save_results`, or `save` as it was before (reference 1.5).

    Warns of what Disco's own worker refuses to save (trap 31). Raises DiscoError for a value that is no truth value.
    """
    save, given, has_map, has_reduce, partitions = (
        worker.getitem(name, job, jobargs) for name in ("save", "save_results", "map", "reduce", "partitions")
    )
    for name, value in (("save", save), ("save_results", given)):
        if value not in (True, False, None):
            raise DiscoError(f"{name} must be True or False, not {short_repr(value)}")
    if given and has_map and not has_reduce and partitions:
        warn(
            "save-results",
            "the job ends with its map, whose results are partitioned, and saves them: on a cluster that is a"
            " NotImplementedError in every map; set partitions=None, or write save=True",
        )
    return bool(save or given)


def check_function(worker: Worker, job: Any, jobargs: dict[str, Any], name: str) -> None:
    """Check a parameter that is called; warn where a cluster would call it differently. Raises DiscoError."""
    value = worker.getitem(name, job, jobargs)
    if name not in jobargs and plain_function(job, name) is not None:
        warn(
            "plain-function",
            f"{type(job).__name__}.{name} is a plain function of the class: a cluster calls it as a method, with the"
            f" job as its first argument; write {name} = staticmethod({name}) or @staticmethod",
        )
    if value is not None and not callable(value):
        raise DiscoError(f"{name} must be a function, not {short_repr(value)}")
    portability = getattr(value, "portability", None)
    if portability:
        warn(*portability)


def prefix(worker: Worker, job: Any, jobargs: dict[str, Any]) -> str:
    """The name of the job before the cluster makes it unique.

    Raises DiscoError for a name that no master accepts, or that would break the urls of the job's files.
    """
    name = worker.getitem("name", job, jobargs) or type(job).__name__
    # A job that ran before carries the unique name of that run; the next run gets its own.
    prefix = _UNIQUE.sub("", name) if isinstance(name, str) else ""
    if not _NAME.fullmatch(prefix):
        raise DiscoError(
            "The name of a job must be a string of ASCII letters, digits and !$&'()*+,-:;=@_~, as it becomes part of"
            f" urls and paths; not {short_repr(name)}"
        )
    if len(prefix) > _MAX_NAME:
        raise DiscoError(
            f"The name of a job may have {_MAX_NAME} characters, as it becomes that of a directory, not {len(prefix)}"
        )
    odd = ", ".join(repr(char) for char in sorted({char for char in prefix if names.safe_name(char) != char}))
    if odd:
        warn(
            "prefix-characters",
            f"the name {short_repr(prefix)} has {odd} in it: on a cluster a shell may take such a character for its"
            " own, and every task fails, and out-of-band results of the job cannot be used; take letters, digits, _, -,"
            " @ and : only",
        )
    return prefix


def scheduler(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """The `scheduler` parameter (reference 1.5).

    Raises TypeError for a key that no master knows, DiscoError for other values that cannot work.
    """
    value = worker.getitem("scheduler", job, jobargs, {}) or {}
    if not isinstance(value, dict):
        raise DiscoError(f"scheduler must be a dict such as {{'max_cores': 4}}, not {short_repr(value)}")
    for key in value:
        if key not in _SCHEDULER:
            raise TypeError(f"scheduler has an unknown key {short_repr(key)}{_nearest(str(key), _SCHEDULER)}")
    cores = value.get("max_cores", 1)
    if isinstance(cores, bool) or not isinstance(cores, int) or cores < 1:
        raise refusal("max-cores", f"max_cores of the scheduler must be an int of at least 1, not {short_repr(cores)}")
    for key in _SCHEDULER[1:]:
        if value.get(key):
            warn("force-local", f"scheduler={{{key!r}: ...}} has no effect: no master of today looks at it")
    return value


def owner() -> str:
    """``<login>@<host>``, or the DISCO_JOB_OWNER of the environment (reference 1.5)."""
    given = os.environ.get("DISCO_JOB_OWNER")
    if given:
        return given
    login = os.environ.get("LOGNAME") or os.environ.get("USER")
    if not login:
        import pwd

        try:
            login = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            login = str(os.getuid())
    return f"{login}@{os.uname().nodename}"


# Values


def is_iterable(value: object) -> bool:
    """Whether `value` can be a list of inputs: it can be iterated and is no text."""
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, bytearray, dict)) and not is_path(value)


def is_path(value: object) -> bool:
    """Whether `value` is a path that is no text, such as a `pathlib.Path`."""
    return hasattr(value, "__fspath__")
