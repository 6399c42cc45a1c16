"""The worker as a program in an unpacked job home, with nothing but Python: what a real master does.

Needs a process, as that is what is tested.
"""

from __future__ import annotations

import collections
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import schemes
from discolocal.core import result_iterator
from discolocal.job import Job
from discolocal.task import jobdata
from discolocal.wire import index, names, protocol
from discolocal.wire.jobpack import JobPack
from discolocal.wire.session import Session, TaskInput
from discolocal.worker.classic.worker import Worker
from tests.client.modules import Modules
from tests.worker.harness import HOST, JOB, ref_records

OFFSET = 10


def shifted(line: str, params: Any) -> Any:
    yield line.strip(), OFFSET + helper(line)


def helper(line: str) -> int:
    return len(line)


def unpack(home: Path, job: Job, **jobargs: Any) -> dict[str, Any]:
    """Make a job home out of a real pack; returns the job dict."""
    worker = job.worker = job.worker or job.Worker()
    archive = worker.jobhome(job, **jobargs)
    pack = JobPack(1, worker.jobdict(job, **jobargs), worker.jobenvs(job, **jobargs), archive, jobdata(job, jobargs))
    with zipfile.ZipFile(io.BytesIO(archive)) as zip:
        zip.extractall(home)
    (home / "jobfile").write_bytes(pack.dumps())
    return pack.jobdict


