"""The pickler of jobs (reference 1.8): cloudpickle's, and functions with a cache go by value as other functions do.

What pytest adds to the functions of test modules is left behind.
"""

from __future__ import annotations

import functools
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from discolocal.jobdata import PROTOCOL, with_cache
from discolocal.worker.asserts import REWRITER, stand_in

_Cached = type(functools.lru_cache(len))


class JobPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Writes the pickles of jobs to `file`, an object with `write`."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=PROTOCOL)

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`: called for everything but plain values and containers."""
        if type(obj) is _Cached:
            function = obj.__wrapped__
            if isinstance(function, FunctionType) and super().reducer_override(function) is not NotImplemented:
                # Left alone it would be pickled by its name, which a node cannot look up.
                return with_cache, (function, *obj.cache_parameters().values())
        if isinstance(obj, ModuleType) and obj.__name__ == REWRITER:
            return stand_in, ()
        return super().reducer_override(obj)
