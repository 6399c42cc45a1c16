"""Whatever an external program does wrong is an error that says so, and never a hang (reference 8.12)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster, PortabilityWarning
from discolocal.worker.classic import child
from tests.behaviour.actor import acting, actor, compiled, script
from tests.behaviour.classic import Write
from tests.behaviour.programs import Program

pytestmark = pytest.mark.filterwarnings("ignore:.external-program.:discolocal.error.PortabilityWarning")

LINES = "".join(f"line {number}\n" for number in range(1, 9))
EMPTY_PAIR = "01000000" + "00000000" * 2


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    """For what does not depend on how workers start."""
    with LocalCluster(nodes=1, start="inline", seed=3) as started:
        yield started


@pytest.fixture
def lines(write: Write) -> str:
    return write("lines", LINES)


def failure(cluster: LocalCluster, job: Job, url: str) -> str:
    """The text of the error with which a job ends; the cluster is as good as new afterwards."""
    with pytest.raises(JobError) as caught:
        cluster.run(job, input=[url])
    assert list(cluster.run(acting("E"), input=["raw://after"])) == [(b"", b"after")]
    return str(caught.value)


MAPS = {
    # what it does: what the error says, the record that is to blame
    "x0": ("exited with status 0 after 0 answers, before it had answered all records", 1),
    "x3": ("exited with status 3 after 0 answers", 1),
    "pepepx0": ("exited with status 0 after 2 answers", 3),
    "pepek11": ("was killed by signal SIGSEGV after 2 answers", 3),
    "pepek9": ("was killed by signal SIGKILL after 2 answers", 3),
    "pec": ("exited with status 0 after 1 answers", 2),
    "pepw02000000" + "00000000" * 2: (
        "exited with status 0 in the middle of its output, which ends with a list that lacks 1 pairs",
        2,
    ),
    "pepw0100": ("in the middle of its output, which ends with 2 bytes of a number of pairs, which has 4", 2),
    "pepw01000000ff": ("ends with a list that lacks 1 pairs and has 1 bytes of the next one", 2),
    "pepw68656c6c6fR": ("a list that lacks 1819043176 pairs and has 1 bytes of the next one", 2),
    "pepwffffffffR": ("a list that lacks 4294967295 pairs", 2),
    "pepw0100000001000040R": ("wrote what cannot be pairs: External key size exceeded: 1073741825 bytes", 2),
    "pepw0100000000000000ffffffffR": ("External value size exceeded: 4294967295 bytes", 2),
    f"Ew{EMPTY_PAIR}": ("gave more lists than the 8 records that it was sent", 8),
    "Ew00000000": ("gave more lists than the 8 records that it was sent", 8),
    "Ew00": ("in the middle of its output, which ends with 1 bytes of a number of pairs", 8),
    f"pw{EMPTY_PAIR * 100}E": ("gave more lists than the", 8),
    "Ex7": ("exited with status 7 after it had read all its input", 8),
    "Ek6": ("was killed by signal SIGABRT after it had read all its input", 8),
    "pepet**<ERR> no more of this~;x1": ("ended the task: no more of this", 3),
    "Et**<ERR>;": ("ended the task: an **<ERR> line without a reason", 8),
    "pepgx1": ("exited with status 1 after 1 answers", 2),
}


@pytest.mark.parametrize("do", MAPS)
def test_what_a_map_can_do_wrong(inline: LocalCluster, lines: str, do: str) -> None:
    what, record = MAPS[do]
    text = failure(inline, acting(do), lines)
    assert what in text and "the program ext.map/op" in text
    place = f"external map failed at record {record} of {lines}: DiscoError: the program"
    if "100" not in do:  # that one is behind with its answers by chance
        assert place in text, text
    assert "map:0" in text and "Job@" in text


REDUCES = {
    "x0": "exited with status 0 before it had read all its input",
    "x5": "exited with status 5 before it had read all its input",
    "c": "exited with status 0 before it had read all its input",
    "pk11": "was killed by signal SIGSEGV",
    "Rx2": "exited with status 2 after it had read all its input",
    "Rw01000000": "ends with a list that lacks 1 pairs",
    "w0100000001000040R": "External key size exceeded: 1073741825 bytes",
    "pt**<ERR> enough~;R": "ended the task: enough",
}


@pytest.mark.parametrize("do", REDUCES)
def test_what_a_reduce_can_do_wrong(inline: LocalCluster, write: Write, do: str) -> None:
    big = write("big", "x" * 100_000)  # more than a pipe or a buffer takes
    job = acting(do, "reduce", reduce_reader=None)
    text = failure(inline, job, big)
    assert REDUCES[do] in text and "the program ext.reduce/op" in text
    assert "external reduce failed in partition 0" in text and "reduce:0" in text


def test_a_program_that_answers_before_it_reads(inline: LocalCluster, lines: str) -> None:
    source = f"#!{sys.executable} -IS\nimport os, sys\nos.write(1, bytes(4))\nsys.stdin.buffer.read()\n"
    assert "external map failed" in failure(inline, Job(map={"op": source}), lines)
    source = source.replace("import os", "import time, os").replace("sys.stdin", "time.sleep(0.3); sys.stdin")
    assert "wrote an answer before it had read anything" in failure(inline, Job(map={"op": source}), lines)


def test_errors_quote_the_end_of_standard_error(inline: LocalCluster, lines: str) -> None:
    said = "".join(f"line{number}~" for number in range(30))
    with pytest.raises(JobError, match="The end of its standard error: line12 line13") as caught:
        inline.run(acting(f"pt{said}**<MSG> of form~cut off;x4"), input=[lines])
    tail = str(caught.value.__cause__).rpartition("The end of its standard error:\n")[2]
    quoted = [line.strip() for line in tail.splitlines()[:20]]
    assert quoted == [*(f"line{number}" for number in range(12, 30)), "of form", "cut off"]


@pytest.mark.parametrize("stage", ["map", "reduce"])
def test_the_reason_of_a_program_that_says_no_more_is_told_once(inline: LocalCluster, lines: str, stage: str) -> None:
    with pytest.raises(JobError) as caught:
        inline.run(acting("pt**<ERR> enough~;R", stage, **{f"{stage}_reader": None}), input=[lines])
    assert str(caught.value).count("enough") == 1
    with pytest.raises(JobError, match="ended the task: enough The end of its standard error: before enough"):
        inline.run(acting("pt**<MSG> before~**<ERR> enough~;R", stage, **{f"{stage}_reader": None}), input=[lines])


def test_a_line_without_end_takes_no_memory(inline: LocalCluster, lines: str) -> None:
    source = "sys.stderr.write('x' * 3_000_000)\nsys.exit(3)"
    text = failure(inline, Job(map=script(source)), lines)
    assert "exited with status 3" in text and len(text) < 100_000


STARTS: dict[str, tuple[Any, str]] = {
    "no interpreter": ({"op": "#!/no/such\n"}, "the interpreter in the first line of .*ext.map/op, '#!/no/such'"),
    "no program": ({"op": b"\x7fELF and nothing else"}, "Exec format error"),
    "text": ({"op": "just text"}, "is no program; a script needs a first line"),
}


@pytest.mark.parametrize("what", STARTS)
def test_what_cannot_be_started(inline: LocalCluster, lines: str, what: str) -> None:
    program, why = STARTS[what]
    with pytest.raises(JobError, match=f"external map failed.*: the program cannot be started: .*{why}"):
        inline.run(Job(map=program), input=[lines])


def test_a_place_where_nothing_may_be_executed(
    inline: LocalCluster, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chmod", lambda *_: None)  # as on a file system mounted noexec
    with pytest.raises(JobError, match="the program cannot be started: Permission denied: .*ext.map/op"):
        inline.run(acting("E"), input=[lines])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no op": ({"map": {"file": b"x"}}, "map: .*'op'.* missing"),
    "nothing": ({"reduce": {}}, "reduce: .*'op'.* missing"),
    "empty op": ({"reduce": {"op": b""}}, "reduce: .*'op'.* empty"),
    "path": ({"map": {"op": b"x", "a/b": b""}}, "map: .*one directory, so 'a/b'"),
    "parent": ({"map": {"op": b"x", "..": b""}}, "map: .*one directory, so '..'"),
    "zero": ({"map": {"op": b"x", "a\0": b""}}, "map: .*one directory, so 'a.x00'"),
    "number": ({"map": {"op": b"x", 3: b""}}, "map: .*one directory, so 3"),
    "content": ({"map": {"op": b"x", "a": 3}}, "map: the file 'a' .* not 3"),
    "op": ({"map": {"op": 7}}, "map: the file 'op' .* not 7"),
    "params of nothing": ({"map": lambda line, params: [], "ext_params": {"a": "b"}}, "ext_params belong to external"),
    "params": ({"map": {"op": b"x"}, "ext_params": {"a": 1}}, "ext_params must be a dict of texts, or a text; 1 is"),
    "list": ({"map": {"op": b"x"}, "ext_params": [1]}, r"ext_params must be .* not \[1\]"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_at_submission(inline: LocalCluster, what: str) -> None:
    parameters, why = REFUSED[what]
    before = inline.joblist()
    with pytest.raises(DiscoError, match=why):
        inline.run(Job(**parameters), input=["raw://x"])
    assert inline.joblist() == before


def test_what_is_refused_when_it_is_packaged(write: Write) -> None:
    from discolocal.util import external

    one, other = write("a/name", "x"), write("b/name", "y")
    for files, why in (([], "at least one file"), ([one, one, other], "would have the name 'name'")):
        with pytest.raises(DiscoError, match=why):
            external(files)
    with pytest.raises(FileNotFoundError, match="no such"):
        external([str(Path(one).parent / "no such")])


def entries(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
    yield from ("a", "b", params)


@pytest.mark.parametrize("entry", [7, None, ("k", 1), ("k",), ("k", "v", "w"), ["k", "v"], "\ud800"])
def test_a_record_that_cannot_be_sent(inline: LocalCluster, lines: str, entry: Any) -> None:
    text = failure(inline, acting("E", map_reader=entries, params=entry), lines)
    assert f"external map failed at record 3 of {lines}: " in text
    assert f"entry: {entry!r}" in text


def test_a_pair_that_cannot_be_sent_to_a_reduce(inline: LocalCluster, lines: str) -> None:
    job = acting("E", "reduce", map=lambda line, params: [(line, 1)])
    assert "external reduce failed in partition 0, after 0 pairs: TypeError" in failure(inline, job, lines)


def fails(key: bytes, count: int, params: Any) -> int:
    if b"line 5" in key:
        raise KeyError("five")
    return 0


def keyed(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
    for line in stream:
        yield line, ""


def test_a_function_that_fails_on_a_pair_names_the_record_of_it(inline: LocalCluster, lines: str) -> None:
    for do in ("E", "B"):
        job = acting(do, map_reader=keyed, partition=fails, partitions=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PortabilityWarning)
            text = failure(inline, job, lines)
        assert f"partition failed at record 5 of {lines}: KeyError: 'five' (key: b'line 5\\n')" in text


def test_a_combiner_of_numbers_is_told_of_bytes(inline: LocalCluster, lines: str) -> None:
    from discolocal.worker.classic.func import sum_combiner

    text = failure(inline, acting("E", map_reader=keyed, combiner=sum_combiner), lines)
    assert f"map or its sum_combiner failed at record 1 of {lines}: TypeError" in text
    assert r"entry: the pair (b'line 1\n', b'')" in text


def second(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
    for number, line in enumerate(stream, 1):
        if number == 3 and "bad" in url:
            raise DataError("damaged", url)
        yield line


def test_the_record_is_that_of_the_replica_it_came_from(inline: LocalCluster, write: Write) -> None:
    bad, good = write("bad", LINES), write("good", LINES)
    for do, place in (("pex0", f"record 2 of {bad}"), ("pepex0", f"record 3 of {good}")):
        with pytest.raises(JobError, match=f"external map failed at {place}"):
            inline.run(acting(do, map_reader=second), input=[[bad, good]])


# Programs that do not end


def test_a_map_that_stays_is_ended(inline: LocalCluster, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from discolocal.worker.classic import exchange

    monkeypatch.setattr(exchange, "GRACE", 0.1)
    monkeypatch.setattr(child, "GRACE", 0.1)
    for do in ("Es", "Ecs", "Egs"):
        results = inline.run(acting(do), input=[lines])
        assert len(list(results)) == 8
        assert any("was still there" in text for _, (_, _, text) in results.job.events())


def test_what_a_program_has_started_does_not_keep_its_task(inline: LocalCluster, lines: str) -> None:
    assert len(list(inline.run(acting("Eg"), input=[lines]))) == 8


def test_a_map_that_keeps_its_answers_back_is_told(inline: LocalCluster, lines: str) -> None:
    """By the system's word on what it waits for, so on Linux alone."""
    if not os.path.exists("/proc/self/syscall"):
        pytest.skip("this system does not tell what a process waits for")
    with pytest.warns(PortabilityWarning, match="external-flush") as told:
        assert len(list(inline.run(acting("B"), input=[lines]))) == 8
    assert [warning.message.code for warning in told if hasattr(warning.message, "code")] == ["external-flush"]
    with pytest.raises(JobError, match="external-flush"):
        inline.run(acting("B"), strict=True, input=[lines])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(inline.run(acting("E"), strict=True, input=[lines]))) == 8


