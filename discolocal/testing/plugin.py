"""The pytest plugin: fixtures, options, the marker `disco`, and what a failing test tells about its jobs.

Every run of pytest loads it where the package is installed, so it imports nothing: what a fixture needs is imported
when the fixture is used (`clusters`), what measures tasks when coverage.py measures this process (`covering`).
PYTEST_DONT_REWRITE: there is no assert here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from discolocal.cluster.local import LocalCluster
    from discolocal.testing.clusters import Clusters

NAME = "discolocal"
"""The name of the plugin, as in ``-p no:discolocal``."""
KEPT = "discolocal: files"
"""The title of the section of a report that says where the files of a test are."""
STARTS = ("fork", "exec", "inline")
_DEFAULTS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "nodes": (2, lambda text: _positive(text)),
    "start": ("fork", str),
    "seed": (None, int),
    "keep": (False, bool),
}
MARKER = "disco(nodes, start, seed, strict, faults, ...): parameters of LocalCluster for the clusters of a test"

_clusters: pytest.StashKey[Clusters] = pytest.StashKey()
_seed_of_laws = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Options and ini values; an option that is not given has the value of the file."""
    # Who names this module with -p or pytest_plugins gets it once, though the installed package announces it too.
    known = pluginmanager.get_name(sys.modules[__name__])
    pluginmanager.set_blocked(__name__ if known == NAME else NAME)
    group = parser.getgroup("discolocal", "Disco jobs")
    # Numbers of a TOML file are none of its texts; before 8.4 pytest knew no such type.
    number: Literal["int", "string"] = "int" if pytest.version_tuple >= (8, 4) else "string"
    kinds: dict[str, Literal["bool", "int", "string"]] = {"keep": "bool", "nodes": number, "seed": number}
    how: dict[str, Any]
    for name, text, how in (
        ("nodes", "how many nodes the clusters of fixtures have (default: 2)", {"type": _positive, "metavar": "N"}),
        ("start", "how workers start: fork (default), exec or inline", {"choices": STARTS}),
        ("seed", "seed of the clusters of fixtures and of the laws (default: a new one)", {"type": int}),
        ("keep", "keep the files of all jobs, not those of failed tests alone", {"action": "store_true"}),
    ):
        group.addoption(f"--disco-{name}", dest=f"disco_{name}", default=None, help=text, **how)
        parser.addini(f"disco_{name}", text, type=kinds.get(name, "string"), default=None)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number}: must be at least 1")
    return number


def pytest_configure(config: pytest.Config) -> None:
    """Settle the options and give the run its seed."""
    config.addinivalue_line("markers", MARKER)
    options = config.option
    for name, (default, read) in _DEFAULTS.items():
        if getattr(options, f"disco_{name}") is None:
            try:
                said = config.getini(f"disco_{name}")
                value = default if said in (None, "") else read(said)
            except (pytest.UsageError, ValueError, TypeError) as error:  # of pytest, by its version, or of `read`
                raise pytest.UsageError(f"disco_{name}: {error}") from None
            setattr(options, f"disco_{name}", value)
    if options.disco_start not in STARTS:
        raise pytest.UsageError(f"disco_start = {options.disco_start}: must be one of {', '.join(STARTS)}")
    if hasattr(config, "workerinput"):  # a process of pytest-xdist
        vars(options).update(config.workerinput["disco_options"])
    options.disco_asked = options.disco_seed is not None and getattr(options, "disco_asked", True)
    if options.disco_seed is None:
        options.disco_seed = int.from_bytes(os.urandom(4), "little")
    if options.disco_asked:
        _seed_laws(config)


def _seed_laws(config: pytest.Config) -> None:
    """A seed that somebody asked for is also the one of the laws."""
    from discolocal.testing import searching

    config.stash[_seed_of_laws] = searching.default_seed
    searching.default_seed = config.option.disco_seed


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a process of pytest-xdist the options, with the seed."""
    option = node.config.option
    settled = {name: value for name, value in vars(option).items() if name.startswith("disco_")}
    node.workerinput["disco_options"] = {**settled, "disco_basetemp": bool(option.basetemp)}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the laws as they were: this process may run pytest again."""
    if _seed_of_laws in config.stash:
        from discolocal.testing import searching

        searching.default_seed = config.stash[_seed_of_laws]


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, and how it is used again."""
    option = config.option
    shape = f"{option.disco_nodes} nodes, start={option.disco_start}"
    return f"discolocal: {shape}, --disco-seed={option.disco_seed}"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Count code in tasks where coverage.py measures this process (inside of what pytest-cov does about this hook)."""
    coverage = sys.modules.get("coverage")
    measured = coverage and coverage.Coverage.current()
    if not measured:
        return (yield)
    from discolocal.testing.covering import Covering

    with Covering(measured, session.config):
        return (yield)


