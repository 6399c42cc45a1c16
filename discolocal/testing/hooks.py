"""Types of this package for Hypothesis: what `from_type` and ``builds`` make of parameters annotated with them.

Hypothesis calls `register` when it is imported, wherever this package is installed. Nothing of it is imported for that:
each type is registered when its own module is.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec

#: The module of a type, and its name with that of the function of `strategies` for it.
_TYPES = {
    "discolocal.worker.params": ("Params", "params"),
    "discolocal.cluster.faults": ("Faults", "chaos_schedules"),
}


class _Loader:
    """The loader of one module, after which its type is registered.

    It stands before the one that was found, which may load other modules as well and is left as it is.
    """

    def __init__(self, loader: Any, loaded: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the other loader does it."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module by the other loader and register its type."""
        self._loader.exec_module(module)
        self._loaded(module)


class _Watcher:
    """Is asked for every module that is imported, and sees those in `waiting` loaded by whoever finds them."""

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module that is waited for, as the other finders have it; None for all others."""
        if name not in self.waiting:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._loaded)  # type: ignore[assignment]
                return spec
        return None

    def _loaded(self, module: ModuleType) -> None:
        _register(module)
        self.waiting.discard(module.__name__)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


def register() -> None:
    """Register the types, those whose modules are not there yet as soon as they are. A second call does nothing."""
    if any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        return  # two that pass the question on to each other would never end
    waiting = set()
    for name in _TYPES:
        module = sys.modules.get(name)
        if module is None:
            waiting.add(name)
        else:
            _register(module)
    if waiting:
        sys.meta_path.insert(0, _Watcher(waiting))


def _register(module: ModuleType) -> None:
    from hypothesis.strategies import register_type_strategy

    type_name, strategy = _TYPES[module.__name__]

    def resolve(thing: type) -> Any:
        from discolocal.testing import strategies

        return getattr(strategies, strategy)()

    register_type_strategy(getattr(module, type_name), resolve)
