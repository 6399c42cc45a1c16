"""Hunks that are stored without compressing: made and read as zlib makes and reads them, without its tables."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire import hunk
from discolocal.wire.hunk import STORED, encode_hunk, end_hunk, records

URL = "disco://node1/disco/data"


def body_of(data):
    """The body of a hunk that holds `data`, stored; its header is right."""
    flag, crc, length = struct.unpack_from("<BIQ", made := encode_hunk(data, STORED), 1)
    assert (made[:1], flag, crc, length) == (b"\x81", 1, zlib.crc32(data), len(made) - 14)
    return made[14:]


@pytest.mark.parametrize(
    "size", [0, 1, 255, 256, 16_384, 32_768, 65_530, 65_531, 65_532, 65_535, 65_536, 70_000, 200_000]
)
def test_stored_bytes_are_those_of_zlib(size):
    data = bytes(range(251)) * (size // 251 + 1)
    assert body_of(data[:size]) == zlib.compress(data[:size], 0)


@given(st.binary(max_size=2000))
def test_stored_bytes_of_any_data_are_those_of_zlib(data):
    assert body_of(data) == zlib.compress(data, 0)


@pytest.mark.parametrize("size", [0, 1, 65_533, 65_534, 65_535, 65_536, 65_537])
def test_zlib_reads_what_is_stored(size):
    unzip = zlib.decompressobj()
    assert unzip.decompress(body_of(b"\xff" * size)) == b"\xff" * size
    assert unzip.eof and not unzip.unused_data


def refused(body, crc):
    """Whether a hunk with that body is damage where it is read."""
    try:
        list(records(io.BytesIO(struct.pack("<BBIQ", 0x81, 1, crc, len(body)) + body + end_hunk()), None, URL))
    except DataError as error:
        assert "Corrupted data between bytes 0-" in str(error)
        return True
    return False


def test_damaged_stored_blocks_are_refused_as_zlib_refuses_them():
    data = b"N."
    crc = zlib.crc32(data)
    body = body_of(data)
    assert not refused(body, crc)
    assert refused(body, crc ^ 1)
    for end in range(len(body)):
        assert refused(body[:end], crc), end
    assert refused(body + b"x", crc)
    assert refused(body + body, crc)
    same = 0
    for bit in range(8 * len(body)):
        broken = bytearray(body)
        broken[bit // 8] ^= 1 << bit % 8
        unzip = zlib.decompressobj()
        try:
            whole = unzip.decompress(broken) == data and unzip.eof and not unzip.unused_data
        except zlib.error:
            whole = False
        assert refused(bytes(broken), crc) != whole, bit
        same += whole
    assert same == 5, "the bits up to the length of a stored block mean nothing"


@given(st.binary(max_size=40), st.binary(max_size=12))
def test_bodies_that_begin_as_stored_blocks_are_read_as_zlib_does(data, rest):
    for body in (b"\x78\x01\x01" + rest, body_of(data)[:7] + rest, body_of(data)[:-4] + rest, body_of(data) + rest):
        unzip = zlib.decompressobj()
        try:
            found = unzip.decompress(body)
            whole = unzip.eof and not unzip.unused_data
        except zlib.error:
            found, whole = b"", False
        if not whole:
            assert refused(body, zlib.crc32(found))
            assert refused(body, zlib.crc32(data))
        elif b"." not in found:
            assert refused(body, zlib.crc32(found) ^ 1)


def test_the_level_stored_is_no_level_of_zlib_that_compresses():
    data = b"a" * 10_000
    assert len(encode_hunk(data, STORED)) > len(data)
    assert hunk.DEFAULT_LEVEL == 2
