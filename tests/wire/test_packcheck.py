"""The master's checks of a job pack: the recorded replies, the fuzzed header, the rules a master does not have."""

import errno
import json
import re
import struct
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from discolocal.error import DiscoError
from discolocal.wire import packcheck
from discolocal.wire.packcheck import InvalidPack, JobInput, check

ERLANG = ("invalid payload: ", "FORMAT ERROR: ")


def make(jobdict, version=2, envs="{}", home=b"", data=b""):
    """A pack by the description in the reference, not by the code under test."""
    parts = [
        jobdict if isinstance(jobdict, bytes) else json.dumps(jobdict).encode(),
        envs if isinstance(envs, bytes) else envs.encode(),
        home,
    ]
    offsets = [128]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    header = struct.pack(">HHIIII", 0xD5C0, version, *offsets)
    return header.ljust(128, b"\0") + b"".join(parts) + data


V1 = {
    "prefix": "job",
    "worker": "lib/w.py",
    "owner": "me@x",
    "input": ["raw://a"],
    "map?": True,
    "reduce?": False,
    "nr_reduces": 1,
    "scheduler": {},
}
V2 = {
    "prefix": "job",
    "worker": "lib/w.py",
    "owner": "me@x",
    "inputs": [[0, 0, ["raw://a"]]],
    "pipeline": [["map", "split", False]],
    "scheduler": {},
}


def test_every_recorded_pack_gets_the_recorded_reply(golden):
    folder = golden / "badpacks"
    replies = json.loads((folder / "replies.json").read_text())
    packs = {path.stem for path in folder.glob("*.jobpack")}
    assert packs == set(replies)
    for case, recorded in replies.items():
        kind, text = json.loads(recorded["body"])
        data = (folder / f"{case}.jobpack").read_bytes()
        if kind == "ok":
            info = check(data)
            assert text.startswith(info.prefix + "@"), case
            continue
        with pytest.raises(InvalidPack) as raised:
            check(data)
        assert str(raised.value) == "Job failed to start: " + raised.value.reply
        for prefix in ERLANG:
            if text.startswith(f'Job failed to start: "{prefix}'):
                # behind this point the master quotes its own program; ours are plain words
                assert raised.value.reply.startswith(f'"{prefix}'), case
                assert raised.value.reply.endswith('"') and len(raised.value.reply) > len(prefix) + 5, case
                break
        else:
            assert str(raised.value) == text, case


def test_recorded_job_descriptions_are_read(golden):
    folder = golden / "badpacks"
    replies = json.loads((folder / "replies.json").read_text())
    for case, recorded in replies.items():
        if json.loads(recorded["body"])[0] != "ok" or "jobinfo" not in recorded or case == "v1_dir_input_unreachable":
            continue
        described = json.loads(recorded["jobinfo"][1])
        info = check((folder / f"{case}.jobpack").read_bytes())
        assert [stage for stage, _, _ in info.pipeline] == [row[0] for row in described["pipeline"]], case
        assert sorted(url for item in info.inputs for url in item.urls) == sorted(described["inputs"]), case
        if isinstance(described["worker"], str):
            assert info.worker == described["worker"], case


@pytest.mark.parametrize(
    "flags, nr_reduces, stages",
    [
        ((False, False, False), 1, []),
        ((False, False, True), 3, []),
        ((False, True, False), 1, ["reduce group_all"]),
        ((False, True, True), 1, ["reduce group_all"]),
        ((False, True, True), 2, ["reduce group_label", "reduce_shuffle group_node"]),
        ((False, True, False), 2, ["reduce group_label"]),
        ((False, True, False), "1", ["reduce group_label"]),
        ((False, True, False), True, ["reduce group_label"]),
        ((True, False, True), 5, ["map split", "map_shuffle group_node"]),
        ((True, True, False), 1, ["map split", "map_shuffle group_node", "reduce group_all"]),
        ((True, True, True), 1, ["map split", "map_shuffle group_node", "reduce group_all"]),
        (
            (True, True, True),
            4,
            ["map split", "map_shuffle group_node", "reduce group_label", "reduce_shuffle group_node"],
        ),
        ((True, True, False), 4, ["map split", "map_shuffle group_node", "reduce group_label"]),
    ],
)
def test_version_1_jobs_have_the_stages_of_the_table(flags, nr_reduces, stages):
    names = dict(zip(("map?", "reduce?", "reduce_shuffle?"), flags))
    info = check(make(V1 | names | {"nr_reduces": nr_reduces}, 1))
    assert [f"{stage} {grouping}" for stage, grouping, _ in info.pipeline] == stages
    assert not any(concurrent for _, _, concurrent in info.pipeline)


