"""discolocal: Disco map/reduce jobs on one machine, in the caller's process.

The same job, the same job pack, the same worker protocol and the same files on disk as on a Disco
cluster. `LocalCluster().run(job, input=[...])` is where to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discolocal.cluster.local import LocalCluster
    from discolocal.cluster.results import Results
    from discolocal.core import Disco, result_iterator
    from discolocal.error import CommError, DataError, DiscoError, JobError, PortabilityWarning
    from discolocal.job import Job
    from discolocal.util import external
    from discolocal.wire.jobpack import JobPack
    from discolocal.worker import Params

__version__ = "0.1.0"

__all__ = [
    "CommError",
    "DataError",
    "Disco",
    "DiscoError",
    "Job",
    "JobError",
    "JobPack",
    "LocalCluster",
    "Params",
    "PortabilityWarning",
    "Results",
    "external",
    "result_iterator",
]

_HOMES = {
    "CommError": "discolocal.error",
    "DataError": "discolocal.error",
    "Disco": "discolocal.core",
    "DiscoError": "discolocal.error",
    "Job": "discolocal.job",
    "JobError": "discolocal.error",
    "JobPack": "discolocal.wire.jobpack",
    "LocalCluster": "discolocal.cluster.local",
    "Params": "discolocal.worker",
    "PortabilityWarning": "discolocal.error",
    "Results": "discolocal.cluster.results",
    "external": "discolocal.util",
    "new_job": "discolocal.compat",  # of the first versions
    "result_iterator": "discolocal.core",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import discolocal` alone costs nothing."""
    return _at_first_use(name, _HOMES, globals())


def _at_first_use(name: str, homes: dict[str, str], package: dict[str, Any]) -> Any:
    """Import a name from its home among `homes`, and keep it among the globals of its `package`."""
    try:
        home = homes[name]
    except KeyError:
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}") from None
    import importlib

    value = getattr(importlib.import_module(home), name)
    package[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
