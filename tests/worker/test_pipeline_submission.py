"""What the pipeline worker puts into a job pack, and what it refuses or warns of before a job is submitted."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import DiscoError, JobError, PortabilityWarning
from discolocal.report import check
from discolocal.schemes import data_roots
from discolocal.wire import names
from discolocal.wire.jobpack import JobPack
from discolocal.wire.packcheck import check as as_master
from discolocal.worker.pipeline.worker import Stage, Worker
from discolocal.worker.task_io import chain_reader, task_input_stream


def write(interface: Any, state: Any, label: int, inp: Any) -> None:
    for record in inp:
        interface.output(label).add(label, record)


class Piped(Job):
    Worker = Worker


def job_of(*pipeline: Any, **parameters: Any) -> Job:
    return Piped("Pipe", pipeline=list(pipeline) or [("split", Stage("only", process=write))], **parameters)


def jobdict(job: Job, *inputs: Any, **jobargs: Any) -> dict[str, Any]:
    return Worker().jobdict(job, input=list(inputs), **jobargs)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=1, start="inline") as started:
        yield started


# The pack


def pack_like(recorded: dict[str, Any]) -> JobPack:
    """A pack of a job with the name, the stages and the inputs of a recorded one."""
    stages = [(grouping, Stage(name, process=write)) for name, grouping, _ in recorded["pipeline"]]
    inputs = [urls for _label, _size, urls in recorded["inputs"]]
    job = Piped(recorded["prefix"], pipeline=stages)
    return job.pack(input=inputs, owner=recorded["owner"], scheduler=recorded["scheduler"])


def test_the_job_dict_is_that_of_the_real_client_byte_for_byte(golden: Path) -> None:
    recorded = json.loads((golden / "protocol_real_worker/pipeline_3stage.json").read_text())["jobdict"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pack = pack_like(recorded)
    assert json.dumps({**pack.jobdict, "worker": recorded["worker"]}) == json.dumps(recorded)
    info = as_master(pack.dumps())
    assert [list(row) for row in info.pipeline] == recorded["pipeline"]
    assert [[item.label, item.size, item.urls] for item in info.inputs] == recorded["inputs"]


@pytest.mark.parametrize("run", ["pipeline_3stage_replicas", "pipeline_3stage"])
def test_plain_urls_are_the_only_difference_to_packs_that_no_master_takes(golden: Path, run: str) -> None:
    recording = json.loads((golden / f"jobpacks/{run}.real.json").read_text())
    with pytest.warns(PortabilityWarning, match="plain-urls.*invalid_job_inputs"):
        pack = pack_like(recording["jobdict"])
    mine = {**pack.jobdict, "worker": recording["jobdict"]["worker"]}
    raw = recording["jobdict_raw"]
    for url in ("http://localhost:9444/a", "http://localhost:9444/b", "raw://c"):
        raw = raw.replace(f'[0, 0, "{url}"]', f'[0, 0, ["{url}"]]')
    assert json.dumps(mine) == raw != recording["jobdict_raw"]
    assert pack.dumps()[:4] == bytes.fromhex(recording["header_hex"])[:4]
    as_master(pack.dumps())


def test_the_worker_of_the_pack_is_in_its_home() -> None:
    pack = job_of().pack(input=[["raw://x"]])
    assert pack.jobdict["worker"] == "discolocal/worker/pipeline/worker.py"
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(pack.jobhome)) as home:
        assert pack.jobdict["worker"] in home.namelist()
        assert home.read(pack.jobdict["worker"]).startswith(b"#!/usr/bin/env python3\n")


def test_a_pipeline_is_an_argument_or_an_attribute_or_an_item_in_that_order() -> None:
    def stages(name: str) -> list[Any]:
        return [("group_all", Stage(name, process=write))]

    class Attribute(Job):
        pipeline = stages("attribute")

    item = Worker(pipeline=stages("item"))
    found = []
    for job, jobargs in (
        (Attribute(worker=item), {"pipeline": stages("argument")}),
        (Attribute(worker=item), {}),
        (Job(worker=item), {}),
    ):
        found.append(job.pack(input=[["raw://x"]], **jobargs).jobdict["pipeline"])
    assert found == [[[name, "group_all", False]] for name in ("argument", "attribute", "item")]


def test_a_job_with_a_pipeline_and_no_pipeline_worker_is_told_so() -> None:
    class Forgotten(Job):
        pipeline = [("split", Stage("only", process=write))]

    with pytest.warns(PortabilityWarning, match=r"no-stages.*Worker = discolocal\.worker\.pipeline\.worker\.Worker"):
        Forgotten().pack(input=["raw://x"])


def test_stages_may_be_concurrent() -> None:
    job = job_of(
        ("split", Stage("a", process=write)),
        ("group_node", Stage("b", process=write), True),
        ["group_all", Stage("c", process=write), False],
    )
    assert jobdict(job, ["raw://x"])["pipeline"] == [
        ["a", "split", False],
        ["b", "group_node", True],
        ["c", "group_all", False],
    ]


# Inputs


@pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
def test_labels_of_inputs_are_given_with_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    found = jobdict(
        job_of(), (3, ["raw://x", "raw://y"]), [-1, "raw://z"], ["raw://l"], (2, f"{tmp_path}/*"), (0, "raw://n")
    )["inputs"]
    assert found == [
        [3, 0, ["raw://x", "raw://y"]],
        [-1, 0, ["raw://z"]],
        [0, 0, ["raw://l"]],
        [2, 0, [f"{tmp_path}/a"]],
        [2, 0, [f"{tmp_path}/b"]],
        [0, 0, ["raw://n"]],
    ]
    assert all(type(label) is int and type(size) is int for label, size, _ in found)


def test_results_of_a_job_are_inputs_file_by_file(tmp_path: Path) -> None:
    place = tmp_path / "data"
    folder = place / names.job_dir("node1", "J@1:2:3")
    (folder / ".disco").mkdir(parents=True)
    urls = [names.disco_url("node1", "J@1:2:3", f"f{number}") for number in (0, 1)]
    lines = "".join(f"{number + 5} {url} 1\n" for number, url in enumerate(urls))
    (folder / ".disco" / "m-0-1.results").write_text(lines)
    for number in (0, 1):
        (folder / f"f{number}").write_text("x")
    index = names.dir_url("node1", "J@1:2:3", ".disco/m-0-1.results")
    data_roots.append(str(place))
    try:
        for form in (index, [index]):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert jobdict(job_of(), form)["inputs"] == [[0, 0, [url]] for url in urls]
        assert jobdict(job_of(), (7, [index]))["inputs"] == [[7, 0, [url]] for url in urls]
    finally:
        data_roots.remove(str(place))


@pytest.mark.parametrize("value", ["raw://x", None, 5, {"a": 1}])
def test_what_is_no_list_of_inputs_is_refused(value: Any) -> None:
    with pytest.raises(DiscoError, match="^Job 'input' is not a list of input locations,or a list of such lists: "):
        Worker().jobdict(job_of(), input=value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DiscoError, match="Input file does not exist: /nowhere"):
        jobdict(job_of(), ["/nowhere"])


# What is refused


class Nameless:
    def __repr__(self) -> str:
        return "<it>"


S = Stage("s", process=write)
REFUSED = {
    "Bad Stage ('split',): ": [("split",)],
    "Bad Stage ('split', Stage('s'), False, 1): ": [("split", S, False, 1)],
    "Bad Stage Stage('s'): ": [S],
    "Bad Stage 'split': ": ["split"],
    "Bad Stage ('split', <it>): its second element must be a Stage": [("split", Nameless())],
    "Bad Stage ('split', Stage('s'), 1): whether it is concurrent": [("split", S, 1)],
    "Unknown grouping splat: there are split, group_label": [("splat", S)],
    "Unknown grouping None: ": [(None, S)],
    "Unknown grouping ['split']: ": [(["split"], S)],
    "Repeated stage s: ": [("split", S), ("group_all", Stage("s", process=write))],
    "A stage needs a name, which is a text that is not empty, not ''": [("split", Stage(process=write))],
    "A stage needs a name, which is a text that is not empty, not 5": [("split", Stage(5, process=write))],
    "process of the stage s must be a function, not 'f'": [("split", Stage("s", process="f"))],
    "init of the stage s must be a function, not 0": [("split", Stage("s", process=write, init=0))],
    "input_hook of the stage s must be a function, not None": [("split", Stage("s", process=write, input_hook=None))],
    "The stage s has no function: ": [("split", Stage("s"))],
    "input_chain of the stage s must be a list of stream functions": [
        ("split", Stage("s", process=write, input_chain=chain_reader))
    ],
    "output_chain of the stage s must be a list of stream functions": [
        ("split", Stage("s", process=write, output_chain=[None]))
    ],
    "pipeline must be a list of (grouping, Stage), not Stage('s')": S,
    "pipeline must be a list of (grouping, Stage), not None": None,
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_pipeline_that_cannot_work_is_refused(text: str) -> None:
    job = Piped("Pipe", pipeline=REFUSED[text])
    with pytest.raises(DiscoError) as refused:
        jobdict(job, ["raw://x"])
    assert str(refused.value).startswith(text)
    assert repr(job) == "<Piped Pipe>"


@pytest.mark.parametrize("parameters", [{"encoding": "klingon"}, {"version": "2.7"}])
def test_an_unknown_codec_or_another_python_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(DiscoError, match=next(iter(parameters))):
        jobdict(job_of(**parameters), ["raw://x"])


def test_parameters_of_classic_jobs_are_unknown() -> None:
    with pytest.raises(TypeError, match="unexpected argument 'partitions'"):
        job_of().pack(input=[["raw://x"]], partitions=3)
    with pytest.raises(TypeError, match=r"'pipeline'.*worker\.pipeline\.worker"):
        Job(pipeline=[])


# Portability


def init_of_generator(interface: Any, params: Any) -> Any:
    yield 1


def process_of_generator(interface: Any, state: Any, label: int, inp: Any) -> Any:
    yield from inp


def done_of_generator(interface: Any, state: Any) -> Any:
    yield 1


def names_a_module(interface: Any, params: Any) -> Any:
    return colorsys.rgb_to_hls(0, 0, 0)  # noqa: F821


def uses_a_name(interface: Any, params: Any) -> Any:
    return this_host()  # noqa: F821


def uses_its_module(interface: Any, params: Any) -> Any:
    return random.Random(1)


def no_labels(state: Any, labels: Any) -> Any:
    return []


def one_more(state: Any, labels: Any) -> Any:
    return [*labels, 5]


WARNED: dict[str, tuple[Any, Any]] = {
    "concurrent-first-stage": (Stage("s", process=write), ["raw://x"]),
    "plain-urls": (Stage("s", process=write), "raw://x"),
    "generator-init": (Stage("s", process=write, init=init_of_generator), ["raw://x"]),
    "sort-without-combine": (Stage("s", process=write, sort=True), ["raw://x"]),
    "implied-module": (Stage("s", process=write, init=names_a_module), ["raw://x"]),
    "skipped-label": (Stage("s", process=write, input_hook=no_labels), ["raw://x"]),
    "unknown-label": (Stage("s", process=write, input_hook=one_more), ["raw://x"]),
    "supplied-name": (Stage("s", process=write, init=uses_a_name), ["raw://x"]),
}


@pytest.mark.parametrize("code", WARNED)
def test_a_trap_is_warned_of_fails_when_strict_and_is_told_by_a_check(cluster: LocalCluster, code: str) -> None:
    stage, entry = WARNED[code]
    job = job_of(("split", stage, code == "concurrent-first-stage"))
    with pytest.warns(PortabilityWarning) as caught:
        list(cluster.run(job, input=[entry]))
    assert [str(warning.message.code) for warning in caught] == [code]  # type: ignore[union-attr]
    with pytest.raises((PortabilityWarning, JobError), match=code):
        cluster.run(job, input=[entry], strict=True)
    assert code in check(job, cluster, input=[entry]).codes


@pytest.mark.parametrize(
    "functions", [{"process": process_of_generator}, {"process": write, "done": done_of_generator}]
)
def test_a_function_of_which_nothing_would_run_is_refused(functions: dict[str, Any]) -> None:
    job = job_of(("split", Stage("s", **functions)))
    with pytest.raises(DiscoError, match="has a yield in it, so that nothing of it would ever run") as refused:
        jobdict(job, ["raw://x"])
    assert refused.value.finding == "generator-process"
    assert check(job).codes == ["generator-process"]


def test_an_init_that_is_a_generator_gives_the_generator_as_the_state(cluster: LocalCluster) -> None:
    def process(interface: Any, state: Any, label: int, inp: Any) -> None:
        interface.output(0).add("state", next(state))

    job = job_of(("split", Stage("s", init_of_generator, process)))
    with pytest.warns(PortabilityWarning, match="generator-init"):
        assert list(cluster.run(job, input=[["raw://x"]])) == [("state", 1)]


def clean(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A process that Disco's own client can send."""
    for record in inp:
        interface.output(label).add(label, record)


