"""The worker interface outside of a job: inputs not there yet, outputs, workers and interfaces (reference 8)."""

from __future__ import annotations

import importlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, PortabilityWarning, result_iterator
from discolocal.error import DataError, DiscoError
from discolocal.fileutils import DiscoZipFile
from discolocal.worker import Input, MergedInput, Output, ParallelInput, SerialInput, Wait, Worker, inputs
from discolocal.worker.classic import func
from discolocal.worker.classic.worker import Worker as ClassicWorker
from discolocal.worker.task_io import InputStream, OutputStream, disco_input_stream, input_stream, output_stream


class Slow:
    """A file whose records are there after a while: steps are records, numbers of seconds to wait, or errors."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.closed = False

    def __iter__(self) -> Slow:
        return self

    def __next__(self) -> Any:
        if not self.steps:
            raise StopIteration
        step = self.steps.pop(0)
        if isinstance(step, (int, float)):
            raise Wait(step)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes any time."""
    pauses: list[float] = []
    monkeypatch.setattr(inputs.time, "sleep", pauses.append)
    return pauses


def opener(**files: Any) -> Callable[[str], Any]:
    return lambda url: files[url]


def test_an_input_that_has_nothing_yet_is_asked_again(slept: list[float]) -> None:
    files = {"one": Slow("a", 2, 0.5, "b"), "two": Slow(1, "c")}
    source = SerialInput(["one", "two"], open=opener(**files))
    assert list(source) == ["a", "b", "c"]
    assert slept == [2, 0.5, 1]
    assert all(file.closed for file in files.values())
    assert Wait().retry_after == 1


def test_an_input_that_cannot_be_opened_yet_is_opened_again_and_no_other_replica(slept: list[float]) -> None:
    asked: list[str] = []

    def open(url: str) -> Any:
        asked.append(url)
        if len(asked) < 3:
            raise Wait(4)
        return iter(["a", "b"])

    assert list(Input([["one", "other"]], open=open)) == ["a", "b"]
    assert asked == ["one"] * 3 and slept == [4, 4]


def test_waiting_and_a_damaged_replica(slept: list[float]) -> None:
    files = {"bad": Slow("a", 1, "b", DataError("damaged", "bad")), "good": Slow("a", "b", 3, "c")}
    source = Input([["bad", "good"]], open=opener(**files))
    assert list(source) == ["a", "b", "c"]
    assert slept == [1, 3]
    assert (source.url, source.record) == ("good", 3)


def test_waiting_within_what_was_delivered(slept: list[float]) -> None:
    opened: list[str] = []

    def open(url: str) -> Any:
        opened.append(url)
        if url == "bad":
            return Slow("a", "b", DataError("damaged", "bad"))
        return Slow("a", 2, "b", "c") if opened.count(url) == 1 else Slow("a", "b", "c")

    assert list(Input([["bad", "good"]], open=open)) == ["a", "b", "c"]
    assert opened == ["bad", "good", "good"] and slept == [2]


def test_parallel_inputs_put_off_what_has_nothing_yet(slept: list[float]) -> None:
    files = {"one": Slow("a1", "a2"), "two": Slow(5, "b1"), "three": Slow("c1", 7, 7, "c2")}
    found = list(ParallelInput(["one", "two", "three"], open=opener(**files)))
    assert found[0] == "c1", "the last one comes first"
    assert sorted(found) == ["a1", "a2", "b1", "c1", "c2"]
    assert found.index("a2") < found.index("c2"), "one was read while three had nothing"
    assert len(slept) < 3, "it sleeps only where no input has anything"


def test_parallel_inputs_that_all_wait_sleep(slept: list[float]) -> None:
    files = {"one": Slow(5, 5, "a"), "two": Slow(3, 3, "b")}
    assert sorted(ParallelInput(["one", "two"], open=opener(**files))) == ["a", "b"]
    assert slept == [5, 5]


def test_merged_inputs_give_the_smallest_record_of_all(slept: list[float]) -> None:
    files = {"one": Slow("a", "d", 2, "e"), "two": Slow(1, "b", "c"), "three": Slow()}
    assert list(MergedInput(["one", "two", "three"], open=opener(**files))) == ["a", "b", "c", "d", "e"]
    assert slept == [1, 2]


def test_an_error_that_is_no_data_error_closes_the_file() -> None:
    file = Slow("a", KeyError("mine"))
    with pytest.raises(KeyError):
        list(Input("one", open=opener(one=file)))
    assert file.closed


# Outputs


def test_an_output_and_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    output = Output((path, "disco", 3))
    assert (output.path, output.type, output.label, output.partition) == (path, "disco", 3, 3)
    output.file.add("key", "value")
    output.file.append("any record")
    assert not Path(path).exists(), "it appears when it is closed"
    assert output.close() == Path(path).stat().st_size
    with open(path, "rb") as file:
        assert list(disco_input_stream(file, None, path)) == [("key", "value"), "any record"]


def test_an_output_with_an_open_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    output = Output(path_type_partition=(path, "disco", 0), open=lambda url: open(url, "wb"))
    output.file.write(b"x")
    assert output.close() == 1


