"""Tasks of a pipeline, one at a time: what is said to the master, what functions are called with, what is written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discolocal.job import Job
from discolocal.wire.session import TaskInput
from discolocal.worker.pipeline.interface import Interface
from discolocal.worker.pipeline.worker import Stage, TaskInfo, Worker
from discolocal.worker.task_io import chain_reader, disco_output_stream, task_input_stream, task_output_stream
from tests.worker.harness import HOST, JOB, Node, TaskResult
from tests.worker.test_golden_dialogues import recorded, said, write_inputs

REAL_STREAMS = [task_output_stream, partial(disco_output_stream, compression_level=2)]


def pipeline(*stages: tuple[Any, ...], **more: Any) -> Job:
    return Job(worker=Worker(pipeline=list(stages), **more))


def records_of(result: TaskResult) -> dict[int, list[Any]]:
    assert result.kind == "done", result.text
    return result.by_label()


def node_with(tmp_path: Path, stage: Stage, **more: Any) -> Node:
    """A node for a pipeline whose second stage is the given one, which has the name "it"."""
    stage.name = "it"
    local = more.pop("local", {"seed": 1, "strict": False, "start": "inline"})
    return Node(tmp_path / "data", pipeline(("split", Stage("first", process=pairs)), ("split", stage), **more), local)


# What a real worker said


def by_length(interface: Any, state: Any, label: int, inp: Any) -> None:
    outputs = [interface.output(0), interface.output(1)]
    for line in inp:
        for word in line.split():
            outputs[len(word) % 2].add(word, 1)


def passed_on(interface: Any, state: Any, label: int, inp: Any) -> None:
    for word, count in inp:
        interface.output(label).add(word, count)


def total(interface: Any, state: Any, label: int, inp: Any) -> None:
    for word, count in inp:
        state[word] = state.get(word, 0) + count


def sums(interface: Any, state: Any) -> None:
    for pair in sorted(state.items()):
        interface.output(0).add(*pair)


def new_dict(interface: Any, params: Any) -> dict[Any, Any]:
    return {}


def test_a_pipeline_of_three_stages_says_and_writes_what_a_real_one_did(golden: Path, tmp_path: Path) -> None:
    paths = write_inputs(tmp_path)
    node = Node(
        tmp_path / "data",
        pipeline(
            ("split", Stage("map", process=by_length, output_chain=REAL_STREAMS)),
            ("group_node_label", Stage("mid", process=passed_on, output_chain=REAL_STREAMS)),
            ("group_all", Stage("reduce", init=new_dict, process=total, done=sums, output_chain=REAL_STREAMS)),
            encoding=None,
        ),
    )
    maps = [node.map(paths["b"]), node.map(paths["a"])]
    indexes = [node.index(result) for result in maps]
    mids = [
        node.task("mid", [TaskInput(label, [url]) for url in indexes], "group_node_label", (label, HOST))
        for label in (0, 1)
    ]
    inputs = [TaskInput("all", [node.index(result)]) for result in mids]
    last = node.task("reduce", inputs, "group_all", (0, ""))
    recording = sorted(recorded(golden, "pipeline_3stage"), key=lambda pair: pair[0]["taskid"])
    assert [said(result.frames) for result in (*maps, *mids, last)] == [messages for _task, messages in recording]
    want = json.loads((golden / "protocol_real_worker/pipeline_3stage.json").read_text())["records"]
    assert last.records() == [(word["bytes"].encode(), count) for word, count in want]


# Inputs and labels


def pairs(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A process that writes (label, line) pairs, each into the label that the line starts with."""
    for line in inp:
        interface.output(int(line.split()[0])).add(line.split()[1], label)


def write_all(interface: Any, state: Any, label: int, inp: Any) -> None:
    """A process that tells of its calls: one record for each, of the label and the records."""
    interface.output(0).add(label, list(inp))


