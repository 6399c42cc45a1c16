"""Hunk streams: recorded bytes there and back, every kind of damage, records that pickle does not like."""

import io
import json
import pickle
import struct
import sys
import types
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire.hunk import STORED, HunkWriter, encode_hunk, end_hunk, joinable, records

URL = "disco://somewhere/file"


def value_of(described):
    """The value that the descriptions of the recordings stand for."""
    if isinstance(described, dict):
        ((kind, inner),) = described.items()
        if kind == "bytes_hex":
            return bytes.fromhex(inner)
        if kind == "tuple":
            return tuple(map(value_of, inner))
        return {value_of(key): value_of(value) for key, value in inner}
    return list(map(value_of, described)) if isinstance(described, list) else described


def write(items, call="append", **options):
    out = io.BytesIO()
    writer = HunkWriter(out.write, **options)
    for item in items:
        if call == "add":
            writer.add(*item)
        else:
            writer.append(item)
    writer.close()
    return out.getvalue()


def read(data, size=None, **options):
    return list(records(io.BytesIO(data), len(data) if size is None else size, URL, **options))


def hunks_of(data):
    """(compressed, crc, plain body) of every hunk, by the description of the format."""
    found, position = [], 0
    while position < len(data):
        first, flag, crc, length = struct.unpack_from("<BBIQ", data, position)
        assert first == 0x81
        body = data[position + 14 : position + 14 + length]
        assert len(body) == length
        position += 14 + length
        found.append((flag, crc, zlib.decompress(body) if flag else body))
    return found


def pickles_of(body):
    stream, found = io.BytesIO(body), []
    while stream.tell() < len(body):
        found.append(pickle.load(stream))
    return found


def recordings(golden):
    for path in sorted((golden / "streams").glob("*.bin")):
        described = path.with_suffix(".json")
        if described.exists():
            yield path.stem, path.read_bytes(), json.loads(described.read_text())


def test_recorded_streams_are_written_byte_for_byte(golden):
    cases = list(recordings(golden))
    assert len(cases) > 14
    for case, data, described in cases:
        if case == "v0_netstring_nonascii":
            continue  # counts characters there, and cannot be read by anyone
        items = list(map(value_of, described["records"]))
        if case == "v1_memo_same_object":
            items = [(key, key) for key, _value in items]
        assert write(items, described["call"], **described["kwargs"]) == data, case


def test_recorded_streams_are_read_back_as_the_real_reader_does(golden):
    for case, data, described in recordings(golden):
        expected = described["readback_by_disco_input_stream"]
        if expected is None:
            with pytest.raises(DataError, match="Corrupted input: "):
                read(data)
        else:
            assert read(data) == list(map(value_of, expected)), case


def test_recorded_chunks_are_read(golden):
    described = json.loads((golden / "streams" / "chunker400.json").read_text())
    data = (golden / "streams" / "chunker400_0.bin").read_bytes()
    assert len(data) == described["sizes"][0]
    assert len(read(data)) > 0


def test_streams_of_the_test_data_are_read_and_written(data_file):
    for case in json.loads(data_file("hunks.json").read_text()):
        data = bytes.fromhex(case["hex"])
        expected = list(map(value_of, case["records"]))
        assert read(data) == expected, case["name"]
        if case["options"] is not None:  # None: not as this writer does it
            ours = write(expected, **case["options"])
            assert hunks_of(ours) == hunks_of(data), case["name"]


