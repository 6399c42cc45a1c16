"""The client's side of a worker: checks parameters and expands inputs (reference 1.5).

Whatever can be found wrong before a job is submitted is found here, with the name of the parameter.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError, DiscoError, PortabilityWarning
from discolocal.schemes import scheme_of
from discolocal.schemes.scheme_file import local_file
from discolocal.wire import names
from discolocal.worker.base import plain_function
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discolocal.wire.index import Line
    from discolocal.worker.base import Worker

NOT_A_LIST = "Job 'input' is not a list of input locations,or a list of such lists: "


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


def _issue(warning: PortabilityWarning) -> None:
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


def check_arguments(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Raise TypeError for an argument of `run` that neither the worker nor the job knows as a parameter."""
    known = {*worker, *worker.job_parameters}
    reserved = getattr(type(job), "reserved_names", ())
    for name in jobargs:
        if name in known:
            continue
        if name in reserved:
            raise UnknownArgument(
                f"run() got an unexpected argument {name!r}: it is no parameter, every Job has that name"
            )
        if not hasattr(job, name):
            raise UnknownArgument(f"run() got an unexpected argument {name!r}{_nearest(name, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error text: what `name` may have been meant to be."""
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def check_unsupported(worker: Worker, job: Any, jobargs: dict[str, Any]) -> None:
    """Raise DiscoError for parameters that need what a local cluster does not have; check those of every worker."""
    for name in ("save", "save_results"):
        if worker.getitem(name, job, jobargs):
            raise refusal(
                "save-results",
                f"{name}={short_repr(worker.getitem(name, job, jobargs))}: saving results needs DDFS,"
                " which a local cluster does not have",
            )
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
    odd = "".join(sorted({char for char in prefix if names.safe_name(char) != char}))
    if odd:
        warn(
            "prefix-characters",
            f"the name {short_repr(prefix)} has the characters {odd}, which no tag may have: on a cluster out-of-band"
            " results of the job cannot be used; take letters, digits, _, -, @ and : only",
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


# Inputs


def is_iterable(value: object) -> bool:
    """Whether `value` can be a list of inputs: it can be iterated and is no text."""
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, bytearray, dict)) and not _is_path(value)


def _is_path(value: object) -> bool:
    return hasattr(value, "__fspath__")


def expand_inputs(value: Any, keep_dirs: bool = False) -> list[Any]:
    """The `input` parameter as the job dict has it: urls, and lists of urls that are replicas (reference 1.5).

    Paths become absolute, patterns such as ``*.txt`` the files that match; ``dir://`` urls become the files they
    list, unless `keep_dirs`. Raises DiscoError for anything that is no list, and for local files that are missing.
    """
    if not is_iterable(value):
        raise DiscoError(f"{NOT_A_LIST}{short_repr(value)}")
    inputs: list[Any] = []
    for item in value:
        if not _is_path(item) and not item:
            continue
        if not is_iterable(item):
            inputs += _expand(item, keep_dirs)
            continue
        items = list(item)
        if indexes := _indexes(items):
            inputs += _replicated_index(indexes, keep_dirs)
        else:
            inputs.append(_replicas(items, keep_dirs))
    return inputs


def _indexes(items: Iterable[Any]) -> list[str]:
    """The ``dir://`` urls in a list of replicas, at any depth; none if there is anything else in it."""
    from discolocal.util import flatten

    urls = list(flatten(items))
    return urls if all(isinstance(url, str) and scheme_of(url) == "dir" for url in urls) else []