def test_what_only_discos_client_cannot_send_is_told_when_strict(cluster: LocalCluster) -> None:
    def closure(interface: Any, params: Any) -> Any:
        return functions

    functions = 1
    for job, inputs, codes in (
        (job_of(("split", Stage("s", process=clean))), [["raw://x"]], []),
        (job_of(("split", Stage("s", process=clean))), [(1, ["raw://x"])], ["input-label"]),
        (job_of(("split", Stage("s", uses_its_module, clean))), [["raw://x"]], ["function-globals"]),
        (job_of(("split", Stage("s", closure, clean))), [["raw://x"]], ["function-closure"]),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            job.pack(input=inputs)
        assert [code for code in check(job, cluster, input=inputs).codes if code != "required-modules"] == codes


class ByReference(Job):
    Worker = Worker
    pipeline = [("split", Stage("s", uses_its_module, clean))]


def test_a_pipeline_of_a_class_keeps_the_names_of_its_module(cluster: LocalCluster) -> None:
    """Disco's client sends it by the name of the class, and one that is given to `run` function by function."""
    assert "function-globals" not in check(ByReference, cluster, input=[["raw://x"]]).codes
    given = check(Piped, cluster, input=[["raw://x"]], pipeline=ByReference.pipeline)
    assert "function-globals" in given.codes


def test_a_module_that_is_required_is_no_trap(cluster: LocalCluster) -> None:
    job = job_of(("split", Stage("s", names_a_module, clean)), required_modules=["colorsys"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(cluster.run(job, input=[["raw://x"]], strict=True)) == [(0, "x")]


# What travels


def test_functions_of_stages_are_those_of_the_job() -> None:
    from discolocal.jobdata import functions, home_modules
    from discolocal.worker.classic.names import job_functions

    stage = Stage("s", uses_its_module, write, input_chain=[task_input_stream])
    found = list(functions([("split", stage)]))
    assert [uses_its_module, write, task_input_stream] == [thing for thing in found if thing is not stage.input_hook]
    assert set(job_functions([("split", stage)])) == set(found)
    assert __name__ in [
        module.__name__ for module in home_modules(Job(worker=Worker()), {"pipeline": [("split", stage)]})
    ]


def test_a_static_method_of_a_class_may_be_a_function_of_its_stages(cluster: LocalCluster) -> None:
    class Static(Job):
        Worker = Worker

        @staticmethod
        def process(interface: Any, state: Any, label: int, inp: Any) -> None:
            interface.output(0).add("static", list(inp))

        pipeline = [("split", Stage("s", process=process))]

    assert list(cluster.run(Static, input=[["raw://x"]])) == [("static", ["x"])]
