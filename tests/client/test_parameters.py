"""What `Job.pack` accepts, refuses and warns about, before any cluster has a part in it."""

from __future__ import annotations

import dataclasses
import io
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import LocalCluster
from discolocal.error import DiscoError, PortabilityWarning
from discolocal.job import Job, SimpleJob
from discolocal.report import check
from discolocal.wire.jobpack import JobPack
from discolocal.worker.classic.func import nop_map
from discolocal.worker.classic.worker import Worker as ClassicWorker

LONG = "secret" * 10_000


class Plain(Job):
    map = staticmethod(nop_map)
    threshold = 3


class Undecorated(Job):
    def map(line: str, params: Any) -> Any:  # noqa: N805
        return []


def pack(job: Job | None = None, **jobargs: Any) -> JobPack:
    jobargs.setdefault("input", ["raw://x"])
    return (job or Plain()).pack(**jobargs)


# required_files, and how errors show values


def test_required_files_may_be_a_dict() -> None:
    home = pack(required_files={"conf/a.txt": "text", "b": b"\0"}).jobhome
    with zipfile.ZipFile(io.BytesIO(home)) as archive:
        assert (archive.read("conf/a.txt"), archive.read("b")) == (b"text", b"\0")


@pytest.mark.parametrize(
    "jobargs",
    [
        {"required_files": LONG},
        {"required_files": {"name": [LONG]}},
        {"required_files": {3: LONG}},
        {"required_files": [[LONG]]},
        {"required_modules": LONG},
        {"required_modules": [(LONG, LONG, LONG)]},
        {"input": LONG},
        {"input": [{LONG: LONG}]},
        {"combiner": LONG},
        {"map_input_stream": LONG},
        {"partitions": LONG},
        {"status_interval": LONG},
        {"sort_buffer_size": LONG},
        {"encoding": LONG},
        {"encoding": "nul\0"},
        {"scheduler": LONG},
        {"scheduler": {"max_cores": LONG}},
        {"name": LONG + " "},
        {"name": LONG},
        {"save": LONG},
        {"version": LONG},
    ],
    ids=lambda jobargs: next(iter(jobargs)),
)
def test_an_error_names_the_parameter_and_shows_a_little_of_its_value(jobargs: dict[str, Any]) -> None:
    with pytest.raises(DiscoError, match=next(iter(jobargs))) as caught:
        pack(**jobargs)
    assert len(str(caught.value)) < 600


# Names


BAD = ["a b", "a\tb", "a\n", "a\0b", "\x85", "a\u00a0b", "a#b", "a?b", "a%20", "a\\b", "a/b"]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_breaks_urls_or_index_lines_is_refused(name: str) -> None:
    with pytest.raises(DiscoError, match="name of a job"):
        pack(name=name)


@pytest.mark.parametrize("name", ["\u00e9t\u00e9", "\udc80", 3, b"bytes", ["a"], "x" * 201])
def test_other_names_that_cannot_be(name: Any) -> None:
    with pytest.raises(DiscoError, match="name of a job"):
        pack(name=name)


def test_names_that_can_be() -> None:
    for name in ("WordCount", "a-b_c", "me@here:1", "x" * 200):
        assert pack(name=name).jobdict["prefix"] == name
    assert pack().jobdict["prefix"] == "Plain"


def test_the_unique_part_of_an_earlier_run_is_dropped() -> None:
    for name in ("Again@5a0:7ba4d:4cf2", "Again"):
        assert pack(Plain(name)).jobdict["prefix"] == "Again"
    assert pack(Plain("x" * 200 + "@5a0:7ba4d:4cf2")).jobdict["prefix"] == "x" * 200


# Inputs that can be read only once


class Once(Job):
    map = staticmethod(nop_map)


def urls() -> Iterator[str]:
    yield from ("raw://a", "raw://b")


def given(how: str) -> tuple[Job, dict[str, Any]]:
    """A job and the arguments of its run, one of which has inputs that can be read only once."""
    if how == "class":
        return type("Class", (Once,), {"input": urls()})(), {}
    if how == "property":
        return type("Property", (Once,), {"input": property(lambda job: urls())})(), {}
    if how == "attribute":
        return Once(input=urls()), {}
    if how == "worker":
        return Once(worker=ClassicWorker(input=urls())), {}
    return Once(), {how: urls()}