def speak(
    home: Path, command: list[str], urls: list[str], env: dict[str, str], **told: Any
) -> tuple[Session, list[Any], int]:
    """Start the program and answer it until it ends; returns the session, all replies and the exit code."""
    task = {
        "taskid": 0,
        "master": "http://localhost:8989",
        "disco_port": 1,
        "put_port": 2,
        "ddfs_data": "",
        "disco_data": str(home),
        "stage": "map",
        "grouping": "split",
        "group": [0, "localhost"],
        "jobfile": str(home / "jobfile"),
        "jobname": "Job@1:2:3",
        "host": "localhost",
        **told,
    }
    label = "all" if task["grouping"] == "group_node" else task["group"][0]
    session = Session(task, [TaskInput(label, [url]) for url in urls])
    parser = protocol.FrameParser()
    replies = []
    with subprocess.Popen(
        command, cwd=home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        while data := process.stdout.read(65536):
            parser.feed(data)
            while (frame := parser.next()) is not None:
                reply = session.receive(*frame, 0.0)
                replies.append(reply)
                if reply.data is not None:
                    process.stdin.write(reply.data)
        process.stdin.close()
        code = process.wait(20)
    assert parser.pending == b""
    return session, replies, code


def clean_env(jobenvs: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **jobenvs}


def test_a_task_runs_in_the_unpacked_home_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    jobdict = unpack(home, Job(map=shifted), input=["raw://abc"])
    program = home / jobdict["worker"]
    session, replies, code = speak(home, [sys.executable, "-I", str(program)], ["raw://abc"], clean_env({}))
    assert (replies[-1].end.kind, replies[-1].end.text, code) == ("done", "", 0)
    ((label, location, size),) = session.outputs
    assert label == 0 and (home / location).stat().st_size == size
    assert ref_records((home / location).read_bytes()) == [("abc", 13)]


def test_the_program_runs_by_a_relative_path_and_with_the_jobs_environment(tmp_path: Path) -> None:
    home = tmp_path / "home"
    job = Job(map=shifted)
    jobdict = unpack(home, job, input=["raw://abc"])
    env = clean_env(Worker().jobenvs(job))
    session, replies, code = speak(home, [sys.executable, jobdict["worker"]], ["raw://x"], env)
    assert (replies[-1].end.kind, code) == ("done", 0)
    assert ref_records((home / session.outputs[0][1]).read_bytes()) == [("x", 11)]


def test_the_program_has_a_line_that_says_what_runs_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    jobdict = unpack(home, Job(map=shifted), input=["raw://abc"])
    assert (home / jobdict["worker"]).read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_user_code_that_reads_stdin_finds_it_empty(tmp_path: Path) -> None:
    def reads(line: str, params: Any) -> Any:
        import sys

        return [(line, sys.stdin.read())]

    home = tmp_path / "home"
    jobdict = unpack(home, Job(map=reads), input=["raw://abc"])
    session, replies, _code = speak(home, [sys.executable, str(home / jobdict["worker"])], ["raw://q"], clean_env({}))
    assert replies[-1].end.kind == "done", replies[-1].end.text
    assert ref_records((home / session.outputs[0][1]).read_bytes()) == [("q", "")]


def test_required_files_and_modules_are_found(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("from a file")
    (tmp_path / "extra_mod_b.py").write_text("VALUE = 'from a module'\n")

    def uses(line: str, params: Any) -> Any:
        return [(extra_mod_b.VALUE, open("lib/data.txt").read())]  # type: ignore[name-defined]  # noqa: F821

    home = tmp_path / "home"
    jobargs = {
        "input": ["raw://abc"],
        "required_files": [str(tmp_path / "data.txt")],
        "required_modules": [("extra_mod_b", str(tmp_path / "extra_mod_b.py"))],
    }
    jobdict = unpack(home, Job(map=uses), **jobargs)
    program = str(home / jobdict["worker"])
    session, replies, _code = speak(home, [sys.executable, "-I", program], ["raw://q"], clean_env({}))
    assert replies[-1].end.kind == "done", replies[-1].end.text
    assert ref_records((home / session.outputs[0][1]).read_bytes()) == [("from a module", "from a file")]


def test_a_failure_is_told_with_its_traceback(tmp_path: Path) -> None:
    def fails(line: str, params: Any) -> Any:
        raise KeyError("gone")

    home = tmp_path / "home"
    jobdict = unpack(home, Job(map=fails), input=["raw://abc"])
    _session, replies, _code = speak(home, [sys.executable, str(home / jobdict["worker"])], ["raw://q"], clean_env({}))
    end = replies[-1].end
    assert end.kind == "fatal"
    assert end.text.splitlines()[0] == "map failed at record 1 of raw://q: KeyError: 'gone' (entry: 'q')"
    assert 'raise KeyError("gone")' in end.text or "KeyError: 'gone'" in end.text.splitlines()[-1]
    assert not list(home.rglob("*.partial"))


# Whole jobs in a directory that was empty, by an interpreter that has nothing


class Master:
    """Runs the stages of a classic job below `root`, one program for each task, as a real master would."""

    def __init__(self, root: Path, job: Job, command: list[str], env: dict[str, str], **jobargs: Any) -> None:
        self.root = root
        self.home = root / names.job_dir(HOST, JOB)
        jobdict = unpack(self.home, job, **jobargs)
        (self.home / jobdict["worker"]).chmod(0o755)
        (self.home / ".disco").mkdir()
        self.command = [*command, str(self.home / jobdict["worker"])]
        self.env = env
        self.tasks = 0

    def task(self, stage: str, grouping: str, group: tuple[int, str], urls: list[str]) -> str:
        """Run a task; returns the url of its index file."""
        told = {"stage": stage, "grouping": grouping, "group": group, "taskid": self.tasks, "jobname": JOB}
        told |= {"host": HOST, "disco_data": str(self.root)}
        session, replies, code = speak(self.home, self.command, urls, self.env, **told)
        end = replies[-1].end
        assert (end.kind, code) == ("done", 0), end.text
        lines = [index.Line(label, names.disco_url(HOST, JOB, path), size) for label, path, size in session.outputs]
        location = f".disco/{stage}-{self.tasks}.results"
        (self.home / location).write_bytes(b"".join(map(index.dump_line, lines)))
        self.tasks += 1
        return names.dir_url(HOST, JOB, location)

    def run(self, urls: list[str], partitions: int) -> list[str]:
        """Map each input, shuffle, reduce each label; returns the urls of the results' index files."""
        maps = [self.task("map", "split", (0, HOST), [url]) for url in urls]
        shuffled = self.task("map_shuffle", "group_node", (0, HOST), maps)
        return [self.task("reduce", "group_label", (label, ""), [shuffled]) for label in range(partitions)]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    (tmp_path / "own").mkdir()
    modules = Modules(tmp_path / "own", monkeypatch)
    modules.write(
        dw_words__="from .clean import clean\n",
        dw_words__clean="from . import rules\n\ndef clean(word):\n    return rules.lower(word).strip('.,')\n",
        dw_words__rules="def lower(word):\n    from dw_space.deep import fold\n    return fold.fold(word)\n",
        dw_space__deep__fold="def fold(word):\n    return word.casefold()\n",
        dw_record="class Count:\n    def __init__(self, n):\n        self.n = n\n",
        dw_jobs=JOBS,
    )
    yield modules
    modules.forget()


JOBS = """
import pytest
import dw_record
from discolocal import Job, LocalCluster
from discolocal.util import kvgroup

class Own:
    def __init__(self, n):
        self.n = n

class Words(Job):
    partitions = 3
    sort = True

    @staticmethod
    def map(line, params):
        import dw_words
        for word in line.split():
            yield dw_words.clean(word).encode(), params(1)

    @staticmethod
    def combiner(key, value, buffer, done, params):
        if done:
            return buffer.items()
        count = buffer.setdefault(key, params(0))
        count.n += value.n

    @staticmethod
    def reduce(records, params):
        for word, counts in kvgroup(records):
            yield word.decode(), params(sum(count.n for count in counts))

class Sum(Words):
    sort = False
    combiner = None

    @staticmethod
    def reduce(records, params):
        counts = {}
        for word, count in records:
            counts[word] = counts.get(word, 0) + count.n
        return [(word.decode(), params(n)) for word, n in counts.items()]
"""
TEXTS = ["The cat. the hat,\nTHE end\n", "a Cat and\nthe dog\n", ""]
RUN = """
import json, runpy, sys
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
finally:
    files = [getattr(module, "__file__", None) for module in sys.modules.values()]
    with open("modules", "a") as out:
        out.write(json.dumps([file for file in files if file]) + "\\n")
"""


def inputs(directory: Path) -> list[str]:
    for number, text in enumerate(TEXTS):
        (directory / f"{number}.txt").write_text(text)
    return [str(directory / f"{number}.txt") for number in range(len(TEXTS))]


def expected() -> dict[str, int]:
    return collections.Counter(word.strip(".,").lower() for text in TEXTS for word in text.split())


def counted(urls: list[str], root: Path) -> dict[str, int]:
    schemes.data_roots.append(str(root))
    return {word: count.n for word, count in result_iterator(urls)}


@pytest.mark.parametrize("name", ["Words", "Sum"])
@pytest.mark.parametrize("record", ["dw_record.Count", "Own"])
def test_a_whole_job_runs_in_an_empty_directory_with_an_empty_environment(
    own: Modules, tmp_path: Path, name: str, record: str
) -> None:
    """Records are objects: of a class of a module that tasks import, and of the job's own module."""
    jobs = own.load("dw_jobs")
    cls = jobs.Own if record == "Own" else jobs.dw_record.Count
    urls = inputs(tmp_path)
    root = tmp_path / "root"
    master = Master(root, getattr(jobs, name)(params=cls), [sys.executable, "-I", "-S"], {}, input=urls)
    results = master.run(urls, 3)
    assert counted(results, root) == expected()
    assert {type(count) for _word, count in result_iterator(results)} == {cls}


def test_tasks_import_only_python_and_what_is_in_the_home(own: Modules, tmp_path: Path) -> None:
    jobs = own.load("dw_jobs")
    urls = inputs(tmp_path)
    root = tmp_path / "root"
    job = jobs.Words(params=jobs.dw_record.Count)
    master = Master(root, job, [sys.executable, "-I", "-S", "-B", "-c", RUN], {}, input=urls)
    master.run(urls, 3)
    stdlib = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
    seen = [json.loads(line) for line in (master.home / "modules").read_text().splitlines()]
    assert len(seen) == master.tasks == len(urls) + 1 + 3
    home = str(master.home) + os.sep
    for files in seen:
        others = [file for file in files if not os.path.realpath(file).startswith((home, stdlib))]
        assert others == [] and not [file for file in files if "site-packages" in file]
        assert f"{home}discolocal/job.py" in files
    imported = {file.removeprefix(home) for files in seen for file in files if file.startswith(home)}
    packages = ["dw_words/__init__", "dw_words/clean", "dw_words/rules", "dw_space/deep/fold", "dw_record"]
    assert {f"lib/{name}.py" for name in packages} <= imported
    assert "lib/dw_jobs.py" not in imported


def test_the_home_has_nothing_of_the_clients(own: Modules, tmp_path: Path) -> None:
    home = tmp_path / "home"
    unpack(home, own.load("dw_jobs").Words(params=int), input=["raw://x"])
    files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    client = ("discolocal/cluster", "discolocal/cli", "discolocal/report", "discolocal/testing", "discolocal/__main__")
    assert not [file for file in files if file.startswith((*client, "discolocal/worker/travel"))]
    assert not [file for file in files if file.endswith((".pyc", ".so"))]
    assert {"lib/dw_jobs.py", "cloudpickle/LICENSE", "jobfile"} <= files


def test_the_line_at_the_top_of_the_program_starts_it(own: Modules, tmp_path: Path) -> None:
    """As a master starts it: by the path of the file, which says that the first python3 of PATH is to run it."""
    jobs = own.load("dw_jobs")
    urls = inputs(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    env = {"PATH": f"{programs}{os.pathsep}{os.defpath}"}
    master = Master(tmp_path / "root", jobs.Words(params=jobs.Own), [], env, input=urls)
    assert (master.home / Worker().bin).stat().st_mode & stat.S_IXUSR
    assert counted(master.run(urls, 3), tmp_path / "root") == expected()


def test_a_job_of_a_script_and_one_of_a_command_line_run_there_too(tmp_path: Path) -> None:
    """The jobs' classes and functions are of `__main__`, which no node has."""
    script = tmp_path / "script.py"
    script.write_text(
        "import pickle, sys\nimport ds_help\nfrom discolocal import Job\n\nclass Mine(Job):\n    @staticmethod\n"
        "    def map(line, params):\n        yield ds_help.up(line), helper(line)\n\n"
        "def helper(line):\n    return len(line)\n\n"
        "sys.stdout.buffer.write(Mine().pack(input=['raw://abc']).dumps())\n"
    )
    (tmp_path / "ds_help.py").write_text("def up(line):\n    return line.upper()\n")
    places = [str(Path(__file__).resolve().parents[2]), str(tmp_path)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    for number, command in enumerate(([str(script)], ["-c", script.read_text()])):
        done = subprocess.run([sys.executable, *command], capture_output=True, check=True, env=env, timeout=60)
        home = tmp_path / f"home{number}"
        pack = JobPack.loads(done.stdout)
        with zipfile.ZipFile(io.BytesIO(pack.jobhome)) as archive:
            archive.extractall(home)
        (home / "jobfile").write_bytes(done.stdout)
        program = [sys.executable, "-I", "-S", str(home / pack.jobdict["worker"])]
        session, replies, code = speak(home, program, ["raw://abc"], {})
        assert (replies[-1].end.kind, code) == ("done", 0), replies[-1].end.text
        assert ref_records((home / session.outputs[0][1]).read_bytes()) == [("ABC", 3)]