def test_inputs_keep_their_order():
    info = check(
        make(V1 | {"input": ["raw://a", ["http://h/1", "http://i/1"], "dir://h/x", ["dir://h/y", "raw://z"]]}, 1)
    )
    assert info.inputs == [
        JobInput(0, 0, ["raw://a"], False),
        JobInput(0, 0, ["http://h/1", "http://i/1"], False),
        JobInput(0, 0, ["dir://h/x"], True),
        JobInput(0, 0, ["dir://h/y"], True),
    ]
    info = check(make(V2 | {"inputs": [[-3, 7, ["dir://h/x", "b"]], [1, 0, []]]}))
    assert info.inputs == [JobInput(-3, 7, ["dir://h/x", "b"], False)]


@pytest.mark.parametrize("limit, cores", [(3, 3), (0, 0), (-2, -2), ("2", 1 << 31), (None, 1 << 31), (2.5, 3)])
def test_max_cores_is_read_from_the_scheduler(limit, cores):
    info = check(make(V2 | {"scheduler": {"max_cores": limit}}))
    assert info.max_cores == cores
    assert check(make(V2)).max_cores == 1 << 31


def test_a_max_cores_beyond_every_number_is_none():
    text = json.dumps(V2 | {"scheduler": {"max_cores": 0.5}}).encode()
    assert check(make(text.replace(b"0.5", b"1e400"))).max_cores == 1 << 31
    assert check(make(text.replace(b"0.5", b"-1e400"))).max_cores < 1


def reply_to(data, **options):
    with pytest.raises(InvalidPack) as raised:
        check(data, **options)
    return raised.value.reply


def test_the_first_failure_wins():
    assert reply_to(make({})) == "\"jobpack missing key 'prefix'\""
    assert reply_to(make({"prefix": "a.b", "save_info": 3}, envs="[]")).startswith('"invalid payload: ')
    assert reply_to(make({"prefix": "a.b", "save_info": 3})) == "\"jobpack missing key 'worker'\""
    assert reply_to(make({"prefix": "a.b", "worker": 1, "save_info": 3})) == "\"jobpack missing key 'owner'\""
    named = {"prefix": "a.b", "worker": 1, "owner": 1}
    assert reply_to(make(named | {"save_info": "hd", "save_results": 3})) == "invalid_job_save_info"
    assert reply_to(make(named | {"save_results": 3})) == "invalid_job_save_results"
    assert reply_to(make(named, 7)) == '"invalid prefix"'
    assert reply_to(make(named | {"prefix": "a"}, 7)) == "\"unsupported version '7'\""


@pytest.mark.parametrize(
    "change",
    [
        {"input": "raw://a"},
        {"input": [1]},
        {"input": [["raw://a", 2]]},
        {"input": {"a": "b"}},
    ],
)
def test_odd_inputs_of_version_1_are_refused(change):
    assert reply_to(make(V1 | change, 1)) == "invalid_job_inputs"


@pytest.mark.parametrize("row", [[True, 0, []], [0, 0.5, []], [0, 0], [0, 0, [1]], "x", [0, 0, "raw://a"]])
def test_odd_inputs_of_version_2_are_refused(row):
    assert reply_to(make(V2 | {"inputs": [row]})) == "invalid_job_inputs"


@pytest.mark.parametrize(
    "rows, why",
    [
        ("x", "list expected"),
        (["x"], "list expected"),
        ([["a", "split"]], "list of length 3 expected"),
        ([[1, "split", False]], "string expected"),
        ([["a", None, False]], "string expected"),
        ([["a", "split", 1]], "boolean expected"),
    ],
)
def test_a_malformed_pipeline_is_explained(rows, why):
    assert reply_to(make(V2 | {"pipeline": rows})).startswith(f'"FORMAT ERROR: Invalid job pipeline: {why}, ')


@pytest.mark.parametrize("text", [b"NaN", b'{"a": NaN}', b"[" * 100_000, b"\xff", b"", b"{} x", b"null"])
def test_odd_json_is_refused(text):
    if text:
        assert reply_to(make(text)).startswith('"invalid payload: ')
    assert reply_to(make(V2, envs=text)).startswith('"invalid payload: ')


WORKERS = [
    "",
    "/bin/true",
    "../x",
    "a/../../x",
    "a//b",
    "./x",
    "a\0b",
    5,
    None,
    ["x"],
    "a\ud800",
    "x" * 256,
    "a/" + "é" * 128,
]


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_outside_the_job_home_is_refused_on_demand(worker):
    data = make(V2 | {"worker": worker})
    assert check(data).prefix == "job"
    assert "worker" in reply_to(data, master_rules=False)
    assert len(reply_to(data, master_rules=False).encode()) < 400


