"""The whole pipeline against an evaluation in memory, on random records, splits and parameters."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import nop_reduce
from tests.behaviour import oracle

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

texts = st.text(max_size=12) | st.sampled_from(["\x00", "\xff", "\u00ff", "\n", "\udcff", "a b", "\U0001f600", "a/b:c"])
binary = st.binary(max_size=8) | st.sampled_from([b"\x00\x01\xfe\xff", b"\x01\x01", b"\xff", b"a\x00", b"a"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
plain_keys = st.none() | numbers | texts | binary
keys = st.sampled_from(["a", "b", "c", b"a", 1, None]) | plain_keys | st.tuples(plain_keys, plain_keys)
sort_keys = st.sampled_from(["a", "b", b"a", b"b"]) | texts | binary
values = st.recursive(
    st.none() | numbers | texts | binary,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner),
    max_leaves=4,
)


class Case(NamedTuple):
    """A job: the records of each input, whether it is a file, and the parameters."""

    inputs: list[tuple[bool, list[tuple[Any, Any]]]]
    partitions: int | None
    combine: bool
    sort: bool
    reduce_shuffle: bool
    nodes: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sort = draw(st.booleans())
    records = st.lists(st.tuples(sort_keys if sort else keys, values), max_size=8)
    return Case(
        draw(st.lists(st.tuples(st.booleans(), records), max_size=5)),
        draw(st.none() | st.integers(1, 7)),
        draw(st.booleans()),
        sort,
        draw(st.booleans()),
        draw(st.sampled_from([2, 3])),
    )


# The evaluation in memory. Keys that are equal meet (1, 1.0 and True do); b"a" and "a" share a partition, and stay
# different keys.


def evaluate(case: Case) -> tuple[Counter[str], dict[int, Counter[str]]]:
    """The records that reduce must see, and those of each partition as far as md5 tells it."""
    pairs = [pair for _, records in case.inputs for pair in records]
    known = [pair for pair in pairs if isinstance(pair[0], (str, bytes))]
    return oracle.multiset(pairs), oracle.partitioned(
        known, lambda key: oracle.label(_bytes(key), case.partitions or 1)
    )


def _bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")


def check(case: Case, results: list[tuple[Any, Any]], outputs: int) -> None:
    """`results` are ((partition, place), (key, value)) as the reduces saw them."""
    every, by_partition = evaluate(case)
    assert oracle.multiset(pair for _, pair in results) == every
    seen: dict[int, list[tuple[Any, Any]]] = {}
    for (partition, _place), pair in sorted(results, key=lambda result: result[0]):
        seen.setdefault(partition, []).append(pair)
    for partition, expected in by_partition.items():
        known = [pair for pair in seen[partition] if isinstance(pair[0], (str, bytes))]
        assert oracle.multiset(known) == expected
    homes: dict[Any, set[int]] = {}
    for partition, pairs in seen.items():
        assert partition in range(case.partitions or 1)
        for key, _ in pairs:
            homes.setdefault(key, set()).add(partition)
    assert all(len(home) == 1 for home in homes.values()), "equal keys meet in one reduce"
    if case.sort:
        for pairs in seen.values():
            assert [_bytes(key) for key, _ in pairs] == sorted(_bytes(key) for key, _ in pairs)
    if not case.reduce_shuffle or (case.partitions or 1) == 1:
        assert outputs == len(seen)


# The job. A line of input is the repr of a pair.


def parse(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
    import ast

    if line.strip():
        yield ast.literal_eval(line)


def collect(key, value, buffer, done, params):
    """A combiner that keeps pairs and hands some of them on early; keys of a buffer are made unique."""
    if done:
        return [pair for pairs in buffer.values() for pair in pairs]
    buffer.setdefault("pairs", []).append((key, value))
    if len(buffer["pairs"]) < 3:
        return None
    return buffer.pop("pairs")


def numbered(iter, params):
    for place, pair in enumerate(iter):
        yield (this_partition(), place), pair  # noqa: F821


def run_case(clusters: dict[int, LocalCluster], place: Path, case: Case) -> None:
    urls = []
    for number, (as_file, records) in enumerate(case.inputs):
        # What repr leaves as it is and a line or a url cannot hold does not occur: repr escapes it.
        text = "\n".join(map(repr, records))
        if as_file:
            path = place / f"input-{number}"
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            urls.append(str(path))
        else:
            urls.append(f"raw://{text}")
    job = Job(
        map=parse,
        reduce=numbered,
        combiner=collect if case.combine else None,
        sort=case.sort,
        reduce_shuffle=case.reduce_shuffle,
    )
    cluster = clusters[case.nodes]
    results = cluster.run(job, input=urls, partitions=case.partitions)
    check(case, list(results), len(results.urls))
    results.job.purge()


@pytest.fixture(scope="module")
def clusters(start: str) -> Iterator[dict[int, LocalCluster]]:
    opened = {nodes: LocalCluster(nodes=nodes, start=start, seed=nodes) for nodes in (2, 3)}
    print(f"seeds {[cluster.seed for cluster in opened.values()]}")
    yield opened
    for cluster in opened.values():
        cluster.close()


COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_random_jobs_equal_their_evaluation_in_memory(
    clusters: dict[int, LocalCluster], start: str, tmp_path: Path
) -> None:
    @settings(COMMON, max_examples={"inline": 50, "fork": 25, "exec": 10}[start])
    @given(cases())
    def each(case: Case) -> None:
        run_case(clusters, tmp_path, case)

    each()


@settings(COMMON, max_examples=100)
@given(st.lists(st.tuples(keys, values), max_size=6))
def test_the_evaluation_reads_back_what_the_job_is_given(records: list[tuple[Any, Any]]) -> None:
    assert oracle.multiset(ast.literal_eval(line) for line in map(repr, records)) == oracle.multiset(records)


def test_random_sums_equal_a_counter(clusters: dict[int, LocalCluster], start: str, tmp_path: Path) -> None:
    words = st.sampled_from(["a", "b", "caf\u00e9", "x" * 40, "\u4e2d"])

    @settings(COMMON, max_examples={"inline": 30, "fork": 15, "exec": 6}[start])
    @given(
        st.lists(st.lists(st.lists(words, max_size=5), max_size=4), max_size=4),
        st.none() | st.integers(1, 7),
        st.sampled_from(["none", "sum", "flush"]),
        st.booleans(),
    )
    def each(inputs: list[list[list[str]]], partitions: int | None, combiner: str, sort: bool) -> None:
        from discolocal.worker.classic.func import sum_combiner, sum_reduce

        def flush(key, value, buffer, done, params):
            return [] if done else [(key, value)]

        urls = []
        for number, lines in enumerate(inputs):
            path = tmp_path / f"words-{number}"
            path.write_text("\n".join(" ".join(line) for line in lines))
            urls.append(path)
        job = Job(
            map=lambda line, params: [(word, 1) for word in line.split()],
            combiner={"none": None, "sum": sum_combiner, "flush": flush}[combiner],
            reduce=sum_reduce,
            sort=sort,
        )
        results = clusters[2].run(job, input=urls, partitions=partitions)
        assert dict(results) == Counter(word for lines in inputs for line in lines for word in line)
        assert len(list(results)) == len(dict(results))
        results.job.purge()

    each()


def test_the_start_mode_does_not_change_results(clusters: dict[int, LocalCluster], tmp_path: Path) -> None:
    """The same seed gives the same files in the same order, whoever runs the tasks and however many at once."""
    paths = []
    for number in range(4):
        path = tmp_path / f"f{number}"
        path.write_text("".join(f"{number}-{line}\n" for line in range(20)))
        paths.append(path)
    orders = []
    for start, workers in (("fork", 1), ("fork", 2), ("inline", 1)):
        with LocalCluster(nodes=1, workers_per_node=workers, start=start, seed=5) as cluster:
            job = Job(map=lambda line, params: [(line.strip(), 1)], reduce=nop_reduce)
            orders.append(list(cluster.run(job, input=paths, partitions=3)))
    assert orders[0] == orders[1] == orders[2]
