"""Programs that do not speak the worker protocol as they should, and those that cannot be started at all.

What they say and how they end is given byte for byte; what a master makes of it is given by the reference (2.1 to 2.3)
and by recordings. After each the same holds: the job ends soon, no process is left, the next job runs.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from discolocal import DiscoError, JobError, JobPack, LocalCluster

HASTY = 0.05
"""Where silence is what is tested, a master's 30 s are 1.5 s, its 10 s are half a second."""


def frame(name: str, payload: object) -> bytes:
    body = json.dumps(payload).encode()
    return b"%s %d %s\n" % (name.encode(), len(body), body)


HELLO = frame("WORKER", {"version": "1.1", "pid": 999_999_999})
TASK = frame("TASK", "")
DONE = frame("DONE", "")
BEGIN = HELLO + TASK
DIALOGUE = BEGIN + frame("INPUT", "") + frame("MSG", "hi") + frame("OUTPUT", [0, "out", 3]) + DONE

NONSENSE = b"this is no message at all\n"

NO_PID = "WARNING: PID unknown: worker could not be killed"
NO_WORDS = "Worker died without output"


def shell(then: str = "exit 0") -> bytes:
    """A program that says the bytes of the file beside it."""
    return f"#!/bin/sh\ncat said >&2\n{then}\n".encode()


def pack(said: bytes = b"", then: str = "exit 0", program: bytes | None = None, worker: str = "worker") -> bytes:
    home = io.BytesIO()
    with zipfile.ZipFile(home, "w") as archive:
        archive.writestr("worker", shell(then) if program is None else program)
        archive.writestr("said", said)
    jobdict = {
        "prefix": "faulty",
        "worker": worker,
        "owner": "me@here",
        "scheduler": {},
        "pipeline": [["map", "split", False]],
        "inputs": [[0, 0, ["raw://input"]]],
    }
    return JobPack(2, jobdict, {}, home.getvalue(), b"").dumps()


