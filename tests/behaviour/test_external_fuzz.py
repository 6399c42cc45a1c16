"""Any bytes as the output of an external program: a result or a clear error, whatever it has read before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discolocal import JobError, LocalCluster
from tests.behaviour.actor import acting

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

RECORDS = 3
URL = "raw://x"
Pair = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=1, start="inline", seed=3) as started:
        yield started


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


ITEMS = st.binary(max_size=5).map(lambda data: number(len(data)) + data)
PAIR_BYTES = st.tuples(ITEMS, ITEMS).map(b"".join)
LISTS = st.lists(PAIR_BYTES, max_size=3).map(lambda pairs: number(len(pairs)) + b"".join(pairs))
ODD = st.sampled_from([0xFFFFFFFF, 0x7FFFFFFF, 1 << 30, (1 << 30) - 1, (1 << 30) + 1, 1, 256]).map(number)
OUTPUTS = st.one_of(
    st.binary(max_size=60),
    st.lists(LISTS, min_size=RECORDS, max_size=RECORDS).map(b"".join),
    st.lists(st.one_of(LISTS, ODD, st.binary(max_size=3)), max_size=6).map(b"".join),
)


def parsed(data: bytes) -> list[list[Pair]] | None:
    """The lists in `data`; None when it is anything else."""
    lists: list[list[Pair]] = []
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        if at > len(data):
            raise EOFError
        return data[at - size : at]

    def item() -> bytes:
        return take(int.from_bytes(take(4), "little"))

    try:
        while at < len(data):
            count = int.from_bytes(take(4), "little")
            lists.append([])
            while count:
                lists[-1].append((item(), item()))
                count -= 1
    except EOFError:
        return None
    return lists


def outcome(cluster: LocalCluster, stage: str, do: str, **more: object) -> list[Pair] | str:
    """The records of the job, or the text of its error, soon."""
    began = time.monotonic()
    results = None
    try:
        results = cluster.run(acting(do, stage, **more), input=[URL])
        return list(results)
    except JobError as error:
        return str(error)
    finally:
        assert time.monotonic() - began < 20
        for job in cluster.joblist():
            cluster.purge(job[2])


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def split(stream: object, size: int, url: str, params: object) -> Iterator[str]:
    yield from "abc"


@FUZZ
@given(OUTPUTS)
def test_a_map_that_has_read_all(inline: LocalCluster, data: bytes) -> None:
    found = outcome(inline, "map", f"Rw{data.hex()}", map_reader=split)
    lists = parsed(data)
    if lists is not None and len(lists) == RECORDS:
        assert found == [pair for pairs in lists for pair in pairs]
    else:
        assert isinstance(found, str) and "the program ext.map/op" in found


@FUZZ
@given(OUTPUTS)
def test_a_reduce_that_has_read_all(inline: LocalCluster, data: bytes) -> None:
    found = outcome(inline, "reduce", f"Rw{data.hex()}", reduce_reader=split)
    lists = parsed(data)
    if lists is not None:
        assert found == [pair for pairs in lists for pair in pairs]
    else:
        assert isinstance(found, str) and "the program ext.reduce/op" in found


@FUZZ
@given(
    st.sampled_from(["map", "reduce"]),
    st.sampled_from(["", "p", "pp", "pe", "R"]),
    OUTPUTS,
    st.sampled_from(["", "R", "E", "c", "x0", "x1", "k9", "k11", "t**<ERR> so~;", "t\xff;"]),
)
def test_whatever_it_does_before_and_after(
    inline: LocalCluster, stage: str, before: str, data: bytes, after: str
) -> None:
    found = outcome(inline, stage, f"{before}w{data.hex()}{after}", **{f"{stage}_reader": split})
    if isinstance(found, str):
        assert f"the program ext.{stage}/op" in found
    else:
        lists = parsed(data)
        assert lists is not None
        assert spoken(pair for pairs in lists for pair in pairs) == spoken(found)


def spoken(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs that are no echoes of records."""
    return [pair for pair in pairs if pair not in [(b"", b"a"), (b"", b"b"), (b"", b"c")]]
