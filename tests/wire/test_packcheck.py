"""The master's checks of a job pack: the recorded replies, the fuzzed header, the rules a master does not have."""

import json
import struct

import pytest
from hypothesis import given
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


@pytest.mark.parametrize("worker", ["", "/bin/true", "../x", "a/../../x", "a//b", "./x", "a\0b", 5, None, ["x"]])
def test_a_worker_outside_the_job_home_is_refused_on_demand(worker):
    data = make(V2 | {"worker": worker})
    assert check(data).prefix == "job"
    assert "worker" in reply_to(data, master_rules=False)


def test_stricter_rules_take_good_packs():
    assert check(make(V1, 1), master_rules=False) == check(make(V1, 1))
    assert reply_to(make(V2 | {"prefix": "a\0b"}), master_rules=False) == '"invalid prefix"'


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
