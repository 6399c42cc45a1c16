"""Fixtures of the whole suite: the golden files, and a check around every test that nothing is left behind.

The golden files are recordings of a real Disco master and worker. They are not part of the distribution: tests that
want them skip where there are none, and fail instead where DISCOLOCAL_REQUIRE_GOLDEN is set (continuous integration).
A run of all tests that use golden files fails when there is one that none of them has read.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import goldens, leaks

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = bool(os.environ.get("DISCOLOCAL_REQUIRE_GOLDEN"))


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a temporary directory of its own, so that the leak check sees no other program's files."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # tmp_path stays where people look for it
    private = tempfile.mkdtemp(prefix="dl-tests-")
    # Registered before any cluster exists, hence called after the cluster pool's own clean-up.
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    os.environ["TMPDIR"] = tempfile.tempdir = private
    if (root := golden_root()) is not None:
        goldens.watch(root)


def golden_root() -> Path | None:
    """The directory of the golden files: $DISCOLOCAL_GOLDEN, or shared/golden beside the checkout, or None."""
    named = os.environ.get("DISCOLOCAL_GOLDEN")
    root = Path(named) if named else ROOT.parent / "shared" / "golden"
    return root if (root / "INDEX.md").is_file() else None


@pytest.fixture(scope="session")
def golden() -> Path:
    """The directory of the golden files; skips the test (or fails it, see above) where there is none."""
    root = golden_root()
    if root is None:
        (pytest.fail if REQUIRED else pytest.skip)("golden files are not here: set DISCOLOCAL_GOLDEN")
    return root


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was not tested for want of golden files."""
    skipped = for_want_of_golden(terminalreporter)
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: golden files are not here (set DISCOLOCAL_GOLDEN)")


def for_want_of_golden(reporter: pytest.TerminalReporter) -> list[str]:
    """The tests that were skipped because there are no golden files."""
    reports = reporter.stats.get("skipped", [])
    return [report.nodeid for report in reports if "golden" in str(report.longrepr).lower()]


_others: list[bool] = []
"""Of each process that ran tests for this one, whether it collected all of them."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A process that ran tests for this one (pytest-xdist) has ended: what did it read?"""
    whole, opened = getattr(node, "workeroutput", {}).get("goldens", (False, []))
    _others.append(whole)
    goldens.heard(opened)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Golden files that no test has read fail a whole run; where they are required, a test skipped for want of them."""
    root = golden_root()
    whole = goldens.is_whole(session, Path(__file__).parent)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several processes that run tests: the first one judges
        output["goldens"] = [whole, goldens.told()]
        return
    if root is not None and (whole or (_others and all(_others))):
        unread = goldens.unread(root)
        print(f"\ngolden files: {len(goldens.files(root)) - len(unread)} read, {len(unread)} not", file=sys.stderr)
        if unread:
            print(f"not read by any test: {', '.join(unread)}", file=sys.stderr)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not REQUIRED or reporter is None:
        return
    skipped = for_want_of_golden(reporter)
    if skipped:
        print(f"\nskipped although golden files are required: {', '.join(skipped)}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def roots_of_this_test_only() -> Iterator[None]:
    """Results of clusters with a given root stay readable for the life of the process: not into the next test."""
    from discolocal import schemes

    before = list(schemes.data_roots)
    yield
    schemes.data_roots[:] = [root for root in schemes.data_roots if root in before or _in_use(root)]


def _in_use(root: str) -> bool:
    holding = sys.modules.get("discolocal.cluster.holding")
    return holding is not None and any(os.path.join(open.root, "data") == root for open in holding._open)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, a thread, a descriptor or a temporary path behind."""
    before = leaks.snapshot()
    yield
    left = leaks.left_since(before)
    if left:
        pytest.fail("left behind by the test: " + "; ".join(left), pytrace=False)
