"""The records of the external sort: the lines of a real worker, the order of keys, and everything it would refuse."""

import itertools
import os
import pickle
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire import sortfile
from discolocal.wire.sortfile import Encoder, decode, encode


def real_line(key, value):
    """The line of a real worker, by the description of the format."""
    data = pickle.dumps(value, 0)
    data = data.replace(b"\x01", b"\x01\x01").replace(b"\x02", b"\x02\x02").replace(b"\x00", b"\x02\x01\x02")
    return key + b"\xff" + data + b"\x00"


def encode_all(records):
    out = []
    encoder = Encoder()
    assert encoder.encode_all(iter(records), out.append) == len(records)
    return b"".join(out), encoder


def flags(encoder):
    names = ("text_keys", "special_keys", "long_records", "high_values", "by_value")
    return {name for name in names if getattr(encoder, name)}


def lines_of(data):
    assert data.endswith(b"\x00") or not data
    return data.split(b"\x00")[:-1]


plain_key = st.binary().map(lambda key: key.translate(None, b"\x00\x01\xfe\xff"))
any_key = st.binary() | st.text() | st.text(st.characters(codec=None, min_codepoint=0, max_codepoint=0x10FFFF))
scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)


@given(st.lists(st.tuples(plain_key, value), max_size=20))
@example([(b"word", 1), (b"", ""), (b"\x02\x03\x80\xfd", b"\x00\x01\x02\xff\\\n\r\x1a")])
def test_the_lines_are_those_of_a_real_worker(records):
    data, encoder = encode_all(records)
    assert data == b"".join(real_line(*record) for record in records)
    assert not flags(encoder) - {"high_values", "long_records"}


@given(st.lists(st.tuples(any_key, value), max_size=20), st.integers(1, 64))
def test_any_records_come_back(records, step):
    data, _encoder = encode_all(records)
    found = list(decode(data[at : at + step] for at in range(0, len(data), step)))
    assert found == records
    assert [type(key) for key, _value in found] == [type(key) for key, _value in records]
    assert pickle.dumps([item for _key, item in found]) is not None
    assert [repr(item) for _key, item in found] == [repr(item) for _key, item in records]


def test_many_records_come_back_in_batches():
    records = [(f"key {number % 700}", number % 100) for number in range(5000)]
    records += [(b"%d" % number, f"text {number}") for number in range(1500)]
    records += [(b"%d\x00\xff" % number, b"\x00\x01\x02" * (number % 3)) for number in range(600)]
    data, encoder = encode_all(records)
    assert list(decode([data])) == records
    assert flags(encoder) == {"text_keys", "special_keys"}


@given(st.lists(st.binary(max_size=6) | st.lists(st.sampled_from(b"\x00\x01\x02\xfd\xfe\xffa"), max_size=5).map(bytes)))
def test_the_order_of_whole_keys_is_kept(keys):
    fields = {key: encode(key, None).split(b"\xff")[0] for key in keys}
    for field in fields.values():
        assert not set(field) & {0x00, 0xFF}
    assert sorted(fields, key=fields.__getitem__) == sorted(fields)


@given(st.text(), st.text())
def test_text_is_ordered_by_its_bytes(left, right):
    fields = [encode(key, None).split(b"\xff")[0] for key in (left, right)]
    raw = [key.encode() for key in (left, right)]
    assert (fields[0] < fields[1]) is (raw[0] < raw[1])


@given(st.lists(st.tuples(plain_key, st.integers() | st.text(st.characters(max_codepoint=127)))))
def test_equal_text_keys_are_ordered_by_their_values_like_bytes_keys(records):
    key = "k"
    as_text = sorted(encode(key, item) for _, item in records)
    as_bytes = sorted(real_line(b"k", item) for _, item in records)
    assert [item for _, item in decode(as_text)] == [item for _, item in decode(as_bytes)]


def gnu_sort(data, tmp_path):
    path = tmp_path / "sort.dl"
    path.write_bytes(data)
    command = [b"sort", b"-z", b"-t", b"\xff", b"-k", b"1,1", b"-T", os.fsencode(tmp_path), b"-o", path, path]
    subprocess.run([os.fsencode(part) for part in command], check=True, env={**os.environ, "LC_ALL": "C"})
    return path.read_bytes()


@pytest.mark.skipif(shutil.which("sort") is None, reason="needs the program sort")
def test_sort_and_python_agree(tmp_path):
    keys = [bytes([a, b]) for a in (0, 1, 2, 65, 0xFD, 0xFE, 0xFF) for b in (0, 1, 2, 65, 0xFE, 0xFF)]
    keys += [b"", b"a", b"a ", b"a b", b"\n", b"\xff" * 3, b"z" * 20_000]
    records = [(key, number) for number, key in enumerate(keys * 3)]
    texts = [(key, number) for number, key in enumerate(["é", "z", "☃", "", "\udc80", "a\x00b", "\ud800"] * 3)]
    for items, raw in [(records, bytes), (texts, lambda key: key.encode("utf-8", "surrogateescape"))]:
        if items is texts:
            items = [item for item in texts if item[0] != "\ud800"]
        found = list(decode([gnu_sort(encode_all(items)[0], tmp_path)]))
        expected = sorted(items, key=lambda item: (raw(item[0]), pickle.dumps(item[1], 0)))
        assert found == expected


