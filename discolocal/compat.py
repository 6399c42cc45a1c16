"""Scripts that say `disco` find discolocal (reference 11)."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

from discolocal.error import DiscoError
from discolocal.settings import use_local_master
from discolocal.worker import aliases
from discolocal.worker.old.parameters import set_era

__all__ = ["install_as_disco"]


def install_as_disco(force: bool = False, local: bool = False, era: str | None = None) -> None:
    """Make ``import disco`` and the modules below it mean discolocal, in this process and in the jobs it submits.

    Parameters: `force` also where another package or module `disco` could be imported, which is hidden then; `local`
    runs every job on the local cluster of this process, whichever master the script names; `era` "0.2" submits jobs
    with the defaults of that time: lines without their ends, texts as keys and values.

    Both modules are one: ``disco.job.Job is discolocal.job.Job``. May be called again. Raises DiscoError when there is
    another `disco`, or when that was imported already, which `force` does not undo; ValueError for an unknown `era`.
    """
    if not aliases.installed():
        _check_free(force)
    set_era(era)
    use_local_master(local)
    aliases.install()


def _check_free(force: bool) -> None:
    loaded = sys.modules.get(aliases.NAME)
    if loaded is not None:
        raise DiscoError(
            f"A module disco was imported already, {getattr(loaded, '__file__', None) or loaded!r}: call"
            " install_as_disco() before"
        )
    other = None if force else PathFinder.find_spec(aliases.NAME)
    if other is not None and other.origin is not None:
        raise DiscoError(
            f"There is another module disco, {other.origin}: install_as_disco(force=True) hides it from this process"
        )
