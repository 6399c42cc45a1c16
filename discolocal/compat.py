"""Scripts that say `disco` find discolocal (reference 11); the names of Disco's own `compat`, see `old.texts`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.settings import LOCAL, use_local_master
from discolocal.worker import aliases
from discolocal.worker.client import ignore_unknown_arguments
from discolocal.worker.old import texts
from discolocal.worker.old.parameters import set_era
from discolocal.worker.old.warning import deprecated

if TYPE_CHECKING:
    from discolocal.job import Job

__all__ = ["CallableModule", "install_as_disco", "new_job"]


def __getattr__(name: str) -> Any:
    if name not in texts.NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(texts, name)


def install_as_disco(force: bool = False, local: bool = False, era: str | None = None) -> None:
    """Make ``import disco`` and the modules below it mean discolocal, in this process and in the jobs it submits.

    Parameters: `force` also where another package or module `disco` could be imported, which is hidden then; `local`
    runs every job on the local cluster of this process, whichever master the script names, and so does ``local://`` as
    DISCO_MASTER of the environment; `era` submits jobs with the defaults of that time: of "0.2" lines without their
    ends, texts as keys and values, of "0.5", under Python 3, lines of bytes.

    Both modules are one: ``disco.job.Job is discolocal.job.Job``. Arguments of `run` that nobody knows are warned
    of, no longer refused: Disco ignores them. May be called again. Raises DiscoError when there is another `disco`, or
    when that was imported already, which `force` does not undo; ValueError for an unknown `era`.
    """
    if not aliases.installed():
        _check_free(force)
    set_era(era)
    # A script that names a master of its own is not changed either where the environment asks for the local one.
    use_local_master(local or os.environ.get("DISCO_MASTER") == LOCAL)
    aliases.install()
    ignore_unknown_arguments(True)
    import_module("discolocal.job").__class__ = CallableModule


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


def new_job(name: str | None = None, master: Any = None, **jobargs: Any) -> Job:
    """Submit a job, as a function of the package did it at first, with a DeprecationWarning; returns the `Job`.

    Parameters: `name` and `master` as those of `Job`, `jobargs` the job parameters.
    """
    from discolocal.job import Job

    deprecated("disco.new_job(...) is an old call: use Job(name, master).run(...)")
    return Job(name, master).run(**jobargs)


class CallableModule(ModuleType):
    """The module `job`, which was a function once: ``disco.job(master, input, fun_map=...)``."""

    def __call__(self, master: Any, input: Any, name: str | None = None, **jobargs: Any) -> Any:
        """Run a job, with a DeprecationWarning; returns the urls of its results when it has ended.

        Parameters: `master` and `name` as those of `Job`, `input` and `jobargs` the job parameters. Raises JobError
        when the job fails.
        """
        from discolocal.job import Job

        deprecated("disco.job(master, input, ...) is an old call: use Job(name, master).run(input=input, ...).wait()")
        return Job(name, master).run(input=input, **jobargs).wait()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as any module does for cloudpickle, by its name."""
        return import_module, (self.__name__,)
