"""The map stage: what is said when a user's function fails or a job cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discolocal.error import DataError
from discolocal.job import Job
from discolocal.worker.classic.func import sum_combiner
from tests.worker.harness import Node, words


def test_a_failure_names_record_input_and_entry(tmp_path: Path, text: str) -> None:
    def fails(line: str, params: Any) -> Any:
        if line.startswith("the end"):
            raise ValueError("two\nlines")
        return []

    result = Node(tmp_path / "data", Job(map=fails)).map(text)
    assert result.kind == "fatal"
    assert result.headline == f"map failed at record 3 of {text}: ValueError: two lines (entry: 'the end\\n')"
    assert 'raise ValueError("two\\nlines")' in result.text
    assert not list((tmp_path / "data").rglob("*.partial"))


@pytest.mark.parametrize("combiner", [None, sum_combiner, lambda k, v, b, d, p: None])
@pytest.mark.parametrize("value", [None, [1], [(1, 2, 3)]])
def test_a_map_that_gives_no_pairs(tmp_path: Path, combiner: Any, value: Any) -> None:
    result = Node(tmp_path / "data", Job(map=lambda e, p: value, combiner=combiner)).map("raw://x")
    assert result.kind == "fatal"
    assert result.headline.startswith("map") and "at record 1 of raw://x" in result.headline
    assert "(entry: 'x')" in result.headline


def test_errors_that_may_be_gone_next_time_are_no_verdict_on_the_job(tmp_path: Path) -> None:
    for number, error in enumerate((OSError("disk"), DataError("bad", "url"), MemoryError())):

        def fails(line: str, params: Any, error: Exception = error) -> Any:
            raise error

        assert Node(tmp_path / f"data{number}", Job(map=fails)).map("raw://x").kind == "error"


def test_a_long_entry_is_cut(tmp_path: Path) -> None:
    result = Node(tmp_path / "data", Job(map=lambda e, p: 1 // 0)).map("raw://" + "x" * 5000)
    assert len(result.headline) < 700
    assert result.headline.endswith("...)")


def test_a_combiner_that_fails(tmp_path: Path) -> None:
    def fails(key: Any, value: Any, buffer: Any, done: bool, params: Any) -> Any:
        if done:
            raise ValueError("at end")
        if key == "b":
            raise ValueError("at b")

    result = Node(tmp_path / "1", Job(map=words, combiner=fails)).map("raw://a b")
    assert result.headline.startswith("combiner failed at record 1 of raw://a b: ValueError: at b (key: 'b')")
    result = Node(tmp_path / "2", Job(map=words, combiner=fails)).map("raw://a")
    assert result.headline == "combiner failed at the end of partition 0: ValueError: at end"


def test_values_that_cannot_be_summed(tmp_path: Path) -> None:
    result = Node(tmp_path / "d", Job(map=lambda e, p: [("k", 1), ("k", "x")], combiner=sum_combiner)).map("raw://x")
    assert result.headline.startswith("map or its sum_combiner failed at record 1 of raw://x: TypeError: ")


def test_a_reader_that_fails(tmp_path: Path, text: str) -> None:
    def reader(fd: Any, size: int, url: str) -> Any:
        for line in fd:
            if "dog" in line:
                raise ValueError("bad dog")
            yield line

    result = Node(tmp_path / "data", Job(map=words, map_reader=reader)).map(text)
    assert result.kind == "fatal"
    assert result.headline == f"reading the input failed after record 1 of {text}: ValueError: bad dog"


def test_a_record_that_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    def locks(line: str, params: Any) -> Any:
        import threading

        return [("key", threading.Lock())]

    result = Node(tmp_path / "data", Job(map=locks)).map("raw://x")
    assert result.kind == "fatal"
    assert "Cannot pickle the record ('key', <unlocked _thread.lock" in result.headline


def test_a_job_of_another_python_is_refused(tmp_path: Path) -> None:
    result = Node(tmp_path / "data", Job(map=words, version="2.7")).map("raw://x")
    assert result.kind == "fatal"
    assert "Python version mismatch" in result.headline