class Course(NamedTuple):
    """What came of a job: its error, and what its only task caused as `KIND: text`."""

    error: JobError | None
    events: list[str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One node that tries nothing twice."""
    with LocalCluster(nodes=1, start="exec", max_failures=0) as started:
        yield started


@pytest.fixture(scope="module")
def hasty() -> Iterator[LocalCluster]:
    """One that does not wait long."""
    with LocalCluster(nodes=1, start="exec", max_failures=0, timeouts=HASTY) as started:
        yield started


def run(cluster: LocalCluster, data: bytes) -> Course:
    job = cluster.submit(data)
    error = None
    try:
        cluster.wait(job.name, timeout=30)
    except JobError as failed:
        error = failed
        assert "Timeout" not in str(error)
    texts = [text for _, (_, _, text) in cluster.events(job.name)]
    # An event that is not UTF-8 is written as a whole in hexadecimal digits.
    found = [text.replace(" [map:0]", "", 1) for text in texts if " [map:0] " in text or "Binary message data" in text]
    assert not cluster.worker_pids()
    return Course(error, [text for text in found if not text.startswith(("SYS", "ERROR: Task"))])


@pytest.fixture(autouse=True)
def the_next_job_runs(cluster: LocalCluster) -> Iterator[None]:
    """The cluster is whole after each test, and its own files are gone."""
    yield
    course = run(cluster, pack(BEGIN + DONE, "cat >/dev/null"))
    assert course.error is None
    assert [path for path in Path(cluster.root).rglob("*") if path.is_file() and "log" in path.name] == []


def last_words(course: Course) -> str:
    """What the last event says of a worker's end; in front of a master's words ours has a headline."""
    assert course.error is not None
    kind, _, text = course.events[-1].partition(": ")
    assert kind == "WARNING"
    return text.partition("\n")[2]


# Bytes that are no frames: an error, with all that was not understood as last words

FRAMING = {
    "no blank in ten bytes": (b"ABCDEFGHIJ", "invalid_type"),
    "no blank in ten bytes and more": (b"ABCDEFGHIJKL 2 x\n", "invalid_type"),
    "a print": (b"hello world, this is no message\n", "invalid_length"),
    "a traceback": (b'Traceback (most recent call last):\n  File "x"\n', "invalid_length"),
    "length of letters": (b'MSG abc "x"\n', "invalid_length"),
    "length of hex": (b'MSG 0x3 "x"\n', "invalid_length"),
    "length with a point": (b'MSG 3.0 "x"\n', "invalid_length"),
    "negative length": (b'MSG -1 "x"\n', "invalid_length"),
    "no length": (b'MSG  "a text"\n', "invalid_length"),
    "length of eleven digits": (b'MSG 00000000003 "x"\n', "invalid_length"),
    "length beyond 100 MiB": (b'MSG 104857601 "x"\n', "message_too_big"),
    "no newline": (b'MSG 3 "x"X', "invalid_body"),
    "length too short": (b'MSG 2 "x"\n', "invalid_body"),
    "carriage return": (b'MSG 3 "x"\r\n', "invalid_body"),
    "zero bytes": (b"\0" * 12, "invalid_type"),
    "not UTF-8": (b"\xff\xfe\xfd \xff \n", "invalid_length"),
}


@pytest.mark.parametrize("status", [0, 3])
@pytest.mark.parametrize("case", FRAMING)
def test_bytes_that_are_no_frames(cluster: LocalCluster, case: str, status: int) -> None:
    said, why = FRAMING[case]
    course = run(cluster, pack(BEGIN + said, f"exit {status}"))
    assert course.events[:-1] == [
        f"WARNING: Could not parse worker event: {why}",
        f"WARNING: Worker crashed! (exit code: {status})",
    ]
    if case == "not UTF-8":
        digits = "".join(f"\\x{byte:02x}" for byte in b"\nWorker died. Last words:\n" + said)
        assert course.events[-1].startswith("WARNING: Binary message data: ") and course.events[-1].endswith(digits)
    else:
        assert last_words(course) == "Worker died. Last words:\n" + said.decode()
    assert f"exited with status {status}" in str(course.error)


def test_frames_in_front_of_nonsense_count(cluster: LocalCluster) -> None:
    course = run(cluster, pack(BEGIN + frame("MSG", "one") + NONSENSE + frame("MSG", "two") + DONE))
    assert course.events[0] == "MSG: one"
    assert not any(text.startswith(("MSG: two", "DONE")) for text in course.events)
    assert last_words(course).startswith(f"Worker died. Last words:\n{NONSENSE.decode()}MSG 5")


def test_it_lives_on_after_nonsense(hasty: LocalCluster) -> None:
    begun = time.monotonic()
    course = run(hasty, pack(BEGIN + NONSENSE, "sleep 100"))
    assert time.monotonic() - begun < 10
    assert course.events[:2] == [
        "WARNING: Could not parse worker event: invalid_length",
        "WARNING: Worker did not exit properly after error",
    ]
    assert last_words(course) == "Worker died. Last words:\n" + NONSENSE.decode()


@pytest.mark.parametrize("begin", [b"", BEGIN], ids=["at once", "after hello"])
def test_ten_megabytes_of_nonsense(cluster: LocalCluster, begin: bytes) -> None:
    course = run(cluster, pack(begin, "head -c 10485760 /dev/zero | tr '\\0' x >&2; sleep 100"))
    warnings = ["Could not parse worker event: invalid_type", "Worker did not exit properly after error"]
    assert course.events[:2] == [f"WARNING: {text}" for text in warnings]
    assert (NO_PID in course.events) == (not begin)
    assert course.error is not None and "its last words: xxx" in str(course.error)
    assert len(str(course.error)) < 2000, "an error is to be read"


# Frames that are no messages: fatal, with what was wrong as a warning

MESSAGES = {
    "not JSON": (b"MSG 5 {oops\n", "Payload is not valid JSON: type 'MSG', body:\n{oops"),
    "no payload": (b"MSG 0 \n", "Payload is not valid JSON: type 'MSG', body:\n"),
    "two values": (b'MSG 5 "" ""\n', "Payload is not valid JSON: type 'MSG', body:\n\"\" \"\""),
    "unknown type": (b'BOGUS 3 "x"\n', "Unknown message type 'BOGUS', body:\n\"x\""),
    "lower case": (b'msg 3 "x"\n', "Unknown message type 'msg', body:\n\"x\""),
    "newline in front": (b'\nMSG 3 "x"\n', "Unknown message type '\nMSG', body:\n\"x\""),
    "ping": (b'PING 2 ""\n', "Unknown message type 'PING', body:\n\"\""),
    "number as message": (b"MSG 1 7\n", "Invalid message body (type 'MSG'): {not_string,7}"),
    "output of two": (b'OUTPUT 8 [0, "a"]\n', None),
    "label as text": (frame("OUTPUT", ["0", "a", 1]), "Invalid message body (type 'OUTPUT'): {not_integer,<<\"0\">>}"),
    "size with a point": (frame("OUTPUT", [0, "a", 6.0]), "Invalid message body (type 'OUTPUT'): {not_integer,6.0}"),
    "error of an object": (frame("ERROR", {}), "Invalid message body (type 'ERROR'): {not_string,{struct,[]}}"),
    "done of a list": (frame("DONE", ["x"]), "Invalid message body (type 'DONE'): {not_string,[<<\"x\">>]}"),
    "version 1.0": (frame("WORKER", {"version": "1.0", "pid": 1}), 'Invalid worker version: <<"1.0">>'),
    "version 1.2": (frame("WORKER", {"version": "1.2", "pid": 1}), 'Invalid worker version: <<"1.2">>'),
    "version 1.1 as number": (frame("WORKER", {"version": 1.1, "pid": 1}), None),
    "input of a dict": (frame("INPUT", {}), None),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES)
def test_frames_that_are_no_messages(cluster: LocalCluster, case: str) -> None:
    said, warning = MESSAGES[case]
    course = run(cluster, pack(BEGIN + said, "sleep 100"))
    if warning is None:
        assert course.events[0].startswith("WARNING: Invalid message body (type '")
    else:
        assert course.events[0] == f"WARNING: {warning}"
    assert course.events[1:] == [f"FATAL: {NO_WORDS}"]
    assert course.error is not None and "times" not in str(course.error)


def test_a_message_that_is_not_utf8(cluster: LocalCluster) -> None:
    course = run(cluster, pack(BEGIN + b'MSG 4 "\xff\xfe"\n', "sleep 100"))
    assert course.events[-1] == f"FATAL: {NO_WORDS}"


# The dialogue


@pytest.mark.parametrize("start", range(0, len(DIALOGUE), 25))
def test_a_dialogue_that_is_cut_anywhere(cluster: LocalCluster, start: int) -> None:
    for cut in range(start, min(start + 25, len(DIALOGUE))):
        course = run(cluster, pack(DIALOGUE[:cut]))
        begun = DIALOGUE[:cut].rfind(b"\n") + 1  # no payload of the dialogue has a newline
        rest = DIALOGUE[begun:cut].decode()
        assert "WARNING: Worker crashed! (exit code: 0)" in course.events, cut
        assert last_words(course) == (f"Worker died. Last words:\n{rest}" if rest else NO_WORDS), cut
        assert ("MSG: hi" in course.events) == (b'"hi"\n' in DIALOGUE[:cut])
        assert (NO_PID in course.events) == (cut < len(HELLO))
        assert not any(text.startswith("DONE") for text in course.events)


@pytest.mark.parametrize("cut", [len(HELLO) - 1, len(HELLO) + 4])
def test_a_dialogue_that_stops_within_a_message(hasty: LocalCluster, cut: int) -> None:
    begun = time.monotonic()
    course = run(hasty, pack(DIALOGUE[:cut], "sleep 100"))
    assert 1 < time.monotonic() - begun < 15
    assert "WARNING: Worker stuck in the middle of a message" in course.events
    rest = DIALOGUE[DIALOGUE[:cut].rfind(b"\n") + 1 : cut].decode()
    assert last_words(course) == f"Worker died. Last words:\n{rest}"


def test_it_never_says_anything(hasty: LocalCluster) -> None:
    course = run(hasty, pack(b"", "sleep 100"))
    assert course.events[:2] == ["WARNING: Worker did not send its PID in 30 seconds", NO_PID]
    assert last_words(course) == NO_WORDS


def test_the_longest_patience() -> None:
    """A year: more milliseconds than `poll` takes. The program is silent till the node waits for nothing else."""
    program = b"#!/bin/sh\nsleep 1.3\ncat said >&2\ncat >/dev/null\n"
    with LocalCluster(nodes=1, start="exec", max_failures=0, timeouts=9e5) as patient:
        assert run(patient, pack(BEGIN + DONE, program=program)).error is None


def test_a_task_that_computes_is_not_timed_out(hasty: LocalCluster) -> None:
    course = run(hasty, pack(BEGIN, f"sleep 2; printf '{DONE.decode().strip()}\\n' >&2; sleep 100"))
    assert course.error is None and course.events[0].startswith("DONE: Task finished in 0:00:0")


def test_a_message_that_arrives_slowly(hasty: LocalCluster) -> None:
    """In 2.4 seconds, with 1.5 seconds of patience: what counts is the time since the last byte."""
    say = "".join(f"printf '{part}' >&2; sleep 0.6; " for part in ("MSG 6", ' "s', "low", '"', "\\n"))
    course = run(hasty, pack(BEGIN, f"{say} printf 'DONE 2 \"\"\\n' >&2; sleep 100"))
    assert course.error is None and course.events[0] == "MSG: slow"


@pytest.mark.parametrize("status", [0, 1, 127])
def test_an_end_without_a_word(cluster: LocalCluster, status: int) -> None:
    course = run(cluster, pack(b"", f"exit {status}"))
    assert course.events[:2] == [f"WARNING: Worker crashed! (exit code: {status})", NO_PID]
    assert last_words(course) == NO_WORDS


@pytest.mark.parametrize("name, number", [("KILL", 137), ("SEGV", 139), ("TERM", 143)])
def test_an_end_by_a_signal(cluster: LocalCluster, name: str, number: int) -> None:
    course = run(cluster, pack(BEGIN, f"kill -{name} $$; sleep 100"))
    assert f"WARNING: Worker crashed! (exit code: {number})" in course.events
    assert f"killed by signal SIG{name}" in str(course.error)


DONE_AT_ONCE = {
    "no hello": (TASK + DONE, [NO_PID]),
    "nothing but done": (DONE, [NO_PID]),
    "two hellos": (HELLO + HELLO + TASK + DONE, []),
    "task before hello": (TASK + HELLO + DONE, []),
    "done twice": (BEGIN + DONE + DONE, []),
    "a message after done": (BEGIN + DONE + frame("MSG", "late"), []),
    "nonsense after done": (BEGIN + DONE + NONSENSE, []),
    "part of a message after done": (BEGIN + DONE + b"MSG 100 ", []),
    "zeros in front of the length": (BEGIN + b'DONE 0000000002 ""\n', []),
    "a plus in front of the length": (BEGIN + b'DONE +2 ""\n', []),
    "blanks in the payload": (BEGIN + b'DONE 6   "" \n\n', []),
}


@pytest.mark.parametrize("then", ["exit 0", "exit 1", "sleep 100"])
@pytest.mark.parametrize("case", DONE_AT_ONCE)
def test_what_is_done_is_done(cluster: LocalCluster, case: str, then: str) -> None:
    said, warnings = DONE_AT_ONCE[case]
    begun = time.monotonic()
    course = run(cluster, pack(said, then))
    assert course.error is None and time.monotonic() - begun < 10
    assert course.events[0].startswith("DONE: Task finished in")
    assert course.events[1:] == warnings


def test_error_and_fatal(cluster: LocalCluster) -> None:
    course = run(cluster, pack(BEGIN + frame("ERROR", "may be better") + DONE, "sleep 100"))
    assert course.events == ["WARNING: may be better"]
    course = run(cluster, pack(BEGIN + frame("FATAL", "never") + DONE, "sleep 100"))
    assert course.events == ["FATAL: never"] and "never" in str(course.error)


def test_a_message_of_ten_megabytes(cluster: LocalCluster) -> None:
    size = 10 << 20
    begin, end = f"printf 'MSG {size + 2} \"' >&2", 'printf \'"\\nDONE 2 ""\\n\' >&2'
    course = run(cluster, pack(BEGIN, f"{begin}; head -c {size} /dev/zero | tr '\\0' y >&2; {end}; sleep 100"))
    assert course.error is None
    assert course.events[0].startswith("MSG: yyyy") and course.events[0].endswith("y...")
    assert len(course.events[0]) < 8192


# Processes


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(pids: list[int], patience: float = 10) -> bool:
    end = time.monotonic() + patience
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)  # not into the next test
    return not left


def test_it_closes_the_channel_and_lives_on(cluster: LocalCluster, tmp_path: Path) -> None:
    course = run(cluster, pack(BEGIN, f"echo $$ > {tmp_path}/pid; exec >&- 2>&-; sleep 100; sleep 100"))
    assert course.error is not None and "closed its connection" in str(course.error)
    assert ended([int((tmp_path / "pid").read_text())])


@pytest.mark.parametrize("said", [BEGIN + DONE, BEGIN + frame("FATAL", "x"), BEGIN + NONSENSE])
def test_it_ignores_signals(hasty: LocalCluster, tmp_path: Path, said: bytes) -> None:
    program = (
        f"#!/bin/sh\ntrap '' TERM INT HUP QUIT PIPE\necho $$ > {tmp_path}/pid\ncat said >&2\n"
        "while :; do sleep 0.1; done\n"
    )
    run(hasty, pack(said, program=program.encode()))
    assert ended([int((tmp_path / "pid").read_text())])


@pytest.mark.parametrize("end", ["sleep 100", "exit 0"])
@pytest.mark.parametrize("said", [DONE, frame("FATAL", "x"), b""], ids=["done", "fatal", "nothing"])
def test_its_children_end_with_it(cluster: LocalCluster, tmp_path: Path, said: bytes, end: str) -> None:
    if not said and end == "sleep 100":
        pytest.skip("that is a task that computes")
    children = f"(sleep 101 & echo $! >> {tmp_path}/pids; sleep 102) & echo $! >> {tmp_path}/pids\n"
    program = f"#!/bin/sh\n{children * 2}while [ $(wc -l < {tmp_path}/pids) -lt 4 ]; do :; done\ncat said >&2\n{end}\n"
    run(cluster, pack(BEGIN + said, program=program.encode()))
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4 and ended(pids)


def test_a_child_that_left_its_group_ends_with_it(cluster: LocalCluster, tmp_path: Path) -> None:
    """A master kills all children of a worker, whatever group or session they have gone to."""
    pid = tmp_path / "pid"
    then = (
        f"setsid sh -c 'echo $$ > {pid}; exec sleep 100' & until [ -s {pid} ]; do :; done; printf 'DONE 2 \"\"\\n' >&2"
    )
    home = pack(BEGIN, f"{then}; sleep 100")
    assert run(cluster, home).error is None
    assert ended([int(pid.read_text())], patience=1)


def test_a_killed_job_takes_its_worker_along(cluster: LocalCluster, tmp_path: Path) -> None:
    job = cluster.submit(pack(BEGIN, f"sleep 100 & echo $! $$ > {tmp_path}/pid; wait"))
    end = time.monotonic() + 20
    while len(pids := (tmp_path / "pid").read_text().split() if (tmp_path / "pid").exists() else []) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    cluster.kill(job.name)
    assert ended(list(map(int, pids)))
    assert cluster.results(job.name)[0] == "dead"


def test_the_pid_it_tells_is_not_believed(cluster: LocalCluster) -> None:
    """A master kills whatever process it is told; here a program cannot point at another one."""
    with subprocess.Popen(["sleep", "100"]) as other:
        said = frame("WORKER", {"version": "1.1", "pid": other.pid}) + TASK + DONE
        assert run(cluster, pack(said, "sleep 100")).error is None
        assert other.poll() is None
        other.kill()


# Programs that cannot be started

UNSTARTABLE = {
    "no interpreter": (b"#!/no/such/interpreter\n", "/no/such/interpreter|No such file"),
    "a binary of nothing": (b"\x7fELF" + bytes(200), "Exec format|exec format"),
    "no bytes": (b"", "Exec format|exited with status|exec format"),
    "no first line": (b"this is no program at all\n", "Exec format|exited with status|exec format"),
    "a first line without a program": (b"#!\n", "Exec format|Permission|exited|exec format"),
    "an interpreter that is a directory": (b"#!/tmp\n", "Permission"),
}


@pytest.mark.parametrize("case", UNSTARTABLE)
def test_programs_that_cannot_be_started(cluster: LocalCluster, case: str) -> None:
    program, why = UNSTARTABLE[case]
    course = run(cluster, pack(program=program))
    assert course.error is not None
    with pytest.raises(JobError, match=why):
        raise course.error
    assert "worker" in str(course.error)


@pytest.mark.parametrize("worker", ["nothing", "sai", "worker/x", "Worker"])
def test_a_worker_that_is_not_in_the_home(cluster: LocalCluster, worker: str) -> None:
    with pytest.raises(DiscoError, match=f"'{worker}' is not in the job home"):
        cluster.submit(pack(DIALOGUE, worker=worker))


@pytest.mark.parametrize("worker", ["/bin/true", "../worker", "./worker", "a/../worker", "", "worker\0"])
def test_a_worker_outside_the_home(cluster: LocalCluster, worker: str) -> None:
    with pytest.raises(DiscoError, match="worker"):
        cluster.submit(pack(DIALOGUE, worker=worker))


def test_a_worker_that_is_a_directory(cluster: LocalCluster) -> None:
    parsed = JobPack.loads(pack(DIALOGUE))
    home = io.BytesIO()
    with zipfile.ZipFile(home, "w") as archive:
        archive.writestr("worker/", b"")
        archive.writestr("worker/file", b"")
    parsed.jobhome = home.getvalue()
    with pytest.raises(DiscoError, match="'worker' is not in the job home"):
        cluster.submit(parsed.dumps())
