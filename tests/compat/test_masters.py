"""The local cluster behind `local://`, settings, and the command `script`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from discolocal import Disco, DiscoError, Job, LocalCluster
from discolocal.cluster import default
from discolocal.settings import DiscoSettings
from tests.compat.conftest import Run


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cluster of this process, small; closed at the end."""
    monkeypatch.delenv("DISCO_MASTER", raising=False)
    default.configure(nodes=1, seed=9)
    yield
    default.cluster().close()
    default.configure()


def words(line: str, params: Any) -> Any:
    return [(line, 1)]


def test_local_is_one_cluster_for_all(local: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("mine", master="local://").run(input=["raw://a"], map=words)
    assert job.disco is default.cluster() is Disco("local://") is Job(master="local://").disco
    assert job.disco.seed == 9 and list(job.disco.results(job.name)[1]) == list(job.wait())
    with pytest.raises(DiscoError, match="runs already"):
        default.configure(nodes=2)
    monkeypatch.setenv("DISCO_MASTER", "local://")
    assert Disco() is Disco(settings=DiscoSettings()) is Job().disco is default.cluster()
    assert Job(settings=DiscoSettings()).disco is default.cluster()
    before = default.cluster()
    before.close()
    assert default.cluster() is not before and not default.cluster().closed


def test_a_given_cluster_wins(local: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_MASTER", "local://")
    with LocalCluster(nodes=1, start="inline") as other:
        assert Job(master=other).disco is other


@pytest.mark.parametrize("url", ["local://x", "local:///"])
def test_local_has_no_address(url: str) -> None:
    for make in (lambda: Disco(url), lambda: Job(master=url).disco):
        with pytest.raises(DiscoError, match=r"Job\(master=LocalCluster\(\)\)"):
            make()


def test_a_program_with_the_variable_alone(python: Run, tmp_path: Path) -> None:
    done = python(
        "import os\nfrom discolocal import Job, result_iterator\n"
        "job = Job().run(input=['raw://a', 'raw://b'], map=lambda line, params: [(line, 1)])\n"
        "print(sorted(result_iterator(job.wait())))\nroot = job.disco.root\nprint(root, flush=True)\n"
        "if os.fork() == 0:\n    print(Job().disco.root != root, flush=True)\n    raise SystemExit\n"
        "os.wait()\n",
        DISCO_MASTER="local://",
    )
    assert done.returncode == 0, done.stderr
    records, root, other = done.stdout.splitlines()
    assert records == "[('a', 1), ('b', 1)]" and other == "True"
    assert not os.path.exists(root)


def test_the_variable_counts_more_than_what_a_script_names(python: Run) -> None:
    program = (
        "from discolocal.compat import install_as_disco\ninstall_as_disco()\n"
        "from disco.core import Disco, Job\n"
        "masters = [Disco('disco://discomaster'), Job(master='http://host:8989').disco, Disco(), Job().disco]\n"
        "print(len(set(map(id, masters))), masters[0].master == 'local://' + masters[0].root)\n"
    )
    done = python(program, DISCO_MASTER="local://")
    assert (done.returncode, done.stdout) == (0, "1 True\n"), done.stderr
    done = python(program.replace("(Disco", "("), DISCO_MASTER="http://other:1")
    assert done.returncode == 1 and "'Disco' object has no attribute 'root'" in done.stderr


def test_the_master_of_a_cluster_is_what_its_tasks_call_it(local: None) -> None:
    def name(line: str, params: Any) -> Any:
        return [(this_master(), 1)]  # type: ignore[name-defined]  # noqa: F821

    with LocalCluster(nodes=1, start="inline") as cluster:
        assert list(cluster.run(Job(), input=["raw://a"], map=name)) == [(cluster.master, 1)]


# Settings


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DISCO_", "DDFS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_settings_of_the_environment_the_file_and_nobody(
    nothing_set: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert DiscoSettings()["DISCO_MASTER"] == f"http://{os.uname().nodename}:8989"
    assert (DiscoSettings()["DISCO_PORT"], DiscoSettings()["DISCO_PROXY"]) == (8989, "")
    (tmp_path / ".disco").write_text("import os\nport = 7\nDISCO_PORT = 1000 + port\nDISCO_MASTER = 'disco://file'\n")
    assert (DiscoSettings()["DISCO_PORT"], DiscoSettings().get("port")) == (1007, None)
    assert Disco(settings=DiscoSettings()).master == "http://file:8989"
    assert Disco("h", settings=DiscoSettings()).master == "http://h:8989"
    (tmp_path / "other").write_text("DISCO_PORT = 2\n")
    monkeypatch.setenv("DISCO_SETTINGS_FILE", str(tmp_path / "other"))
    assert DiscoSettings()["DISCO_PORT"] == 2
    assert DiscoSettings(tmp_path / ".disco")["DISCO_PORT"] == 1007
    assert DiscoSettings(DISCO_PORT=3)["DISCO_PORT"] == 3
    monkeypatch.setenv("DISCO_PORT", "4")
    assert DiscoSettings(DISCO_PORT=3)["DISCO_PORT"] == "4" == DiscoSettings().env["DISCO_PORT"]


def test_settings_that_are_not_there(nothing_set: None, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        DiscoSettings()["DISCO_NOTHING"]
    with pytest.raises(DiscoError, match="DISCO_HOME is not set"):
        DiscoSettings()["DISCO_HOME"]
    assert DiscoSettings().get("DISCO_HOME", "none") == "none"
    (tmp_path / ".disco").write_text("1 / 0\n")
    with pytest.raises(DiscoError, match=r"The settings file .*/.disco cannot be used: ZeroDivisionError"):
        DiscoSettings()
    with pytest.raises(DiscoError, match="cannot be used: FileNotFoundError"):
        DiscoSettings(tmp_path / "nowhere")


# The command


def test_the_exit_status_and_the_arguments_are_those_of_the_script(script: Run) -> None:
    program = (
        "import sys, os\nprint(sys.argv, __name__, __file__, os.environ['DISCO_MASTER'])\nsys.exit(int(sys.argv[2]))\n"
    )
    done = script(program, "--nodes", "7", "-x", name="my script.py")
    assert done.returncode == 7 and done.stderr == ""
    assert done.stdout == "['my script.py', '--nodes', '7', '-x'] __main__ my script.py local://\n"


def test_an_error_of_the_script_is_shown_from_its_own_lines_on(script: Run) -> None:
    done = script("def deep():\n    raise KeyError('gone')\n\ndeep()\n")
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[0] == "Traceback (most recent call last):"
    assert 'program.py", line 4' in lines[1] and lines[-1] == "KeyError: 'gone'"
    assert "discolocal" not in done.stderr and "runpy" not in done.stderr
    done = script("if\n")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("SyntaxError")
    assert "runpy" not in done.stderr


def test_a_failing_job_is_an_error_of_the_script(script: Run) -> None:
    done = script(
        "from disco.core import Job\ndef map(line, params):\n    return 1 / 0\n"
        "Job().run(input=['raw://a'], map=map).wait()\n",
        options=("--max-failures", "0"),
    )
    assert done.returncode == 1
    assert "JobError" in done.stderr and "ZeroDivisionError" in done.stderr and "record 1 of raw://a" in done.stderr


def test_a_script_finds_the_modules_beside_it(script: Run, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside.py").write_text("from disco.util import kvgroup\nname = 'found'\n")
    done = script("import beside\nprint(beside.name)\n", name="sub/program.py")
    assert (done.returncode, done.stdout) == (0, "found\n"), done.stderr


def test_the_options_are_those_of_the_cluster(script: Run, tmp_path: Path) -> None:
    program = (
        "from disco.core import Disco\nd = Disco('http://h:1')\nprint(d.nodes, d.start, d.strict, d.seed, d.root)\n"
    )
    options = ("--nodes", "3", "--start", "inline", "--strict", "--seed", "5", "--root", "kept")
    done = script(program, options=options)
    assert done.stdout == f"['node1', 'node2', 'node3'] inline True 5 {tmp_path}/kept\n", done.stderr


def test_a_file_that_is_not_there_is_an_error_of_usage(script: Run, tmp_path: Path) -> None:
    assert script("", options=("nothing.py",)).returncode == 2
