"""Recorded jobs are run again, on a cluster that executes their workers, and have the same course.

A recording says what scripted workers told a real master, what they were answered, what the master wrote down and how
the job ended. Here a worker plays the same part, at the same points, in a pack made of what the recording tells.
Processes, because the whole way from a pack to its events is tested.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from discolocal import DiscoError, JobError, JobPack, LocalCluster, PortabilityWarning
from tests.behaviour import player

SPEED = 0.03
"""How long a scripted worker waits, as a part of the recorded time; shorter than the cluster's own patience below."""

FLOOD = "here nobody is killed for many messages: the job goes on, and warns"
DIFFERENT = {
    "flood10": FLOOD,
    "flood_nowait": FLOOD,
    "flood_wait": FLOOD,
    "save_missing": "the master's program fails at a missing file; here the failure says what is missing",
    "concurrent": "when tasks end is not left to chance, and no task is counted that does not wait",
    "out_dotdot": "a file outside the job home is no output: the task fails",
    "msg_unicode": "the worker was driven by hand after two messages, in a way that the recording does not show",
}
"""Recordings that go another way here, and why; each has a test of its own below."""

GROUPINGS = {  # of stages without tasks, which a recording does not show
    "no_outputs_next": {"next": "group_label"},
    "no_inputs": {"map": "split"},
    "no_inputs_all": {"map": "split", "reduce": "group_all"},
    "done_no_hello": {"map": "split"},
}

JOB = {
    "save_results": {"save_results": True},
    "save_missing": {"save_results": True},
    "max_cores1": {"scheduler": {"max_cores": 1}},
}
"""What the job dicts of these recordings had besides."""


class Recording:
    """A recorded job: its workers' rows by task, in order of their attempts, and what the master made of it."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        self.case = path.stem
        self.name: str = data["job"]
        self.status, self.results = data["get_results"]
        self.info = json.loads(data["jobinfo"][1])
        self.events = [tuple(json.loads(line)[1:]) for line in data["rawevents"] if line]
        self.workers = [[row for row in worker["timeline"] if row[1] != "meta"] for worker in data["workers"]]
        self.places = [worker["timeline"][0][2] for worker in data["workers"]]
        self.tasks: list[dict[str, Any]] = [task for rows in self.workers if (task := _task(rows))]

    @property
    def by(self) -> str:
        """How a worker knows its part: by the order of starts where there is but one task, else by its task's id.

        A master gives the ids of some groups in the order of a hash table: there it is the group.
        """
        if len({task["taskid"] for task in self.tasks}) <= 1:
            return "start"
        return "group" if self.case == "group_group_node_label" else "task"

    @property
    def attempts(self) -> dict[str, list[Any]]:
        """The rows of each attempt, by the keys that `by` says."""
        if self.by == "start":
            return {"start": self.workers}
        found: dict[str, list[Any]] = {}
        for rows, task in zip(self.workers, self.tasks):
            label, host = task["group"]
            key = str(task["taskid"]) if self.by == "task" else f"{task['stage']}-{label}-{host}"
            found.setdefault(key, []).append(rows)
        return found

    @property
    def failures(self) -> int:
        """How many attempts of a job that was then killed by hand had failed."""
        return sum("failures so far" in text for _, text in self.events)

    def pack(self, **more: Any) -> bytes:
        """The job's pack, with a worker that plays the recorded part."""
        groupings = {"map": "split"} | GROUPINGS.get(self.case, {})
        groupings |= {task["stage"]: task["grouping"] for task in self.tasks}
        jobdict = {
            "prefix": self.name.partition("@")[0],
            "worker": self.info["worker"],
            "owner": self.info["owner"],
            "scheduler": {},
            "pipeline": [[row[0], groupings[row[0]], False] for row in self.info["pipeline"]],
            "inputs": self._inputs(),
        }
        envs = self.places[0]["env"] if self.case == "jobenvs" else {}
        envs = {name: envs[name] for name in ("DISCO_DATA", "DISCO_MASTER", "FOO") if name in envs}
        return JobPack(2, jobdict | JOB.get(self.case, {}) | more, envs, self._home(), b"").dumps()

    def _inputs(self) -> list[Any]:
        """The inputs in the order of the job: [label, size, replicas]. Those nobody saw have one url each."""
        first = self.info["pipeline"][0][0] if self.info["pipeline"] else ""
        rows: dict[str, Any] = {}
        for worker in self.workers:
            task = _task(worker)
            if task and task["stage"] == first:
                for name, body in _replies(worker):
                    for _, _, label, replicas in json.loads(body)[1] if name == "INPUT" else ():
                        urls = [url for _, url in sorted(replicas)]
                        if urls and urls[0] not in rows:
                            rows[urls[0]] = [label, 0, urls]
        replicas = {url for row in rows.values() for url in row[2][1:]}
        return [rows.get(url, [0, 0, [url]]) for url in self.info["inputs"] if url not in replicas]

    def _home(self) -> bytes:
        script = {
            "by": self.by,
            "beginning": [row[2] for row in self.workers[0] if row[1] == "W>M"][:2] if self.workers else [],
            "speed": 0.35 if self.case == "flood9" else SPEED,  # a second must pass between its bursts
            "attempts": self.attempts,
            "writes": self.case == "save_results",
        }
        home = io.BytesIO()
        with zipfile.ZipFile(home, "w") as archive:
            archive.write(player.__file__, self.info["worker"])
            archive.writestr("script.json", json.dumps(script))
        return home.getvalue()


