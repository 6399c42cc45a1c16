"""The worker as a program in an unpacked job home, with nothing but Python: what a real master does.

Needs a process, as that is what is tested.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from discolocal.job import Job
from discolocal.task import jobdata
from discolocal.wire import protocol
from discolocal.wire.jobpack import JobPack
from discolocal.wire.session import Session, TaskInput
from discolocal.worker.classic.worker import Worker
from tests.worker.harness import ref_records

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


def speak(home: Path, command: list[str], urls: list[str], env: dict[str, str]) -> tuple[Session, list[Any], int]:
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
    }
    session = Session(task, [TaskInput(0, urls)])
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