def test_a_hunk_is_written_when_it_is_over_the_limit():
    size = len(pickle.dumps("abc", 1))
    for limit, counts in [(0, [1] * 6), (size - 1, [1] * 6), (size, [2] * 3), (size * 3, [4, 2]), (1 << 20, [6])]:
        bodies = [body for _flag, _crc, body in hunks_of(write(["abc"] * 6, min_hunk_size=limit))]
        assert [len(body) // size for body in bodies] == [*counts, 0]


def test_a_record_over_the_largest_size_is_refused_and_left_out():
    items = ["ab", ("key", [1] * 50), "c" * 30, b"\xff" * 20]
    largest = max(len(pickle.dumps(item, 1)) for item in items)
    assert write(items, max_record_size=largest, min_hunk_size=40) == write(items, min_hunk_size=40)
    out = io.BytesIO()
    writer = HunkWriter(out.write, max_record_size=largest, loose=True)
    for item in items:
        writer.append(item)
        for refused in ("d" * largest, "e" * (1 << 17)):
            size = len(pickle.dumps(refused, 1))
            with pytest.raises(ValueError, match=f"^Record of size {size} is larger than max_record_size: {largest}$"):
                writer.add_all([refused])
    with pytest.raises(ValueError, match="is larger than max_record_size"):
        writer.add("k" * largest, "v")
    writer.close()
    assert out.getvalue() == write(items)


def test_loose_streams_hold_the_same_records_in_larger_hunks():
    items = [(b"k%d" % number, number) for number in range(1000)]
    data = write(items, "add", loose=True, min_hunk_size=10, compression_level=STORED)
    bodies = [pickles_of(body) for _flag, _crc, body in hunks_of(data)]
    assert [len(body) for body in bodies] == [64] * 15 + [40, 0]
    assert [item for body in bodies for item in body] == items == read(data)


@pytest.mark.parametrize("level", [STORED, 0, 1, 2, 9])
@pytest.mark.parametrize("loose", [False, True])
def test_every_level_is_readable(level, loose):
    items = [(f"key{number}", "v" * number) for number in range(200)]
    data = write(items, "add", compression_level=level, loose=loose, min_hunk_size=1000)
    assert {flag for flag, _crc, _body in hunks_of(data)} == {0 if level == 0 else 1}
    for _flag, crc, body in hunks_of(data):
        assert crc == zlib.crc32(body)
    assert read(data) == items
    assert joinable(data) is (level != 0)
    assert read(data + data) == items + items


@pytest.mark.parametrize("options", [{}, {"loose": True}, {"max_record_size": 9}, {"version": 0}])
def test_a_call_of_add_with_other_than_two_arguments_names_it(options):
    with pytest.raises(TypeError, match=r"add\(\) takes 2 positional arguments but 3 were given"):
        HunkWriter(print, **options).add("key", "value", 1)


def test_one_hunk_at_a_time():
    empty = end_hunk()
    assert empty == encode_hunk(b"", 2)
    assert (empty[:14].hex(), zlib.decompress(empty[14:])) == ("8101000000000800000000000000", b"")
    assert end_hunk(0) == bytes.fromhex("8100000000000000000000000000")
    assert encode_hunk(b"abc", 0)[14:] == b"abc"


@pytest.mark.parametrize("options", [{"version": 2}, {"compression_level": 10}, {"compression_level": -2}])
def test_bad_parameters_are_refused(options):
    with pytest.raises(ValueError):
        HunkWriter(print, **options)


def test_closing_twice_writes_one_end_and_a_closed_writer_takes_nothing():
    out = []
    writer = HunkWriter(out.append)
    writer.close()
    writer.close()
    assert out == [end_hunk()]
    with pytest.raises(ValueError):
        writer.add(1, 2)


def test_extend_appends_many():
    out = io.BytesIO()
    writer = HunkWriter(out.write)
    writer.extend((number, str(number)) for number in range(10))
    writer.close()
    assert read(out.getvalue()) == [(number, str(number)) for number in range(10)]


# Records that pickle does not like


def local_class():
    class Local:
        def __init__(self, number):
            self.number = number

    return Local


@pytest.mark.parametrize("loose", [False, True])
def test_records_of_classes_without_a_name_are_pickled_by_value(loose):
    cls = local_class()
    items = [("a", 1), ("b", cls(2)), ("c", 3), ("d", lambda: 4)]
    out = io.BytesIO()
    writer = HunkWriter(out.write, loose=loose)
    writer.extend(items[:1])
    assert not writer.by_value
    writer.extend(items[1:])
    writer.close()
    assert writer.by_value
    (_, one), (_, two), (_, three), (_, four) = read(out.getvalue())
    assert (one, two.number, three, four()) == (1, 2, 3, 4)


def test_pickles_of_any_protocol_may_be_mixed():
    cls = [1, 2]
    items = [(cls, cls, "text", "text"), (b"x", {"text": cls})]
    for first in range(6):
        for second in range(6):
            body = b"".join(pickle.dumps(item, number) for item in items for number in (first, second))
            found = read(encode_hunk(body) + end_hunk())
            assert found == [item for item in items for _ in (first, second)]
            assert found[0][0] is found[0][1]


class Sour:
    """Fails when pickled, after the pickler has written the long text in front of it."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("loose", [False, True])
@pytest.mark.parametrize("length", [10, 1 << 16, 1 << 18])
def test_a_record_that_cannot_be_pickled_leaves_nothing_behind(loose, length):
    out = io.BytesIO()
    writer = HunkWriter(out.write, loose=loose)
    good = [("x" * 70_000, 1), ("y", 2)]
    writer.extend(good)
    with pytest.raises(pickle.PicklingError, match="Cannot pickle the record .*KeyError"):
        writer.append(("z" * length, Sour(KeyError("sour"))))
    writer.extend(good)
    writer.close()
    assert read(out.getvalue()) == good + good


def test_the_message_names_the_record_on_one_line():
    with pytest.raises(pickle.PicklingError) as raised:
        write([("key\nkey", Sour(TypeError("no")))])
    assert "('key\\nkey', <" in str(raised.value) and "TypeError: no" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_errors_of_the_machine_keep_their_type():
    with pytest.raises(OSError, match="disk"):
        write([Sour(OSError("disk"))])


def test_errors_of_the_output_pass_through():
    def full(_data):
        raise OSError(28, "No space left on device")

    writer = HunkWriter(full, min_hunk_size=0)
    with pytest.raises(OSError, match="No space"):
        writer.add(1, 2)


def test_records_that_refer_to_themselves():
    loop = [1]
    loop.append(loop)
    for loose in (False, True):
        (found,) = read(write([loop], loose=loose))
        assert found[0] == 1 and found[1] is found


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(plain, max_size=30),
    st.sampled_from([STORED, 0, 1, 2, 9]),
    st.sampled_from([0, 1, 40, 1 << 20]),
    st.booleans(),
)
def test_any_records_come_back_and_are_what_pickle_says(items, level, limit, loose):
    data = write(items, compression_level=level, min_hunk_size=limit, loose=loose)
    assert read(data) == items
    bodies = [body for _flag, _crc, body in hunks_of(data)]
    assert [item for body in bodies for item in pickles_of(body)] == items
    assert bodies[-1] == b""
    if not loose:
        assert b"".join(bodies) == b"".join(pickle.dumps(item, 1) for item in items)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=10))
def test_old_streams_come_back(items):
    data = write(items, "add", version=0)
    assert read(data) == items


class Dribble(io.RawIOBase):
    """Gives a few bytes at a time, like a socket."""

    def __init__(self, data, step):
        self.stream, self.step = io.BytesIO(data), step

    def read(self, size=-1):
        return self.stream.read(min(size, self.step))


@given(st.integers(1, 50))
def test_streams_that_come_in_small_pieces(step):
    items = [(f"key{number}", number) for number in range(50)]
    for options in ({"min_hunk_size": 100}, {"version": 0}):
        data = write(items, "add", **options)
        found = list(records(Dribble(data, step), len(data), URL))
        assert [(str(key), int(value)) for key, value in found] == items


# Damage

ITEMS = [(f"key{number}", "value" * 5) for number in range(40)]


def damaged(data, size=None, **options):
    with pytest.raises(DataError) as raised:
        read(data, size, **options)
    assert URL in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("level", [STORED, 0, 2])
def test_a_stream_cut_anywhere_never_loses_records_silently(level):
    data = write(ITEMS, compression_level=level, min_hunk_size=300)
    for end in range(len(data)):
        message = damaged(data[:end], len(data))
        assert "Truncated data at" in message or end == 0


def test_a_cut_inside_a_hunk_is_found_without_the_size():
    data = write(ITEMS)
    for end in [*range(1, 14), 20, len(data) - 22 - 1, len(data) - 21, len(data) - 1]:
        with pytest.raises(DataError, match=f"Truncated data at {end} bytes"):
            list(records(io.BytesIO(data[:end]), None, URL))


@pytest.mark.parametrize("level", [STORED, 0, 2])
def test_one_flipped_bit_never_changes_the_records_silently(level):
    data = write(ITEMS, compression_level=level, min_hunk_size=500)
    step = 1 if len(data) < 1000 else 7
    for position in [*range(14), *range(14, len(data), step), *range(len(data) - 22, len(data))]:
        for bit in range(8):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            try:
                found = read(bytes(broken))
            except DataError as error:
                assert URL in str(error)
            else:
                assert found == ITEMS  # bits of zlib's header that mean nothing


def test_header_damage_is_described():
    data = write(ITEMS)
    assert "this is no header of a hunk" in damaged(b"\x82" + data[1:])
    assert "this is no header of a hunk" in damaged(data[:1] + b"\x05" + data[2:])
    assert "wrong checksum" in damaged(data[:2] + b"\0\0\0\0" + data[6:])
    assert "Corrupted data between bytes 0-" in damaged(data[:1] + b"\0" + data[2:])
    assert "Truncated data at" in damaged(data[:6] + b"\xff" * 8 + data[14:])
    assert "Corrupted input: " in damaged(b"\x01" + data[1:])


def test_extra_bytes_are_damage():
    data = write(ITEMS)
    damaged(data + b"x")
    damaged(data + b"\0" * 14)
    damaged(data + b"\x81")
    assert "expected" in damaged(data, len(data) + 1)
    assert "expected" in damaged(data, len(data) - 1)


def test_an_empty_file_is_damage_where_bytes_were_promised():
    assert read(b"", 0) == list(records(io.BytesIO(b""), None, URL)) == []
    assert "Truncated data at 0 bytes" in damaged(b"", 89)


def test_bad_pickles_are_damage():
    assert "UnpicklingError" in damaged(encode_hunk(b"\xfenonsense.") + end_hunk())
    assert "Corrupted data between bytes 0-" in damaged(encode_hunk(b"(I1\nI2\n") + end_hunk())
    whole = pickle.dumps(("a", 1), 1)
    found = records(io.BytesIO(encode_hunk(whole + whole[:-1]) + end_hunk()), None, URL)
    assert next(found) == ("a", 1)
    with pytest.raises(DataError, match="the last record has no end"):
        next(found)


def test_a_missing_class_is_not_called_damage():
    module = types.ModuleType("module_of_a_test")
    exec("class Thing: pass", module.__dict__)
    sys.modules[module.__name__] = module
    try:
        data = write([module.Thing()])
        del module.Thing
        with pytest.raises(AttributeError, match=URL):
            read(data)
    finally:
        del sys.modules[module.__name__]
    with pytest.raises(ImportError, match="module_of_a_test"):
        read(data)


def test_corruption_is_skipped_on_demand():
    first, second, third = (encode_hunk(pickle.dumps(number, 1)) for number in (1, 2, 3))
    broken = bytearray(second)
    broken[3] ^= 1
    data = first + bytes(broken) + encode_hunk(b"nonsense") + third + end_hunk()
    damaged(data)
    assert read(data, ignore_corrupt=True) == [1, 3]


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_damage(data):
    for text in (data, b"\x81\x01" + data, encode_hunk(b"N.") + data):
        try:
            read(text)
        except DataError as error:
            assert URL in str(error)


def test_memory_is_not_asked_for_by_a_damaged_length():
    header = struct.pack("<BBIQ", 0x81, 1, 0, 1 << 62)
    with pytest.raises(DataError, match="Truncated data at 17 bytes"):
        list(records(io.BytesIO(header + b"abc"), None, URL))
