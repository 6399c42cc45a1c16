"""The command: how values are given to it, and what it shows when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from discolocal.cli import main
from discolocal.fileutils import DiscoZipFile
from discolocal.wire.jobpack import MAX_SIZE, JobPack

ROOT = Path(__file__).resolve().parents[2]

JOBS = """
from discolocal import Job

class Show(Job):
    params = None
    input = ["raw://x"]

    @staticmethod
    def map(line, params):
        yield type(params).__name__, params

class Plain(Job):
    input = ["raw://x"]

    def map(line, params):
        return []

class Fine(Job):
    @staticmethod
    def map(line, params):
        return [(line, 1)]

class Fails(Job):
    input = ["raw://x"]

    @staticmethod
    def map(line, params):
        raise ValueError("on purpose")
"""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def command(there: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "discolocal", *arguments],
        cwd=there,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_can_be_run(there: Path) -> None:
    done = command(there, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: discolocal ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3", "int\t3\n"),
        ("None", "NoneType\tNone\n"),
        ("['a', 1]", "list\t['a', 1]\n"),
        ("'3'", "str\t3\n"),
        ("plain text", "str\tplain text\n"),
        ("__import__('os')", "str\t__import__('os')\n"),
        ("(", "str\t(\n"),
    ],
)
def test_a_parameter_is_a_literal_or_text(there: Path, text: str, shown: str) -> None:
    done = command(there, "run", "--start", "inline", "-P", "params", text, "jobs.Show")
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--strict", "jobs.Plain"], "[plain-function]"),
        (["--root", "jobs.py", "jobs.Show"], "jobs.py"),
        (["--root", "jobs.py/below", "jobs.Show"], "jobs.py"),
        (["-P", "parms", "3", "jobs.Show"], "did you mean 'params'"),
        (["-P", "master", "3", "jobs.Show"], "'master'"),
        (["-P", "scheduler", "{'max_cores': 0}", "jobs.Show"], "max_cores"),
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


# Packs


def packed(there: Path, *arguments: str) -> Path:
    done = command(there, "jobpack", *arguments, "-o", "a.jobpack")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return there / "a.jobpack"


def test_a_pack_is_what_the_job_packs(there: Path) -> None:
    (there / "a.txt").write_text("a\n")
    pack = JobPack.loads(packed(there, "jobs.Show", "a.txt", "-n", "named", "-P", "params", "7").read_bytes())
    assert pack.jobdict["prefix"] == "named"
    assert pack.jobdict["input"] == [str(there / "a.txt")]
    assert pickle.loads(pack.jobdata)[1]["params"] == 7
    assert sorted(path.name for path in there.iterdir()) == ["a.jobpack", "a.txt", "jobs.py"]


def test_a_pack_replaces_a_file_only_when_it_is_complete(there: Path) -> None:
    (there / "a.jobpack").write_text("before")
    done = command(there, "jobpack", "jobs.Show", "missing.txt", "-o", "a.jobpack")
    assert done.returncode == 1 and "missing.txt" in done.stderr
    assert (there / "a.jobpack").read_text() == "before"
    done = command(there, "jobpack", "jobs.Show", "-o", "nowhere/a.jobpack")
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr
    done = command(there, "jobpack", "jobs.Show", "-o", ".")
    assert done.returncode == 1 and "Error: " in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in there.iterdir()) == ["a.jobpack", "jobs.py"]
    assert packed(there, "jobs.Show").stat().st_mode & 0o777 == 0o666 & ~umask()


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (".", errno.EISDIR),
        ("nowhere/a.jobpack", errno.ENOENT),
        ("jobs.py/a.jobpack", errno.ENOTDIR),
        ("", errno.ENOENT),
        ("loop", errno.ELOOP),
    ],
)
def test_a_pack_that_cannot_be_written_is_told_by_its_own_name(there: Path, output: str, why: int) -> None:
    (there / "loop").symlink_to("loop")
    done = command(there, "jobpack", "jobs.Show", "-o", output)
    assert done.returncode == 1
    assert done.stderr == f"Error: The job pack cannot be written to {output!r}: {os.strerror(why)}\n"
    assert sorted(path.name for path in there.iterdir()) == ["jobs.py", "loop"]


def test_a_pack_is_written_to_where_a_link_leads(there: Path) -> None:
    (there / "far").mkdir()
    (there / "far" / "old").write_text("before")
    (there / "far" / "old").chmod(0o640)
    for target in ("old", "new"):
        (there / "link").symlink_to(f"far/{target}")
        done = command(there, "jobpack", "jobs.Show", "-o", "link")
        assert (done.returncode, done.stderr) == (0, "")
        assert os.readlink(there / "link") == f"far/{target}"
        assert JobPack.loads((there / "far" / target).read_bytes()).jobdict["prefix"] == "Show"
        (there / "link").unlink()
    assert (there / "far" / "old").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in (there / "far").iterdir()) == ["new", "old"]


def test_a_pack_goes_through_what_is_no_file(there: Path) -> None:
    """A named pipe stands for all of these: devices and sockets must not be replaced by a file either."""
    os.mkfifo(there / "pipe")
    (there / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        got: list[bytes] = []
        reader = threading.Thread(target=read_into, args=(there / "pipe", got), daemon=True)
        reader.start()
        done = command(there, "jobpack", "jobs.Show", "-o", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert (there / "pipe").is_fifo() and (there / "link").is_symlink()
        reader.join(10)
        assert JobPack.loads(got[0]).jobdict["prefix"] == "Show"


def read_into(path: Path, got: list[bytes]) -> None:
    got.append(path.read_bytes())


def test_a_pack_for_the_file_that_is_standard_output_is_written_there(there: Path) -> None:
    (there / "link").symlink_to("out")
    script = f"echo before; '{sys.executable}' -m discolocal jobpack jobs.Show -o link; echo after"
    with open(there / "out", "wb") as out:
        subprocess.run(["sh", "-c", script], cwd=there, stdout=out, check=True, timeout=60,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    data = (there / "out").read_bytes()
    assert data.startswith(b"before\n") and data.endswith(b"after\n")
    assert JobPack.loads(data[7:-6]).jobdict["prefix"] == "Show"


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_pack_may_go_through_pipes(there: Path) -> None:
    script = f"'{sys.executable}' -m discolocal"
    done = subprocess.run(
        ["sh", "-c", f"{script} jobpack jobs.Show -o - | {script} inspect -"],
        cwd=there, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert '  prefix: "Show"' in done.stdout.splitlines()
    assert done.stdout.endswith("A master would say\n  ok\n")


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


@pytest.mark.parametrize("start", ["fork", "exec", "inline"])
def test_a_pack_of_a_job_runs_like_the_job(there: Path, start: str) -> None:
    packed(there, "jobs.Show", "-P", "params", "7")
    (there / "jobs.py").unlink()
    done = command(there, "run", "--pack", "a.jobpack", "--start", start, "--nodes", "1")
    assert (done.returncode, done.stdout) == (0, "int\t7\n"), done.stderr
    assert "Running the programs in a.jobpack" in done.stderr


PROGRAM = """#!/usr/bin/env python3
import json, os, sys
def say(name, payload):
    body = json.dumps(payload)
    sys.stderr.write(f"{name} {len(body)} {body}\\n")
    sys.stderr.flush()
    head = b""
    while head.count(b" ") < 2:
        head += os.read(0, 1)
    length = int(head.split()[1])
    data = b""
    while len(data) < length + 1:
        data += os.read(0, length + 1 - len(data))
    return json.loads(data)
