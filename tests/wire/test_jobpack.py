"""Job packs: recorded bytes there and back, and every kind of damage."""

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DiscoError
from discolocal.wire.jobpack import JobPack


def golden_packs(golden):
    return sorted((golden / "jobpacks").glob("*.jobpack"))


def test_recorded_packs_are_read_as_described(golden):
    for path in golden_packs(golden):
        described = json.loads(path.with_suffix(".json").read_text())
        pack = JobPack.loads(path.read_bytes())
        assert pack.version == described["version"]
        assert pack.header.hex() == described["header_hex"]
        assert dict(zip(("jobdict", "jobenvs", "jobhome", "jobdata"), pack.offsets)) == described["offsets"]
        assert pack.jobdict == described["jobdict"]
        assert pack.jobenvs == described["jobenvs"]
        assert len(pack.jobdata) == described["jobdata_len"]


def test_recorded_packs_are_written_byte_for_byte(golden):
    paths = golden_packs(golden)
    assert len(paths) > 10
    for path in paths:
        data = path.read_bytes()
        assert JobPack.loads(data).dumps() == data
        assert JobPack.load(io.BytesIO(data)).dumps() == data


def test_the_same_parts_make_the_same_pack_as_the_real_client(golden):
    for path in golden_packs(golden):
        old = JobPack.loads(path.read_bytes())
        new = JobPack(old.version, old.jobdict, old.jobenvs, old.jobhome, old.jobdata)
        assert new.dumps() == path.read_bytes(), path.name


def test_headers_of_full_size_packs_are_those_of_the_real_client(golden):
    paths = sorted((golden / "jobpacks").glob("*.real.json"))
    assert paths
    for path in paths:
        described = json.loads(path.read_text())
        texts = described["jobdict_raw"], described["jobenvs_raw"]
        start, stop = described["offsets"]["jobhome"], described["offsets"]["jobdata"]
        pack = JobPack(described["version"], *map(json.loads, texts), b"x" * (stop - start), b"")
        assert pack.header.hex() == described["header_hex"], path.name
        assert pack.dumps()[128:start].decode() == "".join(texts)


def test_accepted_odd_packs_are_written_byte_for_byte(golden):
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    for case, recorded in replies.items():
        if json.loads(recorded["body"])[0] == "ok":
            data = (golden / "badpacks" / f"{case}.jobpack").read_bytes()
            assert JobPack.loads(data).dumps() == data, case


def test_packs_of_the_test_data_are_written_byte_for_byte(data_file):
    for case in json.loads(data_file("jobpacks.json").read_text()):
        data = bytes.fromhex(case["hex"])
        pack = JobPack.loads(data)
        assert (pack.version, pack.jobdict, pack.jobenvs) == (case["version"], case["jobdict"], case["jobenvs"])
        assert (pack.jobhome.hex(), pack.jobdata.hex()) == (case["jobhome"], case["jobdata"])
        assert pack.dumps() == data
        assert JobPack(pack.version, pack.jobdict, pack.jobenvs, pack.jobhome, pack.jobdata).dumps() == data


def test_a_changed_pack_is_written_anew():
    pack = JobPack.loads(JobPack(1, {"prefix": "a"}, {}, b"home", b"data").dumps())
    pack.jobdict["prefix"] = "b" * 100
    pack.jobhome = b"other home"
    again = JobPack.loads(pack.dumps())
    assert again.jobdict == {"prefix": "b" * 100}
    assert (again.jobenvs, again.jobhome, again.jobdata) == ({}, b"other home", b"data")


