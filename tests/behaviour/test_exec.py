"""Workers that are programs in an unpacked job home, as a real master starts them (reference 1.6, 1.7, 2.2)."""

from __future__ import annotations

import io
import os
import sys
import time
import zipfile
from pathlib import Path

import pytest

from discolocal import DiscoError, Job, JobError, JobPack, LocalCluster
from discolocal.cluster import homes

TASK = b"""#!/bin/sh
printf 'WORKER 32 {"version": "1.1", "pid": 10000}\\nTASK 2 ""\\nDONE 2 ""\\n' >&2
cat >/dev/null
"""
"""A program that has nothing to do."""


@pytest.fixture(scope="module")
def executing() -> LocalCluster:
    with LocalCluster(nodes=2, start="exec", seed=5) as cluster:
        yield cluster


def seen(cluster: LocalCluster, look, **jobargs):
    """What a function sees that is called in a map task."""
    job = Job("Look", map=lambda entry, params: [("seen", look())])
    return dict(cluster.run(job, input=["raw://x"], **jobargs))["seen"]


def test_the_environment_is_that_of_a_node(executing: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISCO_MASTER", "DDFS_DATA", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "of the client")
    monkeypatch.setenv("PYTHONPATH", "/of/the/client")
    monkeypatch.setenv("KEPT", "of the node")

    def look():
        import os

        return dict(os.environ)

    environ = seen(executing, look)
    assert environ["KEPT"] == "of the node" and environ["LD_LIBRARY_PATH"] == "lib"
    assert environ["PYTHONPATH"].split(":")[0] == "lib" and "/of/the/client" not in environ["PYTHONPATH"].split(":")
    assert not {"DISCO_MASTER", "DDFS_DATA", "PYTHONSTARTUP"} & environ.keys()


def test_a_task_finds_python_and_its_job_home_and_nothing_else(executing: LocalCluster) -> None:
    def look():
        import importlib.util
        import os
        import sys

        paths = [os.path.realpath(path or ".") for path in sys.path]
        found = [name for name in ("pytest", "click", "hypothesis", "benchmarks") if importlib.util.find_spec(name)]
        return os.getcwd(), paths, found, sys.executable

    home, paths, found, executable = seen(executing, look)
    assert found == []
    assert executable.startswith(executing.root) and executable.endswith("/bin/python3")
    library = os.path.realpath(os.path.dirname(os.__file__))
    for path in paths:
        assert path.startswith((os.path.realpath(home), os.path.realpath(executing.root))) or (
            os.path.commonpath((path, os.path.dirname(library))) == os.path.dirname(library)
            and "site-packages" not in path
            and "dist-packages" not in path
        ), path


def test_the_caller_may_choose_the_python_of_the_nodes(tmp_path: Path) -> None:
    wanted = tmp_path / "my python"
    wanted.write_text(f'#!/bin/sh\nOWN=yes exec {sys.executable} "$@"\n')
    wanted.chmod(0o755)

    def look():
        import os

        import click

        return os.environ.get("OWN"), click.__name__

    with LocalCluster(nodes=1, start="exec", python=wanted) as cluster, pytest.warns(match="missing-module.*click"):
        assert seen(cluster, look) == ("yes", "click")


def test_a_home_is_unpacked_once_for_each_node(executing: LocalCluster) -> None:
    def map(entry, params):
        import os

        yield os.stat("lib/mark").st_ino, os.getcwd()

    job = Job("Once", map=map)
    files = {"lib/mark": b"here"}
    found = set(executing.run(job, input=[f"raw://{n}" for n in range(8)], required_files=files, partitions=None))
    assert len(found) == len({home for _, home in found}) == 2


def test_only_the_worker_is_made_executable(executing: LocalCluster) -> None:
    def look():
        import os

        worker = "discolocal/worker/classic/worker.py"
        return os.stat(worker).st_mode & 0o777, os.stat("discolocal/task.py").st_mode & 0o111

    assert seen(executing, look) == (0o755, 0)


def test_what_is_printed_past_python_is_told_and_warned_about(executing: LocalCluster) -> None:
    def look():
        import os
        import subprocess

        subprocess.run(["echo", "from a child"], check=True)
        os.write(2, b"from below\n")
        return os.read(0, 10)

    with pytest.warns(UserWarning, match="stray-output"):
        assert seen(executing, look) == b""
    texts = [text for name in executing._jobs for _, (_, _, text) in executing.events(name)]
    assert "MSG: [map:0] from a child" in texts and "MSG: [map:0] from below" in texts
    deadline = time.monotonic() + 10
    while os.listdir(os.path.join(executing.root, "logs")):
        assert time.monotonic() < deadline, "the file for it is deleted with the worker"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("os._exit(3)", "status 3"),
        ("sys.exit(4)", "status 4"),
    ],
)
def test_how_a_worker_died_is_told(end: str, said: str) -> None:
    def map(entry, params):
        import ctypes
        import os
        import sys

        os.write(2, b"last words\n")
        eval(params, {"ctypes": ctypes, "os": os, "sys": sys})
        yield entry, 1

    with LocalCluster(nodes=1, start="exec", max_failures=0) as cluster:
        with pytest.raises(JobError, match=said) as caught:
            cluster.run(Job("Dies", map=map, params=end), input=["raw://x"])
        assert "last words" in str(caught.value) + str(caught.value.__cause__)