def _replies(rows: list[Any]) -> Iterator[tuple[str, str]]:
    """Names and payloads of what a worker was answered."""
    for _, kind, text in rows:
        if kind == "M>W" and text != "EOF":
            for line in text.splitlines():
                name, _, body = line.split(" ", 2)
                yield name, body


def _task(rows: list[Any]) -> dict[str, Any] | None:
    """What a worker was told about its task, if it asked."""
    return next((json.loads(body) for name, body in _replies(rows) if name == "TASK"), None)


class Course(NamedTuple):
    """What came of a job here."""

    cluster: LocalCluster
    name: str
    urls: list[list[str]]
    error: JobError | None
    events: list[tuple[str, str]]

    def heard(self, key: str, attempt: int) -> list[str]:
        """The replies that a worker got."""
        (path,) = Path(self.cluster.data).glob(f"node1/*/{self.name}/heard-{key}-{attempt}")
        return path.read_text().splitlines()

    def place(self, key: str = "start", attempt: int = 0) -> dict[str, Any]:
        """Where a worker ran."""
        (path,) = Path(self.cluster.data).glob(f"node1/*/{self.name}/place-{key}-{attempt}")
        place: dict[str, Any] = json.loads(path.read_text())
        return place


Start = Callable[..., Course]


@pytest.fixture(scope="module")
def ordinary() -> Iterator[LocalCluster]:
    """The cluster of one node that most recordings share."""
    # The seed draws the same one of several hosts for a group as the recorded master did.
    with LocalCluster(nodes=1, start="exec", timeouts=0.1, seed=1) as cluster:
        yield cluster


@pytest.fixture
def run(ordinary: LocalCluster) -> Iterator[Start]:
    """Run a recording again: on the shared cluster, or on one with another patience."""
    others: list[LocalCluster] = []

    def run(recording: Recording, max_failures: int = 3, timeouts: float = 0.1, slots: int = 1, **more: Any) -> Course:
        cluster = ordinary
        if (max_failures, timeouts, slots) != (3, 0.1, 1):
            cluster = LocalCluster(1, slots, start="exec", max_failures=max_failures, timeouts=timeouts)
            others.append(cluster)
        name = cluster.submit(recording.pack(**more)).name
        urls, error = [], None
        try:
            urls = list(cluster.wait(name, timeout=30))
        except JobError as failed:
            error = failed
        return Course(cluster, name, urls, error, [(host, text) for _, (_, host, text) in cluster.events(name)])

    yield run
    for cluster in others:
        cluster.close()


def plain(text: str) -> str:
    """A text without what differs from run to run and from machine to machine."""
    for pattern, to in (
        (r"\bnode1\b", "localhost"),
        (r"\b\w+@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+", "JOB"),
        (r"/[0-9a-f]{2}/JOB", "/HH/JOB"),
        (r"-\d+\.results", "-TIME.results"),
        (r"\d+:\d\d:\d\d\.\d{3}", "DURATION"),
        (r"Sleeping \d+ seconds", "Sleeping N seconds"),
    ):
        text = re.sub(pattern, to, text)
    # A master breaks long terms into lines.
    return re.sub(r"\s+", "", text) if "Invalid message body" in text else text


def plain_urls(urls: list[str] | str) -> list[str] | str:
    """A result: the urls of an output, or that of a tag."""
    return plain(urls) if isinstance(urls, str) else list(map(plain, urls))


