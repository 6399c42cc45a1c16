"""Output streams of the user in the map stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discolocal.job import Job
from discolocal.worker.classic.func import sum_combiner
from tests.worker.harness import Node, words


def test_an_output_stream_of_the_user_is_added_to_and_closed(tmp_path: Path, text: str) -> None:
    class Lines:
        def __init__(self, file: Any) -> None:
            self.file = file

        def add(self, key: Any, value: Any) -> None:
            self.file.write(f"{key}={value};".encode())

        def close(self) -> None:
            self.file.write(b"end")

    def stream(below: Any, size: Any, url: str, params: Any) -> Any:
        assert size is None
        return Lines(below)

    from discolocal.worker.task_io import task_output_stream

    node = Node(tmp_path / "data", Job(map=words, map_output_stream=(task_output_stream, stream)))
    assert node.map("raw://a b").data(0) == b"a=1;b=1;end"


@pytest.mark.parametrize("partitions", [None, 1])
@pytest.mark.parametrize("combiner", [None, sum_combiner])
def test_an_add_that_the_user_puts_on_a_stream_of_ours_gets_every_pair(
    tmp_path: Path, partitions: int | None, combiner: Any
) -> None:
    def stream(below: Any, size: Any, url: str, params: Any) -> Any:
        from discolocal.worker.task_io import disco_output_stream

        records = disco_output_stream(below, size, url, params)
        add = records.add
        records.add = lambda key, value: add(key.upper(), value + 1)
        return records

    from discolocal.worker.task_io import task_output_stream

    streams = (task_output_stream, stream)
    node = Node(tmp_path / "data", Job(map=words, combiner=combiner, partitions=partitions, map_output_stream=streams))
    result = node.map("raw://a b")
    assert sorted(sum(result.by_label().values(), [])) == [("A", 2), ("B", 2)]


@pytest.mark.parametrize("partitions", [None, 1])
@pytest.mark.parametrize("combiner", [None, sum_combiner])
@pytest.mark.parametrize("method", ["add", "append"])
def test_a_subclass_of_our_stream_may_change_records(
    tmp_path: Path, method: str, combiner: Any, partitions: int | None
) -> None:
    def stream(below: Any, size: Any, url: str, params: Any) -> Any:
        from discolocal.worker.task_io import DiscoOutputStream

        class Added(DiscoOutputStream):
            def add(self, key: str, value: int) -> None:
                super().add(key.upper(), value + 1)

        class Appended(DiscoOutputStream):
            def append(self, record: Any) -> None:
                super().append((record[0].upper(), record[1] + 1))

        return {"add": Added, "append": Appended}[method](below)

    from discolocal.worker.task_io import task_output_stream

    streams = (task_output_stream, stream)
    node = Node(tmp_path / "data", Job(map=words, combiner=combiner, partitions=partitions, map_output_stream=streams))
    result = node.map("raw://a b")
    assert sorted(sum(result.by_label().values(), [])) == [("A", 2), ("B", 2)]
