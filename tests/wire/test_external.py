"""Pairs and lists of external programs: the bytes, any way of cutting them, and everything that is none."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DiscoError
from discolocal.wire import external

PAIRS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=6)


def listed(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A list as the documents of Disco describe it."""
    data = len(pairs).to_bytes(4, "little")
    for key, value in pairs:
        data += len(key).to_bytes(4, "little") + key + len(value).to_bytes(4, "little") + value
    return data


def cut(data: bytes, size: int) -> tuple[list[list[tuple[bytes, bytes]]], external.Lists]:
    """The complete lists in `data`, given in pieces of `size` bytes."""
    lists = external.Lists()
    found: list[list[tuple[bytes, bytes]]] = []
    open_: list[tuple[bytes, bytes]] = []
    for at in range(0, len(data), size):
        pairs, ends = lists.feed(data[at : at + size])
        before = 0
        for end in ends:
            found.append(open_ + pairs[before:end])
            open_, before = [], end
        open_ += pairs[before:]
    return found, lists


def test_the_format() -> None:
    assert external.encode_pair(b"key", b"") == b"\3\0\0\0key\0\0\0\0"
    assert cut(b"\2\0\0\0\1\0\0\0k\2\0\0\0vw\0\0\0\0\0\0\0\0\0\0\0\0", 100)[0] == [
        [(b"k", b"vw"), (b"", b"")],
        [],
    ]


@given(st.lists(PAIRS, max_size=6), st.integers(1, 70))
def test_lists_come_back_however_they_are_cut(lists: list[list[tuple[bytes, bytes]]], size: int) -> None:
    data = b"".join(map(listed, lists))
    found, parser = cut(data, size)
    assert found == lists
    assert not parser.inside and parser.unfinished == "" and parser.error is None


@given(PAIRS, st.integers(1, 20))
def test_a_list_cut_anywhere_is_unfinished(pairs: list[tuple[bytes, bytes]], size: int) -> None:
    data = listed(pairs)
    for end in range(1, len(data)):
        found, parser = cut(data[:end], size)
        assert found == [] and parser.unfinished, end


@given(st.binary(max_size=200), st.integers(1, 50))
def test_the_verdict_on_any_bytes_does_not_depend_on_how_they_are_cut(data: bytes, size: int) -> None:
    (found, parser), (whole, at_once) = cut(data, size), cut(data, len(data) or 1)
    assert found == whole
    assert (parser.inside, parser.unfinished, str(parser.error)) == (
        at_once.inside,
        at_once.unfinished,
        str(at_once.error),
    )
    assert data.startswith(b"".join(map(listed, found)))


def test_what_is_unfinished_is_described() -> None:
    assert cut(b"\1\0", 1)[1].unfinished == "2 bytes of a number of pairs, which has 4"
    assert cut(b"\2\0\0\0" + external.encode_pair(b"a", b"b"), 3)[1].unfinished == "a list that lacks 1 pairs"
    text = "a list that lacks 1 pairs and has 5 bytes of the next one"
    assert cut(b"\1\0\0\0" + external.encode_pair(b"ab", b"")[:5], 3)[1].unfinished == text


@pytest.mark.parametrize(("size", "refused"), [(1 << 30, False), ((1 << 30) + 1, True), (0xFFFFFFFF, True)])
@pytest.mark.parametrize("step", [1, 1000])
def test_sizes_over_a_gigabyte_are_refused(size: int, refused: bool, step: int) -> None:
    number = struct.pack("<I", size)
    first = listed([(b"a", b"b")])
    for what, data in (("key", first + b"\1\0\0\0" + number), ("value", first + b"\1\0\0\0\1\0\0\0k" + number)):
        found, parser = cut(data, step)
        assert found == [[(b"a", b"b")]]
        assert (str(parser.error) == f"External {what} size exceeded: {size} bytes") is refused
        assert parser.feed(b"x" * 100) == ([], [])


def test_what_is_only_announced_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        for data in (b"\xff\xff\xff\xff", b"\1\0\0\0\xff\xff\xff\x3f", b"\1\0\0\0\0\0\0\0\xff\xff\xff\x3f"):
            cut(data + bytes(1000), 100)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_big_item_in_small_pieces_takes_time_in_proportion() -> None:
    parser = external.Lists()
    parser.feed(b"\1\0\0\0\0\0\0\0" + struct.pack("<I", 20_000_000))
    pairs: list[tuple[bytes, bytes]] = []
    for _ in range(20_000):  # joined each time, this would copy 200 GB
        pairs += parser.feed(bytes(1000))[0]
    assert [len(value) for _, value in pairs] == [20_000_000]


class Huge(bytes):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return (1 << 30) + 1


def test_items_over_a_gigabyte_are_not_sent() -> None:
    for what, pair in (("key", (Huge(), b"")), ("value", (b"", Huge()))):
        with pytest.raises(DiscoError, match=f"External {what} size exceeded: 1073741825 bytes"):
            external.encode_pair(*pair)


def test_parameters() -> None:
    assert external.encode_params({"a": "é"}) == b"9\n1 a 2 \xc3\xa9\n"
    assert external.encode_params("as it is\xe9") == b"as it is\xc3\xa9"
    assert external.encode_params(b"\0\xff") == b"\0\xff" and external.encode_params("") == b""
    assert external.encode_params(None) == external.encode_params({}) == b"0\n"