def children(mark: str) -> list[int]:
    """Processes whose program has `mark` in its path."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and mark in os.readlink(f"/proc/{name}/exe"):
                found.append(int(name))
    return found


def eventually(condition: Callable[[], object]) -> Any:
    end = time.monotonic() + 20
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


@pytest.fixture(params=["fork", "exec"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster of its own, whose directory is in the paths of its programs."""
    with LocalCluster(nodes=1, start=request.param, root=tmp_path / "cluster", max_failures=0) as started:
        yield started


def test_a_silent_program_lives_as_long_as_its_job_and_its_worker(processes: LocalCluster, lines: str) -> None:
    mark = str(processes.root)
    for end in ("kill the job", "kill the worker", "close"):
        handle = processes.submit(acting("ps"), input=[lines])
        assert eventually(lambda: children(f"{mark}/"))
        if end == "kill the job":
            processes.kill(handle.name)
        elif end == "kill the worker":
            (program,) = children(f"{mark}/")
            with open(f"/proc/{program}/stat") as file:
                os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
            with pytest.raises(JobError, match="SIGKILL"):
                processes.wait(handle.name)
        else:
            processes.close()
        assert eventually(lambda: not children(f"{mark}/")), end


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_a_silent_program_ends_with_a_caller_that_is_killed(program: Program, start: str) -> None:
    """The caller is a process of its own, to be killed."""
    script = program.write(
        "script.py",
        "from discolocal import LocalCluster\nfrom tests.behaviour.actor import acting\n"
        "if __name__ == '__main__':\n"
        f"    LocalCluster(nodes=1, start={start!r}).run(acting('ps'), input=['raw://x'])\n",
    )
    caller = program.start(script)
    assert eventually(lambda: children(f"{program.tmp}/discolocal-"))
    caller.kill()
    assert program.gone_within(10) == []


