"""The command: how values are given to it, and what it shows when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from discolocal.cli import main
from tests.client.commands import ROOT, command, packed


def test_the_package_can_be_run(there: Path) -> None:
    done = command(there, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: discolocal ")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--strict", "jobs.Plain"], "[plain-function]"),
        (["--root", "jobs.py", "jobs.Show"], "jobs.py"),
        (["--root", "jobs.py/below", "jobs.Show"], "jobs.py"),
        (["-P", "parms", "3", "jobs.Show"], "did you mean 'params'"),
        (["-P", "master", "3", "jobs.Show"], "'master'"),
        (["-S", "max_cores", "0", "jobs.Show"], "max_cores"),
        (["-n", "a b", "jobs.Show"], "'a b'"),
        (["jobs.Show", "missing.txt"], "missing.txt"),
    ],
)
def test_what_is_wrong_is_shown_once_and_without_a_traceback(there: Path, arguments: list[str], shown: str) -> None:
    done = command(there, "run", "--start", "inline", *arguments)
    assert done.returncode != 0
    assert "Error: " in done.stderr and shown in done.stderr
    assert "Traceback" not in done.stderr
    text = done.stderr.rpartition("Error: ")[2].strip()
    assert text.count(text[:30]) == 1


def test_what_is_wrong_is_shown_by_the_demonstration_too(there: Path) -> None:
    done = command(there, "demo", "--start", "inline", "--root", "jobs.py/below")
    assert done.returncode == 1
    assert "jobs.py" in done.stderr and "Traceback" not in done.stderr


def test_the_traceback_of_a_task_is_shown_once(there: Path) -> None:
    done = command(there, "run", "--start", "inline", "jobs.Fails")
    assert done.returncode == 1
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert 'raise ValueError("on purpose")' in done.stderr
    assert "discolocal/cli" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobpack", "jobs.Show", "-o", "-"],
        ["inspect", "a.jobpack"],
        ["check", "--pack", "a.jobpack"],
        ["check", "--start", "inline", "jobs.Plain"],
        ["run", "--start", "inline", "jobs.Show"],
        ["demo", "--start", "inline"],
    ],
    ids=" ".join,
)
def test_a_reader_that_stops_early_ends_a_command_quietly(there: Path, arguments: list[str]) -> None:
    packed(there, "jobs.Show")
    if arguments[0] == "demo":
        (there / "sitecustomize.py").write_text("from discolocal import demo\ndemo.sources = lambda: [__file__]\n")
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "discolocal", *arguments],
            cwd=there, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            env=os.environ | {"PYTHONPATH": f"{there}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1 if "jobs.Plain" in arguments else 0, "")


@pytest.mark.parametrize("name", ["run", "check", "demo"])
def test_a_python_that_is_not_there_is_an_error(there: Path, name: str) -> None:
    arguments = [] if name == "demo" else ["jobs.Fine", "jobs.py"]
    done = command(there, name, "--nodes", "1", "--start", "exec", "--python", "nosuchpython", *arguments)
    assert done.returncode == 1 and "nosuchpython" in done.stderr and "Traceback" not in done.stderr


def test_the_python_of_executed_workers_can_be_chosen(there: Path) -> None:
    (there / "mine").write_text(f'#!/bin/sh\nMARK=mine exec {sys.executable} "$@"\n')
    (there / "mine").chmod(0o755)
    (there / "marks.py").write_text(
        "from discolocal import Job\nclass Mark(Job):\n    input = ['raw://x']\n    @staticmethod\n"
        "    def map(line, params):\n        import os\n        yield 'MARK', os.environ.get('MARK')\n"
    )
    for options, mark in ((["--python", "./mine"], "mine"), ([], "None")):
        done = command(there, "run", "--nodes", "1", "--start", "exec", *options, "marks.Mark")
        assert (done.returncode, done.stdout) == (0, f"MARK\t{mark}\n"), done.stderr


# Checks


@pytest.mark.parametrize(
    ("arguments", "status", "shown"),
    [
        (["jobs.Fine"], 0, ["nothing found"]),
        (["jobs.Fine", "jobs.py"], 0, ["local-file", "every node"]),
        (["jobs.Plain"], 1, ["plain-function", "as a method", "staticmethod"]),
        (["jobs.Fails"], 1, ["error: ", "ValueError: on purpose"]),
        (["jobs.Fine", "-P", "parms", "3"], 1, ["unknown-argument", "did you mean 'params'"]),
        (["jobs.Fine", "-S", "max_cores", "0"], 1, ["max-cores", "never runs"]),
        (["jobs.Fine", "-n", "a$b"], 1, ["prefix-characters"]),
    ],
)
def test_a_check_tells_and_has_a_status(there: Path, arguments: list[str], status: int, shown: list[str]) -> None:
    done = command(there, "check", "--start", "inline", "--nodes", "1", *arguments)
    assert done.returncode == status, done.stderr
    assert [text for text in shown if text not in done.stdout] == []
    assert done.stderr == ""


def test_a_check_of_what_is_not_there_is_an_error_of_usage(there: Path) -> None:
    for path in ("jobs.Nothing", "nowhere.Job", "Plain"):
        assert command(there, "check", path).returncode == 2


# Sending


class Master:
    """A master that gives one recorded reply to whatever is posted."""

    def __init__(self, status: int, body: str) -> None:
        self.posts: list[tuple[str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Master:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_a_pack_is_sent_to_a_master(there: Path, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    pack = golden / "badpacks" / "ok_v1.jobpack"
    with Master(200, replies["ok_v1"]["body"]) as master:
        done = command(there, "submit", str(pack), "-M", master.url)
        assert (done.returncode, done.stdout) == (0, json.loads(replies["ok_v1"]["body"])[1] + "\n"), done.stderr
        monkeypatch.setenv("DISCO_MASTER", master.url)
        assert command(there, "submit", str(pack)).returncode == 0
    assert master.posts == [("/disco/job/new", pack.read_bytes())] * 2


def test_what_a_master_says_is_shown(there: Path, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    with Master(200, replies["prefix_dot"]["body"]) as master:
        done = command(there, "submit", str(golden / "badpacks" / "prefix_dot.jobpack"), "--master", master.url)
    assert done.returncode == 1
    assert done.stderr == f"Error: Failed to submit jobpack: {json.loads(replies['prefix_dot']['body'])[1]}\n"
    monkeypatch.delenv("DISCO_MASTER", raising=False)
    for arguments in ([], ["-M", master.url]):  # no master is named; nobody is there
        done = command(there, "submit", str(golden / "badpacks" / "ok_v1.jobpack"), *arguments)
        assert done.returncode == 1 and done.stderr.startswith("Error: ") and "Traceback" not in done.stderr


def test_every_command_has_help_and_is_documented(there: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    for name, one in main.commands.items():
        assert f"\ndiscolocal {name} " in reference
        done = command(there, name, "--help")
        assert done.returncode == 0 and str(one.help).splitlines()[0][:40] in done.stdout
