"""The workers of examples/workers: complete programs in several languages that need nothing of discolocal.

They run real jobs on a cluster, where an independent count says what is right, and are driven one task at a time
through the master's end of the protocol, for what a healthy cluster does not do. Processes are what is tested.
"""

from __future__ import annotations

import collections
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, JobError, JobPack, LocalCluster, result_iterator
from discolocal.wire.protocol import FrameParser
from discolocal.wire.session import Reply, Session, TaskInput
from examples.workers.make_pack import make_pack
from tests.conftest import REQUIRED

ROOT = Path(__file__).resolve().parents[1]
WORKERS = ROOT / "examples" / "workers"
LANGUAGES = ("c", "python", "shell")
LIBRARY = Path(os.__file__).parent

ODD = b'tabs\tand\x0bother\x0cblanks \r\n\r\n  two  two\nna\xc3\xafve \xff\xfe bytes \x01 "quoted\\" no end'


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker in C, built by make as its Makefile says: any warning is an error."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        (pytest.fail if REQUIRED else pytest.skip)("there is no C compiler or no make here")
    build = tmp_path_factory.mktemp("workers")
    made = subprocess.run(["make", "-C", str(WORKERS), f"BUILD={build}"], capture_output=True, text=True)
    assert made.returncode == 0 and "warning" not in made.stderr, made.stdout + made.stderr
    return build / "wordcount-c"


def with_shell(name: str, path: Path) -> Path:
    """The worker in shell for another shell than the system's `sh`."""
    copy = path / f"wordcount-{name}.sh"
    _, _, rest = (WORKERS / "wordcount.sh").read_text().partition("\n")
    copy.write_text(f"#!{shutil.which(name)}\n{rest}")
    return copy


@pytest.fixture(params=LANGUAGES)
def worker(request: pytest.FixtureRequest) -> Path:
    """The program of a worker."""
    if request.param == "c":
        return request.getfixturevalue("compiled")
    return WORKERS / ("wordcount.py" if request.param == "python" else "wordcount.sh")


