"""Parameters, readers, writers and messages of older generations, in all ways in which a worker can start."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, result_iterator
from discolocal.worker.classic.func import nop_map
from discolocal.worker.old import parameters, records
from discolocal.worker.task_io import chain_reader, task_output_stream


@pytest.fixture(params=("fork", "exec", "inline"), scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, start=request.param, seed=3) as started:
        yield started


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    (tmp_path / "lines").write_text("b 10\na 9\nb 2\n")
    return [str(tmp_path / "lines")]


def pairs(line: str, params: Any) -> list[tuple[str, int]]:
    key, value = line.split()
    return [(key, int(value))]


def as_given(line: Any, params: Any) -> list[tuple[Any, str]]:
    return [(line, type(line).__name__)]


def add_up(iter: Any, out: Any, params: Any) -> None:
    sums: dict[str, int] = {}
    for key, value in iter:
        sums[key] = sums.get(key, 0) + int(value)
    for key, total in sums.items():
        out.add(key, total)


def test_renamed_parameters(cluster: LocalCluster, lines: list[str]) -> None:
    with pytest.warns(DeprecationWarning) as told:
        found = cluster.run(Job(), input_files=lines, fun_map=pairs, reduce=add_up, nr_reduces=2, nr_maps=7)
    assert sorted(found) == [("a", 9), ("b", 12)]
    texts = sorted(str(one.message) for one in told if one.category is DeprecationWarning)
    assert texts == [
        "fun_map is an old name: use map",
        "input_files is an old name: use input",
        "nr_maps has no effect: there is one map task for each input",
        "nr_reduces is an old name: use partitions",
    ]
    assert {Path(one.filename).name for one in told} == {"test_parameters.py"}
    assert found.job.jobpack().jobdict["nr_reduces"] == 2


def test_they_work_as_arguments_of_a_job_and_of_new_job(cluster: LocalCluster, lines: list[str]) -> None:
    with pytest.warns(DeprecationWarning, match="fun_map"):
        job = Job("mine", fun_map=pairs)
    assert sorted(cluster.run(job, input=lines)) == [("a", 9), ("b", 2), ("b", 10)]
    with pytest.warns(DeprecationWarning, match="nr_reduces"):
        job = cluster.new_job(name="new", input=lines, map=pairs, reduce=add_up, nr_reduces=1)
    assert sorted(result_iterator(job.wait())) == [("a", 9), ("b", 12)]


def test_an_old_name_and_the_one_of_today_are_refused_together(lines: list[str]) -> None:
    for old, new, value in (
        ("fun_map", "map", pairs),
        ("nr_reduces", "partitions", 2),
        ("input_files", "input", lines),
    ):
        with pytest.raises(DiscoError, match=f"Both {old} and {new} are given"):
            Job().pack(**({"map": pairs, "input": lines} | {old: value, new: value}))


def test_a_name_that_the_job_has_a_meaning_for_is_its_own(cluster: LocalCluster, lines: list[str]) -> None:
    class Mine(Job):
        nr_maps = 3
        map = staticmethod(pairs)

    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert len(list(cluster.run(Mine, input=lines, nr_maps=5))) == 3


@pytest.mark.parametrize("reader", [records.netstr_reader, records.object_reader])
def test_writers_and_readers(cluster: LocalCluster, lines: list[str], reader: Any) -> None:
    writer = {records.netstr_reader: records.netstr_writer, records.object_reader: records.object_writer}[reader]
    with pytest.warns(DeprecationWarning, match="reduce_writer is an old name: use reduce_output_stream"):
        found = cluster.run(
            Job(), input=lines, map_reader=records.map_line_reader, map=as_given, map_writer=writer,
            reduce_reader=reader, reduce=lambda iter, params: list(iter), reduce_writer=writer, partitions=2,
        )  # fmt: skip
    expected = [("a 9", "str"), ("b 10", "str"), ("b 2", "str")]
    assert sorted(result_iterator(found.urls, reader=reader)) == expected
    chained = cluster.run(Job(), input=found.urls, map_reader=reader, map=nop_map)
    assert sorted(chained) == expected


def test_a_writer_of_the_users_own(cluster: LocalCluster, lines: list[str]) -> None:
    def writer(fd: Any, key: Any, value: Any, params: Any) -> None:
        fd.write(f"{key}{params}{value}\n".encode())

    with pytest.warns(DeprecationWarning):
        found = cluster.run(Job(), input=lines, map=pairs, reduce=add_up, reduce_writer=writer, params="=")
    assert sorted(result_iterator(found.urls, reader=None)) == ["a=9\n", "b=12\n"]


def test_lines_of_bytes_and_texts_lose_one_end() -> None:
    assert list(records.map_line_reader([b"a\n", b"b\n\n", b"c"], None, "u")) == [b"a", b"b\n", b"c"]
    assert list(records.map_line_reader(["a\n", "c"], None, "u")) == ["a", "c"]


def test_messages_by_bare_name_and_imported(cluster: LocalCluster, lines: list[str]) -> None:
    def says(line: str, params: Any) -> list[tuple[str, int]]:
        msg(f"by name {line.split()[0]}")  # type: ignore[name-defined]  # noqa: F821
        from discolocal.util import msg as imported

        imported("imported")
        return []

    with pytest.warns(DeprecationWarning, match=r"msg\(\) in .*says is of Disco before 0.5: use print"):
        job = cluster.run(Job(), input=lines, map=says).job
    texts = [text for _, (_, _, text) in cluster.events(job.name)]
    assert sum("by name b" in text for text in texts) == 2 and sum("imported" in text for text in texts) == 3


def test_errors_by_bare_name(cluster: LocalCluster, lines: list[str]) -> None:
    def fails(line: str, params: Any) -> Any:
        err("on purpose")  # type: ignore[name-defined]  # noqa: F821

    def lacks(line: str, params: Any) -> Any:
        data_err("no such data", "disco://x")  # type: ignore[name-defined]  # noqa: F821

    for function, text in ((fails, "DiscoError: on purpose"), (lacks, r"DataError.*no such data")):
        with pytest.warns(DeprecationWarning), pytest.raises(JobError, match=text):
            cluster.run(Job(), input=lines, map=function)


def test_a_name_of_ones_own_is_not_an_old_one(cluster: LocalCluster, lines: list[str]) -> None:
    def quiet(line: str, params: Any) -> Any:
        return [(len(params.err), 1)]

    class Bag:
        err = "e"

    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert list(cluster.run(Job(), input=lines, map=quiet, params=Bag(), partitions=None)) == [(1, 1)] * 3


def test_results_of_the_map_by_their_old_name(cluster: LocalCluster, lines: list[str]) -> None:
    job = cluster.run(Job(), input=lines, map=pairs, reduce=add_up).job
    for old in (lambda: job.mapresults(), lambda: cluster.mapresults(job.name)):
        with pytest.warns(DeprecationWarning, match="use stageresults"):
            assert old() == job.stageresults("map")


# Era


@pytest.fixture
def of_0_2() -> Iterator[None]:
    parameters.set_era("0.2")
    yield
    parameters.set_era(None)


def test_records_of_0_2(of_0_2: None, cluster: LocalCluster, lines: list[str]) -> None:
    kinds = []

    def kind(line: str, params: Any) -> Any:
        return [(line, 1.5), (2, None)]

    found = cluster.run(Job(), input=lines, map=kind, reduce=lambda iter, params: list(iter), partitions=2)
    kinds = sorted(found)
    assert kinds == sorted([("b 10", "1.5"), ("a 9", "1.5"), ("b 2", "1.5"), *[("2", "None")] * 3])
    assert sorted(result_iterator(found.urls)) == kinds


def test_what_a_job_of_0_2_says_itself_wins(of_0_2: None, cluster: LocalCluster, lines: list[str]) -> None:
    first = cluster.run(Job(), input=lines, map=pairs)
    found = cluster.run(Job(), input=first.urls, map_reader=chain_reader, map=nop_map)
    assert sorted(found) == [("a", "9"), ("b", "10"), ("b", "2")]

    class Typed(Job):
        map_output_stream = staticmethod(task_output_stream)

    assert "map_output_stream" not in parameters.with_defaults(Job.Worker(), Typed(), {})


def test_only_eras_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"era='0.1': must be one of 0.2, 0.5, or None"):
        parameters.set_era("0.1")