@pytest.mark.parametrize("label", ["0", None, True, 1.0])
def test_a_label_is_an_int(label: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be an integer or None"):
        Output((str(tmp_path / "x"), "disco", label))


class Task:
    """What `Worker.output` needs of a task."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def output(self, label: int | None = None) -> tuple[str, str, int]:
        return str(self.place / f"out-{label}"), "disco", label or 0

    def file(self, location: str) -> str:
        return location


def test_a_partition_is_a_label_under_its_older_name(tmp_path: Path) -> None:
    worker, task = Worker(), Task(tmp_path)
    one = worker.output(task, partition="3")  # type: ignore[arg-type]
    assert one.label == 3 and worker.output(task, 3) is one and worker.output(task, partition=3) is one  # type: ignore[arg-type]
    none = worker.output(task)  # type: ignore[arg-type]
    assert none.label == 0 and worker.output(task, partition=None) is none and none is not one  # type: ignore[arg-type]
    for wrong in ("a", "-1", 1.5):
        with pytest.raises(ValueError, match="must be an integer or None"):
            worker.output(task, partition=wrong)  # type: ignore[arg-type]
    assert list(worker.outputs) == [3, None]
    for output in worker.outputs.values():
        output.discard()
    assert not list(tmp_path.iterdir())


# Workers


class Job1(Job):
    """A job with a parameter."""

    partitions = 5


def test_a_parameter_is_looked_up_in_order() -> None:
    worker = Worker(partitions=2, reduce=7)
    job = Job1()
    assert worker.getitem("partitions", job, {"partitions": None}) is None, "what is false counts too"
    assert worker.getitem("partitions", job, {}) == 5
    assert worker.getitem("reduce", job, {}) == 7
    assert worker.getitem("unknown", job, {}, 9) == 9 and worker.getitem("unknown", job, {}) is None


def test_defaults() -> None:
    base = {"map", "reduce", "partitions", "save_results", "profile", "required_files", "required_modules"}
    assert set(Worker().defaults()) == set(Worker()) == base
    assert base < set(ClassicWorker())


def test_the_job_dict_of_a_base_worker_is_complete() -> None:
    worker = Worker(map=print, partitions=3)
    made = worker.jobdict(Job("Base", worker=worker), input=["raw://x"])
    classic = ClassicWorker(map=print).jobdict(Job("Base"), input=["raw://x"])
    assert list(made) == list(classic), "what a master needs, in the same order"
    assert (made["map?"], made["reduce?"], made["nr_reduces"], made["input"]) == (True, False, 3, ["raw://x"])
    assert made["worker"] == worker.bin
    with pytest.raises(DiscoError, match="partitions must be"):
        worker.jobdict(Job("Base", worker=worker), input=["raw://x"], partitions="many")


def test_the_job_home_is_the_serialised_zip() -> None:
    worker = ClassicWorker(map=func.nop_map, required_files={"a/b.txt": "text"})
    job = Job(worker=worker)
    home = worker.jobzip(job)
    assert isinstance(home, DiscoZipFile)
    with zipfile.ZipFile(io.BytesIO(worker.jobhome(job))) as archive:
        assert archive.read("a/b.txt") == b"text"
        assert worker.bin in archive.namelist()


# Old and other places


def test_the_old_place_of_the_worker_gives_a_warning() -> None:
    sys.modules.pop("discolocal.node.worker", None)
    with pytest.warns(DeprecationWarning, match="discolocal.worker.classic.worker"):
        old = importlib.import_module("discolocal.node.worker")
    new = importlib.import_module("discolocal.worker.classic.worker")
    for name in ("get", "put", "this_host", "this_inputs", "this_master", "this_name"):
        assert getattr(old, name) is getattr(new, name)


def test_core_has_the_job_as_well() -> None:
    from discolocal import core

    assert core.Job is Job


# Streams and functions


def test_interfaces_of_streams_pass_on_what_they_get() -> None:
    stream = io.BytesIO(b"a\nb\n")
    assert input_stream(stream, 4, "url", None) == (stream, 4, "url")
    assert output_stream(stream, None, "url", None) == (stream, "url")
    assert func.input_stream is input_stream and func.output_stream is output_stream


def test_input_and_output_streams() -> None:
    below = io.BytesIO(b"a\nb\n")
    stream = InputStream(below)
    assert next(iter(stream)) == b"a\n" and stream.read() == b"b\n"
    stream.close()
    assert below.closed
    written = io.BytesIO()
    out = OutputStream(written)
    out.add("key", 1)
    out.close()
    assert written.getvalue() == b"3 key 1 1\n" and not written.closed


def test_a_notifier_is_told_of_each_url_before_it_is_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"{name}\n")
    urls = [str(tmp_path / "a"), [str(tmp_path / "none"), str(tmp_path / "b")]]
    told: list[Any] = []

    def notifier(url: Any) -> None:
        told.append(url)

    records: Iterator[Any] = iter(result_iterator(urls, reader=None, notifier=notifier))
    assert next(records) == "a\n" and len(told) == 1
    assert list(records) == ["b\n"] and len(told) == 2
    assert func.notifier("any url") is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("low", "high", "count", "keys", "parts"),
    [
        (0, 10, 5, [0, 1.9, 2, 9, 10], [0, 0, 1, 4, 4]),
        (-1.0, 1.0, 2, [-1, -0.1, 0, 1], [0, 0, 1, 1]),
        (0, 10, 3, [-5, 99], [0, 2]),
    ],
)
def test_a_range_partition(low: float, high: float, count: int, keys: list[float], parts: list[int]) -> None:
    partition = func.make_range_partition(low, high)
    assert [partition(key, count, None) for key in keys] == parts


def test_a_worker_with_a_run_of_its_own_maps_unless_it_reduces() -> None:
    class Own(Worker):
        def run(self, task: Any, job: Any, **jobargs: Any) -> None:
            """Does something."""

    job = Job(worker=Own())
    assert Own().jobdict(job, input=["raw://x"])["map?"] is True
    made = Own(reduce=print).jobdict(job, input=["raw://x"])
    assert (made["map?"], made["reduce?"]) == (False, True)
    with pytest.warns(PortabilityWarning, match="no-stages"):
        assert Worker().jobdict(job, input=["raw://x"])["map?"] is False
