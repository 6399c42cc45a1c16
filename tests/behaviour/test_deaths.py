"""Worker and node processes that die: tried again elsewhere, named in the end, output once (reference 2.2, 4.2).

These tests need processes: what dies here would be the test itself in an inline cluster.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster
from discolocal.worker.classic.func import nop_reduce, sum_combiner, sum_reduce
from tests.behaviour.classic import words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

INPUTS = ["raw://a b c", "raw://b c d", "raw://c d e"]
EXPECTED = {"a": 1, "b": 2, "c": 3, "d": 2, "e": 1}


def _segfault() -> None:
    import ctypes

    ctypes.string_at(0)


def _signal(name: str) -> Callable[[], None]:
    def kill() -> None:
        import os
        import signal
        import time

        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(60)

    return kill


def _raise_exit(code: Any) -> Callable[[], None]:
    def leave() -> None:
        raise SystemExit(code)

    return leave


def _os_exit(code: int) -> Callable[[], None]:
    def leave() -> None:
        import os

        os._exit(code)

    return leave


MANNERS: dict[str, tuple[Callable[[], None], str]] = {
    "SystemExit(0)": (_raise_exit(0), "exited with status 0"),
    "SystemExit(1)": (_raise_exit(1), "exited with status 1"),
    "SystemExit(text)": (_raise_exit("text"), "exited with status 1"),
    "os._exit(0)": (_os_exit(0), "exited with status 0"),
    "os._exit(3)": (_os_exit(3), "exited with status 3"),
    "SIGKILL": (_signal("SIGKILL"), "SIGKILL"),
    "SIGTERM": (_signal("SIGTERM"), "SIGTERM"),
    "SIGSEGV": (_segfault, "SIGSEGV"),
}


class Fuse:
    """Dies in a given manner: the first `times` times that it is called."""

    def __init__(self, directory: Path, die: Callable[[], None], times: int) -> None:
        self.directory = str(directory)
        self.die = die
        self.times = times

    def __call__(self) -> None:
        import os

        for number in range(self.times):
            try:
                os.close(os.open(f"{self.directory}/{number}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            self.die()


class Bomb:
    """A value that dies where it is unpickled."""

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.fuse()


def job_dying_at(point: str, fuse: Fuse) -> Job:
    def dying_map(entry, params):
        fuse()
        yield from ((word, 1) for word in entry.split())

    def map_dying_midway(entry, params):
        yield from ((word, 1) for word in entry.split())
        if "e" in entry:
            fuse()

    def init(entries, params):
        fuse()

    def combiner(key, value, buffer, done, params):
        if done:
            fuse()
        return sum_combiner(key, value, buffer, done, params)

    def partition(key, nr, params):
        if key == "d":
            fuse()
        return ord(key) % nr

    def reduce(iter, params):
        for number, (key, value) in enumerate(sum_reduce(iter, params)):
            yield key, value
            if number == 0:
                fuse()

    parameters: dict[str, dict[str, Any]] = {
        "at import": {"params": Bomb(fuse)},
        "map_init": {"map_init": init},
        "first record": {"map": dying_map},
        "mid-map": {"map": map_dying_midway},
        "partition": {"partition": partition},
        "combiner flush": {"combiner": combiner},
        "reduce_init": {"reduce_init": init},
        "mid-reduce": {"reduce": reduce},
    }
    return Job("Dying", **{"map": words, "reduce": sum_reduce, **parameters[point]})


POINTS = [
    "at import",
    "map_init",
    "first record",
    "mid-map",
    "partition",
    "combiner flush",
    "reduce_init",
    "mid-reduce",
]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_once_or_twice_is_replaced(
    forked: LocalCluster, tmp_path: Path, point: str, manner: str
) -> None:
    times = 2 if manner == "SIGKILL" else 1
    job = job_dying_at(point, Fuse(tmp_path, MANNERS[manner][0], times))
    results = list(forked.run(job, input=INPUTS, partitions=3))
    assert dict(results) == EXPECTED and len(results) == len(EXPECTED)
    assert len(os.listdir(tmp_path)) == times


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("point", ["at import", "first record", "mid-map", "combiner flush", "mid-reduce"])
def test_a_worker_that_always_dies_is_named_in_the_end(
    forked: LocalCluster, tmp_path: Path, point: str, manner: str
) -> None:
    die, text = MANNERS[manner]
    with LocalCluster(nodes=2, max_failures=2) as cluster:
        with pytest.raises(JobError) as caught:
            cluster.run(job_dying_at(point, Fuse(tmp_path, die, 99)), input=INPUTS[2:], partitions=1)
        stage = "reduce" if "reduce" in point else "map"
        assert text in str(caught.value) and "failed 3 times" in str(caught.value)
        assert f"of stage {stage} " in str(caught.value)
        assert len(os.listdir(tmp_path)) == 3, "max_failures more attempts, not more"
        assert cluster.worker_pids() == []
        if manner == "SIGKILL":
            assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=INPUTS)) == EXPECTED


def test_the_last_words_of_a_worker_are_in_the_error(forked: LocalCluster) -> None:
    def map(entry, params):
        import os

        os.write(2, b"the disk is on fire\n")
        os._exit(9)

    with LocalCluster(nodes=2, max_failures=0) as cluster, pytest.raises(JobError) as caught:
        cluster.run(Job(map=map), input=["raw://x"])
    text = f"{caught.value}\n{caught.value.__cause__}"
    assert "status 9" in text and "the disk is on fire" in text


def test_a_segmentation_fault_shows_where_it_happened(forked: LocalCluster) -> None:
    def map(entry, params):
        _segfault()

    with LocalCluster(nodes=2, max_failures=0) as cluster, pytest.raises(JobError) as caught:
        cluster.run(Job(map=map), input=["raw://x"])
    text = f"{caught.value}\n{caught.value.__cause__}"
    assert "SIGSEGV" in text and "_segfault" in text, "the stack that faulthandler printed"


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize("code", [0, 1, "text"])
def test_sys_exit_is_a_death_in_every_mode(start: str, tmp_path: Path, code: Any) -> None:
    with LocalCluster(nodes=2, start=start, max_failures=1) as cluster:
        fuse = Fuse(tmp_path, _raise_exit(code), 1)
        assert dict(cluster.run(job_dying_at("mid-map", fuse), input=INPUTS)) == EXPECTED
        fuse.times = 99
        with pytest.raises(JobError, match=f"status {code if isinstance(code, int) else 1}.*"):
            cluster.run(job_dying_at("mid-map", fuse), input=INPUTS)


def test_memory_beyond_the_limit_is_an_error_that_is_tried_again(
    forked: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map(entry, params):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
        yield "x" * (1 << 30), 1

    with LocalCluster(nodes=2, max_failures=1) as cluster, pytest.raises(JobError) as caught:
        cluster.run(Job(map=map), input=["raw://x"])
    assert "MemoryError" in str(caught.value) and "2 times" in str(caught.value)


def test_children_of_a_task_end_with_it(forked: LocalCluster, tmp_path: Path) -> None:
    def map(entry, params):
        import subprocess

        child = subprocess.Popen(["sleep", "300"])
        yield "pid", child.pid

    pids = [pid for _, pid in forked.run(Job(map=map), input=["raw://x", "raw://y"])]
    end = time.monotonic() + 5
    while any(map_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map_alive(pid) for pid in pids)


def map_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not os.path.isdir("/proc/self")


def test_output_of_child_processes_is_shown_and_does_not_break_the_protocol(
    forked: LocalCluster, capfd: pytest.CaptureFixture[str]
) -> None:
    def map(entry, params):
        import subprocess

        subprocess.run(["echo", "from a child"], check=True)
        yield entry, 1

    assert list(forked.run(Job(map=map), input=["raw://x"])) == [("x", 1)]
    assert "[map:0] from a child" in "".join(capfd.readouterr())


def test_reading_standard_input_finds_its_end(forked: LocalCluster) -> None:
    def map(entry, params):
        import sys

        yield entry, sys.stdin.read()

    assert list(forked.run(Job(map=map), input=["raw://x"])) == [("x", "")]


def test_a_task_that_closes_every_descriptor_is_a_death(forked: LocalCluster) -> None:
    def map(entry, params):
        import os
        import time

        os.closerange(3, 256)
        time.sleep(60)

    with LocalCluster(nodes=2, max_failures=0) as cluster, pytest.raises(JobError, match="map:0"):
        cluster.run(Job(map=map), input=["raw://x"])


# Nodes


def slow(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    import time

    time.sleep(params)
    for word in entry.split():
        yield word, 1


def test_a_node_that_is_killed_while_idle_is_replaced() -> None:
    with LocalCluster(nodes=2) as cluster:
        for round in range(3):
            pids = [info["pid"] for info in cluster.nodeinfo().values()]
            for pid in pids[: 1 + round % 2]:
                os.kill(pid, signal.SIGKILL)
            assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=INPUTS, partitions=3)) == EXPECTED
            now = [info["pid"] for info in cluster.nodeinfo().values()]
            assert now != pids


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_node_that_is_killed_while_it_runs_a_task_loses_no_record(sig: signal.Signals) -> None:
    with LocalCluster(nodes=2) as cluster:
        job = cluster.submit(Job(map=slow, reduce=sum_reduce, params=0.2), input=INPUTS, partitions=2)
        wait_for(lambda: len(cluster.worker_pids()) == 2)
        workers = cluster.worker_pids()
        os.kill(cluster.nodeinfo()["node1"]["pid"], sig)
        urls = job.wait()
        from discolocal import result_iterator

        assert dict(result_iterator(urls)) == EXPECTED
        assert not any(map_alive(pid) for pid in workers)


def test_a_node_that_dies_again_and_again_is_named() -> None:
    def map(entry, params):
        import os
        import signal
        import time

        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    with LocalCluster(nodes=2, max_failures=1) as cluster:
        with pytest.raises(JobError, match="Connection lost to the node node[12]"):
            cluster.run(Job(map=map), input=["raw://x"])
        assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=INPUTS)) == EXPECTED


def test_files_of_a_node_that_died_are_still_read() -> None:
    with LocalCluster(nodes=2) as cluster:
        mapped = cluster.run(Job(map=words), input=INPUTS, partitions=2)
        for info in cluster.nodeinfo().values():
            os.kill(info["pid"], signal.SIGKILL)
        assert dict(cluster.run(Job(reduce=sum_reduce), input=mapped.urls)) == EXPECTED


def test_a_stopped_node_is_given_up_when_its_job_is_killed() -> None:
    with LocalCluster(nodes=2) as cluster:
        job = cluster.submit(Job(map=slow, params=60), input=INPUTS)
        wait_for(lambda: len(cluster.worker_pids()) == 2)
        os.kill(cluster.nodeinfo()["node2"]["pid"], signal.SIGSTOP)
        start = time.monotonic()
        job.kill()
        assert time.monotonic() - start < 4
        assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=INPUTS)) == EXPECTED


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("round", range(5))
def test_random_kills_of_workers_do_not_change_the_result(round: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    inputs = [f"raw://{n} {n % 3} {n % 5}" for n in range(8)]
    expected: dict[str, int] = {}
    for url in inputs:
        for word in url[6:].split():
            expected[word] = expected.get(word, 0) + 1
    killed: list[int] = []

    def killer(cluster: LocalCluster, stop: threading.Event) -> None:
        while not stop.wait(rng.uniform(0.005, 0.03)) and len(killed) < 8:
            pids = cluster.worker_pids()
            if pids:
                pid = rng.choice(pids)
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                except ProcessLookupError:
                    pass

    with LocalCluster(nodes=2, workers_per_node=rng.randint(1, 2), max_failures=50, seed=seed) as cluster:
        stop = threading.Event()
        thread = threading.Thread(target=killer, args=(cluster, stop))
        thread.start()
        try:
            job = Job(map=slow, reduce=slow_sum, params=0.02, sort=rng.random() < 0.5)
            results = list(cluster.run(job, input=inputs, partitions=rng.choice([1, 3])))
        finally:
            stop.set()
            thread.join()
    assert dict(results) == expected and len(results) == len(expected)
    assert killed


def slow_sum(iter: Any, params: Any) -> Iterator[tuple[str, int]]:
    import time

    for key, value in sum_reduce(iter, params):
        time.sleep(params / 4)
        yield key, value


def test_spare_workers_that_are_killed_are_not_used() -> None:
    from discolocal.cluster.pool import owned_pids

    with LocalCluster(nodes=2) as cluster:
        cluster.run(Job(map=words), input=["raw://x"])
        nodes = {info["pid"] for info in cluster.nodeinfo().values()}
    time.sleep(0.05)
    spares = [pid for pid in owned_pids() - nodes if parent(pid) in nodes]
    for pid in spares:
        os.kill(pid, signal.SIGKILL)
    with LocalCluster(nodes=2) as cluster:
        assert dict(cluster.run(Job(map=words, reduce=nop_reduce), input=["raw://x y"])) == {"x": 1, "y": 1}


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
