"""Loading a job in the process that made it, without changing it there.

cloudpickle finds a class that it has sent by value again where it comes from, and gives it the attributes that it had
when it was sent. The caller's own class of jobs would have other methods after that, with globals of that moment.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from typing import Any

from discolocal.jobdata import many_inputs
from discolocal.worker.base import Worker

_MAKER, _BASES, _IDENTITY = "_make_skeleton_class", 2, 4
"""The function of cloudpickle that makes a class, and the places of its arguments: base classes, and the identity."""


def loads(data: bytes) -> Any:
    """What was pickled; classes of jobs and workers that went by value are new ones. Raises as `pickle.loads`.

    Many inputs are `Unread`. All other classes are those of the caller: records of them are sent back.
    """
    return _Unpickler(io.BytesIO(data)).load()


class Unread:
    """The inputs of a job that has many, not loaded yet; `read` loads them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> Any:
        """The inputs."""
        return many_inputs(self._data)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (many_inputs.__module__, many_inputs.__qualname__):
            return Unread
        found = super().find_class(module, name)
        return partial(_make, found) if name == _MAKER and module.startswith("cloudpickle") else found


def is_of_job(bases: tuple[type, ...]) -> bool:
    """Whether a class of these bases is one of jobs or workers, which no record holds."""
    ancestors = [ancestor for base in bases for ancestor in base.__mro__]
    return Worker in ancestors or any((one.__module__, one.__name__) == ("discolocal.job", "Job") for one in ancestors)


def new_class(maker: Any, *given: Any) -> type:
    """A class made by that function of cloudpickle, which does not find it again by its identity."""
    made: type = maker(*given[:_IDENTITY], None, *given[_IDENTITY + 1 :])
    return made


def identity(*given: Any) -> Any:
    """The identity among the arguments of that function."""
    return given[_IDENTITY]


def _make(maker: Any, *given: Any) -> type:
    made: type = new_class(maker, *given) if is_of_job(given[_BASES]) else maker(*given)
    return made
