"""Old netstring records and the parameters of external programs."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire import netstring

URL = "disco://somewhere/file"


def read(data, size=None):
    return list(netstring.decode(io.BytesIO(data), len(data) if size is None else size, URL))


def test_the_format():
    assert netstring.encode("key", "value") == b"3 key 5 value\n"
    assert netstring.encode("", b"") == b"0  0 \n"
    assert netstring.encode(1, None) == b"1 1 4 None\n"
    assert netstring.encode("é", "☃") == "2 é 3 ☃\n".encode()


def test_records_come_back_as_text():
    data = b"3 key 5 value\n0  0 \n2 \xc3\xa9 1 \xff\n"
    assert read(data) == [("key", "value"), ("", ""), ("é", "\udcff")]
    assert list(netstring.decode(io.BytesIO(data[2:]), len(data), URL, data[:2])) == read(data)


@given(st.lists(st.tuples(st.text() | st.text(" 0123456789\n"), st.text()), max_size=20))
def test_any_text_comes_back(pairs):
    assert read(b"".join(netstring.encode(*pair) for pair in pairs)) == pairs


def test_long_streams_come_back():
    pairs = [("k" * (number % 300), "v" * (number * 7 % 5000)) for number in range(400)]
    assert read(b"".join(netstring.encode(*pair) for pair in pairs)) == pairs


def test_a_size_is_needed():
    with pytest.raises(ValueError, match="Content-length must be defined"):
        list(netstring.decode(io.BytesIO(b"1 a 1 b\n"), None, URL))


DATA = b"3 key 5 value\n10 0123456789 0 \n"


def test_a_stream_cut_anywhere_is_damage():
    for end in range(len(DATA)):
        with pytest.raises(DataError, match="^Unable to access resource .*: Truncated input: "):
            read(DATA[:end], len(DATA))
        if end not in (0, 14):
            with pytest.raises(DataError) as raised:
                read(DATA[:end])
            assert URL in str(raised.value)


@pytest.mark.parametrize(
    "data", [b"x key 5 value\n", b"3 keys 5 value\n", b"3 key 5 value ", b"-1 a 1 b\n", b" 3 key", b"9" * 30]
)
def test_bad_records_are_damage(data):
    with pytest.raises(DataError, match="Corrupted input: "):
        read(data)


def test_bytes_beyond_the_size_are_damage():
    with pytest.raises(DataError, match="Corrupted input: more than"):
        read(DATA, len(DATA) - 1)


@given(st.binary(max_size=100))
def test_any_bytes_are_records_or_damage(data):
    try:
        read(data)
    except DataError as error:
        assert URL in str(error)


def test_parameters_of_programs():
    assert netstring.encode_params({"a": "bc", "d": 1}) == b"17\n1 a 2 bc\n1 d 1 1\n"
    for other in ({}, None, "text", [1], 5):
        assert netstring.encode_params(other) == b"0\n"
    assert netstring.decode_params(b"0\n") == {}


@given(st.dictionaries(st.text(), st.text(), min_size=1))
def test_any_parameters_come_back(params):
    assert netstring.decode_params(netstring.encode_params(params)) == params


@pytest.mark.parametrize("data", [b"", b"5", b"x\n", b"5\n1 a 1 b\n", b"90\n1 a 1 b\n"])
def test_damaged_parameters_are_refused(data):
    with pytest.raises(DataError):
        netstring.decode_params(data)


@pytest.mark.parametrize(
    ("head", "old"),
    [
        (b"3 the 1 2\n", True),
        (b"0  0 \n", True),
        (b"3 the 1 2\n5 hello 1 1\n", True),
        (b"4 the 1 2\n", False),
        (b"3 the 1 2", False),
        (b"3 blind mice\n", False),
        (b"the 3\n", False),
        (b"12\n", False),
        (b"", False),
    ],
)
def test_old_records_are_known_by_the_first_one(head: bytes, old: bool) -> None:
    assert netstring.is_stream(head) is old
