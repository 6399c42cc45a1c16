"""The worker says what a real worker said, message by message, and writes files of the same bytes."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discolocal.error import DataError
from discolocal.job import Job
from discolocal.worker.classic.func import disco_output_stream, nop_reduce, sum_combiner, task_output_stream
from discolocal.worker.task_io import DiscoOutputStream
from tests.worker.harness import HOST, Node, TaskResult

LINES = {
    "a": "the quick brown fox\njumps over the lazy dog\n",
    "b": "the end of the story\nfox and dog\n",
}
# Level 2 also where a local cluster would store without compressing, so that sizes can be compared.
REAL_STREAMS = (task_output_stream, partial(disco_output_stream, compression_level=2))


def words(line: bytes, params: Any) -> Any:
    for word in line.split():
        yield word, 1


def line_itself(line: Any, params: Any) -> Any:
    yield line, 1


def total(iter: Any, params: Any) -> Any:
    from discolocal.util import kvgroup

    for key, values in kvgroup(iter):
        yield key, sum(values)


def normal(name: str, payload: Any) -> tuple[str, Any]:
    """A message without what differs from run to run: pids, directories, tracebacks."""
    if name == "WORKER":
        return name, sorted(payload)
    if name in ("ERROR", "FATAL"):
        return name, None
    text = json.dumps(payload).replace(HOST, "localhost")
    text = re.sub(r"[0-9a-f]{2}/(\w+:\d+-\w*-\d+)-[0-9a-f]{2}-\d+", r"hh/\1", text)
    text = re.sub(r"(hh/\S+/\w+:\d+-\w*-\d+)-[0-9a-f]{2}-\d+", r"\1", text)
    return name, json.loads(text)


def said(frames: list[bytes]) -> list[tuple[str, Any]]:
    messages = []
    for frame in frames:
        name, _length, body = frame.split(b" ", 2)
        messages.append(normal(name.decode(), json.loads(body)))
    return messages


def recorded(golden: Path, run: str) -> list[tuple[dict[str, Any], list[tuple[str, Any]]]]:
    """(TASK reply, messages of the worker) of each process of a recorded run."""
    workers = json.loads((golden / f"protocol_real_worker/{run}.json").read_text())["workers"]
    result = []
    for worker in workers:
        sent = [line[2] for line in worker["timeline"] if line[1] == "worker_to_master" and line[2]]
        reply = next(x[2] for x in worker["timeline"] if x[1] == "master_to_worker" and x[2].startswith("TASK "))
        result.append((json.loads(reply.split(" ", 2)[2]), said([text.encode() for text in sent])))
    return result


def write_inputs(root: Path) -> dict[str, str]:
    for name, text in LINES.items():
        (root / name).write_text(text)
    return {name: str(root / name) for name in LINES}


def word_count(**more: Any) -> Job:
    """The recorded job, or all of it that a test needs."""
    streams = {"map_output_stream": REAL_STREAMS}
    return Job(map=words, reduce=total, combiner=sum_combiner, partitions=3, encoding=None, **streams, **more)


def test_a_job_of_map_shuffle_and_sorted_reduce(golden: Path, tmp_path: Path) -> None:
    paths = write_inputs(tmp_path)
    node = Node(tmp_path / "data", word_count(sort=True))
    results = [node.map(paths["b"]), node.map(paths["a"])]
    results.append(node.shuffle(*results))
    results += [node.reduce(results[2], label=label) for label in range(3)]
    recording = sorted(recorded(golden, "classic_map_shuffle_reduce"), key=lambda pair: pair[0]["taskid"])
    assert [said(result.frames) for result in results] == [messages for _task, messages in recording]


def test_the_job_gives_the_recorded_records(golden: Path, tmp_path: Path) -> None:
    paths = write_inputs(tmp_path)
    node = Node(tmp_path / "data", Job(map=words, reduce=total, partitions=3, sort=True, encoding=None))
    run = json.loads((golden / "protocol_real_worker/classic_map_shuffle_reduce.json").read_text())
    want = [(key["bytes"].encode(), count) for key, count in run["records"]]
    got = node.run(paths["b"], paths["a"])
    assert [pair for label in sorted(got) for pair in got[label]] == want


def test_index_lines_are_the_recorded_ones(golden: Path, tmp_path: Path) -> None:
    paths = write_inputs(tmp_path)
    node = Node(tmp_path / "data", word_count())
    maps = [node.map(paths["b"]), node.map(paths["a"])]
    results = [*maps, node.shuffle(*maps)]
    folder = golden / "layout/classic_map_shuffle_reduce.indexes"
    for result, stage in zip(results, ("map-0", "map-1", "map_shuffle-2")):
        (file,) = folder.glob(f"{stage}-*.results")
        want = [(int(line.split()[0]), int(line.split()[2])) for line in file.read_text().splitlines()]
        assert [(label, size) for label, _path, size in result.outputs] == want


@pytest.mark.parametrize("run", ["print_msg", "profile", "oob"])
def test_a_map_only_job(golden: Path, tmp_path: Path, run: str) -> None:
    def prints(line: Any, params: Any) -> Any:
        print("a message from print")
        yield line, 1

    path = write_inputs(tmp_path)["a"]
    function = prints if run == "print_msg" else line_itself
    node = Node(tmp_path / "data", Job(map=function, encoding=None, profile=run == "profile"))
    mapped = node.map(path)
    shuffled = node.shuffle(mapped)
    (task, map_frames), (_task2, shuffle_frames) = recorded(golden, run)
    assert task["stage"] == "map"
    assert said(mapped.frames) == map_frames
    assert said(shuffled.frames) == shuffle_frames


def test_a_job_without_partitions(golden: Path, tmp_path: Path) -> None:
    path = write_inputs(tmp_path)["a"]
    node = Node(
        tmp_path / "data",
        Job(map=line_itself, reduce=nop_reduce, partitions=None, encoding=None, map_output_stream=REAL_STREAMS),
    )
    mapped = node.map(path)
    shuffled = node.shuffle(mapped)
    reduced = node.reduce(shuffled)
    want = [messages for _task, messages in recorded(golden, "partitions_none")]
    assert [said(result.frames) for result in (mapped, shuffled, reduced)] == want


def test_a_reduce_shuffle(golden: Path, tmp_path: Path) -> None:
    paths = write_inputs(tmp_path)
    node = Node(
        tmp_path / "data",
        Job(map=words, reduce=total, combiner=sum_combiner, partitions=3, sort=True, encoding=None),
    )
    maps = [node.map(paths["b"]), node.map(paths["a"])]
    shuffled = node.shuffle(*maps)
    reduces = [node.reduce(shuffled, label=label) for label in range(3)]
    last = node.shuffle(*reduces, stage="reduce_shuffle")
    want = recorded(golden, "classic_reduce_shuffle")[-1]
    assert said(last.frames) == want[1]


def test_a_failing_function_ends_the_dialogue_at_the_recorded_point(golden: Path, tmp_path: Path) -> None:
    def fails(line: Any, params: Any) -> Any:
        raise ValueError("no")

    def data_error(line: Any, params: Any) -> Any:
        raise DataError("no", "url")

    path = write_inputs(tmp_path)["a"]
    for run, function in (("fatal_user_exception", fails), ("error_dataerror_then_ok", data_error)):
        result = Node(tmp_path / run, Job(map=function)).map(path)
        assert said(result.frames) == recorded(golden, run)[0][1]


def _inputs_said(result: TaskResult) -> list[tuple[str, Any]]:
    return [message for message in said(result.frames) if message[0].startswith("INPUT")]


def test_replicas_that_fail_are_asked_for_and_reported_as_recorded(golden: Path, tmp_path: Path) -> None:
    result = Node(tmp_path / "data", Job(map=line_itself)).map(str(tmp_path / "404-one"), str(tmp_path / "404-two"))
    assert result.kind == "error"
    want = [m for m in recorded(golden, "input_all_replicas_fail")[0][1] if m[0].startswith("INPUT")]
    # The real worker asks once more after it was told FAIL; nobody looks at the answer.
    assert _inputs_said(result) == want[:-1]


def test_url_forms_that_a_real_worker_reads(golden: Path, tmp_path: Path) -> None:
    forms = json.loads((golden / "http_api/input_url_forms_with_real_worker.json").read_text())
    path = write_inputs(tmp_path)["a"]
    tried = 0
    for form, recording in forms.items():
        if form.startswith(("http", "[", "tag")) or not recording.get("records"):
            continue
        url = form.replace("/srv/realdisco/jobs/inputs/a", path)
        encoding = "utf-8" if form.startswith("raw") else None
        node = Node(tmp_path / f"data{tried}", Job(map=line_itself, encoding=encoding))
        assert [repr(record) for record in node.map(url).records()] == recording["records"], form
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("name", ["v1_level2_default", "v1_append_scalars", "v1_types", "v1_empty_level2"])
def test_output_streams_write_the_recorded_bytes(golden: Path, name: str) -> None:
    from io import BytesIO

    recording = json.loads((golden / f"streams/{name}.json").read_text())
    out = BytesIO()
    stream = DiscoOutputStream(out, **recording["kwargs"])
    for record in map(revive, recording["records"]):
        if recording["call"] == "add":
            stream.add(*record)
        else:
            stream.append(record)
    stream.close()
    assert out.getvalue() == (golden / f"streams/{name}.bin").read_bytes()


def revive(value: Any) -> Any:
    """A record from its JSON form in the golden files."""
    if isinstance(value, list):
        return [revive(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(revive(item) for item in content)
    if kind == "bytes_hex":
        return bytes.fromhex(content)
    if kind == "dict":
        return {revive(key): revive(item) for key, item in content}
    pytest.skip(f"a record of kind {kind}")
