"""Jobs that are right, with every feature a job may have: what drivers, reference and clusters make of them agrees."""

from __future__ import annotations

import heapq
import importlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from discolocal import Job, Params
from discolocal.util import kvgroup
from discolocal.worker.classic.func import RangePartition, nop_map, nop_reduce, sum_combiner, sum_reduce
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from discolocal.worker.task_io import (
    DiscoOutputStream,
    chain_reader,
    disco_output_stream,
    task_input_stream,
    task_output_stream,
)

Pairs = Iterable[tuple[Any, Any]]


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


class WordCount(Job):
    partitions = 3
    map = staticmethod(words)
    combiner = staticmethod(sum_combiner)

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Iterator[tuple[str, int]]:
        for word, counts in kvgroup(sorted(iter)):
            yield word, sum(counts)


class OneReduce(Job):
    """A reduce with an output object; it runs even if there is nothing to reduce."""

    map = staticmethod(words)

    @staticmethod
    def reduce(iter: Pairs, out: Any, params: Any) -> None:
        total = 0
        for _word, count in iter:
            total += count
        out.add("total", total)


class Sorted(Job):
    """Keys of bytes and text with special characters, sorted; each key comes once."""

    partitions = 2
    sort = True

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[Any, Any]]:
        for word in line.split():
            yield word.encode() + b"\x00\xff", len(word)
            yield word, [word]

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Iterator[tuple[Any, Any]]:
        for key, values in kvgroup(iter):
            yield key, sorted(values)


class MapOnly(Job):
    partitions = None
    map = staticmethod(words)


class PartedMapOnly(Job):
    partitions = 4
    map = staticmethod(words)


class ReduceOnly(Job):
    reduce = staticmethod(sum_reduce)


class TotalOnly(Job):
    reduce = staticmethod(OneReduce.reduce)


class PassedOn(Job):
    map = staticmethod(nop_map)
    reduce = staticmethod(nop_reduce)


def add_prefix(iter: Any, params: Any) -> None:
    params.prefix = params.prefixes[-1]
    params.prefixes.append("another")
    params.header = next(iter, "")


def with_prefix(line: str, params: Any) -> Iterator[tuple[str, str]]:
    params.seen = getattr(params, "seen", 0) + 1
    yield params.prefix + line.strip(), line


def length(key: str, nr_partitions: int, params: Any) -> int:
    return (len(key) + params.shift) % nr_partitions


class WithParams(Job):
    """Init functions that change params and take an entry; a partition function that asks them."""

    partitions = 5
    params = Params(prefixes=["> "], shift=2)
    map_init = staticmethod(add_prefix)
    map = staticmethod(with_prefix)
    partition = staticmethod(length)

    @staticmethod
    def reduce_init(iter: Any, params: Any) -> None:
        params.factor = 3

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Iterator[tuple[str, Any]]:
        for key, value in iter:
            yield key, value * params.factor


class Supplied(Job):
    """Names that nobody imports."""

    partitions = 2

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, str]]:
        Task.msg("a line")  # type: ignore[name-defined]  # noqa: F821
        for word in re.findall(r"\w+", line):  # type: ignore[name-defined]  # noqa: F821
            yield word, this_name().partition("@")[0]  # type: ignore[name-defined]  # noqa: F821

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Iterator[tuple[str, Any]]:
        for word, names in kvgroup(sorted(iter)):
            yield word, (this_partition() in (0, 1), len(list(names)))  # type: ignore[name-defined]  # noqa: F821


class Upper(DiscoOutputStream):
    def add(self, key: Any, value: Any) -> None:
        super().add(str(key).upper(), value)


def upper_stream(stream: Any, size: Any, url: str, params: Any) -> Upper:
    return Upper(stream)