@pytest.mark.parametrize(
    "stage",
    ["../../../up", "a/b", "/", "a\0b", "a b", "a\n", "\u00a0", "a\u2028", "m\ud800", "\udc80", "x" * 201, "é" * 101],
)
def test_a_stage_that_spoils_the_names_of_files_is_refused_on_demand(stage):
    data = make(V2 | {"pipeline": [["first", "split", False], [stage, "group_all", False]]})
    assert check(data).pipeline[1][0] == stage
    reply = reply_to(data, master_rules=False)
    assert "stage" in reply and len(reply.encode()) < 400


@pytest.mark.parametrize(
    "prefix", ["a\0b", "a b", " ", "a\nb", "a\u3000", "\ud800", ["a", ["\udfff"]], "p" * 221, "é" * 111]
)
def test_a_prefix_that_spoils_the_names_of_files_is_refused_on_demand(prefix):
    data = make(V2 | {"prefix": prefix})
    assert check(data)
    reply = reply_to(data, master_rules=False)
    assert reply.startswith('"invalid prefix') and len(reply.encode()) < 400


@pytest.mark.parametrize(
    "envs", [{"A=B": "c"}, {"": "c"}, {"A\0": "c"}, {"A": "\0"}, {"A\ud800": "c"}, {"A": "\udcff"}]
)
def test_an_environment_that_no_process_can_have_is_refused_on_demand(envs):
    data = make(V2, envs=json.dumps(envs))
    assert check(data).jobenvs == envs
    assert "jobenvs" in reply_to(data, master_rules=False)


def starts(envs):
    """Whether this system starts a program with these variables alone."""
    try:
        return subprocess.run(["/bin/true"], env=envs, check=False).returncode == 0
    except OSError as error:
        assert error.errno == errno.E2BIG
        return False


def largest(name):
    """A value that fills a variable up to the limit."""
    return "x" * (packcheck.MAX_VARIABLE - len(f"{name}=\0".encode()))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("name", ["A", "é" * 9])
def test_a_variable_is_refused_on_demand_from_the_size_that_the_system_refuses(name):
    fits = {name: largest(name)}
    assert starts(fits)
    assert check(make(V2, envs=json.dumps(fits)), master_rules=False).jobenvs == fits
    for beyond in ({name: fits[name] + "x"}, {name + "x": fits[name]}, {name: fits[name][:-1] + "é"}):
        assert not starts(beyond)
        reply = reply_to(make(V2, envs=json.dumps(beyond)), master_rules=False)
        assert "131073 bytes" in reply and "MAX_ARG_STRLEN" in reply and f"'{name}" in reply
        assert check(make(V2, envs=json.dumps(beyond))).jobenvs == beyond


def test_an_environment_is_refused_on_demand_from_a_size_that_no_usual_system_takes():
    full = {f"A{number:02}": largest("A00") for number in range(16)}
    assert not starts(full)
    reply = reply_to(make(V2, envs=json.dumps(full)), master_rules=False)
    assert f"{16 * (packcheck.MAX_VARIABLE + 8)} bytes" in reply
    del full["A15"]
    assert starts(full)
    assert check(make(V2, envs=json.dumps(full)), master_rules=False).jobenvs == full


@pytest.mark.parametrize("place", [0, 1])
def test_a_stage_that_a_master_runs_for_ever_is_refused_on_demand(golden, place):
    recorded = (golden / "badpacks" / "pipeline_stage_named_input.jobpack").read_bytes()
    pipeline = [["map", "split", False], ["reduce", "group_all", False]]
    pipeline[place][0] = "input"
    for data in (recorded, make(V2 | {"pipeline": pipeline})):
        assert "input" in [stage for stage, _, _ in check(data).pipeline]
        assert "'input' is what a master calls" in reply_to(data, master_rules=False)


@pytest.mark.parametrize("version, jobdict", [(1, V1), (2, V2)])
def test_stricter_rules_take_good_packs(version, jobdict):
    for change in ({}, {"prefix": "é@b"}, {"prefix": ""}, {"prefix": "p" * 220}, {"worker": "a b/é\n" + "x" * 200}):
        data = make(jobdict | change, version, envs=json.dumps({"LC ALL": "a=b\né", "x" * 300: ""}))
        assert check(data, master_rules=False) == check(data)
    stages = ["mé", "", "..", "a:b", "x" * 200]
    data = make(V2 | {"pipeline": [[stage, "split", False] for stage in stages]})
    assert [stage for stage, _, _ in check(data, master_rules=False).pipeline] == stages


def test_a_pack_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(packcheck.jobpack, "MAX_SIZE", 1000)
    assert reply_to(make(V2, data=b"x" * 1000)) == "Job packet too large"


