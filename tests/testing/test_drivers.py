"""Whole jobs in memory: as on a cluster, and as the reference says; and what the drivers of single functions do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discolocal import DiscoError, Job, JobError, LocalCluster, Params
from discolocal.testing import (
    check_combiner,
    check_job,
    check_partitioner,
    reference_run,
    run_combiner,
    run_job,
    run_map,
    run_partition,
    run_reduce,
)
from discolocal.testing.feeding import feed
from discolocal.testing.parts import resolve
from discolocal.testing.records import difference
from discolocal.util import kvgroup
from discolocal.worker.classic.func import default_partition, sum_combiner
from tests.testing import jobs
from tests.testing.jobs import LINES, PAIRED, WithParams, WordCount, words

COMMON = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

lines = st.lists(st.sampled_from(["a", "b", "ab", "bcd", "é", "10"]), max_size=4).map(
    lambda found: " ".join(found) + "\n"
)
pairs = st.tuples(st.sampled_from(["a", "b", "", "ab"]), st.integers(-3, 20))


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, start="inline", seed=5) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("job", [*LINES, *PAIRED], ids=lambda job: job.__name__)
def test_a_job_in_memory_is_as_the_reference_says(job: type[Job]) -> None:
    entry = pairs if job in PAIRED else lines

    @settings(COMMON, max_examples=40)
    @given(st.lists(st.lists(entry, max_size=4), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 99))
    def check(inputs: list[list[Any]], nodes: int, seed: int) -> None:
        if job is jobs.OutOfBand and not any(line.split() for found in inputs for line in found):
            return  # a job without such results has no get
        assert difference(run_job(job, inputs, nodes=nodes, seed=seed), reference_run(job, inputs)) is None

    check()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("job", [*LINES, *PAIRED], ids=lambda job: job.__name__)
@pytest.mark.parametrize("size", [0, 1, 3, "empty"])
def test_a_job_in_memory_is_as_on_a_cluster(job: type[Job], size: Any, inline: LocalCluster, tmp_path: Path) -> None:
    if size == "empty":
        inputs: list[list[Any]] = [[] if job in PAIRED else ["\n"], []]
    elif job in PAIRED:
        inputs = [[("a", 1), ("b", 2)], [], [("a", 5)]][:size]
    else:
        inputs = [["a b a\n", "bcd a\n"], [], ["é a 10\n"]][:size]
    given = feed(str(tmp_path), job, inputs, {})
    results = list(inline.run(job(), **given))
    assert difference(run_job(job, inputs), results) is None
    assert difference(reference_run(job, inputs), results) is None
    assert results or size in (0, "empty") or job is jobs.MapOnly


# Failures


class Failing(Job):
    """Fails where its params say."""

    partitions = 2
    sort = False

    @staticmethod
    def map(line: str, params: Any) -> Iterator[Any]:
        if params.where == "map" and line == "b":
            raise ValueError("no b")
        if params.where == "pair":
            yield line, 1, 2
        if params.where == "pickle":
            yield line, (x for x in ())
        if params.where == "sort":
            yield 5, 1
        yield line, 1

    @staticmethod
    def map_init(iter: Any, params: Any) -> None:
        if params.where == "map_init":
            raise KeyError("init")

    @staticmethod
    def partition(key: str, nr_partitions: int, params: Any) -> Any:
        return {"label": 2, "negative": -1, "float": 0.5, "bool": True, "none": None}.get(params.where, 0)

    @staticmethod
    def combiner(key: Any, value: Any, buf: dict[Any, Any], done: bool, params: Any) -> Any:
        if params.where == "combiner" and not done:
            raise IndexError("combiner")
        if params.where == "done" and done:
            raise IndexError("done")
        return [] if done else [(key, value)]

    @staticmethod
    def reduce_init(iter: Any, params: Any) -> None:
        if params.where == "reduce_init":
            raise KeyError("init")

    @staticmethod
    def reduce(iter: Any, params: Any) -> Any:
        if params.where == "reduce":
            raise ZeroDivisionError("reduce")
        if params.where == "returns":
            return None
        return list(iter)


PLACES = (
    *("map", "pair", "pickle", "map_init", "label", "negative", "float", "bool", "none", "combiner", "done"),
    *("reduce_init", "reduce", "returns", "sort"),
)


@pytest.mark.parametrize("where", PLACES)
def test_failures_are_those_of_a_cluster(where: str, inline: LocalCluster, tmp_path: Path) -> None:
    inputs = [["a", "b"]]
    parameters = {"params": Params(where=where), "sort": where == "sort"}
    with pytest.raises(JobError) as failed:
        inline.run(Failing(), **feed(str(tmp_path), Failing, inputs, parameters)).wait()
    with pytest.raises(Exception) as here:  # noqa: PT011
        run_job(Failing, inputs, **parameters)
    kind = type(here.value).__name__
    assert f"{kind}: " in str(failed.value)
    notes = "".join(getattr(here.value, "__notes__", ()))
    # What is named beside the error: the entry, the key, the partition.
    for text in ("entry: 'b'", "key: 'a'", "key: 5", "partition 0", "reduce_init failed", "map_init failed"):
        assert (text in notes) == (text in str(failed.value).partition("Traceback")[0]), notes


def test_an_exception_passes_as_it_is_with_a_note() -> None:
    error = ValueError("mine")

    def broken(entry: Any, params: Any) -> Any:
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        run_map(broken, ["x"])
    assert caught.value is error
    assert any("map failed at record 1" in note and "entry: 'x'" in note for note in getattr(error, "__notes__", []))


def test_unknown_parameters_are_refused_as_by_a_cluster() -> None:
    with pytest.raises(TypeError, match="did you mean"):
        run_map(WordCount, [], partitionz=3)
    with pytest.raises(DiscoError, match="partitions must be a number"):
        run_job(WordCount, [], partitions="3")
    with pytest.raises(TypeError, match="must be a Job, a class of Jobs or a map function"):
        run_map(3, [])
    with pytest.raises(TypeError, match="must be a Job or a class of Jobs"):
        run_job(words, [])


def test_old_names_of_parameters_work() -> None:
    with pytest.warns(DeprecationWarning, match="fun_map"):
        assert run_map(Job(), ["a"], fun_map=words) == [("a", 1)]


# Single functions


def test_run_map_gives_pairs_before_partition_and_combiner() -> None:
    assert run_map(WordCount, ["b a\n", "a"]) == [("b", 1), ("a", 1), ("a", 1)]
    assert run_map(words, iter(["b a"])) == [("b", 1), ("a", 1)]
    assert run_map(WithParams, ["head", "x\n"]) == [("> x", "x\n")]


def test_pairs_are_as_they_were_when_they_were_yielded() -> None:
    def growing(entry: Any, params: Any) -> Iterator[tuple[Any, Any]]:
        found: list[Any] = []
        for part in entry:
            found.append(part)
            yield "key", found

    assert run_map(growing, ["ab"]) == [("key", ["a"]), ("key", ["a", "b"])]


def test_entries_and_params_of_the_caller_are_not_changed() -> None:
    def eating(entry: list[Any], params: Any) -> Iterator[tuple[Any, Any]]:
        params.limits.append(1)
        yield entry.pop(), len(params.limits)

    entries = [[1, 2], [3]]
    params = Params(limits=[])
    assert run_map(eating, entries, params=params) == [(2, 1), (3, 2)]
    assert run_map(eating, entries, params=params) == [(2, 1), (3, 2)]
    assert entries == [[1, 2], [3]]
    assert params == Params(limits=[])


@pytest.mark.parametrize("inputs", ["a b\n", b"a b\n", ["a b\n"], [["a"], b"b"]])
def test_a_text_is_no_list_of_entries(inputs: Any) -> None:
    for driver in (run_job, reference_run, check_job):
        with pytest.raises(TypeError, match=r"must be a list of .*entries as map gets them.*splitlines"):
            driver(WordCount, inputs)
    with pytest.raises(TypeError, match="entries must be a list of entries as map gets them, not 'a b"):
        run_map(WordCount, "a b\n")


def test_the_functions_are_those_of_the_job() -> None:
    seen: list[str] = []

    def noting(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        seen.append(entry)
        yield entry, 1

    run_map(noting, ["a", "b"])
    assert seen == ["a", "b"]


def test_run_combiner_has_a_buffer_for_each_partition() -> None:
    sizes: list[int] = []

    def combiner(key: Any, value: Any, buf: dict[Any, Any], done: bool, params: Any) -> Any:
        if done:
            sizes.append(len(buf))
            return sorted(buf.items())
        buf[key] = buf.get(key, 0) + value
        return None

    keys = [f"k{number}" for number in range(20)]
    found = run_combiner(combiner, [(key, 1) for key in keys * 2], partitions=3)
    assert sorted(found) == sorted((key, 2) for key in keys)
    assert len(sizes) == 3
    assert sum(sizes) == 20
    assert found != sorted(found)  # by partitions


def test_run_combiner_without_one_passes_pairs_on() -> None:
    assert run_combiner(Job(map=words, reduce=words), [("b", 1), ("a", 2)]) == [("b", 1), ("a", 2)]


def test_run_combiner_knows_the_combiner_of_the_library() -> None:
    assert run_combiner(sum_combiner, [("a", 1), ("b", 2), ("a", 3)]) == [("a", 4), ("b", 2)]


def test_run_partition_gives_a_label_for_each_key() -> None:
    keys = ["a", "b", b"a", 1, 1.0, None]
    assert run_partition(Job(), keys, 4) == [default_partition(key, 4) for key in keys]
    assert run_partition(lambda key, n, params: len(key) % n, ["", "a", "abcd"], 3) == [0, 1, 1]
    assert run_partition(WithParams, ["", "a"], 2) == [0, 1]
    with pytest.raises(DiscoError, match="number of partitions"):
        run_partition(Job(), keys, 0)


@pytest.mark.parametrize(("label", "error"), [(3, ValueError), (-1, ValueError), (None, TypeError), (1.0, TypeError)])
def test_run_partition_checks_labels_as_a_task_does(label: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="partition of key 'k'"):
        run_partition(lambda key, n, params: label, ["k"], 3)


def test_run_reduce_keeps_the_order_of_the_pairs() -> None:
    def keys(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
        for key, value in iter:
            yield value, key

    def out(iter: Any, out: Any, params: Any) -> None:
        for key, value in iter:
            out.add(value, key)

    given = [("b", 1), ("a", 2), ("b", 0)]
    assert run_reduce(keys, given) == run_reduce(out, given) == [(1, "b"), (2, "a"), (0, "b")]
    assert run_reduce(keys, []) == []


def test_run_reduce_sorts_as_the_external_sort(inline: LocalCluster, tmp_path: Path) -> None:
    class AsItCame(Job):
        sort = True

        @staticmethod
        def reduce(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
            yield from iter

    given = [
        (b"b", 10),
        ("b", 9),
        (b"a\x00", 1),
        (b"a", 2),
        (b"a", 10),
        (b"a\xff", "x"),
        (b"a", [1]),
        ("é", 1),
        ("", 5),
    ]
    with pytest.warns(UserWarning):
        results = list(inline.run(AsItCame(), **feed(str(tmp_path), AsItCame, [given], {})))
    assert run_reduce(AsItCame, given) == results
    with pytest.raises(ValueError, match="bytes"):
        run_reduce(AsItCame, [(5, 1)])


def test_run_reduce_knows_its_partition() -> None:
    def named(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
        yield this_partition(), len(list(iter))  # type: ignore[name-defined]  # noqa: F821

    assert run_reduce(named, [("a", 1)], partition=4) == [(4, 1)]


def test_output_in_a_format_of_its_own_is_given_as_pairs() -> None:
    class Text:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def add(self, key: Any, value: Any) -> None:
            self.stream.write(f"{key}={value}\n".encode())

    class Written(Job):
        reduce_output_stream = (jobs.task_output_stream, lambda stream, size, url, params: Text(stream))

        @staticmethod
        def reduce(iter: Any, params: Any) -> Iterator[tuple[Any, Any]]:
            yield from kvgroup(iter)

    assert run_reduce(WordCount, [("b", 1)], reduce_output_stream=Written.reduce_output_stream) == [("b", 1)]


def test_a_pipeline_has_no_single_functions() -> None:
    for driver in (run_map, run_reduce, run_combiner):
        with pytest.raises(DiscoError, match="is a pipeline, which has stages"):
            driver(jobs.Piped, [])


def test_a_job_without_the_function_is_named() -> None:
    with pytest.raises(DiscoError, match="ReduceOnly has no map"):
        run_map(jobs.ReduceOnly, [])
    with pytest.raises(DiscoError, match="external program"):
        run_map(Job(), [], map={"op": b"", "a": b""}) if False else run_map(Job(map={"op": b"x"}), [])


def test_nothing_stays_in_the_process_or_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for job in (jobs.Files, jobs.OwnOpening, jobs.OutOfBand):
        run_job(job, [["a b\n"]])
    assert Path.cwd() == tmp_path
    import gc

    gc.collect()
    assert list(tmp_path.iterdir()) == []


# Parts


def test_fresh_parts_share_no_state_with_the_job() -> None:
    counts = {"calls": 0}

    def counting(entry: str, params: Any) -> Iterator[tuple[str, int]]:
        counts["calls"] += 1
        yield entry, counts["calls"]

    parts = resolve(counting, {}, "map")
    assert parts.data
    assert run_map(parts, ["a", "b"]) == [("a", 1), ("b", 2)]
    assert run_map(parts.fresh(), ["a"]) == [("a", 1)]
    assert run_map(parts, ["a"]) == [("a", 3)]


def test_fresh_parts_have_classes_of_their_own() -> None:
    class Counting(Job):
        calls = 0

        @staticmethod
        def map(entry: str, params: Any) -> Iterator[tuple[str, int]]:
            Counting.calls += 1
            yield entry, Counting.calls

    function = Counting.map
    parts = resolve(Counting)
    assert parts.data
    assert run_map(parts, ["a", "b"]) == [("a", 1), ("b", 2)]
    assert run_map(parts.fresh(), ["a"]) == run_map(parts.fresh(), ["a"]) == [("a", 1)]
    assert run_map(parts, ["a"]) == [("a", 3)]
    assert Counting.map is function


def test_parts_have_the_value_of_every_parameter() -> None:
    parts = resolve(WithParams, {"partitions": 7})
    assert parts["partitions"] == 7
    assert parts["map"] is WithParams.map
    assert parts["status_interval"] == 100000
    assert not parts.is_pipeline
    assert parts.name == "WithParams"
    assert resolve(parts) is parts
    assert resolve(parts, {"partitions": 2})["partitions"] == 2
    assert resolve(jobs.Piped).is_pipeline
    assert parts.params() == WithParams.params
    assert parts.params() is not WithParams.params


def test_a_worker_with_a_run_of_its_own_is_refused() -> None:
    from discolocal.worker.simple import Worker

    with pytest.raises(DiscoError, match="only a cluster can run it"):
        run_job(Job(worker=Worker()), [])


def test_combiner_and_partition_find_what_map_init_has_put_into_params() -> None:
    def init(entries: Any, params: Any) -> None:
        params.most = 2
        params.heading = next(entries)

    def combiner(key: Any, value: Any, buffer: dict[Any, Any], done: bool, params: Any) -> Any:
        if done:
            return buffer.items()
        buffer[key] = min(buffer.get(key, 0) + value, params.most)
        return None

    job = Job(
        map=lambda entry, params: [(entry, 1)],
        map_init=init,
        combiner=combiner,
        partition=lambda key, partitions, params: params.most % partitions,
        reduce=lambda iter, params: {key: 1 for key, _ in iter}.items(),
    )
    assert run_combiner(job, [("a", 1), ("a", 1), ("a", 1)]) == [("a", 2)]
    assert run_partition(job, ["a", "b"], 3) == [2, 2]
    assert check_combiner(job, pairs=[("a", 1), ("b", 1)], examples=10).subject
    assert check_partitioner(job, keys=["a", "b"], nr_partitions=[3], examples=10).subject
