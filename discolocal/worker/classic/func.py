"""Functions for classic jobs: the interfaces that job functions have, and ready-made ones (reference 8.2 to 8.5).

`map`, `reduce`, `reduce2`, `combiner`, `partition`, `init` and `notifier` show the interfaces by small working
examples; the others are for use in jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.wire.digest import md5
from discolocal.worker.classic.keys import stable_bytes, text_bytes
from discolocal.worker.task_io import (
    DiscoOutputStream,
    InputStream,
    OutputStream,
    chain_reader,
    chain_stream,
    default_stream,
    disco_input_stream,
    disco_output_stream,
    gzip_line_reader,
    gzip_line_stream,
    gzip_reader,
    gzip_stream,
    input_stream,
    old_netstr_reader,
    output_stream,
    plain_output_stream,
    re_reader,
    string_input_stream,
    task_input_stream,
    task_output_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


__all__ = [
    "DiscoOutputStream",
    "InputStream",
    "OutputStream",
    "RangePartition",
    "chain_reader",
    "chain_stream",
    "combiner",
    "default_partition",
    "default_stream",
    "disco_input_stream",
    "disco_output_stream",
    "gzip_line_reader",
    "gzip_line_stream",
    "gzip_reader",
    "gzip_stream",
    "init",
    "input_stream",
    "make_range_partition",
    "map",
    "nop_map",
    "nop_reduce",
    "notifier",
    "old_netstr_reader",
    "output_stream",
    "partition",
    "plain_output_stream",
    "re_reader",
    "reduce",
    "reduce2",
    "string_input_stream",
    "sum_combiner",
    "sum_reduce",
    "task_input_stream",
    "task_output_stream",
]

MAX_SUMS = 1 << 19  # keys that `sum_combiner` keeps before it hands them on


def map(entry: Any, params: Any) -> Iterable[tuple[Any, Any]]:
    """The interface of a map function, here one that counts words.

    Parameters: `entry` a record of the input, `params` the job's params. Returns an iterable of (key, value) pairs.
    """
    return [(word, 1) for word in entry.split()]


def reduce(input_stream: Iterable[tuple[Any, Any]], output_stream: Any, params: Any) -> None:
    """The interface of a reduce function with an output object, here one that sums values by key.

    Parameters: `input_stream` all (key, value) records of the partition, `output_stream` an object with
    ``add(key, value)``, `params` the job's params.
    """
    for key, total in sum_reduce(input_stream, params):
        output_stream.add(key, total)


def reduce2(input_stream: Iterable[tuple[Any, Any]], params: Any) -> Iterator[tuple[Any, Any]]:
    """The interface of a reduce function that yields its results; like `reduce` otherwise."""
    yield from sum_reduce(input_stream, params)


def combiner(key: Any, value: Any, buffer: dict[Any, Any], done: bool, params: Any) -> Any:
    """The interface of a combiner, here one that keeps the last value of each key.

    Parameters: `key`, `value` a pair from map, `buffer` a dictionary kept for this partition, `done` True in the last
    call (key and value are None then), `params` the job's params. Returns an iterable of pairs to write, or None.
    """
    if done:
        return buffer.items()
    buffer[key] = value
    return None


def init(input_iter: Iterator[Any], params: Any) -> None:
    """The interface of `map_init` and `reduce_init`: called once before the first record, here without any effect.

    Parameters: `input_iter` the records of the task, from which some may be taken; `params` the job's params.
    """


def notifier(urls: str | list[str]) -> None:
    """The interface of a function that `result_iterator` calls for each url (or list of replicas) it opens."""


def nop_map(entry: Any, params: Any) -> Iterator[Any]:
    """A map that passes its entries on; they must be (key, value) pairs, e.g. those of a reader."""
    yield entry


def nop_reduce(iter: Iterable[tuple[Any, Any]], out: Any, params: Any) -> None:
    """A reduce that passes all records on."""
    add = out.add
    for key, value in iter:
        add(key, value)


def sum_combiner(key: Any, value: Any, buf: dict[Any, Any], done: bool, params: Any) -> Any:
    """A combiner that sums the values of each key."""
    if done:
        return buf.items()
    buf[key] = buf.get(key, 0) + value
    if len(buf) >= MAX_SUMS:
        sums = list(buf.items())
        buf.clear()
        return sums
    return None


def sum_reduce(iter: Iterable[tuple[Any, Any]], params: Any) -> Iterator[tuple[Any, Any]]:
    """A reduce that sums the values of each key."""
    sums: dict[Any, Any] = {}
    get = sums.get
    for key, value in iter:
        sums[key] = get(key, 0) + value
    yield from sums.items()


def default_partition(key: Any, nr_partitions: int, params: Any = None) -> int:
    """The partition of a key: the md5 of its text as a number, modulo `nr_partitions` (reference 9.17).

    `str` (as UTF-8) and `bytes` keys get the number that a cluster on Python 3 gives them. Other plain keys, which a
    cluster refuses, get one that equal keys share: numbers of any type by their value, None, tuples and frozensets by
    their elements. It is the same in every process. Raises TypeError for keys without such a form.
    """
    if isinstance(key, str):
        data = text_bytes(key)
    elif isinstance(key, bytes):
        data = key
    else:
        data = stable_bytes(key)
        task = active.current()
        if task is not None:
            task.warn(
                "key-type",
                f"the default partition function of a cluster on Python 3 takes str and bytes keys only, it fails for"
                f" {type(key).__name__} keys: convert them or give a partition function",
            )
    return int.from_bytes(md5(data).digest(), "big") % nr_partitions


def default_labels(nr_partitions: int) -> Callable[[Any], int]:
    """Return a function that gives `default_partition(key, nr_partitions)`, quicker for str and bytes keys."""
    from_bytes, hashed = int.from_bytes, md5

    def label(key: Any) -> int:
        kind = key.__class__
        if kind is str:
            try:
                return from_bytes(hashed(key.encode()).digest(), "big") % nr_partitions
            except UnicodeEncodeError:
                pass
        elif kind is bytes:
            return from_bytes(hashed(key).digest(), "big") % nr_partitions
        return default_partition(key, nr_partitions)

    return label


def partition(key: Any, nr_partitions: int, params: Any) -> int:
    """The interface of a partition function, here `default_partition`: returns an int in ``range(nr_partitions)``."""
    return default_partition(key, nr_partitions, params)


class RangePartition:
    """A partition function for number keys: equal parts of the range from `min_val` to `max_val`."""

    #: A cluster's function of this name takes one argument and fails at the first key (reference 9.18).
    portability = (
        "range-partition",
        "make_range_partition of a cluster returns a function that fails at the first key: write the function yourself",
    )

    def __init__(self, min_val: float, max_val: float) -> None:
        if not min_val < max_val:
            raise ValueError(f"The range of a partition must not be empty: {min_val!r} to {max_val!r}")
        self.min_val = min_val
        self.max_val = max_val

    def __call__(self, key: Any, nr_partitions: int, params: Any = None) -> int:
        """The part that `key` lies in; keys outside of the range belong to the first or last one."""
        # As a float, so that equal numbers of any type are rounded alike.
        part = int(float(key - self.min_val) / (self.max_val - self.min_val) * nr_partitions)
        return min(max(part, 0), nr_partitions - 1)


def make_range_partition(min_val: float, max_val: float) -> RangePartition:
    """Return a partition function that cuts ``[min_val, max_val]`` into `partitions` parts of equal size."""
    return RangePartition(min_val, max_val)


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.4 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)