@given(
    magic=st.sampled_from([0xD5C0, 0xD5C0, 0xD5C0, 0]),
    version=st.integers(0, 3),
    offsets=st.lists(st.integers(0, 600) | st.integers(0, 2**32 - 1), min_size=4, max_size=4),
)
def test_any_header_is_taken_or_refused(magic, version, offsets):
    good = make(V2 if version == 2 else V1)
    data = struct.pack(">HHIIII", magic, version, *offsets) + good[20:]
    valid = magic == 0xD5C0 and offsets[0] == 128 < offsets[1] <= offsets[2] <= offsets[3] <= len(data)
    try:
        check(data)
    except InvalidPack as error:
        assert (error.reply == '"invalid header"') is (not valid)
    else:
        assert valid


@pytest.mark.parametrize("jobdict, version", [(V1, 1), (V2, 2)])
def test_a_pack_cut_anywhere_is_refused(jobdict, version):
    data = make(jobdict, version, home=b"PK", data=b"")
    for end in range(len(data)):
        assert reply_to(data[:end]) == '"invalid header"'


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reply(data):
    with pytest.raises(DiscoError):
        check(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_changed_byte_is_taken_or_refused(position, value):
    data = bytearray(make(V2, home=b"PK" * 20))
    data[position % len(data)] = value
    try:
        check(bytes(data))
    except InvalidPack as error:
        assert error.reply


numbers = st.integers() | st.floats(allow_nan=False) | st.sampled_from([1e308, 10**4000, -(10**4000), -0.0])
texts = (
    st.text(max_size=8)
    | st.text(st.characters(categories=["Cs", "Cc", "Zs"]), max_size=3)
    | st.text("x/.=", min_size=240, max_size=260)
)
scalars = st.none() | st.booleans() | numbers | texts
nested = st.integers(1, 950).map("<{} deep>".format)
anything = st.recursive(
    scalars | nested,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
groupings = st.sampled_from(packcheck.GROUPINGS) | anything
stages = st.lists(st.tuples(texts, groupings, st.booleans() | anything), max_size=3) | anything
inputs = st.lists(st.tuples(numbers, numbers, st.lists(texts, max_size=2)) | texts, max_size=3) | anything
jobdicts = st.fixed_dictionaries(
    {"prefix": texts | anything, "worker": texts | anything, "owner": texts | anything},
    optional={
        "scheduler": st.dictionaries(st.just("max_cores"), numbers | anything) | anything,
        "save_results": st.booleans() | anything,
        "save_info": st.sampled_from(["ddfs", "hdfs,x"]) | anything,
        "input": st.lists(texts | st.lists(texts)) | anything,
        "nr_reduces": st.just(1) | anything,
        "map?": st.booleans() | anything,
        "reduce?": st.booleans() | anything,
        "reduce_shuffle?": st.booleans() | anything,
        "pipeline": stages,
        "inputs": inputs,
    },
)


def json_of(value):
    """JSON as other programs may write it: with numbers that are too big for a float, and lists in lists in lists."""
    text = json.dumps(value).replace("-Infinity", "-1e400").replace("Infinity", "1e400")
    return re.sub('"<([0-9]+) deep>"', lambda found: "[" * int(found[1]) + "]" * int(found[1]), text).encode()


@given(
    st.integers(0, 3),
    jobdicts | anything,
    st.dictionaries(texts, texts | anything, max_size=2) | anything,
    st.booleans(),
)
@example(2, V2 | {"scheduler": {"max_cores": float("inf")}}, {}, True)
@example(1, V1 | {"prefix": "<900 deep>"}, {}, True)
@example(2, V2 | {"worker": "<900 deep>"}, {}, False)
@example(2, V2 | {"pipeline": "<900 deep>"}, {}, True)
def test_any_json_is_taken_or_refused(version, jobdict, jobenvs, master_rules):
    data = make(json_of(jobdict), version, envs=json_of(jobenvs))
    try:
        info = check(data, master_rules=master_rules)
    except InvalidPack as error:
        assert error.reply
        return
    assert type(info.max_cores) is int
    if not master_rules:
        names = [info.prefix, info.worker, *(stage for stage, _, _ in info.pipeline), *info.jobenvs]
        assert not any("\0" in name or name.encode("utf-8").count(b"/../") for name in names)


@pytest.mark.parametrize("key", ["prefix", "worker", "owner", "scheduler", "pipeline", "inputs", "other"])
@pytest.mark.parametrize("step", [1, 7])
def test_nested_json_of_any_depth_is_taken_or_refused(key, step):
    """Also where reading it just works, and looking at it would not."""
    text = json.dumps(V2 | {key: "HERE"}).encode()
    for depth in range(930 if step == 1 else 100, 1010 if step == 1 else 930, step):
        for nest in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            try:
                check(make(text.replace(b'"HERE"', nest)), master_rules=False)
            except InvalidPack as error:
                assert error.reply