@pytest.fixture(scope="module", params=["exec", "fork"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """Three nodes; a program is executed by a cluster that forks its own workers, too."""
    with LocalCluster(nodes=3, start=request.param, max_failures=1, seed=5) as started:
        yield started


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Real texts, and some that are not as texts should be."""
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "blank.txt").write_bytes(b" \n\n\t")
    (tmp_path / "odd.txt").write_bytes(ODD)
    sources = sorted(LIBRARY.glob("*.py"))[:8]
    assert len(sources) == 8
    return [*sources, *(tmp_path / f"{name}.txt" for name in ("empty", "blank", "odd"))]


def count(*texts: Path | bytes) -> collections.Counter[bytes]:
    counts: collections.Counter[bytes] = collections.Counter()
    for text in texts:
        counts.update((text if isinstance(text, bytes) else text.read_bytes()).split())
    return counts


def counted(records: Any) -> collections.Counter[bytes]:
    """The records of results as a count; a word that comes twice is an error."""
    counts: collections.Counter[bytes] = collections.Counter()
    for word, number in records:
        key = word.encode("utf-8", "surrogateescape")
        assert key not in counts, f"{word!r} comes twice"
        counts[key] = int(number)
    return counts


# Whole jobs


def test_the_words_of_real_texts_are_counted(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pack = make_pack(worker, [*map(str, texts), "raw://caf\u00e9 the \U0001f600"], 4)
    results = cluster.run(pack.dumps())
    assert counted(results) == count(*texts, "caf\u00e9 the \U0001f600".encode())
    assert len(results.urls) == 4, "one task for each label"
    stages = [row[0] for row in cluster.jobinfo(results.job.name)["pipeline"]]
    assert stages == ["map", "reduce"]
    said = [text for _, (_, host, text) in cluster.events(results.job.name) if text.startswith("MSG")]
    assert len(said) == len(texts) + 1 and all(text.endswith("different words") for text in said)


@pytest.mark.parametrize("partitions", [1, 23])
def test_any_number_of_partitions(cluster: LocalCluster, worker: Path, texts: list[Path], partitions: int) -> None:
    results = cluster.run(make_pack(worker, list(map(str, texts)), partitions).dumps())
    assert counted(results) == count(*texts)
    assert len(results.urls) == partitions


def test_all_languages_write_the_same_files(compiled: Path, texts: list[Path]) -> None:
    found = []
    with LocalCluster(nodes=2, start="exec") as cluster:
        for path in (compiled, WORKERS / "wordcount.py", WORKERS / "wordcount.sh"):
            results = cluster.run(make_pack(path, list(map(str, texts)), 3).dumps())
            homes = Path(cluster.data).glob(f"node*/*/{results.job.name}/wordcount/*")
            found.append({path.name: path.read_bytes() for path in homes})
    assert found[0] == found[1] == found[2]
    maps, reduces = ([name for name in found[0] if name.startswith(stage)] for stage in ("map", "reduce"))
    assert len(reduces) == 3 and len(maps) > 3 and len(found[0]) == len(maps) + len(reduces)


@pytest.mark.parametrize("shell", ["bash", "dash", "ksh"])
def test_the_worker_in_shell_runs_in_any_shell(shell: str, texts: list[Path], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    with LocalCluster(nodes=2, start="exec", max_failures=0) as cluster:
        results = cluster.run(make_pack(with_shell(shell, tmp_path), list(map(str, texts)), 3).dumps())
        assert counted(results) == count(*texts)


def test_the_pack_is_the_same_job_for_any_master(worker: Path) -> None:
    pack = make_pack(worker, ["raw://a"], 2)
    again = JobPack.loads(pack.dumps())
    assert (again.version, again.jobdict["worker"], again.jobdata) == (2, worker.name, b"2")
    assert again.jobdict["inputs"] == [[0, 0, ["raw://a"]]]


def test_another_replica_is_read_where_the_first_cannot(
    cluster: LocalCluster, worker: Path, texts: list[Path], tmp_path: Path
) -> None:
    pack = make_pack(worker, [])
    missing = [str(tmp_path / "gone.txt"), "ftp://localhost/gone", "disco://node1/disco/node1/gone"]
    pack.jobdict["inputs"] = [[0, 0, [*missing, str(texts[0])]], [0, 0, [str(texts[1]), *missing]]]
    assert counted(cluster.run(pack.dumps())) == count(*texts[:2])


def test_an_input_that_is_missing_is_named(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pack = make_pack(worker, [str(texts[0]), "/no/such/place/gone.txt"])
    with pytest.raises(JobError) as failed:
        cluster.run(pack.dumps())
    assert "failed 2 times" in str(failed.value)
    assert "input 0 cannot be read: /no/such/place/gone.txt (" in str(failed.value)
    assert "No such file" in str(failed.value)
    assert counted(cluster.run(make_pack(worker, [str(texts[0])]).dumps())) == count(texts[0])


def test_an_inline_cluster_refuses_programs() -> None:
    pack = make_pack(WORKERS / "wordcount.py", ["raw://a"])
    with LocalCluster(nodes=1, start="inline") as inline:
        with pytest.raises(DiscoError, match="'wordcount.py' is a program of its own"):
            inline.submit(pack.dumps())
        assert inline.joblist() == []


def test_nonsense_in_the_job_data_ends_the_job_at_once(cluster: LocalCluster, worker: Path) -> None:
    pack = make_pack(worker, ["raw://a"])
    pack.jobdata = b"many"
    with pytest.raises(JobError, match="not a number of partitions") as failed:
        cluster.run(pack.dumps())
    assert "times" not in str(failed.value)


def wait_for(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def open_for_reader(pipe: Path) -> int | None:
    """Open a named pipe for writing once somebody reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO
        return None


def write_to_reader(descriptor: int, data: bytes) -> int:
    """Write to a named pipe if somebody reads from it; how much was written."""
    try:
        return os.write(descriptor, data)
    except BrokenPipeError:
        return 0


def test_a_worker_that_is_killed_is_replaced(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pipe = texts[-1].parent / "pipe"
    os.mkfifo(pipe)
    job = cluster.submit(make_pack(worker, [str(pipe), str(texts[0])]).dumps())

    def events() -> str:
        return "\n".join(text for _, (_, _, text) in cluster.events(job.name))

    descriptor = wait_for(lambda: open_for_reader(pipe))
    wait_for(lambda: "Received results" in events())  # the other map task
    (pid,) = cluster.worker_pids()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "failures so far" in events())
    # This end stays open meanwhile: without a writer the next attempt would read an empty file.
    wait_for(lambda: write_to_reader(descriptor, ODD))
    os.close(descriptor)
    assert counted(result_iterator(cluster.wait(job.name))) == count(texts[0], ODD)
    assert "Worker crashed! (exit code: 137)" in events()


# Single tasks


class Conversation:
    """A worker in a directory of its own and the master's end of its protocol; `ends` is what it said last."""

    def __init__(self, program: Path, home: Path, partitions: int = 1, **task: Any) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        (home / "jobfile").write_bytes(make_pack(program, ["raw://a"], partitions).dumps())
        self.task = {
            "taskid": 7, "master": "http://localhost:8989", "disco_port": 1, "put_port": 2, "ddfs_data": "/nowhere",
            "disco_data": str(home), "stage": "map", "grouping": "split", "group": [0, ""],
            "jobfile": str(home / "jobfile"), "jobname": "Job@1:2:3", "host": "here",
        }  # fmt: skip
        self.task |= task
        self.asked: list[tuple[str, Any]] = []
        self._process = subprocess.Popen(
            [str(program)],
            cwd=home,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._parser = FrameParser()
        self._watchdog = threading.Timer(30, self._process.kill)
        self._watchdog.start()

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """What the worker says, up to the end of its output."""
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):
            self._parser.feed(data)
            while (frame := self._parser.next()) is not None:
                self.asked.append((frame[0], json.loads(frame[1])))
                yield frame
        assert self._parser.pending == b""

    def send(self, data: bytes, pieces: int = 1 << 20) -> None:
        """Send bytes in pieces of a size."""
        assert self._process.stdin is not None
        for start in range(0, len(data), pieces):
            self._process.stdin.write(data[start : start + pieces])

    def close(self) -> int:
        """End of the replies; the exit code."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            return self._process.wait()
        finally:
            self._watchdog.cancel()

    def answer(self, session: Session, pieces: int = 1 << 20) -> Reply:
        """Answer as a master does until the task ends."""
        for name, body in self.messages():
            reply = session.receive(name, body, 0.0)
            if reply.data is not None:
                self.send(reply.data, pieces)
            if reply.end is not None:
                self.close()
                return reply
        self.close()
        raise AssertionError(f"the worker ended without a word after {self.asked}")

    def run(self, *inputs: TaskInput, pieces: int = 1 << 20) -> tuple[str, str, dict[int, bytes]]:
        """Do the whole task; how it ended, and the outputs by label, whose sizes must be right."""
        session = Session(self.task, inputs)
        end = self.answer(session, pieces).end
        assert end is not None
        outputs = {}
        for label, location, size in session.outputs:
            outputs[label] = (self.home / location).read_bytes()
            assert len(outputs[label]) == size
        assert not list(self.home.rglob("*.partial"))
        return end.kind, end.text, outputs


def records(counts: dict[bytes, int]) -> bytes:
    return b"".join(b"%d %b %d %d\n" % (len(w), w, len(str(n)), n) for w, n in sorted(counts.items()))


def test_replies_that_come_in_single_bytes(worker: Path, tmp_path: Path) -> None:
    ended = Conversation(worker, tmp_path / "home").run(TaskInput(0, ["raw://b caf\u00e9 \U0001f600 b"]), pieces=1)
    assert ended == ("done", "", {0: records({b"b": 2, "caf\u00e9".encode(): 1, "\U0001f600".encode(): 1})})


def test_the_conversation_of_a_task(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home", 3)
    kind, text, outputs = one.run(TaskInput(0, ["raw://a b c"]))
    assert (kind, text, sorted(outputs)) == ("done", "", [0, 1, 2])
    assert [name for name, _ in one.asked] == ["WORKER", "TASK", "INPUT", *["OUTPUT"] * 3, "MSG", "DONE"]
    assert one.asked[0][1]["version"] == "1.1" and isinstance(one.asked[0][1]["pid"], int)
    # ord("a") is 97: in partition 97 % 3
    assert [outputs[label] for label in (1, 2, 0)] == [records({word: 1}) for word in (b"a", b"b", b"c")]


def test_nothing_is_written_without_words(worker: Path, tmp_path: Path) -> None:
    assert Conversation(worker, tmp_path / "home").run(TaskInput(0, ["raw://"])) == ("done", "", {})
    assert Conversation(worker, tmp_path / "home").run() == ("done", "", {})


def test_it_asks_again_while_there_may_be_more(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [TaskInput(0, ["raw://a"]), TaskInput(0, ["raw://b"])], complete=False)
    ended = None
    for name, body in one.messages():
        reply = session.receive(name, body, 0.0)
        data = reply.data
        if reply.end is not None:
            ended = reply.end.kind
            one.close()
            break
        if data is None:  # it waits for inputs that are to come
            answer = session.extend([TaskInput(0, ["raw://c a"])], complete=True)
            assert answer is not None
            data = answer.data
        assert data is not None
        one.send(data)
    assert ended == "done"
    asked = [payload for name, payload in one.asked if name == "INPUT"]
    assert asked == [["exclude", []], ["exclude", [0, 1]]]
    assert (one.home / session.outputs[0][1]).read_bytes() == records({b"a": 2, b"b": 1, b"c": 1})


def test_the_master_is_told_of_every_url_that_fails(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home")
    inputs = [TaskInput(0, ["raw://fine"]), TaskInput(0, ["/no/a", "gopher://b", "/no/c"])]
    kind, text, outputs = one.run(*inputs)
    assert (kind, outputs) == ("error", {})
    assert text.startswith("input 1 cannot be read: /no/a (") and "gopher://b (" in text and "/no/c (" in text
    told = [payload for name, payload in one.asked if name == "INPUT_ERR"]
    assert told == [[1, [0]], [1, [0, 1]], [1, [0, 1, 2]]]


def node_files(data: Path) -> list[TaskInput]:
    """The files that two map tasks leave on two nodes, labels 0 and 5; returns the inputs of a reduce of label 5."""
    inputs = []
    for node in ("one", "two"):
        home = data / node / "ab" / "Job@1:2:3"
        (home / ".disco").mkdir(parents=True)
        index = b""
        for label, words in ((0, {b"zero": 1}), (5, {b"five": 5, node.encode(): 1})):
            content = records(words)
            (home / f"part-{label}").write_bytes(content)
            index += b"%d disco://%s/disco/%s/ab/Job@1:2:3/part-%d %d\n" % (
                label, node.encode(), node.encode(), label, len(content),
            )  # fmt: skip
        (home / ".disco" / "map.results").write_bytes(index)
        inputs.append(TaskInput(5, [f"dir://{node}/disco/{node}/ab/Job@1:2:3/.disco/map.results"]))
    return inputs


SUMS = records({b"five": 10, b"one": 1, b"two": 1})


def reduce_of(worker: Path, tmp_path: Path, data: Path, port: int = 1) -> Conversation:
    return Conversation(
        worker, tmp_path / "home", stage="reduce", grouping="group_label", group=[5, ""],
        disco_data=str(data), disco_port=port,
    )  # fmt: skip


def test_a_reduce_reads_its_label_of_every_index(worker: Path, tmp_path: Path) -> None:
    inputs = node_files(tmp_path / "data")
    assert reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs) == ("done", "", {5: SUMS})


def test_all_labels_of_an_index(worker: Path, tmp_path: Path) -> None:
    inputs = [TaskInput("all", one.replicas) for one in node_files(tmp_path / "data")]
    kind, _text, outputs = reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)
    assert (kind, outputs) == ("done", {5: records({b"five": 10, b"one": 1, b"two": 1, b"zero": 2})})


@pytest.mark.parametrize("damage", ["short", "long", "gone", "index", "index cut"])
def test_damaged_files_are_errors(worker: Path, tmp_path: Path, damage: str) -> None:
    inputs = node_files(tmp_path / "data")
    home = tmp_path / "data" / "two" / "ab" / "Job@1:2:3"
    part, index = home / "part-5", home / ".disco" / "map.results"
    if damage == "gone":
        part.unlink()
    elif damage == "short":
        part.write_bytes(part.read_bytes()[:-8])
    elif damage == "long":
        part.write_bytes(part.read_bytes() * 2)
    elif damage == "index":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:-4])
    kind, text, outputs = reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)
    assert (kind, outputs) == ("error", {})
    assert "input 1 cannot be read: dir://two/" in text


def test_records_that_are_none_end_the_job(worker: Path, tmp_path: Path) -> None:
    inputs = node_files(tmp_path / "data")
    part = tmp_path / "data" / "two" / "ab" / "Job@1:2:3" / "part-5"
    part.write_bytes(b"x" * len(part.read_bytes()))
    assert reduce_of(worker, tmp_path, tmp_path / "data").run(*inputs)[::2] == ("fatal", {})


class Files(BaseHTTPRequestHandler):
    """A node that serves the files of its data directory; `short` cuts them."""

    data = Path()
    short = False

    def do_GET(self) -> None:
        path = self.data / self.path.removeprefix("/disco/")
        found = self.path.startswith("/disco/") and path.is_file()
        body = path.read_bytes() if found else b"not found"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-1] if self.short else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[False, True], ids=["whole", "short"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Files,), {"data": tmp_path / "elsewhere", "short": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_another_machine_come_by_http(worker: Path, tmp_path: Path, serving: ThreadingHTTPServer) -> None:
    if worker.suffix == ".sh" and shutil.which("curl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("the worker in shell fetches files with curl, which is not here")
    found = [
        TaskInput(5, [url.replace("dir://one/", "dir://localhost/").replace("dir://two/", "dir://localhost/")])
        for one in node_files(tmp_path / "elsewhere")
        for url in one.replicas
    ]
    for index in (tmp_path / "elsewhere").rglob("map.results"):
        text = index.read_text()
        index.write_text(
            text.replace("disco://one/", "disco://localhost/").replace("disco://two/", "disco://127.0.0.1/")
        )
    one = reduce_of(worker, tmp_path, tmp_path / "here", serving.server_port)
    kind, text, outputs = one.run(*found)
    if serving.RequestHandlerClass.short:
        assert (kind, outputs) == ("error", {}) and "input 0 cannot be read: dir://localhost/" in text
    else:
        assert (kind, text, outputs) == ("done", "", {5: SUMS})


def frame(name: str, body: str) -> bytes:
    return f"{name} {len(body)} {body}\n".encode()


HELLO = frame("OK", '"ok"')


@pytest.mark.parametrize(
    "replies",
    [
        [frame("FAIL", '""')],
        [frame("OK", "oops")],
        [b'OK 3 "ok"\n'],
        [b'OK four "ok"\n'],
        [HELLO, frame("TASK", '""')],
        [HELLO, frame("TASK", '{"stage": "map"}')],
        [HELLO, frame("TASK", '{"stage": ')],
        [HELLO, HELLO],
        [HELLO, None, frame("INPUT", '"no"')],
        [HELLO, None, frame("INPUT", '["maybe", []]')],
        [HELLO, None, frame("INPUT", '["done", [[]')],
        [HELLO, None, frame("RETRY", "[]")],
    ],
    ids=lambda replies: repr(replies[-1]),
)
def test_replies_without_meaning_end_the_job(worker: Path, tmp_path: Path, replies: list[bytes | None]) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [])
    todo = list(replies)
    for name, body in one.messages():
        if name in ("FATAL", "ERROR"):
            break
        data = todo.pop(0)
        one.send(session.receive(name, body, 0.0).data or b"" if data is None else data)
    assert one.asked[-1][0] == "FATAL" and one.asked[-1][1]
    assert one.close() == 1
    assert len(one.asked) == len(replies) + 1


def test_an_unknown_stage_ends_the_job(worker: Path, tmp_path: Path) -> None:
    kind, text, _outputs = Conversation(worker, tmp_path / "home", stage="mapp").run(TaskInput(0, ["raw://a"]))
    assert (kind, text) == ("fatal", "this worker has the stages map and reduce, not mapp")


@pytest.mark.parametrize("replies", [0, 1, 2])
def test_it_ends_when_the_master_is_gone(worker: Path, tmp_path: Path, replies: int) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [TaskInput(0, ["raw://a"])])
    for name, body in one.messages():
        if replies == 0:
            break
        replies -= 1
        one.send(session.receive(name, body, 0.0).data or b"")
    assert one.close() != 0


def test_a_directory_that_cannot_be_written_is_an_error(worker: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "wordcount").mkdir()
    (home / "wordcount" / "map-7-0").mkdir()  # in the way of the output
    (home / "wordcount" / "map-7-0" / "file").touch()
    kind, text, outputs = Conversation(worker, home).run(TaskInput(0, ["raw://a"]))
    assert kind == "error" and outputs == {}, text


def test_the_worker_in_python_needs_nothing_else() -> None:
    source = (WORKERS / "wordcount.py").read_text()
    assert source.startswith("#!/usr/bin/env python3\n")
    checked = subprocess.run(
        [sys.executable, "-I", "-S", str(WORKERS / "wordcount.py")], stdin=subprocess.DEVNULL, capture_output=True
    )
    parser = FrameParser()
    parser.feed(checked.stderr)
    first = parser.next()
    assert first is not None and first[0] == "WORKER" and parser.pending == b"" and checked.returncode == 1


def test_the_maker_of_packs_is_a_command(tmp_path: Path) -> None:
    out = tmp_path / "words.jobpack"
    command = [sys.executable, str(WORKERS / "make_pack.py"), str(WORKERS / "wordcount.sh"), "-o", str(out)]
    subprocess.run(
        [*command, "--partitions", "2", "raw://x y", "a.txt"], check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    pack = JobPack.load(io.BytesIO(out.read_bytes()))
    assert pack.jobdict["inputs"] == [[0, 0, ["raw://x y"]], [0, 0, [str(tmp_path / "a.txt")]]]
    assert pack.jobdata == b"2"
