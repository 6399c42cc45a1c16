"""The netstrings of Disco's own module: what programs get as parameters, and back."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire.external import encode_params
from discolocal.worker.classic.netstring import (
    decode_netstring_fd,
    decode_netstring_str,
    encode_netstring_fd,
    encode_netstring_str,
)

PAIRS = st.lists(st.tuples(st.text(), st.text()), max_size=8)


def test_the_format() -> None:
    assert encode_netstring_str({"a": "bc"}) == "1 a 2 bc\n"
    assert encode_netstring_str([("k", "1"), ("k", "é")]) == "1 k 1 1\n1 k 2 é\n"
    assert encode_netstring_fd({"a": "bc"}) == b"9\n1 a 2 bc\n" == encode_params({"a": "bc"})
    assert encode_netstring_fd({}) == b"0\n" == encode_params({})


@given(PAIRS)
def test_any_pairs_come_back(pairs: list[tuple[str, str]]) -> None:
    assert decode_netstring_str(encode_netstring_str(pairs)) == pairs
    file = io.BytesIO(encode_netstring_fd(pairs) + b"the rest")
    assert decode_netstring_fd(file) == pairs and file.read() == b"the rest"


@pytest.mark.parametrize("data", [b"x", b"\n", b" 3\nabc", b"-1\n", b"5\n1 a", b"5", b"9" * 30, b"3\nabc"])
def test_damage_is_an_error(data: bytes) -> None:
    with pytest.raises(DataError):
        decode_netstring_fd(io.BytesIO(data))


@pytest.mark.parametrize("data", ["1 a 1", "x", b"2 a 1 b\n"])
def test_damaged_netstrings_are_an_error(data: Any) -> None:
    with pytest.raises(DataError):
        decode_netstring_str(data)


def test_the_end_of_a_file() -> None:
    with pytest.raises(EOFError):
        decode_netstring_fd(io.BytesIO())
