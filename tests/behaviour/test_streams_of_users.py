"""Streams and schemes that people write: chains of any shape (reference 8.3, 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import Job, LocalCluster, result_iterator
from discolocal.worker.classic.func import chain_reader, nop_map, sum_reduce
from discolocal.worker.task_io import task_input_stream, task_output_stream
from tests.behaviour.wordcounts import found, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


class Upper:
    """A stream that only iterates."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[str]:
        return (line.upper() for line in self.stream)


def triple(stream: Any, size: Any, url: str, params: Any) -> tuple[Any, int, str]:
    return [f"{params}{line}" for line in stream], 77, f"{url}#triple"


def pair(stream: Any, size: Any, url: str) -> tuple[Any, str]:
    assert size == 77 and url.endswith("#triple")
    return stream, f"{url}#pair"


def single(stream: Any, size: Any, url: str, params: Any) -> Upper:
    assert size == 77 and url.endswith("#pair")
    return Upper(stream)


def generated(stream: Any, size: Any, url: str) -> Iterator[tuple[str, str]]:
    for line in stream:
        yield line, url.partition("#")[2]


class Pairs:
    """An output stream with a separator of its own."""

    def __init__(self, stream: Any, mark: str) -> None:
        self.stream, self.mark = stream, mark

    def add(self, key: Any, value: Any) -> None:
        self.stream.write(f"{key}{self.mark}{value}\n".encode())


def marked(stream: Any, partition: Any, url: str, params: Any) -> tuple[Any, None, str]:
    assert partition is None
    return Pairs(stream, "="), None, url


def counted(stream: Any, partition: Any, url: str) -> tuple[Any, str]:
    stream.mark += "#"
    return stream, url


def test_streams_of_three_and_four_arguments_return_a_triple_a_pair_or_one_object(cluster: LocalCluster) -> None:
    job = Job(
        map=nop_map,
        map_input_stream=[task_input_stream, triple, pair, single],
        map_reader=generated,
        map_output_stream=(task_output_stream, marked, counted),
        params="p-",
        partitions=None,
    )
    urls = cluster.run(job, input=["raw://text"]).urls
    lines = list(result_iterator(urls, reader=None))
    assert [line.decode() if isinstance(line, bytes) else line for line in lines] == ["P-TEXT=#triple#pair\n"]


def test_a_chain_of_streams_before_a_reduce(cluster: LocalCluster) -> None:
    def only_short(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
        return (record for record in chain_reader(stream, size, url) if len(record[0]) <= params["length"])

    def doubled(stream: Any, size: Any, url: str) -> tuple[Any, str]:
        return [(key, 2 * value) for key, value in stream], url

    job = Job(map=words, reduce=sum_reduce, params={"length": 1})
    job.reduce_input_stream = [task_input_stream, only_short, doubled]
    job.reduce_reader = None
    assert found(cluster, job, input=["raw://a-bb-a"]) == {"a": 4}


def test_a_scheme_of_the_user_with_a_chain_behind_it(cluster: LocalCluster) -> None:
    module = (
        "import io\n"
        "def input_stream(stream, size, url, params):\n"
        "    text = url.partition('://')[2]\n"
        "    return io.StringIO(text * params['times']), None, url + '#seen'\n"
    )
    job = Job(map=nop_map, map_reader=generated, params={"times": 3})
    for place in ("discolocal", "disco"):
        files = {f"{place}/schemes/scheme_repeat.py": module}
        assert found(cluster, job, input=["repeat://ab"], required_files=files) == {"ababab": "seen"}