def test_a_limit_of_memory_reaches_the_task(executing: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_WORKER_MAX_MEM", str(3 << 30))

    def look():
        import resource

        return resource.getrlimit(resource.RLIMIT_AS)[0]

    assert seen(executing, look) == 3 << 30


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def pack(home: bytes, worker: str = "worker") -> bytes:
    jobdict = {
        "prefix": "Pack",
        "worker": worker,
        "owner": "me",
        "scheduler": {},
        "pipeline": [["map", "split", False]],
        "inputs": [[0, 1, ["raw://x"]]],
    }
    return JobPack(2, jobdict, {}, home, b"").dumps()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("../up", b"")], r"'\.\./up' would be written outside"),
        ([("a/../../up", b"")], "outside the job home"),
        ([("/abs", b"")], "'/abs' would be written outside"),
        ([("a//b", b"")], "is not a path"),
        ([("./a", b"")], "is not a path"),
        ([(link("ln"), b"/etc")], "'ln' is a symbolic link"),
        ([("a", b"file"), ("a/b", b"")], "'a' is a file and a directory"),
        ([("jobfile", b"")], "'jobfile' has the name of a file of the node"),
        ([(".disco/x", b"")], "has the name of a file of the node"),
    ],
    ids=str,
)
def test_a_home_that_could_do_harm_is_refused(executing: LocalCluster, members, said: str) -> None:
    with pytest.raises(DiscoError, match=f"^Jobpack extraction failed: .*{said}"):
        executing.run(pack(zipped(("worker", b"#!/bin/sh\n"), *members)))


def test_a_bomb_is_refused(executing: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(("worker", b"#!/bin/sh\n"), ("bomb", bytes(3 << 20)))
    monkeypatch.setattr(homes, "MAX_SIZE", 2 << 20)
    with pytest.raises(DiscoError, match="'bomb' the job home has more than 2,097,152 bytes"):
        executing.run(pack(bomb))
    many = zipped(("worker", b"#!/bin/sh\n"), *((f"m{n}", b"") for n in range(20)))
    monkeypatch.setattr(homes, "MAX_MEMBERS", 20)
    with pytest.raises(DiscoError, match="the job home has 21 members; 20 are allowed"):
        executing.run(pack(many))


def test_a_damaged_member_is_an_error_that_says_so(executing: LocalCluster) -> None:
    home = zipped(("worker", b"#!/bin/sh\n" + os.urandom(200)))
    at = home.index(b"PK\x01\x02") - 100
    with pytest.raises(JobError, match="Jobpack extraction failed: the job home is damaged"):
        executing.run(pack(home[:at] + bytes([home[at] ^ 1]) + home[at + 1 :]))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"no interpreter named here\n", "Exec format error"),
        (b"#!/no/such/interpreter\n", "No such file"),
        (b"#!/bin/sh\nexit 0\n", "exited with status 0"),
        (b"#!/bin/sh\necho this is no message; sleep 60\n", "did not exit properly after error"),
        (b"#!/bin/sh\nsleep 60\n", "did not send its PID"),
        (b"#!/bin/sh\nprintf 'MSG 10 \"abc' >&2; sleep 60\n", "stuck in the middle of a message"),
    ],
    ids=["format", "interpreter", "exit", "print", "silent", "stuck"],
)
def test_programs_that_are_no_workers(program: bytes, said: str) -> None:
    begun = time.monotonic()
    cluster = LocalCluster(nodes=1, start="fork", max_failures=0, timeouts=0.02)
    with cluster, pytest.raises(JobError, match=said):
        cluster.run(pack(zipped(("worker", program))))
    assert time.monotonic() - begun < 30, "time-outs are scaled down"


def test_a_worker_that_is_not_in_the_home_is_refused(executing: LocalCluster) -> None:
    for worker, home in (("other", zipped(("worker", b""))), ("dir", zipped(("dir/", b"")))):
        with pytest.raises(DiscoError, match=f"its worker '{worker}' is not in the job home"):
            executing.run(pack(home, worker))


