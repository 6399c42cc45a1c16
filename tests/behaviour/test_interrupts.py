"""Ctrl-C and kill -9 of the caller: the job ends, nothing is left, the cluster stays usable."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from discolocal import Job, JobError, LocalCluster, result_iterator
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour.programs import Program

START = pytest.mark.parametrize("start", ["fork", "inline"])

# Says on standard output where it is, so that the test knows when to interrupt it.
SOURCE = """
import os, sys, time
from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_reduce
point, start = sys.argv[1:]

def pause(here):
    if here == point:
        open(SIGNAL, "x").close()
        time.sleep(60)

def map(entry, params):
    for word in entry.split():
        pause("map")
        yield word, 1

def reduce(iter, params):
    pause("reduce")
    yield from sum_reduce(iter, params)

SIGNAL = os.path.join(os.getcwd(), "here")
seconds = None
try:
    pause("before")
    with LocalCluster(nodes=2, start=start) as cluster:
        try:
            if point == "start":
                open(SIGNAL, "x").close()
            while True:
                cluster.run(Job(map=map, reduce=reduce), input=["raw://a b a"], partitions=2)
                if point == "teardown":
                    break
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            print("jobs", [row for row in cluster.joblist() if row[1] != "ready"], cluster.worker_pids())
            job = Job(map=lambda e, p: [(w, 1) for w in e.split()], reduce=sum_reduce)
            print(sorted(cluster.run(job, input=["raw://a b a"], partitions=2)), flush=True)
        pause("teardown")
except KeyboardInterrupt:
    print("out", flush=True)
"""


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, "the program did not get to its place"
        time.sleep(0.005)


def finish(program: Program, seconds: float) -> tuple[str, str, int]:
    """Wait for the end of the program, which must come within `seconds`."""
    assert program.process is not None
    out, err = program.process.communicate(timeout=20)
    assert time.monotonic() - program.interrupted < seconds, "it took too long to end"
    return out, err, program.process.returncode


def interrupt_at(program: Program, point: str, start: str, later: float = 0.0) -> None:
    """Run `SOURCE` and interrupt it so many seconds after it has come to a point."""
    program.start(program.write("script.py", SOURCE), point, start)
    wait_for_file(program.cwd / "here")
    time.sleep(later)
    program.interrupted = time.monotonic()
    program.interrupt()


@START
@pytest.mark.parametrize("point", ["start", "map", "reduce"])
def test_ctrl_c_ends_the_job_and_the_cluster_stays_usable(program: Program, start: str, point: str) -> None:
    interrupt_at(program, point, start, 0.05)
    out, err, status = finish(program, 2)
    assert out == "interrupted\njobs [] []\n[('a', 2), ('b', 1)]\n", err
    assert status == 0
    assert program.gone_within(5) == []


@START
@pytest.mark.parametrize("point", ["before", "teardown"])
def test_ctrl_c_outside_of_a_job(program: Program, start: str, point: str) -> None:
    interrupt_at(program, point, start)
    out, err, status = finish(program, 2)
    assert (out, status) == ("out\n", 0), err
    assert program.gone_within(5) == []


@START
@pytest.mark.parametrize("point", ["map", "reduce"])
def test_ctrl_c_twice(program: Program, start: str, point: str) -> None:
    interrupt_at(program, point, start)
    time.sleep(0.03)
    program.interrupt()
    finish(program, 2)
    assert program.gone_within(5) == []


@START
def test_ctrl_c_without_any_handler(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
import time
from discolocal import Job, LocalCluster
def map(entry, params):
    open({str(program.cwd / "here")!r}, "x").close()
    time.sleep(60)
LocalCluster(nodes=2, start={start!r}).run(Job(map=map), input=["raw://x"])
""",
    )
    program.start(path)
    wait_for_file(program.cwd / "here")
    program.interrupted = time.monotonic()
    program.interrupt()
    _, err, status = finish(program, 2)
    assert "KeyboardInterrupt" in err and status in (-signal.SIGINT, 130, 1)
    assert program.gone_within(5) == []


# Runs jobs for ever; whatever moment the test picks, something is going on.
BUSY = """
import sys
from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_reduce
def map(entry, params):
    for word in entry.split():
        yield word.encode(), 1
print("running", flush=True)
while True:
    with LocalCluster(nodes=2, start=sys.argv[1]) as cluster:
        for _ in range(3):
            job = Job(map=map, reduce=sum_reduce, sort=True)
            assert dict(cluster.run(job, input=["raw://a b", "raw://a"], partitions=2)) == {b"a": 2, b"b": 1}
"""


MOMENTS = pytest.mark.parametrize(("start", "round"), [*(("fork", n) for n in range(5)), ("inline", 0), ("inline", 1)])


def random_moment(program: Program, start: str, sig: signal.Signals) -> None:
    seed = random.SystemRandom().getrandbits(32)
    moment = random.Random(seed).uniform(0, 0.6)
    print(f"seed {seed}: after {moment:.3f} seconds")
    process = program.start("-c", BUSY, start)
    assert process.stdout is not None and process.stdout.readline() == "running\n"
    time.sleep(moment)
    program.interrupted = time.monotonic()
    if sig == signal.SIGINT:
        program.interrupt()
    else:
        os.kill(process.pid, sig)


