"""How the command line names a job and its parameters, as that of Disco's own command (reference 8.15)."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from discolocal.wire.jobpack import JobPack
from tests.client.commands import command, packed

# The first example of Disco's documentation, word for word.
GREP = '''"""
An example using Job classes to implement grep.

Could be run as follows (assuming this module can be found on sys.path):

disco run grep.Grep -P params pattern [tag_url_or_path] ...
"""
from disco.job import Job
from disco.worker.classic.func import nop_map

class Grep(Job):
    map = staticmethod(nop_map)
    params = r''

    @staticmethod
    def map_reader(fd, size, url, params):
        import re
        pattern = re.compile(params)
        for line in fd:
            if pattern.match(line):
                yield url, line
'''

LINES = ["a cat", "the hat", "a dog", "5"]


@pytest.fixture
def grep(there: Path) -> Path:
    """The directory with the module `grep`, and lines to look through."""
    (there / "grep.py").write_text(GREP)
    (there / "lines").write_text("".join(f"{line}\n" for line in LINES))
    return there


@pytest.mark.parametrize("start", ["fork", "exec", "inline"])
def test_the_documented_grep_runs_as_documented(grep: Path, start: str) -> None:
    done = command(grep, "run", "--start", start, "--nodes", "1", "grep.Grep", "-P", "params", "a .*", "lines")
    assert done.returncode == 0, done.stderr
    url = grep / "lines"
    assert done.stdout == f"{url}\ta cat\n\n{url}\ta dog\n\n"


def test_the_documented_grep_is_checked_and_packed(grep: Path) -> None:
    done = command(grep, "check", "--start", "inline", "grep.Grep", "-P", "params", "a .*", "lines")
    assert done.returncode == 0 and "local-file" in done.stdout, done.stdout + done.stderr
    pack = JobPack.loads(packed(grep, "grep.Grep", "-P", "params", "a .*", "lines").read_bytes())
    assert (pack.jobdict["prefix"], pack.jobdict["input"]) == ("Grep", [str(grep / "lines")])
    done = command(grep, "run", "--pack", "a.jobpack", "--start", "exec", "--nodes", "1")
    assert (done.returncode, done.stdout.count("\ta ")) == (0, 2), done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3", "str\t3\n"),
        ("None", "str\tNone\n"),
        ("os.getcwd", "str\tos.getcwd\n"),
        ("[", "str\t[\n"),
        ("", "str\t\n"),
    ],
)
def test_params_are_text(there: Path, text: str, shown: str) -> None:
    done = command(there, "run", "--start", "inline", "-P", "params", text, "jobs.Show")
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


PARAMETERS = """
from disco.job import Job

def lines(fd, size, url, params):
    for line in fd:
        yield line.strip() + "!"

def count(iter, params):
    yield "count", sum(1 for record in iter)

class Own(Job):
    limit = "none"
    input = ["raw://a", "raw://b"]

    @staticmethod
    def map(line, params):
        return [(line, type(params).__name__)]