def test_a_silent_program_ends_with_its_node(processes: LocalCluster, lines: str) -> None:
    processes.submit(acting("ps"), input=[lines])
    assert eventually(lambda: children(f"{processes.root}/"))
    for pid in processes._holding.executor.pids().values():
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not children(f"{processes.root}/"))


def test_an_interrupt_ends_a_program_of_an_inline_task(inline: LocalCluster, lines: str) -> None:
    mark = str(inline.root)
    ended: list[object] = []

    def interrupt() -> None:
        ended.append(eventually(lambda: children(f"{mark}/")))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        inline.run(acting("pgs"), input=[lines])
    thread.join()
    assert ended[0] and eventually(lambda: not children(f"{mark}/"))


def test_an_interrupt_while_a_program_starts_leaves_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    start: Any = vars(subprocess.Popen)["_execute_child"]
    pids: list[int] = []

    def interrupted(self: Any, *args: Any) -> None:
        start(self, *args)
        pids.append(self.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(child._Process, "_execute_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.Child(["/bin/cat"], "/", None, print)
    with pytest.raises(ChildProcessError):  # it has ended, and was waited for
        os.waitpid(pids[0], os.WNOHANG)


def test_nothing_is_left_open(inline: LocalCluster, lines: str) -> None:
    inline.run(acting("E"), input=[lines])
    before = os.listdir("/proc/self/fd")
    for do in ("E", "x3", "pk9"):
        with contextlib.suppress(JobError):
            inline.run(acting(do), input=[lines])
    with contextlib.suppress(JobError):
        inline.run(Job(map={"op": "#!/no/such"}), input=[lines])
    assert len(os.listdir("/proc/self/fd")) == len(before)


# What a cluster does otherwise


def codes(warned: Any) -> list[str]:
    return [one.message.code for one in warned if isinstance(one.message, PortabilityWarning)]


@pytest.mark.filterwarnings("default::discolocal.error.PortabilityWarning")
@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("external-program", {"map": script("for pair in pairs(): answer(pair)")}),
        ("external-files", {"map": {"op": None, "conf": b""}, "ext_params": {"do": "E"}}),
        ("external-params", {"map": {"op": None}, "ext_params": "9\n2 do 1 E\n"}),
    ],
)
def test_traps_of_a_cluster(inline: LocalCluster, code: str, parameters: dict[str, Any]) -> None:
    from discolocal.report import check

    program = {name: content or compiled("actor.c") for name, content in parameters["map"].items() if name == "op"}
    job = Job(**{**parameters, "map": {**parameters["map"], **program}})
    with pytest.warns(PortabilityWarning) as told:
        inline.run(job, input=["raw://x"])
    assert codes(told) == [code]
    with pytest.raises(PortabilityWarning, match=code):
        inline.run(job, strict=True, input=["raw://x"])
    assert check(job, inline, input=["raw://x"]).codes == [code]


def test_a_program_in_order_is_not_complained_about(inline: LocalCluster) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = Job(map=actor(), reduce=actor(), ext_params={"do": "E"})
        assert list(inline.run(job, strict=True, input=["raw://x"])) == [(b"", b"x")]