def test_an_inline_cluster_refuses_programs() -> None:
    with LocalCluster(start="inline") as cluster, pytest.raises(DiscoError, match="start='exec'"):
        cluster.run(pack(zipped(("worker", b"#!/bin/sh\n"))))


def test_a_kept_root_does_not_keep_another_clusters_python(tmp_path: Path) -> None:
    def look():
        import importlib.util

        return importlib.util.find_spec("click") is not None

    found = []
    for python in (None, sys.executable, None):
        with LocalCluster(nodes=1, start="exec", root=tmp_path / "root", python=python) as cluster:
            found.append(seen(cluster, look))
    assert found == [False, True, False]


def test_a_python_that_is_gone_from_a_kept_root_is_made_again(tmp_path: Path) -> None:
    for _ in range(2):
        with LocalCluster(nodes=1, start="exec", root=tmp_path) as cluster:
            assert seen(cluster, lambda: 1) == 1
        for link in tmp_path.glob("python-*/bin/*"):
            link.unlink()
            link.symlink_to("/no/such/python")


def test_a_root_that_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with LocalCluster(nodes=1, start="exec", root=tmp_path / "a:b") as cluster:
        with pytest.raises(DiscoError, match="colon"):
            seen(cluster, lambda: 1)
        assert not list(Path(cluster.data).rglob("jobfile"))


def test_python_itself_is_not_told_how_to_work(executing: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME", "PYTHONINSPECT"):
        monkeypatch.setenv(name, "1")
    assert seen(executing, lambda: "quiet") == "quiet"


def test_a_home_that_is_long_to_unpack_does_not_hold_up_other_jobs(tmp_path: Path) -> None:
    """Killing a job while its node unpacks another one hurts nobody."""
    big = zipped(("worker", TASK), *((f"d{n}/{m}", b"x") for n in range(100) for m in range(60)))

    def sleep(entry, params):
        import time

        open(f"{params}/began", "w").close()
        time.sleep(60)
        yield entry, 1

    with LocalCluster(nodes=1, workers_per_node=2, start="exec", max_failures=0) as cluster:
        sleeping = cluster.submit(Job("Sleeps", map=sleep, params=str(tmp_path)), input=["raw://x"])
        while not (tmp_path / "began").exists():
            time.sleep(0.01)
        unpacked = cluster.submit(pack(big))
        time.sleep(0.05)
        cluster.kill(sleeping.name)
        assert cluster.wait(unpacked.name, timeout=60) == []
        assert cluster.results(sleeping.name)[0] == "dead"


def test_a_job_killed_while_it_is_unpacked_ends(executing: LocalCluster) -> None:
    big = zipped(("worker", TASK), *((f"d{n}/{m}", b"x") for n in range(100) for m in range(60)))
    job = executing.submit(pack(big))
    time.sleep(0.05)
    executing.kill(job.name)
    begun = time.monotonic()
    with pytest.raises(JobError):
        executing.wait(job.name, timeout=30)
    assert time.monotonic() - begun < 10
    executing.purge(job.name)


def test_what_was_wrong_with_a_worker_is_in_the_error() -> None:
    for said, why in (
        (b'WORKER 28 {"version": "1.0", "pid": 1}\n', "Invalid worker version"),
        (b'PING 2 ""\n', "PING"),
    ):
        program = b"#!/bin/sh\ncat >&2 <<'END'\n" + said + b"END\nsleep 30\n"
        cluster = LocalCluster(nodes=1, start="exec", timeouts=0.1)
        with cluster, pytest.raises(JobError, match=why):
            cluster.run(pack(zipped(("worker", program))))


def test_an_endless_error_is_cut_in_the_message() -> None:
    def map(entry, params):
        raise ValueError("x" * 500_000 + "\udc80")

    with LocalCluster(nodes=1, start="exec") as cluster, pytest.raises(JobError) as caught:
        cluster.run(Job("Talks", map=map), input=["raw://x"])
    assert len(str(caught.value)) < 5000
    str(caught.value).encode("utf-8")


def test_a_program_below_the_librarys_name_is_executed() -> None:
    with LocalCluster(nodes=1, start="fork") as cluster:
        assert list(cluster.run(pack(zipped(("discolocal/mine.sh", TASK)), "discolocal/mine.sh"))) == []


def test_a_worker_cannot_spoil_the_masters_copy_of_its_pack(executing: LocalCluster) -> None:
    home = zipped(("worker", TASK.replace(b"#!/bin/sh\n", b"#!/bin/sh\necho broken > jobfile\n")))
    results = executing.run(pack(home))
    assert executing.jobpack(results.job.name).dumps() == pack(home)