@pytest.mark.filterwarnings("ignore:input_files is an old name")
@pytest.mark.parametrize("how", ["input", "input_files", "attribute", "class", "property", "worker"])
def test_any_iterable_is_a_list_of_inputs(how: str) -> None:
    job, jobargs = given(how)
    assert job.pack(**jobargs).jobdict["input"] == ["raw://a", "raw://b"]
    if not jobargs:
        assert job.pack().jobdict["input"] == ["raw://a", "raw://b"], "a job may run again"


def test_a_reduce_alone_reads_it_once_as_well(tmp_path: Path) -> None:
    found = Job(reduce=lambda iter, params: []).pack(input=iter(["raw://a", "raw://b"]))
    assert found.jobdict["input"] == ["raw://a", "raw://b"]
    with LocalCluster(nodes=1, start="inline", root=str(tmp_path / "root")) as cluster:
        job = Once(map=lambda line, params: [(line, 1)], input=urls())
        assert len(check(job, cluster)) == len(check(Once(map=job.map), cluster, input=urls())) == 0
        for _ in range(2):
            assert sorted(cluster.run(job)) == [("a", 1), ("b", 1)]


# Unknown arguments

RESERVED = [
    "run", "pack", "Worker", "proxy_functions", "wait", "results", "oob_get", "profile_stats", "master", "worker",
    "settings", "disco", "_ask", "__init__", "__class__", "reserved_names",
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_every_job_has_are_no_arguments(name: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected argument '{name}'"):
        pack(**{name: None})


class Reading(Job):
    """A job whose worker has a `run` of its own."""

    map = staticmethod(nop_map)

    class Worker(ClassicWorker):
        def run(self, task: Any, job: Any, **jobargs: Any) -> None:
            print(jobargs["tresh"])


class Simple(SimpleJob):
    """A job whose functions get them."""

    map = staticmethod(nop_map)


@pytest.mark.parametrize("job", [Reading(), Simple()], ids=["own run", "simple"])
def test_an_argument_that_nobody_knows_may_be_read_by_the_workers_own_code(job: Job) -> None:
    with pytest.warns(UserWarning, match=r"'mapp'; did you mean 'map'\?; only the worker's own code sees it") as told:
        pack(job, mapp=3)
    assert [(one.category, one.filename) for one in told] == [(UserWarning, __file__)]
    with pytest.raises(TypeError, match="unexpected argument 'tresh'"):
        type(job)(tresh=3)


@pytest.fixture
def as_disco() -> Iterator[None]:
    """In the block this process minds unknown arguments as one that says `disco` does."""
    from discolocal.worker.client import ignore_unknown_arguments

    ignore_unknown_arguments(True)
    yield
    ignore_unknown_arguments(False)


@pytest.mark.usefixtures("as_disco")
def test_a_program_that_says_disco_is_warned_of_an_argument_that_nobody_knows() -> None:
    with pytest.warns(PortabilityWarning, match=r"'treshold'; known are .*; it has no effect") as told:
        assert pack(treshold=3).jobdata
    assert [one.message.code for one in told] == ["unknown-argument"]
    with pytest.warns(PortabilityWarning, match="'wait': it is no parameter, every Job has that name; it has no"):
        pack(wait=True)
    with pytest.raises(TypeError, match="unexpected argument 'treshold'"):
        Plain(treshold=3)


@pytest.mark.parametrize("name", ["run", "wait", "disco"])
def test_names_that_every_job_has_are_no_attributes_either(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Plain(**{name: None})


def test_attributes_of_the_users_own_class_are_arguments() -> None:
    assert pack(threshold=4).jobdata
    with pytest.raises(TypeError, match="treshold"):
        pack(treshold=4)


# The scheduler


def test_scheduler_keys() -> None:
    assert pack(scheduler={"max_cores": 2}).jobdict["scheduler"] == {"max_cores": 2}
    assert pack(scheduler={}).jobdict["scheduler"] == {}
    with pytest.raises(TypeError, match="'max_core'; did you mean 'max_cores'"):
        pack(scheduler={"max_core": 2})
    with pytest.raises(TypeError, match="unknown key 7"):
        pack(scheduler={7: 2})


@pytest.mark.parametrize("cores", [0, -1, 1.5, 2.0, "2", None, True, float("inf")])
def test_max_cores_is_a_number_of_cores(cores: Any) -> None:
    with pytest.raises(DiscoError, match="max_cores"):
        pack(scheduler={"max_cores": cores})


@pytest.mark.parametrize("key", ["force_local", "force_remote"])
def test_keys_that_no_master_looks_at_cause_a_warning(key: str) -> None:
    with pytest.warns(PortabilityWarning, match=rf"\[force-local\].*{key}"):
        assert pack(scheduler={key: True}).jobdict["scheduler"] == {key: True}


# The version


@pytest.mark.parametrize("version", ["2.7", 3.11, None, ""])
def test_another_python_is_refused_at_submission(version: Any) -> None:
    with pytest.raises(DiscoError, match=rf"version=.*{sys.version_info[0]}\.{sys.version_info[1]}"):
        pack(version=version)


def test_this_python_is_accepted() -> None:
    assert pack(version=f"{sys.version_info[0]}.{sys.version_info[1]}").jobdata


# Where warnings point, and strictness


def test_a_warning_points_to_the_caller_however_deep_the_library_is() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        Undecorated().pack(input=["raw://x"])
        Undecorated.Worker().jobdict(Undecorated(), input=["raw://x"])
    assert [(Path(w.filename).name, w.lineno) for w in caught] == [(Path(__file__).name, line + n) for n in (0, 1)]


def test_strict_raises_and_only_in_this_thread_and_only_inside() -> None:
    job = Undecorated()
    started, checked = threading.Event(), threading.Event()
    seen: list[Any] = []

    class Slow(Undecorated):
        @property
        def owner(self) -> str:
            started.set()
            checked.wait(10)
            return "me"

    def strict() -> None:
        try:
            Slow()._pack({"input": ["raw://x"]}, strict=True)
        except PortabilityWarning as warning:
            seen.append(warning.code)

    before = list(warnings.filters)
    thread = threading.Thread(target=strict)
    thread.start()
    assert started.wait(10)
    with pytest.warns(PortabilityWarning, match="plain-function"):  # here nothing is strict meanwhile
        job._pack({"input": ["raw://x"]}, strict=False)
    checked.set()
    thread.join()
    assert seen == ["plain-function"]
    with pytest.raises(PortabilityWarning):
        job._pack({"input": ["raw://x"]}, strict=True)
    with pytest.warns(PortabilityWarning):
        job.pack(input=["raw://x"])
    assert warnings.filters == before


def test_strict_is_no_job_parameter() -> None:
    with pytest.raises(TypeError, match="'strict'"):
        pack(strict=True)


# Frozen jobs


@dataclasses.dataclass(frozen=True)
class Frozen(Job):
    map = staticmethod(nop_map)
    limit: int = 3


class Master:
    def submit(self, job: Job, **jobargs: Any) -> Job:
        job.pack(**jobargs)
        return Plain("Frozen@1:2:3")


def test_a_frozen_dataclass_is_a_job() -> None:
    job = Frozen(limit=5)
    assert pack(job).jobdict["prefix"] == "Frozen"
    assert job.worker is not None
    vars(job)["master"] = Master()
    assert job.run(input=["raw://x"]) is job
    assert job.name == "Frozen@1:2:3"
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.limit = 6  # type: ignore[misc]


def test_a_frozen_dataclass_may_call_the_constructor_of_a_job() -> None:
    @dataclasses.dataclass(frozen=True)
    class Named(Job):
        map = staticmethod(nop_map)
        limit: int = 3

        def __post_init__(self) -> None:
            super().__init__("Other", partitions=2)

    assert pack(Named()).jobdict["prefix"] == "Other"
    assert pack(Named()).jobdict["nr_reduces"] == 2
