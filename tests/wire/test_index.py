"""Index files of a task's outputs."""

import gzip
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DataError, DiscoError
from discolocal.wire.index import Line, dump_line, parse
from discolocal.wire.protocol import decode

NAME = "dir://host/disco/host/00/job/.disco/map-0-1.results"


def test_recorded_indexes_come_back_byte_for_byte(golden):
    paths = sorted(golden.glob("layout/*.indexes/*.results"))
    assert len(paths) > 10
    for path in paths:
        data = path.read_bytes()
        lines = parse(data, NAME)
        assert b"".join(map(dump_line, lines)) == data
        assert parse(gzip.compress(data), NAME) == lines
        assert [f"{line.label} {line.url} {line.size}" for line in lines] == data.decode().splitlines()


def test_indexes_of_old_clusters_have_no_size():
    assert parse(b"0 disco://h/x\n12 dir://h/y 5\n", NAME) == [Line(0, "disco://h/x", -1), Line(12, "dir://h/y", 5)]


def test_an_index_may_be_empty():
    assert parse(b"", NAME) == parse(gzip.compress(b""), NAME) == []


def test_gzip_members_may_be_joined():
    assert len(parse(gzip.compress(b"0 a 1\n") + gzip.compress(b"1 b 2\n"), NAME)) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"0 a b 1\n",
        b"x a 1\n",
        b"0 a x\n",
        b"0\n",
        b"\n",
        b"0  1\n",
        b"0 a 1\n\n",
        b"0 a 1 \n",
        b"+1 a 1\n",
        b"1_0 a 1\n",
        b"0 a 1.5\n",
        b"0 a\t1\n"[:-1] + b" x\n",
        b"- a 1\n",
    ],
)
def test_bad_lines_are_damage(data):
    with pytest.raises(DataError, match="line [0-9]+ in index") as raised:
        parse(data, NAME)
    assert NAME in str(raised.value)


DATA = b"0 disco://h/x 10\n1 disco://h/y 200\n"


@pytest.mark.parametrize("data", [DATA, gzip.compress(DATA, mtime=0)])
def test_a_cut_index_is_damage(data):
    for end in range(1, len(data)):
        if data is DATA and data[:end].endswith(b"\n"):
            continue
        with pytest.raises(DataError) as raised:
            parse(data[:end], NAME)
        assert NAME in str(raised.value)


def test_a_flipped_bit_in_a_gzipped_index_is_damage():
    data = gzip.compress(DATA, mtime=0)
    for position, bit in itertools.product(range(10, len(data)), range(8)):
        broken = bytearray(data)
        broken[position] ^= 1 << bit
        try:
            found = parse(bytes(broken), NAME)
        except DataError:
            continue
        assert found == parse(DATA, NAME)  # the last bits of the compressed part mean nothing


@pytest.mark.parametrize("url", ["", "a b", " a", "a\n", "a\tb", "a\u00a0b", "a\u2028b"])
def test_urls_that_could_not_be_read_back_are_refused(url):
    with pytest.raises(DiscoError, match="white space"):
        dump_line(Line(0, url, 1))


@pytest.mark.parametrize("url", ["\ud800", "disco://h/\udfffx"])
def test_urls_that_are_no_text_are_refused(url):
    with pytest.raises(DiscoError, match="surrogate") as raised:
        dump_line(Line(0, url, 1))
    str(raised.value).encode()


def test_what_a_task_may_report_can_be_read_back(golden):
    """Labels and sizes may be any integers: a master writes them down as they are."""
    recorded = (golden / "protocol_scripted" / "out_dotdot.json").read_text()
    assert '[-1, \\"neglabel\\", 6]' in recorded
    for body in (b'[-1, "neglabel", 6]', b'[-5, "x", -6]', b'[0, "x", -1]', b'[-0, "x", 1' + b"0" * 4000 + b"]"):
        report = decode("OUTPUT", body)
        line = Line(report.label, f"disco://h/disco/h/00/job/{report.location}", report.size)
        assert parse(dump_line(line), NAME) == [line]


@pytest.mark.parametrize("size", [99, 100, 101, 1000])
def test_no_more_is_unpacked_than_an_index_may_have(monkeypatch, size):
    monkeypatch.setattr("discolocal.wire.index.MAX_SIZE", 100)
    head = b"0 x 1\n" * 10
    text = head + b"0 " + b"x" * (size - len(head) - 3) + b"\n"
    assert len(text) == size
    for data in (text, gzip.compress(text), gzip.compress(head) + gzip.compress(text[len(head) :])):
        if size <= 100:
            assert len(parse(data, NAME)) == 11
        else:
            with pytest.raises(DataError, match="more than 100 bytes"):
                parse(data, NAME)


def test_a_small_index_that_unpacks_to_much_costs_no_memory(monkeypatch):
    monkeypatch.setattr("discolocal.wire.index.MAX_SIZE", 1 << 20)
    bomb = gzip.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than"):
            parse(bomb, NAME)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


@given(st.lists(st.tuples(st.integers(), st.text(min_size=1), st.integers())))
def test_lines_come_back(rows):
    lines = [Line(*row) for row in rows if len(row[1].split()) == 1 and row[1] == row[1].strip()]
    assert parse(b"".join(map(dump_line, lines)), NAME) == lines


@given(st.binary())
def test_any_bytes_are_lines_or_damage(data):
    for text in (data, b"\x1f\x8b\x08" + data):
        try:
            parse(text, NAME)
        except DataError as error:
            assert NAME in str(error)