def plain_reply(line: str) -> str:
    """A reply without what differs; the length of a frame must be right, and then means nothing."""
    name, length, body = line.split(" ", 2)
    assert int(length) == len(body)
    if name == "TASK":
        task = json.loads(body)
        task.pop("discolocal", None)  # our own addition
        for key in ("master", "disco_data", "ddfs_data", "jobfile"):
            assert isinstance(task[key], str)
            task[key] = key
        body = json.dumps(task)
    return f"{name} {plain(body)}"


Events = list[tuple[str, str]]


def attempts_of(events: Events) -> dict[str, list[Events]]:
    """The events about each task, cut into its attempts; those of the job itself under ""."""
    found: dict[str, list[Events]] = {"": [[]]}
    for host, text in events:
        host, text = plain(host), plain(text)
        if started := re.fullmatch(r"(\w+:\d+) assigned to localhost", text):
            found.setdefault(started[1], []).append([])
            continue
        about = re.match(r"(?:[A-Z]+: \[|Task )(\w+:\d+)\b", text)
        attempts = found.setdefault(about[1], [[]]) if about else found[""]
        attempts[-1].append((host, text))
    return found


def same_events(ours: Events, theirs: Events, upto: int | None = None, by: str = "task") -> None:
    """Compare events; `upto` attempts of a task where the recorded job was killed by hand after them.

    With `by="group"` the numbers of tasks mean nothing.
    """
    if by == "group":
        here, there = (
            sorted(re.sub(r"(\w+):\d+\b", r"\1:N", plain(text)) for _, text in found) for found in (ours, theirs)
        )
        assert here == there
        return
    here, there = attempts_of(ours), attempts_of(theirs)
    if upto is not None:
        killed = ("master", "WARN: Job killed")
        for found in (here, there):
            found[""][0] = [event for event in found[""][0] if event != killed]
        there = {task: attempts if not task else attempts[:upto] for task, attempts in there.items()}
    assert here.keys() == there.keys()
    assert here[""] == there[""]
    for task in there:
        assert len(here[task]) == len(there[task]), task
        for our, their in zip(here[task], there[task]):
            if upto is not None:  # the last of them is given up here, and slept for there
                our, their = ([e for e in es if "fail" not in e[1]] for es in (our, their))
            assert [event if event in their else _bare(event) for event in our] == their, task


def _bare(event: tuple[str, str]) -> tuple[str, str]:
    """The event of a worker's death as a master words it: ours has a line in front, for the headline of an error."""
    host, text = event
    found = re.match(r"(WARNING: \[\w+:\d+\] )[^\n]*\n(.*)", text, re.DOTALL)
    return (host, found[1] + found[2]) if found else event


def same_replies(course: Course, recording: Recording, upto: int | None = None) -> None:
    """Compare what every worker heard."""
    for key, attempts in recording.attempts.items():
        for number, rows in enumerate(attempts[:upto]):
            theirs = [plain_reply(f"{name} {len(body)} {body}") for name, body in _replies(rows)]
            ours = list(map(plain_reply, course.heard(key, number)))
            if recording.by == "group":
                ours, theirs = ([re.sub(r'"taskid": \d+|map-\d-', "N", line) for line in ls] for ls in (ours, theirs))
            assert ours == theirs, (key, number)


def cases(golden: Path) -> list[Path]:
    return sorted(path for folder in ("scripted", "groupings") for path in golden.glob(f"protocol_{folder}/*.json"))


def names() -> list[Any]:
    """The recordings that go the same way here. Without golden files there is one test, which says so."""
    from tests.conftest import golden_root

    root = golden_root()
    return [path.stem for path in cases(root) if path.stem not in DIFFERENT] if root else [""]


def recording_of(golden: Path, case: str) -> Recording:
    (path,) = [path for path in cases(golden) if path.stem == case]
    return Recording(path)


PATIENCE = {"no_hello_timeout": 0.02, "stuck_mid": 0.05}
"""Where a worker's silence is what is tested: how long the master waits, as a part of the real time."""


@pytest.mark.parametrize("case", names())
def test_a_recorded_job_has_the_same_course(golden: Path, run: Start, case: str) -> None:
    recording = recording_of(golden, case)
    by_hand = recording.status == "TIMEOUT"  # killed by whoever recorded it
    timeouts = PATIENCE.get(case, 0.1)
    course = run(recording, max_failures=recording.failures - 1 if by_hand else 3, timeouts=timeouts)
    upto = recording.failures if by_hand else None
    assert (course.error is None) == (recording.status == "ready"), course.error
    same_replies(course, recording, upto)
    same_events(course.events, recording.events, upto, recording.by)
    ours, theirs = ([plain_urls(urls) for urls in found] for found in (course.urls, recording.results))
    assert ours == theirs
    counts = [row[:5] for row in course.cluster.jobinfo(course.name)["pipeline"]]
    assert counts == [row[:5] for row in recording.info["pipeline"]]
    assert course.cluster.jobinfo(course.name)["inputs"] == recording.info["inputs"]