def doubled(stream: Any, size: Any, url: str, params: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in chain_reader(stream, size, url):
        yield key, value
        yield key, value


class OwnStreams(Job):
    partitions = 2
    map = staticmethod(words)
    map_output_stream = (task_output_stream, upper_stream)
    reduce_reader = staticmethod(doubled)
    reduce_output_stream = (task_output_stream, disco_output_stream)
    reduce = staticmethod(sum_reduce)


def opening(stream: Any, size: Any, url: str, params: Any) -> Any:
    return task_input_stream(stream, size, url, params)


class OwnOpening(OwnStreams):
    """Streams that open their urls themselves."""

    map_output_stream = (lambda stream, size, url, params: open(url, "wb"), upper_stream)
    reduce_input_stream = (opening,)
    reduce_output_stream = (
        lambda stream, size, url, params: task_output_stream(stream, size, url, params),
        disco_output_stream,
    )


HELPER = "helper_of_files"


class Files(Job):
    required_files = {"words.txt": "a\nb\n", "lib/helper_of_files.py": "FACTOR = 7\n"}

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        factor = importlib.import_module(HELPER).FACTOR
        with open("words.txt", encoding="utf-8") as file:
            known = file.read().split()
        for word in line.split():
            yield word, factor if word in known else 1


class Largest(Job):
    """A combiner that writes early, a partial as a function, a partition function that is an object."""

    partitions = 2
    partition = RangePartition(0, 5)

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[int, int]]:
        for word in line.split():
            yield len(word), sum(map(ord, word))

    @staticmethod
    def combiner(key: int, value: int, buf: dict[int, int], done: bool, params: Any) -> Any:
        if not done:
            buf[key] = max(value, buf.get(key, value))
            if len(buf) < 2:
                return None
        found = list(buf.items())
        buf.clear()
        return iter(found)

    @staticmethod
    def _reduce(count: int, iter: Pairs, params: Any) -> Iterator[tuple[int, list[int]]]:
        for key, values in kvgroup(sorted(iter)):
            yield key, heapq.nlargest(count, values)

    reduce = partial(_reduce.__func__, 1)  # type: ignore[attr-defined]


class OutOfBand(Job):
    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, int]]:
        for word in line.split():
            put(f"seen-{word.encode().hex()}", word.encode())  # type: ignore[name-defined]  # noqa: F821
            yield word, 1

    @staticmethod
    def reduce(iter: Pairs, params: Any) -> Iterator[tuple[str, Any]]:
        for word, counts in kvgroup(sorted(iter)):
            yield word, (get(f"seen-{word.encode().hex()}"), sum(counts))  # type: ignore[name-defined]  # noqa: F821


def cut(interface: Any, state: Any, label: int, inp: Any) -> None:
    for line in inp:
        for word in line.split():
            interface.output(len(word) % 3).add(word, 1)


def start(interface: Any, params: Any) -> dict[Any, int]:
    return {}


def count(interface: Any, state: dict[Any, int], label: int, inp: Any) -> None:
    for word, number in inp:
        state[word] = state.get(word, 0) + number


def finish(interface: Any, state: dict[Any, int]) -> None:
    for item in state.items():
        interface.output(0).add(*item)


def sums(interface: Any, state: Any, label: int, inp: Any) -> None:
    for word, numbers in kvgroup(inp):
        interface.output(None).add(word, sum(numbers))


class Piped(Job):
    """Stages that sum on the node first; reversed labels, combined inputs that are sorted."""

    Worker = PipelineWorker
    pipeline = [
        ("split", Stage("cut", process=cut)),
        ("group_node_label", Stage("here", init=start, process=count, done=finish)),
        (
            "group_label",
            Stage("all", process=sums, input_hook=lambda state, labels: sorted(labels)[::-1], combine=True, sort=True),
        ),
    ]


class NodePiped(Job):
    Worker = PipelineWorker
    pipeline = [
        ("group_all", Stage("cut", process=cut, output_chain=[task_output_stream, upper_stream])),
        ("group_node", Stage("here", init=start, process=count, done=finish)),
        ("group_all", Stage("all", init=start, process=count, done=finish)),
    ]


informed = Stage("informed")


def tell(interface: Any, state: Any, label: int, inp: Any) -> None:
    assert informed.taskinfo is not None or interface.taskinfo is not None
    for _entry in inp:
        interface.output(label).add(interface.taskinfo.stage, interface.taskinfo.label)


informed.process = tell


class Informed(Job):
    Worker = PipelineWorker
    pipeline = [("split", informed)]


LINES = (
    WordCount,
    OneReduce,
    Sorted,
    MapOnly,
    PartedMapOnly,
    WithParams,
    Supplied,
    OwnStreams,
    OwnOpening,
    Files,
    Largest,
    OutOfBand,
    Piped,
    NodePiped,
    Informed,
)
"""Jobs whose entries are lines."""
PAIRED = (ReduceOnly, TotalOnly, PassedOn)
"""Jobs whose entries are pairs."""
