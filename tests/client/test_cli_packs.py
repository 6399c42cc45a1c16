"""The commands for job packs as files: they are written, run and looked at."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from discolocal.fileutils import DiscoZipFile
from discolocal.wire.jobpack import MAX_SIZE, JobPack
from tests.client.commands import ROOT, command, packed


def test_a_pack_is_what_the_job_packs(there: Path) -> None:
    (there / "a.txt").write_text("a\n")
    pack = JobPack.loads(packed(there, "jobs.Show", "a.txt", "-n", "named", "-P", "params", "7").read_bytes())
    assert pack.jobdict["prefix"] == "named"
    assert pack.jobdict["input"] == [str(there / "a.txt")]
    assert pickle.loads(pack.jobdata)[1]["params"] == "7"
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


@pytest.mark.parametrize("start", ["fork", "exec", "inline"])
def test_a_pack_of_a_job_runs_like_the_job(there: Path, start: str) -> None:
    packed(there, "jobs.Show", "-P", "params", "7")
    (there / "jobs.py").unlink()
    done = command(there, "run", "--pack", "a.jobpack", "--start", start, "--nodes", "1")
    assert (done.returncode, done.stdout) == (0, "str\t7\n"), done.stderr
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


def after(code: str, there: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """The command in a process that has run some code before."""
    return subprocess.run(
        [sys.executable, "-c", f"{code}; from discolocal.cli import main; main()", *arguments],
        cwd=there, stdin=stdin, capture_output=True, text=True, timeout=60, check=False,
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
    """The pipe is standard input: one with a name would block the writer when the command fails before it opens it."""
    read, write = os.pipe()
    wrote = []

    def writing() -> None:
        try:
            with open(write, "wb", buffering=0) as file:
                for _ in range(100):
                    wrote.append(file.write(bytes(100_000)))
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=writing)
    writer.start()
    piped = ["/dev/stdin" if argument == "large" else argument for argument in arguments]
    try:
        done = after("from discolocal.wire import jobpack; jobpack.MAX_SIZE = 100_000", there, *piped, stdin=read)
    finally:
        os.close(read)  # nobody reads any more: the writer ends, whatever the command has done
        writer.join()
    assert done.returncode == 1 and "The job pack has more than 100,000 bytes" in done.stderr, done.stderr
    assert sum(wrote) < 3_000_000


def test_a_zip_that_is_none_is_told(there: Path, golden: Path) -> None:
    done = command(there, "inspect", str(golden / "badpacks" / "home_not_zip.jobpack"))
    assert done.returncode == 0
    assert "no zip archive" in done.stdout