@pytest.mark.parametrize(
    "old, new", [(False, 0), (1, True), (1, 1.0), (0.0, -0.0), (True, 1), ("1", 1), ([0], [False])]
)
def test_a_change_to_an_equal_value_is_a_change(old, new):
    """Python takes False for 0; a master refuses a job whose save_results is 0."""
    pack = JobPack.loads(JobPack(2, {"save_results": old, "more": {"in": [old]}}, {}, b"", b"").dumps())
    pack.jobdict["more"]["in"][0] = new
    again = JobPack.loads(pack.dumps())
    assert repr(again.jobdict) == repr({"save_results": old, "more": {"in": [new]}})
    pack.jobdict["save_results"] = new
    assert pack.offsets == JobPack.loads(pack.dumps()).offsets
    assert repr(JobPack.loads(pack.dumps()).jobdict) == repr({"save_results": new, "more": {"in": [new]}})


@pytest.mark.parametrize("text", [b'{"a" :1e400, "b":NaN}', b'{ "a": 1, "a": 2, "b": 1.50}', b'{"\xc3\xa9":"\\ud800"}'])
def test_an_odd_text_that_was_not_changed_stays(text):
    data = struct.pack(">5I", 0xD5C0 << 16 | 2, 128, 128 + len(text), 130 + len(text), 130 + len(text))
    data = data.ljust(128, b"\0") + text + b"{}"
    assert JobPack.loads(data).dumps() == data


@pytest.mark.parametrize("version", [70000, 65536, -1, True, 1.0, None, "1"])
def test_a_version_that_no_header_can_hold_is_refused(version):
    with pytest.raises(ValueError, match=f"version of a job pack .*{version!r}"):
        JobPack(version, {}, {}, b"", b"").dumps()
    pack = JobPack(1, {}, {}, b"", b"")
    pack.version = version
    with pytest.raises(ValueError, match="version of a job pack"):
        pack.header  # noqa: B018


@pytest.mark.parametrize("version", [0, 3, 65535])
def test_an_unknown_version_is_written_and_read(version):
    assert JobPack.loads(JobPack(version, {}, {}, b"", b"").dumps()).version == version


@pytest.mark.parametrize("value", [object(), float("nan"), b"x", {1}])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        JobPack(1, {"prefix": value}, {}, b"", b"").dumps()


GOOD = JobPack(2, {"prefix": "x"}, {"A": "b"}, b"PK", b"tail").dumps()


@pytest.mark.parametrize(
    "offset, word, message",
    [
        (0, 0xD5C1 << 16 | 1, "Invalid jobpack magic."),
        (4, 127, "Invalid jobpack header."),
        (4, 129, "Invalid jobpack header."),
        (8, 120, "Invalid jobpack offsets."),
        (12, 130, "Invalid jobpack offsets."),
        (16, 130, "Invalid jobpack offsets."),
        (16, len(GOOD) + 1, "Invalid jobpack offsets."),
        (8, 130, "Invalid jobpack jobdict"),
    ],
)
def test_damaged_headers_are_named(offset, word, message):
    data = bytearray(GOOD)
    struct.pack_into(">I", data, offset, word)
    with pytest.raises(DiscoError, match=message):
        JobPack.loads(bytes(data))


def test_a_pack_cut_in_front_of_the_job_data_is_refused():
    start = JobPack.loads(GOOD).offsets[3]
    for end in range(start):
        with pytest.raises(DiscoError):
            JobPack.loads(GOOD[:end])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([1, 2]),
    st.dictionaries(st.text(), values, max_size=5),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.binary(),
    st.binary(),
)
def test_any_pack_comes_back(version, jobdict, jobenvs, jobhome, jobdata):
    data = JobPack(version, jobdict, jobenvs, jobhome, jobdata).dumps()
    pack = JobPack.loads(data)
    assert (pack.version, pack.jobdict, pack.jobenvs) == (version, jobdict, jobenvs)
    assert (pack.jobhome, pack.jobdata) == (jobhome, jobdata)
    assert pack.dumps() == data
    start, stop = pack.offsets[0], pack.offsets[1]
    assert json.loads(data[start:stop]) == jobdict


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pack_or_a_clear_error(data):
    for text in (data, GOOD[:20] + data, GOOD[:140] + data):
        try:
            JobPack.loads(text)
        except DiscoError as error:
            assert str(error).startswith("Invalid jobpack")