@pytest.mark.skipif(shutil.which("sort") is None, reason="needs the program sort")
def test_keys_of_two_types_with_the_same_bytes_stay_apart(tmp_path):
    records = [(key, number) for number in range(10) for key in ("a", b"a", "b")]
    found = list(decode([gnu_sort(encode_all(records)[0], tmp_path)]))
    runs = [key for key, _group in itertools.groupby(repr(key) for key, _value in found)]
    assert sorted(runs) == ["'a'", "'b'", "b'a'"]


@pytest.mark.skipif(shutil.which("sort") is None, reason="needs the program sort")
@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.tuples(any_key, scalar), max_size=30))
def test_sorting_keeps_every_record(tmp_path_factory, records):
    found = list(decode([gnu_sort(encode_all(records)[0], tmp_path_factory.getbasetemp())]))
    assert sorted(map(repr, found)) == sorted(map(repr, records))


@pytest.mark.parametrize(
    "key, item, expected",
    [
        (b"plain", "text", set()),
        (b"\x01\xfe", 1, set()),
        ("text", 1, {"text_keys"}),
        ("\udcff", 1, {"text_keys", "special_keys"}),
        ("\ud800", 1, {"text_keys"}),
        (b"a\x00", 1, {"special_keys"}),
        (b"a\xff", 1, {"special_keys"}),
        (b"k", "\u00ff", {"high_values"}),
        (b"k", b"\xff\x03", {"high_values"}),
        (b"k" * 20_000, 1, {"long_records"}),
        (b"k", "v" * 16_400, {"long_records"}),
        (b"k", "v" * 16_000, set()),
        (b"k", lambda: 1, {"by_value"}),
    ],
)
def test_what_a_real_worker_would_refuse_is_noted(key, item, expected):
    _data, encoder = encode_all([(b"other", 0), (key, item), (b"last", 0)])
    assert flags(encoder) == expected


def test_many_short_records_are_not_long():
    _data, encoder = encode_all([(b"k" * 100, "v" * 100)] * 512)
    assert flags(encoder) == set()


@pytest.mark.parametrize("key", [1, None, 1.5, (b"a",), bytearray(b"a")])
def test_other_keys_are_refused_with_the_real_words(key):
    with pytest.raises(ValueError) as raised:
        encode_all([(key, 1)])
    assert raised.value.args == ("Keys must be bytes for external sort", key)


class Text(str):
    pass


class Raw(bytes):
    pass


def test_subclasses_of_text_and_bytes_are_keys():
    data, _encoder = encode_all([(Text("a"), 1), (Raw(b"b"), 2)])
    assert list(decode([data])) == [("a", 1), (b"b", 2)]


def test_numbers_that_are_equal_keep_their_types():
    records = [(b"k", item) for item in (1, True, 1.0, 0, False, 0.0, -0.0, 1, True)]
    data, _encoder = encode_all(records)
    assert [repr(item) for _key, item in decode([data])] == [repr(item) for _key, item in records]


def test_values_are_not_shared_when_they_could_be_changed():
    data, _encoder = encode_all([(b"a", []), (b"b", [])])
    (_, first), (_, second) = decode([data])
    first.append(1)
    assert second == []


def test_a_reader_may_use_its_value_again():
    def records():
        item = [0]
        for number in range(1000):
            item[0] = number
            yield b"k", item

    out = []
    Encoder().encode_all(records(), out.append)
    assert [item for _key, item in decode(out)] == [[number] for number in range(1000)]


def test_records_beyond_the_limit_of_a_real_worker_come_back():
    records = [(b"k" * 100_000, "v" * 3_000_000), ("t" * 70_000, b"\x00\xff" * 500_000)]
    data, encoder = encode_all(records)
    assert list(decode(data[at : at + 8192] for at in range(0, len(data), 8192))) == records
    assert "long_records" in flags(encoder)


def test_values_of_local_classes_travel_by_value():
    class Local:
        number = 7

    data, encoder = encode_all([(b"k", Local())])
    ((_key, item),) = decode([data])
    assert item.number == 7 and encoder.by_value


def test_a_value_that_cannot_be_pickled_is_named():
    with pytest.raises(pickle.PicklingError, match="generator"):
        encode_all([(b"k", (number for number in ()))])


DATA = real_line(b"key", "value") + real_line(b"other", 3) + encode("text", (1, 2))


def test_a_file_cut_anywhere_is_damage_or_whole_records():
    ends = [at + 1 for at, byte in enumerate(DATA) if byte == 0]
    for end in range(len(DATA)):
        if end in (0, *ends):
            assert len(list(decode([DATA[:end]]))) == (0, *ends).index(end)
        else:
            with pytest.raises(DataError, match="Could not parse the sorted file"):
                list(decode([DATA[:end]], "a/sort.dl"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"key\x00",
        b"key\xff\x00",
        b"key\xffnonsense\x00",
        b"k\xffVx\x00",
        b"k\xff\x03\x00",
        b"\xff\xff\x00",
        b"\x80\xff\x04N.\x00",
    ],
)
def test_damaged_lines_are_damage(data):
    with pytest.raises(DataError, match=r"\(a/sort.dl\).*Could not parse the sorted file"):
        list(decode([data], "a/sort.dl"))


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_damage(data):
    if any(word in data for word in (b"c", b"R", b"i", b"o", b"\x93")):
        return  # could name a function to call
    try:
        list(decode([data + b"\x00"]))
    except DataError:
        pass


def test_the_marks_are_no_first_bytes_of_pickles():
    for number in range(6):
        for item in (1, "x", b"x", None, [], {}, (), 1.5, {1}, True, print, 1 << 70):
            assert pickle.dumps(item, number)[:1] not in (sortfile._TEXT, sortfile._ODD_TEXT)