"""


def arguments_of(there: Path, *arguments: str) -> dict[str, object]:
    """The arguments of `run` in the pack of a job."""
    (there / "own.py").write_text(PARAMETERS)
    pack = JobPack.loads(packed(there, "own.Own", *arguments).read_bytes())
    found: dict[str, object] = pickle.loads(pack.jobdata)[1]
    return found


def test_parameters_of_disco_s_own_that_are_no_text_are_values(there: Path) -> None:
    found = arguments_of(
        there,
        *("-P", "partitions", "4", "-P", "status_interval", "0", "-P", "sort", "False", "-P", "required_files", "[]"),
        *("-P", "sort_buffer_size", "10", "-P", "limit", "7", "-P", "name", "5"),
    )
    assert found == {
        "partitions": 4,
        "status_interval": 0,
        "sort": False,
        "required_files": [],
        "sort_buffer_size": "10",
        "limit": "7",
        "name": "5",
    }


def test_options_of_disco_s_command(there: Path) -> None:
    packed_ = [
        "-n",
        "named",
        "--partitions",
        "None",
        "--profile",
        "True",
        "-S",
        "max_cores",
        "2",
        "-S",
        "force_local",
        "0",
    ]
    found = arguments_of(there, *packed_)
    scheduler = {"max_cores": 2, "force_local": 0}
    assert found == {"name": "named", "partitions": None, "profile": True, "scheduler": scheduler}
    pack = JobPack.loads((there / "a.jobpack").read_bytes())
    assert (pack.jobdict["prefix"], pack.jobdict["scheduler"]) == ("named", scheduler)


def test_functions_are_named_or_written(there: Path) -> None:
    (there / "own.py").write_text(PARAMETERS)
    run = ["run", "--start", "inline", "own.Own"]
    done = command(there, *run, "-m", "lambda line, params: [(line + '?', this_partition())]", "raw://x")
    assert (done.returncode, done.stdout) == (0, "x?\t0\n"), done.stderr
    (there / "lines").write_text("a\nb\n")
    done = command(there, *run, "-P", "map_reader", "own.lines", "lines")
    assert (done.returncode, done.stdout) == (0, "a!\tParams\nb!\tParams\n"), done.stderr
    done = command(there, *run, "--reduce", "own.count", "lines")
    assert (done.returncode, done.stdout) == (0, "count\t2\n"), done.stderr
    done = command(there, *run, "-r", "disco.worker.classic.func.nop_reduce", "raw://y")
    assert (done.returncode, done.stdout) == (0, "y\tParams\n"), done.stderr


def test_a_profile_goes_to_standard_error(there: Path) -> None:
    done = command(there, "run", "--start", "inline", "--profile", "True", "jobs.Show")
    assert (done.returncode, done.stdout) == (0, "NoneType\tNone\n"), done.stderr
    assert "Ordered by: cumulative time" in done.stderr and "jobs.py" in done.stderr


def test_the_name_of_a_job_is_told_where_its_files_are_kept(there: Path) -> None:
    done = command(there, "run", "--start", "inline", "--root", "kept", "-n", "Kept", "jobs.Show")
    assert (done.returncode, done.stdout) == (0, "NoneType\tNone\n"), done.stderr
    (name,) = done.stderr.splitlines()
    assert name.startswith("Kept@")
    assert list((there / "kept").rglob(name))
    assert command(there, "run", "--start", "inline", "-n", "Kept", "jobs.Show").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--partitions", "four", "jobs.Show"], "--partitions takes a Python value, such as 4"),
        (["--partitions", "4.5", "jobs.Show"], "partitions must be a number"),
        (["-P", "status_interval", "often", "jobs.Show"], "-P status_interval takes a Python value"),
        (["-S", "max_cores", "many", "jobs.Show"], "-S max_cores takes a Python value"),
        (["-m", "jobs.nothing", "jobs.Show"], "cannot find jobs.nothing"),
        (["-m", "lambda:", "jobs.Show"], "--map takes a Python value"),
        (["-m", "3", "jobs.Show"], "map must be a function, not 3"),
        (["-P", "scheduler", "fast", "jobs.Show"], "-P scheduler takes a Python value"),
        (["jobs"], "'jobs' is not of the form module.Class"),
        ([".jobs"], "cannot find .jobs"),
        (["jobs.staticmethod"], "cannot find jobs.staticmethod"),
    ],
)
def test_what_is_no_value_is_told(there: Path, arguments: list[str], shown: str) -> None:
    done = command(there, "jobpack", "-o", "a.jobpack", *arguments)
    assert done.returncode != 0 and shown in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["run", "check"])
def test_what_is_no_value_is_told_by_all_commands(there: Path, name: str) -> None:
    done = command(there, name, "--start", "inline", "--partitions", "four", "jobs.Show")
    assert done.returncode == 2 and "--partitions takes a Python value" in " ".join(done.stderr.split())


def test_urls_come_from_standard_input(there: Path) -> None:
    (there / "one").write_text("1\n")
    (there / "with blanks").write_text("2\n")
    (there / "copy").write_text("3\n")
    lines = "one\n\n  with blanks\ncopy one\n"
    done = command(there, "run", "--start", "inline", "jobs.Fine", stdin=lines)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.replace("\n\t", "\t").splitlines()) == ["1\t1", "2\t1", "3\t1"]
    assert command(there, "jobpack", "jobs.Fine", "-o", "a.jobpack", stdin=lines).returncode == 0
    inputs = JobPack.loads((there / "a.jobpack").read_bytes()).jobdict["input"]
    assert inputs == [
        *(str(there / name) for name in ("one", "with blanks")),
        [str(there / "copy"), str(there / "one")],
    ]
    done = command(there, "run", "--start", "inline", "jobs.Show", stdin="nowhere\n")
    assert (done.returncode, done.stdout) == (0, "NoneType\tNone\n"), "the class has inputs"


def test_saved_results_are_printed_all_the_same(there: Path) -> None:
    assert arguments_of(there, "--save", "False") == {"save_results": False}
    options = ["--start", "inline", "--root", "kept", "-n", "Kept", "--partitions", "None"]
    done = command(there, "run", *options, "--save", "True", "own.Own")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["a\tParams", "b\tParams"]), done.stderr
    tag = f"tag://disco:results:{done.stderr.strip()}"
    done = command(
        there, "run", *options[:4], "-P", "map_reader", "disco.worker.task_io.chain_reader", "jobs.Fine", tag
    )
    assert sorted(done.stdout.splitlines()) == ["('a', 'Params')\t1", "('b', 'Params')\t1"], done.stderr


def test_a_module_named_disco_is_this_package(there: Path) -> None:
    (there / "disco.py").write_text("raise RuntimeError('another one')\n")
    (there / "own.py").write_text(PARAMETERS)
    done = command(there, "run", "--start", "inline", "own.Own")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["a\tParams", "b\tParams"]), done.stderr