def _replicated_index(urls: list[str], keep_dirs: bool) -> list[Any]:
    """An index of which there are replicas, as inputs: each of its files with its replicas, or the list of indexes.

    Indexes that list something else than the first one are no replicas of it. They are left out, as a cluster does it,
    with a warning.
    """
    if keep_dirs and len(urls) == 1:
        return [urls]
    from discolocal.schemes.scheme_dir import check_size

    found = _readable(urls)
    first, lines = found[0]
    listed = [(line.label, line.size) for line in lines]
    same = [(url, more) for url, more in found if [(line.label, line.size) for line in more] == listed]
    if len(same) < len(found):
        warn(
            "index-replicas",
            f"a list in the list of inputs stands for replicas of the same data, but {len(found) - len(same)} of its"
            f" {len(found)} results differ from {first}: a cluster reads the first one alone, and so does this run; add"
            " lists of results with +, without brackets around them",
        )
    if keep_dirs:
        return [[url for url, _lines in same]]
    for line in lines:
        check_size(line)  # a map gets the file's url alone: a later look would not know its size
    return [[line.url for line in replicas] for replicas in zip(*(more for _url, more in same))]


def _readable(urls: list[str]) -> list[tuple[str, list[Line]]]:
    """Those of the indexes that can be read, with what they list. Raises DataError when there are none."""
    from discolocal.schemes.scheme_dir import read_index

    found: list[tuple[str, list[Line]]] = []
    for number, url in enumerate(urls, 1):
        try:
            found.append((url, read_index(url)))
        except DataError:
            if number == len(urls) and not found:
                raise
    return found


def _replicas(items: Iterable[Any], keep_dirs: bool) -> list[Any]:
    """A list of replicas; a missing file among them is allowed as long as others are left."""
    replicas: list[Any] = []
    missing: DiscoError | None = None
    for item in items:
        if is_iterable(item):
            replicas += _replicas(item, keep_dirs)
            continue
        try:
            found = _expand(item, keep_dirs)
        except MissingInput as error:
            missing = error
            replicas.append(error.path)
            continue
        if len(found) != 1 and scheme_of(str(item)) != "dir":
            raise DiscoError(f"The pattern {short_repr(item)} in a list of replicas stands for {len(found)} files")
        for one in found:
            replicas += one if isinstance(one, list) else [one]
    if missing is not None and all(
        isinstance(r, str) and scheme_of(r) == "" and not os.path.exists(r) for r in replicas
    ):
        raise missing
    return replicas


class MissingInput(DiscoError):
    """A local input file that is not there; `path` is its absolute path."""

    def __init__(self, path: str, given: str) -> None:
        super().__init__(f"Input file does not exist: {path}" + ("" if path == given else f" (given as {given!r})"))
        self.path = path


def _expand(item: Any, keep_dirs: bool) -> list[Any]:
    """One entry of the inputs as a list of urls."""
    if _is_path(item):
        item = os.fspath(item)
    if not isinstance(item, str):
        text = f"{NOT_A_LIST}an input may not be {short_repr(item)} of type {type(item).__name__}"
        raise refusal("bytes-input", text) if isinstance(item, (bytes, bytearray)) else DiscoError(text)
    scheme = scheme_of(item)
    if scheme in ("", "file"):
        return _local_files(local_file(item), item)
    if scheme == "tag":
        raise DiscoError(f"Input {item}: tags need DDFS, which a local cluster does not have")
    if scheme == "dir" and not keep_dirs:
        from discolocal.schemes.scheme_dir import check_size, read_index

        lines = read_index(item)
        for line in lines:
            check_size(line)  # a map gets the file's url alone: a later look would not know its size
        return [[line.url] for line in lines]
    return [item]


def _local_files(path: str, given: str) -> list[Any]:
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(path):
        return [_checked(path, given)]
    if os.path.isdir(path):
        raise DiscoError(f"Input is a directory, not a file: {path} (use {path}/* for the files in it)")
    if os.path.exists(path):
        raise DiscoError(f"Input is not a regular file, which tasks could not read again: {path}")
    if any(c in path for c in "*?["):
        import glob

        found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
        if found:
            return [_checked(name, given) for name in found]
        raise DiscoError(f"No input file matches {path}" + ("" if path == given else f" (given as {given!r})"))
    raise MissingInput(path, given)


def _checked(path: str, given: str) -> str:
    if not os.access(path, os.R_OK):
        raise DiscoError(f"Input file cannot be read: {path} (given as {given!r})")
    return path
