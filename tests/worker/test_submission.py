"""The client's side of the worker: job dict, environment, job home, and what is refused before a job is submitted."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import schemes, util
from discolocal.error import DiscoError, PortabilityWarning
from discolocal.job import Job
from discolocal.wire import index, names
from discolocal.worker.classic.func import make_range_partition, nop_map, sum_reduce
from discolocal.worker.classic.worker import Worker


class Plain(Job):
    pass


def jobdict(job: Job | None = None, **jobargs: Any) -> dict[str, Any]:
    job = job or Plain(map=nop_map)
    jobargs.setdefault("input", ["raw://x"])
    return Worker().jobdict(job, **jobargs)


def expanded(*inputs: Any, **jobargs: Any) -> Any:
    return jobdict(input=list(inputs), **jobargs)["input"]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "c [1].csv").write_text("c")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.txt").write_text("d")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Job dict


def test_the_keys_and_their_order_are_those_of_the_real_client(golden: Path) -> None:
    recorded = json.loads((golden / "jobpacks/classic_mapreduce_sort_combiner_p3.real.json").read_text())["jobdict"]
    job = Job("MRSort", map=nop_map, reduce=sum_reduce, partitions=3)
    got = jobdict(job, input=recorded["input"], owner=recorded["owner"])
    assert list(got) == list(recorded)
    assert {**got, "worker": ""} == {**recorded, "worker": ""}


@pytest.mark.parametrize(
    ("parameters", "want"),
    [
        ({"map": nop_map}, (True, False, False, 1)),
        ({"map": nop_map, "partitions": None}, (True, False, False, 1)),
        ({"map": nop_map, "partitions": 5, "reduce": sum_reduce}, (True, True, False, 5)),
        ({"reduce": sum_reduce, "partitions": 5}, (False, True, False, 1)),
        ({"map": nop_map, "reduce": sum_reduce, "reduce_shuffle": True}, (True, True, True, 1)),
    ],
)
def test_stages_and_number_of_reduces(parameters: dict[str, Any], want: tuple[Any, ...]) -> None:
    got = jobdict(Plain(**parameters))
    assert (got["map?"], got["reduce?"], got["reduce_shuffle?"], got["nr_reduces"]) == want


def test_arguments_win_over_attributes_over_items_over_defaults() -> None:
    class WithOwner(Job):
        owner = "attribute"

    worker = Worker(owner="item")
    assert worker.getitem("owner", WithOwner(), {"owner": "argument"}) == "argument"
    assert worker.getitem("owner", WithOwner(), {}) == "attribute"
    assert worker.getitem("owner", Plain(), {}) == "item"
    assert worker.getitem("nothing", Plain(), {}, "default") == "default"
    assert worker.getitem("owner", WithOwner(), {"owner": None}) is None


def test_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_JOB_OWNER", "me@there")
    assert jobdict()["owner"] == "me@there"
    monkeypatch.delenv("DISCO_JOB_OWNER")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert jobdict()["owner"] == f"somebody@{os.uname().nodename}"


def test_an_unknown_argument_suggests_the_nearest() -> None:
    with pytest.raises(TypeError, match="'partitons'; did you mean 'partitions'"):
        jobdict(partitons=3)


@pytest.mark.parametrize(
    ("jobargs", "why"),
    [
        ({"map": {"op": b""}}, "external program"),
        ({"reduce": {"op": b""}}, "external program"),
        ({"ext_params": {"a": "b"}}, "external programs"),
        ({"map": "text"}, "map must be a function"),
        ({"combiner": 3}, "combiner must be a function"),
        ({"partitions": -1}, "partitions"),
        ({"partitions": "2"}, "partitions"),
        ({"partitions": True}, "partitions"),
        ({"map_input_stream": "x"}, "map_input_stream"),
        ({"reduce_output_stream": ()}, "reduce_output_stream"),
        ({"status_interval": "many"}, "status_interval"),
        ({"sort_buffer_size": "lots"}, "sort_buffer_size"),
        ({"encoding": "no-such-codec"}, "encoding"),
        ({"name": "a/b"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"scheduler": "x"}, "scheduler"),
        ({"required_files": "name"}, "required_files"),
        ({"required_modules": "os"}, "required_modules"),
        ({"required_modules": [1]}, "required_modules"),
        ({"map_shuffle": True}, "map_shuffle"),
        ({"shuffle": True}, "shuffle"),
    ],
)
def test_what_cannot_work_is_refused_by_name(jobargs: dict[str, Any], why: str) -> None:
    with pytest.raises(DiscoError, match=why):
        jobdict(**jobargs)


def test_plain_functions_in_a_class_cause_a_warning() -> None:
    class Undecorated(Job):
        def map(line: str, params: Any) -> Any:
            return []

        @staticmethod
        def reduce(iter: Any, params: Any) -> Any:
            return []

        def partition(self, key: Any, count: int, params: Any) -> int:
            return 0

    with pytest.warns(PortabilityWarning, match=r"\[plain-function\] Undecorated.map") as caught:
        jobdict(Undecorated())
    assert len(caught) == 1


def test_a_range_partition_causes_a_warning() -> None:
    with pytest.warns(PortabilityWarning, match="range-partition"):
        jobdict(partition=make_range_partition(0, 1))


def test_ordinary_jobs_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jobdict(reduce=sum_reduce, partitions=3, sort=True)


# Inputs


def test_paths_become_absolute_and_other_urls_stay(there: Path) -> None:
    got = expanded("a.txt", Path("b.txt"), str(there / "a.txt"), "raw://x y", "http://h/x", "disco://h/disco/h/x")
    here = str(there)
    assert got == [f"{here}/a.txt", f"{here}/b.txt", f"{here}/a.txt", "raw://x y", "http://h/x", "disco://h/disco/h/x"]


def test_file_urls_become_paths_that_a_real_worker_can_open(there: Path) -> None:
    path = f"{there}/a.txt"
    forms = [f"file://{path}", f"file:///{path}", f"file://localhost{path}", "file://a.txt"]
    assert expanded(*forms) == [path] * 4


def test_patterns(there: Path) -> None:
    assert expanded("*.txt") == [f"{there}/a.txt", f"{there}/b.txt"]
    assert expanded(Path("**/*.txt")) == [f"{there}/a.txt", f"{there}/b.txt", f"{there}/sub/d.txt"]
    assert expanded("c [1].csv") == [f"{there}/c [1].csv"]  # a name first, a pattern only if there is no such file
    with pytest.raises(DiscoError, match=r"No input file matches .*/\*\.none \(given as '\*\.none'\)"):
        expanded("*.none")


def test_replicas(there: Path) -> None:
    assert expanded(["a.txt", "http://h/x"], ("raw://a", ["raw://b"])) == [
        [f"{there}/a.txt", "http://h/x"],
        ["raw://a", "raw://b"],
    ]
    assert expanded(["none.txt", "a.txt"]) == [[f"{there}/none.txt", f"{there}/a.txt"]]
    with pytest.raises(DiscoError, match=r"does not exist: .*/none2\.txt"):
        expanded(["none.txt", "none2.txt"])
    with pytest.raises(DiscoError, match="stands for 2 files"):
        expanded(["*.txt"])


def test_empty_entries_are_dropped_and_any_iterable_is_a_list(there: Path) -> None:
    assert expanded("", None, [], "raw://a") == ["raw://a"]
    assert jobdict(input=(f"raw://{n}" for n in range(2)))["input"] == ["raw://0", "raw://1"]
    assert jobdict(input=[])["input"] == []


@pytest.mark.parametrize("bad", ["text", b"bytes", None, 3, Path("a"), {"a": 1}])
def test_what_is_no_list(bad: Any) -> None:
    with pytest.raises(DiscoError, match="^Job 'input' is not a list of input locations,or a list of such lists: "):
        jobdict(input=bad)


def test_no_input_at_all() -> None:
    with pytest.raises(DiscoError, match="Job 'input' is not a list"):
        Worker().jobdict(Plain(map=nop_map))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("none.txt", r"Input file does not exist: /.*/none\.txt \(given as 'none\.txt'\)"),
        ("file:///none.txt", r"does not exist: /none\.txt"),
        ("sub", "Input is a directory"),
        ("/dev/null", "not a regular file"),
        (b"bytes", "bytes"),
        (7, "7 of type int"),
    ],
)
def test_inputs_that_cannot_be_read_are_named(there: Path, entry: Any, why: str) -> None:
    with pytest.raises(DiscoError, match=why):
        expanded(entry)


@pytest.fixture
def dir_url(tmp_path: Path) -> Iterator[str]:
    """The url of an index of two labels, found without any node."""
    lines = [index.Line(label, f"disco://n1/disco/n1/aa/job/out-{label}", 1) for label in (0, 3)]
    folder = tmp_path / "data" / "n1" / "aa" / "job"
    folder.mkdir(parents=True)
    (folder / "x.results").write_bytes(b"".join(map(index.dump_line, lines)))
    for line in lines:
        (folder / f"out-{line.label}").write_bytes(b"x")
    schemes.data_roots.append(str(tmp_path / "data"))
    yield "dir://n1/disco/n1/aa/job/x.results"
    schemes.data_roots.remove(str(tmp_path / "data"))


def test_dir_urls_are_files_of_a_map_and_partitions_of_a_reduce(dir_url: str) -> None:
    files = [[f"disco://n1/disco/n1/aa/job/out-{label}"] for label in (0, 3)]
    assert expanded(dir_url, "raw://x") == [*files, "raw://x"]
    got = jobdict(Plain(reduce=sum_reduce), input=[dir_url])
    assert (got["input"], got["nr_reduces"]) == ([dir_url], 4)
    assert jobdict(Plain(reduce=sum_reduce), input=[dir_url, "raw://x"])["nr_reduces"] == 1


def test_helpers_for_indexes(dir_url: str) -> None:
    assert util.parse_dir(dir_url, 3) == ["disco://n1/disco/n1/aa/job/out-3"]
    assert util.inputlist([dir_url], label=0) == [["disco://n1/disco/n1/aa/job/out-0"]]
    assert util.inputlist([dir_url], label=False) == [dir_url]
    assert list(util.deref([dir_url], resolve=True))[1] == ["http://n1:8989/disco/n1/aa/job/out-3"]
    assert [line.label for line in util.read_index(dir_url)] == [0, 3]
    assert util.jobname(dir_url) == "job"
    assert util.ispartitioned([dir_url]) and not util.ispartitioned([dir_url, "raw://x"])


# Environment and home


def test_job_environment_is_that_of_the_real_client(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = json.loads((golden / "jobpacks/classic_map_only.real.json").read_text())["jobenvs"]
    entries = recorded["PYTHONPATH"].split(":")[1:]
    monkeypatch.setattr(sys, "path", [f"/{entry}" for entry in entries])
    got = Worker().jobenvs(Plain())
    assert got == recorded and list(got) == list(recorded)


def home_names(job: Job, **jobargs: Any) -> dict[str, bytes]:
    data = (job.worker or Worker()).jobhome(job, **jobargs)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        listed = archive.namelist()
        assert len(set(listed)) == len(listed)
        return {name: archive.read(name) for name in listed}


def test_the_home_has_the_nodes_side_of_the_library_and_nothing_of_the_clients() -> None:
    found = home_names(Plain(map=nop_map))
    assert {"discolocal/__init__.py", "discolocal/worker/classic/worker.py", "discolocal/job.py"} <= set(found)
    assert {"discolocal/wire/hunk.py", "discolocal/schemes/scheme_raw.py", "cloudpickle/cloudpickle.py"} <= set(found)
    assert not [name for name in found if name.startswith(("discolocal/cluster", "discolocal/testing"))]
    assert all(name.endswith(".py") for name in found if name != "cloudpickle/LICENSE")
    assert Worker().bin in found


def test_the_jobs_own_module_is_in_the_home() -> None:
    assert home_names(Plain(map=nop_map))[f"lib/{__name__.replace('.', '/')}.py"] == Path(__file__).read_bytes()


def test_required_files(there: Path) -> None:
    found = home_names(Plain(), required_files=["a.txt", Path("sub/d.txt")])
    assert (found["lib/a.txt"], found["lib/d.txt"]) == (b"a", b"d")
    found = home_names(Plain(), required_files={"conf/x.txt": "é", "y": b"\0"})
    assert (found["conf/x.txt"], found["y"]) == ("é".encode(), b"\0")


@pytest.mark.parametrize("bad", [["none.txt"], {"../x": ""}, {"a": 3}, {"": ""}])
def test_required_files_that_cannot_be_sent(there: Path, bad: Any) -> None:
    with pytest.raises(DiscoError):
        home_names(Plain(), required_files=bad)


def test_required_modules_that_are_not_there(there: Path) -> None:
    with pytest.raises(DiscoError, match="no module 'no_such_module_x'"):
        home_names(Plain(), required_modules=["no_such_module_x"])
    with pytest.raises(DiscoError, match=r"none\.py"):
        home_names(Plain(), required_modules=[("m", "none.py")])


def test_modules_of_the_user_that_the_job_uses_come_along(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (there / "dl_user_mod.py").write_text(
        "import dl_user_helper\ndef f(line, params):\n    return [dl_user_helper.X]\n"
    )
    (there / "dl_user_helper.py").write_text("X = ('a', 1)\n")
    monkeypatch.syspath_prepend(str(there))
    import dl_user_mod  # type: ignore[import-not-found]

    try:
        found = home_names(Plain(map=dl_user_mod.f))
    finally:
        del sys.modules["dl_user_mod"], sys.modules["dl_user_helper"]
    assert {"lib/dl_user_mod.py", "lib/dl_user_helper.py"} <= set(found)


def test_equal_jobs_have_equal_homes() -> None:
    assert Worker().jobhome(Plain()) == Worker().jobhome(Plain())


def test_the_names_of_the_pack_are_accepted_by_a_master() -> None:
    from discolocal.wire.packcheck import check

    info = check(Plain(map=nop_map).pack(input=["raw://x"]).dumps())
    assert info.worker == Worker().bin
    assert names.preferred_host(info.inputs[0].urls[0]) == "x"