say("WORKER", {"version": "1.1", "pid": os.getpid()})
say("TASK", "")
open("out", "wb").write(b"first line\\nsecond \\xff")
say("OUTPUT", [0, "out", 19])
body = json.dumps("")
sys.stderr.write(f"DONE {len(body)} {body}\\n")
"""


def test_results_of_other_workers_are_printed_as_lines(there: Path) -> None:
    home = DiscoZipFile()
    home.writestr("program", PROGRAM)
    jobdict = {"prefix": "p", "owner": "o", "worker": "program", "scheduler": {}}
    jobdict |= {"inputs": [[0, 0, ["raw://a"]]], "pipeline": [["only", "split", False]]}
    (there / "other.jobpack").write_bytes(JobPack(2, jobdict, {}, home.dumps(), b"").dumps())
    done = command(there, "run", "--pack", "other.jobpack", "--nodes", "1")
    assert (done.returncode, done.stdout) == (0, "first line\nsecond \\xff\n"), done.stderr


def test_a_pack_takes_no_job_and_no_parameters(there: Path) -> None:
    packed(there, "jobs.Show")
    for command_name in ("run", "check"):
        for more in (["jobs.Show"], ["-P", "params", "1"], ["-n", "x"]):
            done = command(there, command_name, "--pack", "a.jobpack", *more)
            assert done.returncode == 2 and "--pack takes no" in done.stderr
        done = command(there, command_name)
        assert done.returncode == 2 and "MODULE.CLASS" in done.stderr


# Looking at packs


def test_an_inspected_pack_is_shown_part_by_part(there: Path, golden: Path) -> None:
    for path in sorted(golden.glob("jobpacks/*.jobpack")):
        recorded = json.loads(path.with_suffix(".json").read_text())
        done = command(there, "inspect", str(path))
        assert done.returncode == 0, done.stderr
        pack = JobPack.loads(path.read_bytes())
        lines = done.stdout.splitlines()
        header = path.read_bytes()[:20].hex()
        assert lines[0].split()[1:] == [header[at : at + 8] for at in range(0, 40, 8)]
        assert lines[1] == f"version   {pack.version}"
        assert [line.split()[2].rstrip(",") for line in lines[2:6]] == [str(offset) for offset in pack.offsets]
        for key, value in pack.jobdict.items():
            assert f"  {key}: {json.dumps(value)}" in lines
        assert recorded["jobdict"] == pack.jobdict
        for key, value in pack.jobenvs.items():
            assert f"  {key}: {json.dumps(value)}" in lines


def test_an_inspected_pack_says_what_the_master_said(there: Path, golden: Path) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    for name in ("ok_v1", "prefix_slash", "grouping_unknown", "v1_missing_owner", "inputs_plain_strings"):
        done = command(there, "inspect", str(golden / "badpacks" / f"{name}.jobpack"))
        status, said = json.loads(replies[name]["body"])
        assert done.returncode == 0
        told = done.stdout.splitlines()[-1].strip()
        assert told == (said if status == "error" else "ok")
    done = command(there, "inspect", str(golden / "badpacks" / "home_zip_with_dotdot.jobpack"))
    assert "../escape.txt" in done.stdout and "a LocalCluster refuses it" in done.stdout
    assert sorted(path.name for path in there.iterdir()) == ["jobs.py"]


def test_nothing_of_a_pack_is_run_by_looking_at_it(there: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(there / "exploded"),)

    home = DiscoZipFile()
    home.writestr("program", "#!/bin/sh\ntouch exploded\n")
    jobdict = {"prefix": "p\x1b[2J", "owner": "o", "worker": "program", "scheduler": {}, "input": [], "nr_reduces": 1}
    (there / "bomb.jobpack").write_bytes(JobPack(1, jobdict, {}, home.dumps(), pickle.dumps(Bomb())).dumps())
    for arguments in (["inspect", "bomb.jobpack"], ["check", "--pack", "bomb.jobpack"]):
        done = command(there, *arguments)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout, "a terminal would take it for a command"
    assert sorted(path.name for path in there.iterdir()) == ["bomb.jobpack", "jobs.py"]


@pytest.mark.parametrize("data", [b"", b"no pack at all, only text", b"\xd5\xc0\0\1" + bytes(200)])
def test_what_is_no_pack_is_an_error_of_one_line(there: Path, data: bytes) -> None:
    (there / "bad.jobpack").write_bytes(data)
    for arguments in (["inspect", "bad.jobpack"], ["run", "--start", "inline", "--pack", "bad.jobpack"]):
        done = command(there, *arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("Error: ") and "Traceback" not in done.stderr
    done = command(there, "check", "--pack", "bad.jobpack")
    assert (done.returncode, done.stderr) == (1, "") and "a master refuses" in done.stdout


LARGE = [
    ["inspect", "large"],
    ["check", "--pack", "large"],
    ["run", "--start", "inline", "--pack", "large"],
    ["submit", "large", "-M", "http://127.0.0.1:9"],
]


def after(code: str, there: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process that has run some code before."""
    return subprocess.run(
        [sys.executable, "-c", f"{code}; from discolocal.cli import main; main()", *arguments],
        cwd=there, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("arguments", LARGE, ids=lambda arguments: arguments[0])
def test_a_pack_that_no_master_takes_is_not_even_read(there: Path, arguments: list[str]) -> None:
    with open(there / "large", "wb") as file:
        file.truncate(MAX_SIZE + 1)
    done = after("import resource; resource.setrlimit(resource.RLIMIT_AS, (900 << 20,) * 2)", there, *arguments)
    assert done.returncode == 1
    assert done.stderr.endswith(f"The job pack has more than {MAX_SIZE:,} bytes, which is all that a master takes\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", LARGE, ids=lambda arguments: arguments[0])
def test_no_more_is_read_of_a_pipe_than_a_master_takes(there: Path, arguments: list[str]) -> None:
    os.mkfifo(there / "large")
    wrote = []

    def write() -> None:
        try:
            with open(there / "large", "wb", buffering=0) as file:
                for _ in range(100):
                    wrote.append(file.write(bytes(100_000)))
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write, daemon=True)  # it waits for a reader, which there may not be
    writer.start()
    done = after("from discolocal.wire import jobpack; jobpack.MAX_SIZE = 100_000", there, *arguments)
    writer.join(10)
    assert done.returncode == 1 and "The job pack has more than 100,000 bytes" in done.stderr, done.stderr
    assert sum(wrote) < 3_000_000


def test_a_zip_that_is_none_is_told(there: Path, golden: Path) -> None:
    done = command(there, "inspect", str(golden / "badpacks" / "home_not_zip.jobpack"))
    assert done.returncode == 0
    assert "no zip archive" in done.stdout


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
        (["jobs.Fine", "-P", "scheduler", "{'max_cores': 0}"], 1, ["max-cores", "never runs"]),
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