def file_of(tmp_path: Path, name: str, *lines: str) -> str:
    (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    return str(tmp_path / name)


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """The paths of two files of lines that start with the label that `pairs` gives them."""
    return [file_of(tmp_path, "x", "2 x2", "0 x0", "1 x1", "2 x2b"), file_of(tmp_path, "y", "1 y1", "0 y0")]


def indexes_of(node: Node, paths: list[str]) -> list[str]:
    results = [node.task("first", [TaskInput(0, [path])]) for path in paths]
    return [node.index(result) for result in results]


def test_an_index_of_any_labels_is_read_file_by_file_in_the_order_of_labels(tmp_path: Path, two: list[str]) -> None:
    node = node_with(tmp_path, Stage(process=write_all))
    inputs = [TaskInput("all", [url]) for url in indexes_of(node, two)]
    assert records_of(node.task("it", inputs, "group_all", (0, "")))[0] == [
        (0, [("x0", 0)]),
        (0, [("y0", 0)]),
        (1, [("x1", 0)]),
        (1, [("y1", 0)]),
        (2, [("x2", 0), ("x2b", 0)]),
    ]


def test_an_index_with_a_label_gives_the_files_of_that_label(tmp_path: Path, two: list[str]) -> None:
    node = node_with(tmp_path, Stage(process=write_all))
    inputs = [TaskInput(1, [url]) for url in indexes_of(node, two)]
    result = node.task("it", inputs, "group_label", (1, ""))
    assert records_of(result)[0] == [(1, [("x1", 0)]), (1, [("y1", 0)])]


def test_other_inputs_have_the_label_that_the_master_says_and_labels_their_order(tmp_path: Path) -> None:
    lines = [file_of(tmp_path, str(number), f"{number}") for number in range(4)]
    node = node_with(tmp_path, Stage(process=write_all, input_chain=[task_input_stream]))
    inputs = [TaskInput(label, [path]) for label, path in zip((7, -1, 7, 0), lines)]
    expected = [(7, ["0\n"]), (7, ["2\n"]), (-1, ["1\n"]), (0, ["3\n"])]
    assert records_of(node.task("it", inputs, "group_node"))[0] == expected


def test_input_hook_gives_the_order_of_labels_and_knows_the_state(tmp_path: Path, two: list[str]) -> None:
    def init(interface: Any, params: Any) -> Any:
        return params

    def hook(state: Any, labels: Any) -> Any:
        return sorted(labels, key=state.index)

    node = node_with(tmp_path, Stage(init=init, input_hook=hook, process=write_all), params=[1, 2, 0])
    inputs = [TaskInput("all", [url]) for url in indexes_of(node, two[:1])]
    result = node.task("it", inputs, "group_all", (0, ""))
    assert [label for label, _ in records_of(result)[0]] == [1, 2, 0]
    assert not result.warnings


@pytest.mark.parametrize("combine", [False, True])
def test_labels_that_input_hook_leaves_out_or_makes_up_are_told_of(
    tmp_path: Path, two: list[str], combine: bool
) -> None:
    node = node_with(tmp_path, Stage(input_hook=lambda state, labels: [9, 1], process=write_all, combine=combine))
    result = node.task("it", [TaskInput("all", [url]) for url in indexes_of(node, two[:1])], "group_all", (0, ""))
    nothing = [(9, [])] if combine else []
    assert records_of(result)[0] == [*nothing, (1, [("x1", 0)])]
    codes = [text.partition("]")[0].partition("[")[2] for text in result.warnings]
    assert codes == ["unknown-label", "skipped-label"]
    assert "labels 0, 2" in result.warnings[1]


def test_a_strict_cluster_does_not_let_records_be_lost(tmp_path: Path, two: list[str]) -> None:
    local = {"seed": 1, "strict": True, "start": "inline"}
    node = node_with(tmp_path, Stage(input_hook=lambda state, labels: [], process=write_all), local=local)
    result = node.task("it", [TaskInput("all", [url]) for url in indexes_of(node, two[:1])], "group_all", (0, ""))
    assert result.kind == "fatal" and "[skipped-label]" in result.text


def test_input_hook_may_be_a_generator_that_watches_what_is_processed(tmp_path: Path, two: list[str]) -> None:
    def hook(state: Any, labels: Any) -> Any:
        for label in sorted(labels, reverse=True):
            state.append(("asked for", label))
            yield label

    def process(interface: Any, state: Any, label: int, inp: Any) -> None:
        state.append(("processed", label))

    def done(interface: Any, state: Any) -> None:
        interface.output(0).add("calls", state)

    node = node_with(tmp_path, Stage("it", lambda interface, params: [], process, done, hook))
    result = node.task("it", [TaskInput("all", [url]) for url in indexes_of(node, two[:1])], "group_all", (0, ""))
    calls = [(what, label) for label in (2, 1, 0) for what in ("asked for", "processed")]
    assert records_of(result)[0] == [("calls", calls)]


# Combine and sort


def test_combine_gives_all_pairs_of_a_label_in_one_call(tmp_path: Path, two: list[str]) -> None:
    node = node_with(tmp_path, Stage(process=write_all, combine=True))
    result = node.task("it", [TaskInput("all", [url]) for url in indexes_of(node, two)], "group_all", (0, ""))
    assert records_of(result)[0] == [
        (0, [("x0", 0), ("y0", 0)]),
        (1, [("x1", 0), ("y1", 0)]),
        (2, [("x2", 0), ("x2b", 0)]),
    ]


def test_sort_gives_the_pairs_of_each_label_in_the_order_of_their_keys(tmp_path: Path) -> None:
    def words(interface: Any, state: Any, label: int, inp: Any) -> None:
        for number, line in enumerate(inp):
            interface.output(number % 2).add(line.split()[0].encode(), number)

    paths = [file_of(tmp_path, "x", "pear", "fig", "apple", "kiwi"), file_of(tmp_path, "y", "lime", "apple")]
    stages = (("split", Stage("first", process=words)), ("group_all", Stage("it", None, write_all)))
    stages[1][1].combine = stages[1][1].sort = True
    node = Node(tmp_path / "data", pipeline(*stages))
    inputs = [TaskInput("all", [url]) for url in indexes_of(node, paths)]
    result = node.task("it", inputs, "group_all", (0, ""))
    expected = [
        (0, [(b"apple", 2), (b"lime", 0), (b"pear", 0)]),
        (1, [(b"apple", 1), (b"fig", 1), (b"kiwi", 3)]),
    ]
    assert records_of(result)[0] == expected
    assert [text for text in result.messages if "ownload" in text or "ort" in text.split()] == []


def test_the_keys_of_a_sort_are_those_that_a_cluster_takes(tmp_path: Path, two: list[str]) -> None:
    node = node_with(tmp_path, Stage(process=write_all, combine=True, sort=True))
    result = node.task("it", [TaskInput("all", [url]) for url in indexes_of(node, two)], "group_all", (0, ""))
    assert result.kind == "done" and any("[sort-text-keys]" in text for text in result.warnings)


@pytest.mark.parametrize("sort", [False, True])
def test_what_is_combined_must_be_pairs(tmp_path: Path, sort: bool) -> None:
    path = file_of(tmp_path, "x", "three chars each")
    node = node_with(tmp_path, Stage(process=write_all, combine=True, sort=sort, input_chain=[task_input_stream]))
    result = node.task("it", [TaskInput(0, [path])])
    assert result.kind == "fatal"
    assert "combine=True reads (key, value) pairs, and 'three chars each\\n' is none" in result.headline


# Functions, streams and outputs


def test_the_functions_are_called_in_their_order_with_the_state(tmp_path: Path) -> None:
    def init(interface: Any, params: Any) -> list[Any]:
        return ["init", params]

    def process(interface: Any, state: Any, label: int, inp: Any) -> None:
        state.append((label, list(inp)))

    def done(interface: Any, state: Any) -> None:
        interface.output(None).add("state", state)

    path = file_of(tmp_path, "x", "line")
    node = Node(tmp_path / "data", pipeline(("split", Stage("map", init, process, done)), params={"a": 1}))
    assert records_of(node.map(path))[0] == [("state", ["init", {"a": 1}, (0, ["line\n"])])]


def test_without_init_the_state_is_none_and_without_process_nothing_is_read(tmp_path: Path) -> None:
    def done(interface: Any, state: Any) -> None:
        interface.output(3).add("state", state)

    node = Node(tmp_path / "data", pipeline(("split", Stage("map", done=done))))
    assert records_of(node.map(str(tmp_path / "missing"))) == {3: [("state", None)]}


def test_a_task_knows_where_it_is(tmp_path: Path) -> None:
    def init(interface: Any, params: Any) -> None:
        interface.output(0).add("info", tuple(interface.taskinfo))

    node = node_with(tmp_path, Stage(init=init))
    result = node.task("it", [], "group_node_label", (5, "elsewhere"))
    assert records_of(result)[0] == [("info", (JOB, HOST, "it", "5-elsewhere", 5))]
    assert TaskInfo._fields == ("jobname", "host", "stage", "group", "label")


def test_the_stage_of_a_task_has_its_taskinfo(tmp_path: Path) -> None:
    def done(interface: Any, state: Any) -> None:
        assert stage.taskinfo is not None
        interface.output(0).add("label", stage.taskinfo.label)

    stage = Stage(done=done)
    result = node_with(tmp_path, stage).task("it", [], group=(4, "h"))
    assert records_of(result)[0] == [("label", 4)]
    assert stage.taskinfo is None, "a task has a stage of its own"


def test_the_first_stage_reads_lines_and_the_others_records_by_their_place(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x", "line")
    stages = [("group_all", Stage(name, process=write_all)) for name in ("one", "two", "three")]
    node = Node(tmp_path / "data", pipeline(*stages))
    one = node.task("one", [TaskInput(0, [path])])
    assert records_of(one)[0] == [(0, ["line\n"])]
    two = node.task("two", [TaskInput("all", [node.index(one)])])
    assert records_of(two)[0] == [(0, [(0, ["line\n"])])]
    three = node.task("three", [TaskInput("all", [node.index(two)])])
    assert records_of(three)[0] == [(0, [(0, [(0, ["line\n"])])])]
    alone = node.task("two", [TaskInput(0, [path])])
    assert alone.kind == "error", "a file of lines is no file of records"


def test_chains_of_the_stage_take_the_place_of_the_default(tmp_path: Path) -> None:
    def upper(stream: Any, size: Any, url: Any, params: Any) -> Any:
        return (line.upper() + params for line in stream)

    class Text:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def line(self, text: str) -> None:
            self.stream.write(text.encode())

    def text(stream: Any, size: Any, url: Any, params: Any) -> Text:
        return Text(stream)

    def process(interface: Any, state: Any, label: int, inp: Any) -> None:
        for line in inp:
            interface.output(1).line(line)

    stage = Stage(process=process, input_chain=[task_input_stream, upper], output_chain=(task_output_stream, text))
    node = node_with(tmp_path, stage, params="!")
    result = node.task("it", [TaskInput(0, [file_of(tmp_path, "x", "line")])])
    assert result.kind == "done", result.text
    assert result.data(1) == b"LINE\n!"


def test_encoding_none_gives_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"caf\xe9\n")
    node = Node(tmp_path / "data", pipeline(("split", Stage("map", process=write_all)), encoding=None))
    assert records_of(node.map(str(path)))[0] == [(0, [b"caf\xe9\n"])]


def test_a_label_has_one_output_and_none_has_another(tmp_path: Path) -> None:
    def init(interface: Any, params: Any) -> None:
        assert interface.output(0) is interface.output(0) is not interface.output(None) is interface.output(None)
        for label in (None, 0, -3, 10**12):
            interface.output(label).add(label, label)

    result = node_with(tmp_path, Stage(init=init)).task("it", [])
    assert [label for label, _path, _size in result.outputs] == [0, 0, -3, 10**12]
    assert records_of(result)[-3] == [(-3, -3)] and len(result.records(0)) == 2


@pytest.mark.parametrize("label", ["1", 1.0, b"x", [], {}, (1,)], ids=repr)
def test_a_label_is_an_int_or_none(tmp_path: Path, label: Any) -> None:
    def init(interface: Any, params: Any) -> None:
        interface.output(label)

    result = node_with(tmp_path, Stage(init=init)).task("it", [])
    assert result.kind == "fatal"
    expected = f"Output label ({label!r} : {type(label)}) must be an integer or None"
    assert result.headline == f"init of stage it failed: ValueError: {expected}"


def test_an_interface_opens_each_output_once() -> None:
    opened: list[Any] = []
    info = TaskInfo("job", "host", "stage", "0-", 0)
    interface = Interface(info, lambda label: opened.append(label) or object())
    assert interface.output(1) is interface.output(1) is not interface.output(None)
    assert opened == [1, None] and interface.taskinfo is info


# Failures


def fails(*arguments: Any) -> Any:
    raise KeyError("why")


def reads_and_fails(interface: Any, state: Any, label: int, inp: Any) -> None:
    for _ in inp:
        if inp.record == 2:
            raise KeyError("why")


@pytest.mark.parametrize(
    ("functions", "headline"),
    [
        ({"init": fails}, "init of stage map failed: KeyError: 'why'"),
        ({"process": write_all, "input_hook": fails}, "input_hook of stage map failed: KeyError: 'why'"),
        ({"process": reads_and_fails}, "process of stage map failed at record 2 of PATH: KeyError: 'why' (label: 0)"),
        ({"process": fails}, "process of stage map failed: KeyError: 'why' (label: 0)"),
        ({"process": write_all, "done": fails}, "done of stage map failed: KeyError: 'why'"),
        (
            {"process": write_all, "input_hook": lambda state, labels: None},
            "input_hook of stage map returned None, not labels: TypeError: 'NoneType' object is not iterable",
        ),
    ],
)
def test_a_failure_names_the_function_and_where_it_was(
    tmp_path: Path, functions: dict[str, Any], headline: str
) -> None:
    path = file_of(tmp_path, "x", "one", "two", "three")
    result = Node(tmp_path / "data", pipeline(("split", Stage("map", **functions)))).map(path)
    assert result.kind == "fatal"
    assert result.headline == headline.replace("PATH", path)
    assert not list(result.node.home.rglob("*.partial")), "nothing half written is left"


def test_an_input_hook_that_fails_half_way_is_named(tmp_path: Path) -> None:
    def hook(state: Any, labels: Any) -> Any:
        yield from labels
        raise KeyError("why")

    path = file_of(tmp_path, "x", "one")
    stage = Stage("map", process=write_all, input_hook=hook)
    result = Node(tmp_path / "data", pipeline(("split", stage))).map(path)
    assert result.headline == "input_hook of stage map failed: KeyError: 'why'"


def test_a_stage_that_the_pipeline_has_not_is_named(tmp_path: Path) -> None:
    result = node_with(tmp_path, Stage(process=write_all)).task("other", [])
    assert result.kind == "fatal" and "has no stage 'other'" in result.headline


def test_a_stage_may_have_the_name_of_a_shuffle(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x", "line")
    node = Node(tmp_path / "data", pipeline(("split", Stage("map_shuffle", process=write_all))))
    assert records_of(node.task("map_shuffle", [TaskInput(0, [path])]))[0] == [(0, ["line\n"])]


def test_a_replica_that_is_damaged_is_replaced(tmp_path: Path) -> None:
    result = node_with(tmp_path, Stage(process=write_all, input_chain=[task_input_stream])).task(
        "it", [TaskInput(0, [str(tmp_path / "missing"), file_of(tmp_path, "x", "line")])]
    )
    assert records_of(result)[0] == [(0, ["line\n"])]


def test_a_file_with_another_size_than_its_index_says_is_not_read(tmp_path: Path, two: list[str]) -> None:
    node = node_with(tmp_path, Stage(process=write_all, input_chain=[task_input_stream, chain_reader]))
    first = node.task("first", [TaskInput(0, [two[0]])])
    url = node.index(first)
    path = node.home / first.outputs[0][1]
    path.write_bytes(path.read_bytes() + path.read_bytes())
    result = node.task("it", [TaskInput("all", [url])], "group_all", (0, ""))
    assert result.kind == "error" and "instead of" in result.headline


# What is found without importing it


def test_names_and_modules_are_there_as_in_a_classic_job(tmp_path: Path) -> None:
    def init(interface: Any, params: Any) -> None:
        interface.output(0).add(this_host(), (fractions.Fraction(1, 2), math.pi > 3))  # noqa: F821

    node = node_with(tmp_path, Stage(init=init), required_modules=["fractions"])
    ((host, (half, three)),) = records_of(node.task("it", []))[0]
    assert host == HOST and half == 0.5 and three


def test_another_version_of_python_is_refused(tmp_path: Path) -> None:
    result = node_with(tmp_path, Stage(process=write_all), version="2.7").task("it", [])
    assert result.kind == "fatal" and "Python version mismatch" in result.headline