@MOMENTS
def test_ctrl_c_at_a_random_moment_leaves_nothing(program: Program, start: str, round: int) -> None:
    random_moment(program, start, signal.SIGINT)
    _, err, status = finish(program, 3)
    assert status != 0 and "KeyboardInterrupt" in err
    assert program.gone_within(5) == []


@MOMENTS
def test_kill_9_of_the_caller_at_a_random_moment_leaves_nothing(program: Program, start: str, round: int) -> None:
    random_moment(program, start, signal.SIGKILL)
    assert program.process is not None and program.process.wait(10) == -signal.SIGKILL
    assert program.gone_within(10) == []


def test_sigterm_of_the_caller_leaves_nothing(program: Program) -> None:
    random_moment(program, "fork", signal.SIGTERM)
    assert program.process is not None and program.process.wait(10) == -signal.SIGTERM
    assert program.gone_within(10) == []


# A job that is ended or left by its own process


def slow(entry, params):
    import time

    time.sleep(params)
    yield entry, 1


def test_kill_ends_a_job_at_once(forked: LocalCluster) -> None:
    job = forked.submit(Job(map=slow, params=60), input=["raw://x", "raw://y", "raw://z"])
    assert job.results(timeout=50) == ("active", [])
    start = time.monotonic()
    job.kill()
    assert time.monotonic() - start < 2
    assert job.results() == ("dead", [])
    assert forked.worker_pids() == []
    with pytest.raises(JobError, match="killed"):
        job.wait()
    job.kill()
    assert [text for _, (_, _, text) in job.events()].count("WARN: Job killed") == 1


def test_kill_of_a_job_that_has_ended_changes_nothing(forked: LocalCluster) -> None:
    results = forked.run(Job(map=slow, params=0), input=["raw://x"])
    results.job.kill()
    assert results.job.results()[0] == "ready" and list(results) == [("x", 1)]


def test_wait_with_a_timeout_leaves_the_job_running(forked: LocalCluster) -> None:
    job = forked.submit(Job(map=slow, params=0.3), input=["raw://x"])
    start = time.monotonic()
    with pytest.raises(JobError, match="Timeout"):
        job.wait(timeout=0.05)
    assert time.monotonic() - start < 0.25
    assert list(result_iterator(job.wait(timeout=20))) == [("x", 1)]


def test_closing_a_cluster_ends_its_jobs(forked: LocalCluster) -> None:
    cluster = LocalCluster(nodes=2)
    job = cluster.submit(Job(map=slow, params=60), input=["raw://x"])
    start = time.monotonic()
    cluster.close()
    cluster.close()
    assert time.monotonic() - start < 2
    with pytest.raises(JobError, match="closed"):
        job.wait()
    assert not os.path.exists(cluster.root)


def test_a_cluster_that_nobody_refers_to_gives_its_files_back(start: str) -> None:
    import gc

    cluster = LocalCluster(nodes=2, start=start)
    root = cluster.root
    results = cluster.run(Job(map=slow, params=0), input=["raw://x"])
    del cluster
    gc.collect()
    assert list(results) == [("x", 1)], "results hold on to their cluster"
    del results
    gc.collect()
    end = time.monotonic() + 5
    while os.path.exists(root) and time.monotonic() < end:
        time.sleep(0.01)
    assert not os.path.exists(root)


def test_clusters_come_and_go(start: str) -> None:
    from tests import leaks

    for number in range(10 if start == "exec" else 20):
        with LocalCluster(nodes=2, start=start) as cluster:
            assert dict(cluster.run(Job(map=slow, params=0, reduce=sum_reduce), input=["raw://x"])) == {"x": 1}
        if number == 5:
            before = leaks.descriptors()
    assert len(leaks.descriptors()) <= len(before)


def test_many_jobs_on_one_cluster(start: str) -> None:
    from tests import leaks

    with LocalCluster(nodes=2, start=start) as cluster:
        for number in range(12 if start == "exec" else 40):
            results = cluster.run(Job(map=slow, params=0, reduce=sum_reduce), input=["raw://x"])
            assert dict(results) == {"x": 1}
            results.job.purge()
            if number == 5:
                before = len(leaks.descriptors())
        assert len(leaks.descriptors()) <= before
        assert cluster.joblist() == []
        assert [name for _, _, files in os.walk(cluster.data) for name in files] == []


def test_a_fork_of_the_caller_may_not_use_its_cluster_and_does_not_harm_it(program: Program) -> None:
    path = program.write(
        "script.py",
        """
import os
from discolocal import DiscoError, Job, LocalCluster
job = Job(map=lambda e, p: [(e, 1)])
with LocalCluster(nodes=2) as cluster:
    print(list(cluster.run(job, input=["raw://a"])), flush=True)
    pid = os.fork()
    if not pid:
        try:
            cluster.run(job, input=["raw://x"])
        except DiscoError as error:
            print("refused", flush=True)
        with LocalCluster(nodes=2) as own:
            print(list(own.run(job, input=["raw://b"])), flush=True)
        raise SystemExit
    os.waitpid(pid, 0)
    print(list(cluster.run(job, input=["raw://c"])), flush=True)
""",
    )
    assert program.run(path) == "[('a', 1)]\nrefused\n[('b', 1)]\n[('c', 1)]\n"
    assert program.gone_within(5) == []