@pytest.fixture
def disco_cluster_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., LocalCluster]]:
    """A function that makes clusters for this test: it takes the parameters of `LocalCluster`.

    What it is not given is as the marker `disco` of the test says, else as the options say. The clusters are closed
    after the test, and their files removed unless the test has failed.
    """
    from discolocal.testing.clusters import Clusters

    with Clusters(request) as clusters:
        request.node.stash[_clusters] = clusters
        yield clusters.make


@pytest.fixture
def disco_cluster(disco_cluster_factory: Callable[..., LocalCluster]) -> LocalCluster:
    """A `LocalCluster` of this test alone: no job, tag or file of another one. Its processes are the session's."""
    return disco_cluster_factory()


@pytest.fixture
def disco_inline(disco_cluster_factory: Callable[..., LocalCluster]) -> LocalCluster:
    """A `LocalCluster` whose tasks run in the test's own thread: for debuggers, monkeypatching and quick tests."""
    return disco_cluster_factory(start="inline")


@pytest.fixture
def run_job(disco_cluster: LocalCluster) -> Callable[..., list[Any]]:
    """A function that runs a job on `disco_cluster` and returns its records as a list.

    It takes a job or a Job class, its inputs and its parameters: ``run_job(job, [["a b", "c"], ["a"]], partitions=3)``.
    Each input is a list of entries as map gets them; a text with a newline or bytes, the content of a file that the
    job's reader reads; or a path or url. Or give ``input=`` as to `Job.run`.
    """
    from discolocal.testing.feeding import feed

    def run(job: Any, inputs: Any = None, **jobargs: Any) -> list[Any]:
        __tracebackhide__ = True
        if inputs is not None:
            jobargs = feed(os.path.join(disco_cluster.root, "inputs"), job, inputs, jobargs)
        return list(disco_cluster.run(job, **jobargs))

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the jobs of a failed test said, and where their files are."""
    if call.excinfo is not None and not item.config.option.fulltrace:
        call.excinfo = _without_tools(call.excinfo)
    report = yield
    clusters = item.stash.get(_clusters, None)
    if clusters is not None:
        clusters.tell(report)
    return report


def _without_tools(shown: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """A law that broke is shown, and looked at with --pdb, where it was asked for: in the test."""
    if not isinstance(shown.value, AssertionError):
        return shown
    frames, tb = [], shown.value.__traceback__
    while tb is not None:
        frames.append(tb)
        tb = tb.tb_next
    package = os.path.dirname(__file__) + os.sep
    ours = [frame.tb_frame.f_code.co_filename.startswith(package) for frame in frames]
    if not ours or not ours[-1] or ours[0]:
        return shown
    traceback: TracebackType | None = None
    for frame in frames[: ours.index(True)][::-1]:
        traceback = TracebackType(traceback, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return pytest.ExceptionInfo.from_exception(shown.value.with_traceback(traceback))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_exception_interact(
    node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]
) -> Generator[None, None, None]:
    """With --pdb, enter the function that failed in a task of an inline cluster instead of the test that ran it."""
    clusters = node.stash.get(_clusters, None)
    error = clusters.origin(call.excinfo) if clusters is not None else None
    if error is None:
        return (yield)
    shown = call.excinfo
    call.excinfo = pytest.ExceptionInfo.from_exception(error)
    try:
        return (yield)
    finally:
        call.excinfo = shown


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With --disco-keep, say where the files of every test are."""
    if not config.option.disco_keep:
        return
    reports = [report for found in terminalreporter.stats.values() for report in found]
    kept = [
        (report.nodeid, text)
        for report in reports
        for title, text in getattr(report, "sections", ())
        if title == KEPT and report.passed
    ]
    if kept:
        terminalreporter.section("files of jobs")
        for nodeid, text in kept:
            terminalreporter.write_line(f"{nodeid}: {text}")