def test_every_recording_has_its_test(golden: Path) -> None:
    found = {path.stem for path in cases(golden)}
    assert len(found) > 60 and DIFFERENT.keys() <= found
    assert set(GROUPINGS) | set(JOB) | set(PATIENCE) <= found


# What is different here


@pytest.mark.parametrize("case", [case for case, why in DIFFERENT.items() if why is FLOOD])
def test_a_flood_of_messages_warns(golden: Path, run: Start, case: str) -> None:
    recording = recording_of(golden, case)
    assert recording.status == "dead"
    for rows in recording.workers:
        rows.append([rows[-1][0], "W>M", 'DONE 2 ""\n'])
    with pytest.warns(PortabilityWarning, match="ten messages within a second"):
        course = run(recording)
    assert course.error is None
    said = [text for _, text in recording.events if text.startswith("MSG")]
    assert [text for _, text in course.events if text.startswith("MSG")][: len(said)] == said
    killed = [text for _, text in recording.events if "behaving badly" in text or text.startswith("FATAL")]
    assert len(killed) == 2 and not {text for _, text in course.events} & set(killed)
    answered = [line for line in course.heard("start", 0) if line.startswith("OK")]
    assert answered == ['OK 4 "ok"'] * sum(name == "OK" for name, _ in _replies(recording.workers[0]))


def test_an_output_that_is_not_there_cannot_be_saved(golden: Path, run: Start) -> None:
    recording = recording_of(golden, "save_missing")
    course = run(recording, max_failures=recording.failures - 1)
    same_replies(course, recording, recording.failures)
    why = "The outputs could not be saved: FileNotFoundError: [Errno 2] No such file or directory"
    assert course.error is not None and why in str(course.error)
    ours, theirs = (attempts_of(events)["map:0"] for events in (course.events, recording.events))
    for our, their in zip(ours, theirs[: recording.failures], strict=True):
        assert our[0] == their[0] and our[0][1].startswith("DONE: [map:0]")
        assert their[1:3] == [
            ("localhost", "WARNING: [map:0] error:badarg"),
            ("master", "WARNING: [map:0] Worker died without output"),
        ]
        assert our[1][0] == "master" and our[1][1].startswith(f"WARNING: [map:0] {why}")
    # The same job without that runs: nobody looks whether its outputs are there.
    course = run(recording, save_results=False)
    assert course.error is None and [urls[0][:6] for urls in course.urls] == ["dir://"]


def test_the_outputs_of_a_task_are_saved_in_their_order(golden: Path, run: Start) -> None:
    recording = recording_of(golden, "save_results")
    course = run(recording)
    assert course.error is None
    found = [plain(url.partition("$")[0]) for (url,) in course.cluster.ddfs.urls(course.urls[0])]
    listing = (golden / "ddfs" / "find.txt").read_text().splitlines()
    blobs = [line.split("/")[-1].partition("$")[0] for line in listing if "/blob/" in line and recording.name in line]
    first, second = (f"disco://localhost/ddfs/vol0/blob/HH/{plain(name)}" for name in sorted(blobs))
    assert found == [first, "http://localhost:9/remote", second, "http://localhost:9/remote"]


def test_a_concurrent_stage_is_fed_as_recorded(golden: Path, run: Start) -> None:
    recording = recording_of(golden, "concurrent")
    # In the recording three maps happen to end before the next stage asks for the first time, and one after that.
    _, second, third, fourth, consumer = recording.workers
    for rows, file in ((second, "known-1"), (third, "known-2"), (fourth, "asked")):
        rows.insert(6, [0, "await", file])
    consumer.insert(11, [0, "touch", "asked"])
    consumer.insert(4, [0, "inputs", "3"])
    course = run(recording, slots=5, pipeline=[["map", "split", False], ["next", "group_label", True]])
    same_replies(course, recording)
    same_events(course.events, recording.events)
    assert [list(map(plain, urls)) for urls in course.urls] == [list(map(plain, urls)) for urls in recording.results]
    assert [row[2] for row in recording.info["pipeline"]] == [0, -1]
    assert [row[2:5] for row in course.cluster.jobinfo(course.name)["pipeline"]] == [[0, 0, 4], [0, 0, 1]]


