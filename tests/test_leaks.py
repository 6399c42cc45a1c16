"""The check around every test sees what a test leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading

import pytest

from discolocal import Job, LocalCluster
from tests import leaks


@pytest.fixture(autouse=True)
def no_grace(monkeypatch) -> None:
    monkeypatch.setattr(leaks, "GRACE", 0.0)


def test_a_process() -> None:
    before = leaks.snapshot()
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        [text, *_] = leaks.left_since(before)
        assert text.startswith("processes")
        assert str(sleeper.pid) in text
    finally:
        sleeper.communicate()
    assert leaks.left_since(before) == []


def test_a_grandchild() -> None:
    before = leaks.snapshot()
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()']); print(p.pid, flush=True)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code + "; p.wait()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        grandchild = parent.stdout.readline().strip()
        assert grandchild in leaks.left_since(before)[0]
    finally:
        parent.communicate("\n")


def test_a_thread() -> None:
    before = leaks.snapshot()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    try:
        assert leaks.left_since(before) == ["threads forgotten"]
    finally:
        end.set()
        thread.join()


def test_a_descriptor() -> None:
    before = leaks.snapshot()
    with open(os.devnull) as file:
        [text] = leaks.left_since(before)
        assert text.startswith(f"descriptors {{{file.fileno()}:")


def test_a_temporary_path() -> None:
    before = leaks.snapshot()
    with tempfile.TemporaryDirectory(prefix="discolocal-") as path:
        assert leaks.left_since(before) == [f"temporary paths {os.path.basename(path)}"]


def test_the_watcher_is_nothing_left_behind_where_all_clusters_are_inline() -> None:
    done = subprocess.run([sys.executable, "-c", INLINE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False True", "[]"]


ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INLINE = """
import sys
from tests import leaks
leaks.GRACE = 0.0
before = leaks.snapshot()
from discolocal import Job, LocalCluster
with LocalCluster(start="inline") as cluster:
    list(cluster.run(Job(map=lambda entry, params: [(entry, 1)]), input=["raw://a"]))
left = leaks.left_since(before)
watcher = sys.modules["discolocal.cluster.watcher"].watcher.pid
print("discolocal.cluster.pool" in sys.modules, watcher in leaks.descendants())
print([text for text in left if text.startswith("processes")])
"""


def test_an_open_cluster_leaves_its_root_and_a_closed_one_nothing() -> None:
    before = leaks.snapshot()
    cluster = LocalCluster(nodes=2)
    list(cluster.run(Job(map=lambda entry, params: [(entry, 1)]), input=["raw://a"]))
    assert [text for text in leaks.left_since(before) if os.path.basename(cluster.root) in text]
    cluster.close()
    leaks.GRACE = 5.0
    assert leaks.left_since(before) == []
