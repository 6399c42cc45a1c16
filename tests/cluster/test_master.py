"""What happens at the edges of a cluster's life: closing, killing, crashing, being collected."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster
from discolocal.cluster import holding
from discolocal.cluster.events import EventLog
from discolocal.cluster.pool import pool
from discolocal.worker.classic.func import sum_reduce


def words(line: str, params: object) -> list[tuple[str, int]]:
    return [(word, 1) for word in line.split()]


def until(condition: Callable[[], object], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


def test_no_run_hangs_when_the_cluster_is_closed_meanwhile() -> None:
    for number in range(12):
        cluster = LocalCluster(nodes=2)
        ends: list[str] = []

        def go(cluster: LocalCluster = cluster, ends: list[str] = ends) -> None:
            try:
                cluster.run(Job(map=words), input=["raw://x"])
                ends.append("done")
            except DiscoError as error:
                ends.append(type(error).__name__)

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.0005 * number)
        cluster.close()
        for thread in threads:
            thread.join(20)
        assert len(ends) == 4


def test_a_cluster_that_nobody_refers_to_gives_its_nodes_and_files_back() -> None:
    cluster = LocalCluster(nodes=2)
    root = cluster.root
    assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://a b a"])) == {"a": 2, "b": 1}
    gone = weakref.ref(cluster)
    del cluster
    gc.collect()
    assert gone() is None
    assert until(lambda: not os.path.exists(root))


def test_a_cluster_dropped_at_the_last_moment_is_closed_before_its_nodes() -> None:
    cluster = LocalCluster(nodes=1)
    assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://a"])) == {"a": 1}
    dropped, master = cluster._holding, cluster._holding.executor
    del cluster
    gc.collect()
    assert dropped.closed
    holding._close_clusters()  # what comes first at interpreter exit
    assert until(lambda: not master._thread.is_alive(), 1)
    assert dropped not in holding._open
    assert not os.path.exists(dropped.root)


def test_a_failed_job_does_not_keep_the_callers_objects_alive() -> None:
    class Big:
        pass

    def fail(entry: str, params: object) -> None:
        raise ValueError("no")

    with LocalCluster(nodes=1) as cluster:

        def attempt() -> weakref.ref[Big]:
            mine = Big()
            with pytest.raises(JobError):
                cluster.run(Job(map=fail), input=["raw://x"])
            return weakref.ref(mine)

        found = attempt()
        gc.collect()
        assert found() is None


def test_each_waiter_gets_an_error_of_its_own() -> None:
    def fail(entry: str, params: object) -> None:
        raise ValueError("no")

    with LocalCluster(nodes=1) as cluster:
        job = cluster.submit(Job(map=fail), input=["raw://x"])
        errors = []
        for _ in range(2):
            with pytest.raises(JobError) as caught:
                job.wait()
            errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])
    assert errors[0].__cause__ is not None


def test_events_that_cannot_be_written_stay_readable(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path / "events"))
    log.add("master", "one")
    (tmp_path / "events").mkdir()
    log.close()
    log.add("node1", "two")
    assert [(host, text) for _, (_, host, text) in log.since()] == [("master", "one"), ("node1", "two")]


def test_a_job_ends_although_its_events_file_cannot_be_written() -> None:
    def slow(entry: str, params: object) -> list[tuple[str, int]]:
        import os
        import time

        while not os.path.isdir(entry):
            time.sleep(0.01)
        return [(entry, 1)]

    with LocalCluster(nodes=1) as cluster:
        directory = os.path.join(cluster.root, "go")
        job = cluster.submit(Job(map=slow), input=[f"raw://{directory}"])
        events = os.path.join(os.path.dirname(cluster._jobs[job.name].order.jobfile), "events")
        os.mkdir(events)
        os.mkdir(directory)
        assert len(job.wait(timeout=30)) == 1
        assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://x"])) == {"x": 1}


def test_the_events_of_an_ended_job_are_in_its_file_and_not_in_memory() -> None:
    with LocalCluster(nodes=1) as cluster:
        job = cluster.submit(Job(map=words), input=["raw://x"])
        job.wait()
        run = cluster._jobs[job.name]
        assert run.log._lines == []
        assert run.state.tasks == {}
        texts = [text for _, (_, _, text) in job.events()]
        assert texts[0] == "New job initialized!"
        assert texts[-1].startswith("READY: Job done in ")
        assert [row[0] for row in job.jobinfo()["pipeline"]] == ["map", "map_shuffle"]
        assert len(job.stageresults("map")) == 1


def test_tasks_see_the_environment_of_the_moment_of_submission(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(entry: str, params: object) -> list[tuple[str, str | None]]:
        import os

        return [(entry, os.environ.get("DISCOLOCAL_TEST_VALUE"))]

    with LocalCluster(nodes=1) as cluster:
        assert list(cluster.run(Job(map=look), input=["raw://a"])) == [("a", None)]
        monkeypatch.setenv("DISCOLOCAL_TEST_VALUE", "here")
        assert list(cluster.run(Job(map=look), input=["raw://a"])) == [("a", "here")]
        monkeypatch.delenv("DISCOLOCAL_TEST_VALUE")
        assert list(cluster.run(Job(map=look), input=["raw://a"])) == [("a", None)]


def test_an_output_that_no_index_can_hold_is_named() -> None:
    def odd(entry: str, params: object) -> list[tuple[str, int]]:
        from discolocal.worker import current

        current().post("OUTPUT", [0, "a b", 3])  # type: ignore[union-attr]
        return [(entry, 1)]

    with LocalCluster(nodes=2) as cluster:
        with pytest.raises(JobError, match="white space: .*a b"):
            cluster.run(Job(map=odd), input=["raw://x"])
        assert len(cluster.nodeinfo()) == 2
        assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://x"])) == {"x": 1}


def test_a_long_stray_output_says_how_much_is_left_out() -> None:
    def noisy(entry: str, params: object) -> list[tuple[str, int]]:
        import os

        os.write(1, b"".join(b"%08d\n" % number for number in range(200_000)))
        return [(entry, 1)]

    with LocalCluster(nodes=1) as cluster, pytest.warns(UserWarning, match="stray-output"):
        job = cluster.submit(Job(map=noisy), input=["raw://x"])
        job.wait()
        texts = [text for _, (_, _, text) in job.events() if text.startswith("MSG: [map:0]")]
    lines = [text.partition("] ")[2] for text in texts]
    note = next(number for number, line in enumerate(lines) if "left out" in line)
    shown = [int(line) for line in lines[note + 1 :] if line.isdigit()]
    assert shown == list(range(200_000 - len(shown), 200_000))
    assert f"({9 * (200_000 - len(shown))} bytes" in lines[note]


@linux
def test_what_a_killed_worker_had_started_is_ended_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def die(entry: str, params: object) -> None:
        import os
        import signal
        import subprocess
        import sys

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(entry, "a") as file:
            print(child.pid, file=file)
        os.kill(os.getpid(), signal.SIGKILL)

    with LocalCluster(nodes=1, max_failures=1) as cluster:
        with pytest.raises(JobError, match="SIGKILL"):
            cluster.run(Job(map=die), input=[f"raw://{pid_file}"])
        pids = [int(line) for line in pid_file.read_text().split()]
        assert len(pids) == 2
        assert until(lambda: not any(map(alive, pids)))


@linux
def test_nothing_that_tasks_started_outlives_a_killed_caller(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from discolocal import Job, LocalCluster

            def start(entry, params):
                import subprocess, sys
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                with open(entry, "w") as file:
                    print(child.pid, file=file)
                child.wait()

            LocalCluster(nodes=1).run(Job(map=start), input=["raw://" + sys.argv[1]])
            """
        )
    )
    root = str(Path(__file__).parents[2])
    caller = subprocess.Popen([sys.executable, str(script), str(pid_file)], env={**os.environ, "PYTHONPATH": root})
    try:
        assert until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), 30)
        pid = int(pid_file.read_text())
        assert alive(pid)
    finally:
        caller.kill()
        caller.wait()
    assert until(lambda: not alive(pid))


def test_nodes_that_are_lost_early_are_forgiven_once_one_serves() -> None:
    with LocalCluster(nodes=1) as cluster:
        for _ in range(5):
            assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://x"])) == {"x": 1}
            os.kill(cluster.nodeinfo()["node1"]["pid"], 9)


def test_idle_nodes_do_not_pile_up() -> None:
    clusters = [LocalCluster(nodes=1) for _ in range(4)]
    for cluster in clusters:
        cluster.close()
    assert len(pool._idle[1, 1]) <= 2


@pytest.mark.parametrize("what", ["kill", "clean", "purge"])
def test_an_unknown_job_can_be_killed_cleaned_and_purged(what: str) -> None:
    with LocalCluster(nodes=1, start="inline") as cluster:
        getattr(cluster, what)("nobody@1:2:3")


def test_a_cluster_without_a_descriptor_left_gives_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import discolocal.cluster.master as master

    def no_pipe() -> None:
        raise OSError(24, "Too many open files")

    before = len(pool._lent)
    monkeypatch.setattr(master.os, "pipe", no_pipe)
    with pytest.raises(OSError, match="Too many"):
        LocalCluster(nodes=1)
    monkeypatch.undo()
    assert len(pool._lent) == before