def test_an_output_outside_the_job_home_is_an_error(golden: Path, run: Start) -> None:
    recording = recording_of(golden, "out_dotdot")
    (rows,) = recording.workers
    recording.workers *= 2
    course = run(recording, max_failures=1)
    assert course.error is not None and "invalid_output: '../x' is outside the job home" in str(course.error)
    same_replies(course, recording)
    # Without that one the other odd outputs are what a master makes of them, but for the blank, which none can read.
    recording.workers = [[row for row in rows if "../x" not in row[2] and '"a b"' not in row[2]]]
    recording.workers[0].remove(next(row for row in recording.workers[0] if row[2].startswith("OK")))
    del recording.workers[0][4]
    course = run(recording)
    assert [list(map(plain, urls)) for urls in course.urls] == [list(map(plain, urls)) for urls in recording.results]


def test_unicode_arrives_as_recorded(golden: Path, run: Start) -> None:
    recording = recording_of(golden, "msg_unicode")
    rows = recording.workers[0]
    second = [number for number, row in enumerate(rows) if row[2].startswith("OK")][2]
    recording.workers = [[*rows[: second + 1], [rows[second][0], "W>M", 'DONE 2 ""\n']]]
    course = run(recording)
    same_replies(course, recording)
    said = [text for _, text in recording.events if text.startswith("MSG")][:2]
    assert [text for _, text in course.events if text.startswith("MSG")] == said


# Where a worker runs


def test_a_worker_runs_in_the_job_home_with_the_environment_of_the_job(golden: Path, run: Start, monkeypatch) -> None:
    monkeypatch.setenv("DISCO_MASTER", "of the caller")
    monkeypatch.setenv("DDFS_DATA", "of the caller")
    monkeypatch.setenv("GOLDLOG", "inherited")
    recording = recording_of(golden, "jobenvs")
    theirs = recording.places[0]
    course = run(recording)
    ours = course.place()
    assert ours["program"] == f"{ours['cwd']}/{recording.info['worker']}"
    assert theirs["argv"] == [f"{theirs['cwd']}/{recording.info['worker']}"]
    assert ours["cwd"].endswith(f"/{course.name}") and theirs["cwd"].endswith(f"/{recording.name}")
    same = ("DISCO_DATA", "DISCO_MASTER", "FOO")
    assert [ours["environ"][name] for name in same] == [theirs["env"][name] for name in same]
    assert ours["environ"]["GOLDLOG"] == "inherited"
    settings = {name for name in ours["environ"] if name.startswith(("DISCO_", "DDFS_"))}
    assert settings == {"DISCO_DATA", "DISCO_MASTER"}
    # There, those settings of a master that are empty are passed on.
    passed = {name for name, value in theirs["env"].items() if name.startswith("DDFS_") and value}
    assert passed == set()


# Jobs that fail again and again


def test_a_task_that_always_fails_is_given_up(golden: Path, run: Start) -> None:
    recorded = json.loads((golden / "retries" / "retries_and_limits.json").read_text())["maxfail_2"]
    recording = recording_of(golden, "error_retry")
    recording.name, recording.info = recorded["job"], json.loads(recorded["jobinfo"][1])
    (first, _) = recording.workers
    first[-1][2] = 'ERROR 16 "always failing"\n'
    recording.workers = [first] * 3
    course = run(recording, max_failures=2)
    same_events(course.events, [tuple(json.loads(line)[1:]) for line in recorded["rawevents"] if line])
    assert course.error is not None and "failed 3 times" in str(course.error) and "always failing" in str(course.error)
    assert course.urls == recorded["get_results"][1]
    assert course.cluster.jobinfo(course.name)["active"] == recorded["get_results"][0] == "dead"


@pytest.mark.parametrize(
    "case, named",
    [
        ("worker_missing_in_home", "'nosuchworker' is not in the job home"),
        ("home_not_zip", "not a zip file"),
        ("home_empty_zip", "'scriptworker.py' is not in the job home"),
        ("worker_int", "worker"),
    ],
)
def test_a_pack_that_no_task_could_start_is_refused(golden: Path, run: Start, case: str, named: str) -> None:
    """A master takes these, tries them a hundred times and gives up."""
    recorded = json.loads((golden / "retries" / "retries_and_limits.json").read_text())[f"first_retries.{case}"]
    assert recorded["get_results"][0] == "dead" and "At most 2 failures" in "".join(recorded["rawevents"])
    with LocalCluster(nodes=1, start="exec") as cluster, warnings.catch_warnings():
        with pytest.raises(DiscoError, match=re.escape(named)):
            cluster.submit((golden / "badpacks" / f"{case}.jobpack").read_bytes())
        assert cluster.joblist() == []
