"""The package under the name `disco`: ``import disco.core`` gives `discolocal.core`, one and the same module.

A job that is made while the names are there takes them along: `VARIABLE` in its environment makes a worker of this
library install them, and a package `disco` in its home (`SHIM`) does so for any other Python program there.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

NAME = "disco"
OURS = "discolocal"
VARIABLE = "DISCOLOCAL_AS_DISCO"
SHIM = f'''"""The name of Disco for the modules of discolocal."""

import os
import sys

_home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if _home not in sys.path:
    sys.path.insert(0, _home)

from {OURS}.worker.aliases import install

install()
'''


def real_name(name: str) -> str:
    """The dotted name of the module of ours that `name`, below ``disco``, stands for; any other name as it is."""
    return OURS + name[len(NAME) :] if f"{name}.".startswith(f"{NAME}.") else name


class _Loader:
    """Gives the module that is loaded already under its own name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import has put its own there


class _Finder:
    """Finds what is below ``disco`` below this package."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        ours = real_name(name)
        if ours == name:
            return None
        from importlib.machinery import ModuleSpec
        from importlib.util import find_spec

        found = find_spec(ours)
        if found is None:
            return None
        return ModuleSpec(name, _Loader(ours), is_package=found.submodule_search_locations is not None)  # type: ignore[arg-type]

    def invalidate_caches(self) -> None:
        """Nothing is kept here."""


_finder = _Finder()


def installed() -> bool:
    """Whether the name `disco` means this package in this process."""
    return _finder in sys.meta_path


def install() -> None:
    """Make the name `disco` mean this package in this process, from now on."""
    if not installed():
        sys.meta_path.insert(0, _finder)
    # Whatever is being imported under that name now is replaced, too: see `SHIM`.
    sys.modules[NAME] = import_module(OURS)


def install_for_job() -> None:
    """The same in a worker, if the job was made where the name meant this package."""
    if os.environ.get(VARIABLE):
        install()
