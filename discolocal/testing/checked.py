"""Parameters checked as a submission checks them, once for the same values: it takes as long as many tasks in memory.

Only weak references are kept, so that nothing of a job lives longer than it would.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections import OrderedDict
from types import MethodType
from typing import TYPE_CHECKING, Any

from discolocal.jobdata import PLAIN
from discolocal.worker import client
from discolocal.worker.classic.implied import implied_modules, with_modules
from discolocal.worker.classic.names import required_modules
from discolocal.worker.old.parameters import with_defaults
from discolocal.worker.params import Params

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import ModuleType

    from discolocal.job import Job
    from discolocal.worker.base import Worker

    Refs = list[weakref.ref[Any]]
    Found = tuple[Refs, dict[str, Any], dict[str, ModuleType]]

_INPUT = ["raw://"]  # stands for the inputs where parameters are checked
_MAX_KNOWN = 64

_known: OrderedDict[tuple[Any, ...], Found] = OrderedDict()


def checked(
    job: Job, worker: Worker, jobargs: dict[str, Any], values: Collection[Any]
) -> tuple[dict[str, Any], dict[str, ModuleType]]:
    """Job parameters as they are sent, and the modules that functions get. Raises TypeError and DiscoError.

    Parameters: `values` of all items of the worker.
    """
    refs: Refs = []
    try:
        place = (tuple(jobargs), *[_identity(value, refs) for value in (type(job), *values, *jobargs.values())])
    except TypeError:  # of a value that cannot be referred to weakly
        return _check(job, worker, jobargs, values)
    found = _known.get(place)
    # Another object may have the identity of one that is gone.
    if found is not None and all(ref() is not None for ref in found[0]):
        _, added, modules = found
        return {**jobargs, **added}, modules
    sent, modules = _check(job, worker, jobargs, values)
    if sent.keys() >= jobargs.keys():
        added = {key: value for key, value in sent.items() if key not in jobargs}
        _known[place] = refs, added, modules
        if len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
    return sent, modules


def _check(
    job: Job, worker: Worker, jobargs: dict[str, Any], values: Collection[Any]
) -> tuple[dict[str, Any], dict[str, ModuleType]]:
    with client.gathering(keep=True):
        sent = with_modules(worker, job, with_defaults(worker, job, {**jobargs, "input": _INPUT}))
        worker.jobdict(job, **sent)
    del sent["input"]
    modules = {**implied_modules(values), **_named_modules(worker.getitem("required_modules", job, sent))}
    return sent, modules


def _identity(value: Any, refs: Refs) -> Any:
    """What is the same for values that are checked alike, such as the new lists of the same functions of a new worker.

    `refs` gets references to what is identified by its identity. Raises TypeError where there are none.
    """
    kind = type(value)
    if kind is tuple or kind is list:
        return kind, *[_identity(item, refs) for item in value]
    if kind in PLAIN:
        return kind, value
    if kind is MethodType:
        return kind, _identity(value.__func__, refs), _identity(value.__self__, refs)
    if (kind is dict and not value) or (kind is Params and not vars(value)):
        return kind
    refs.append(weakref.ref(value))
    return id(value)


def _named_modules(required: Any) -> dict[str, ModuleType]:
    """The modules of `required_modules`; in a task their files are on the import path."""
    before = list(sys.path)
    sys.path[:0] = [os.path.dirname(os.path.abspath(item[1])) for item in required or () if not isinstance(item, str)]
    try:
        return required_modules(required)
    finally:
        sys.path[:] = before
