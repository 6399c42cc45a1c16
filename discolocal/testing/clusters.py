"""The clusters of one test: how they are made, what they tell when the test fails, and what stays of their files.

The node processes are not the test's: they wait in the pool of this process for the next cluster of their shape. So a
cluster of its own for each test costs a millisecond, and leaves nothing to clean between tests.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from discolocal.cluster.local import LocalCluster
from discolocal.error import JobError
from discolocal.testing.plugin import KEPT

if TYPE_CHECKING:
    from types import TracebackType

MOST_EVENTS = 100  # of each job, the last ones
MOST_JOBS = 10  # of each cluster, the last ones
_SHAPE = set(inspect.signature(LocalCluster).parameters) - {"root"}


class Clusters:
    """Makes clusters for the test of a fixture's `request`; a context manager that closes them.

    Their directories are in pytest's own for temporary files.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._made: list[LocalCluster] = []
        self._keep = bool(request.config.option.disco_keep)
        self._failed = False
        self._origins: dict[str, BaseException] = {}
        self._debugging = bool(request.config.getoption("usepdb", False))

    def __enter__(self) -> Clusters:
        if self._debugging:
            from discolocal.cluster import inline

            inline.on_failure = self._origins.__setitem__
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._debugging:
            from discolocal.cluster import inline

            inline.on_failure = None
            self._origins.clear()
        with contextlib.ExitStack() as stack:
            for cluster in self._made:
                if not (self._keep or self._failed):
                    stack.callback(shutil.rmtree, cluster.root, ignore_errors=True)
                stack.callback(cluster.close)

    def make(self, **shape: Any) -> LocalCluster:
        """Return a new cluster: `shape` counts first, then the markers of the test, then the options.

        With `keep` its files stay in any case. Raises TypeError for what is no parameter of `LocalCluster`, or is its
        `root`, and ValueError as LocalCluster does.
        """
        __tracebackhide__ = True  # a wrong parameter is shown where it was given
        option = self._request.config.option
        given = {"nodes": option.disco_nodes, "start": option.disco_start, "seed": option.disco_seed}
        given |= {"progress": False, **self._marked(), **shape}
        _check(given, "a cluster of a test")
        self._keep |= bool(given.pop("keep", False))
        cluster = LocalCluster(root=self._directory(), **given)
        self._made.append(cluster)
        return cluster

    def _marked(self) -> dict[str, Any]:
        """What the markers say: the one nearest to the test counts."""
        __tracebackhide__ = True
        marked: dict[str, Any] = {}
        for marker in self._request.node.iter_markers("disco"):
            if marker.args:
                raise TypeError(f"@pytest.mark.disco{marker.args!r}: give its arguments by name, as in disco(nodes=3)")
            _check(marker.kwargs, "@pytest.mark.disco")
            marked = {**marker.kwargs, **marked}
        return marked

    def _directory(self) -> str:
        factory: pytest.TempPathFactory = self._request.getfixturevalue("tmp_path_factory")
        # Nothing in it that a path of an input, or one where programs are found, cannot have.
        name = re.sub(r"\W", "_", self._request.node.name, flags=re.ASCII)[:40]
        return str(factory.mktemp(f"disco-{name}"))

    def tell(self, report: pytest.TestReport) -> None:
        """Add to the report of a phase of the test: its events if it has failed, and where files stay."""
        if not self._made:
            return
        if report.failed:
            self._failed = True
            for cluster in self._made:
                report.sections += _events(cluster)
        if report.failed or (self._keep and report.when == "call"):
            until = _until(self._request.config)
            report.sections += [(KEPT, f"{cluster.root} ({until})") for cluster in self._made]

    def origin(self, shown: pytest.ExceptionInfo[BaseException] | None) -> BaseException | None:
        """The exception, with its frames, that failed the inline job whose JobError is `shown`; None for others."""
        error = None if shown is None else shown.value
        return self._origins.get(str(error.job)) if isinstance(error, JobError) else None


def _check(shape: dict[str, Any], whose: str) -> None:
    __tracebackhide__ = True
    if "root" in shape:
        raise TypeError(f"{whose}: root is the test's own directory; for another one make a LocalCluster")
    unknown = sorted(set(shape) - _SHAPE)
    if unknown:
        raise TypeError(f"{whose}: {', '.join(unknown)} is no parameter of LocalCluster ({', '.join(sorted(_SHAPE))})")


def _events(cluster: LocalCluster) -> list[tuple[str, str]]:
    """A section for each of the cluster's last jobs: the last of its events, oldest first."""
    sections = []
    for _when, status, name in cluster.joblist()[:MOST_JOBS][::-1]:
        events = [f"{when} {host:<8} {text}" for _, (when, host, text) in cluster.events(name)]
        left = len(events) - MOST_EVENTS
        shown = [f"... ({left} events before)"] if left > 0 else []
        shape = f"{len(cluster.nodes)} nodes, start={cluster.start}, seed={cluster.seed}"
        if cluster.faults is not None:
            shape += f", faults={cluster.faults!r}"
        sections.append((f"discolocal: {name}, {status} ({shape})", "\n".join(shown + events[-MOST_EVENTS:])))
    return sections


def _until(config: pytest.Config) -> str:
    """Until when pytest leaves the directory of this run."""
    if getattr(config.option, "disco_basetemp", config.option.basetemp):  # of all processes of pytest-xdist, or of this
        return "removed by the next run with the same --basetemp"
    return f"removed by a later run; tmp_path_retention_count = {config.getini('tmp_path_retention_count')}"
