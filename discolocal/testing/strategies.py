"""Strategies of Hypothesis for the data of jobs and for the ways in which a cluster may run them.

    keys values pairs records text_lines        data
    splits partition_counts flush_points        what is cut how
    cluster_shapes chaos_schedules              where it runs

Each shrinks to what is simplest to look at: one input, one partition, one node, no flush, no fault, short texts of the
letter a, small numbers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from discolocal.cluster.faults import Faults
    from discolocal.worker.params import Params

__all__ = [
    "chaos_schedules",
    "cluster_shapes",
    "flush_points",
    "keys",
    "pairs",
    "params",
    "partition_counts",
    "records",
    "splits",
    "text_lines",
    "values",
]

_LETTERS = "ab -é"
_WORDS = ("a", "b", "aa", "the", "The", "key", "k", "é")
_SEEDS = st.integers(0, 2**16)


def keys() -> SearchStrategy[str]:
    """Short texts of few letters, so that many are equal; the empty one among them."""
    return st.text(_LETTERS, max_size=5) | st.text("ab1", max_size=3)


def values() -> SearchStrategy[int]:
    """Small integers, from -3 to 20."""
    return st.integers(-3, 20)


_KEYS, _VALUES = keys(), values()


def pairs(
    keys: SearchStrategy[Any] | None = None, values: SearchStrategy[Any] | None = None
) -> SearchStrategy[tuple[Any, Any]]:
    """A (key, value) pair, of `keys` and `values` (default: those of this module)."""
    return st.tuples(_KEYS if keys is None else keys, _VALUES if values is None else values)


def records(
    keys: SearchStrategy[Any] | None = None, values: SearchStrategy[Any] | None = None, *, max_size: int = 20
) -> SearchStrategy[list[tuple[Any, Any]]]:
    """A list of up to `max_size` pairs, as `pairs` makes them."""
    return st.lists(pairs(keys, values), max_size=max_size)


def text_lines() -> SearchStrategy[str]:
    """A line of a text file: words, a key and a value, fields with commas or tabs, a number, or nothing.

    Nearly all end with a newline, as all but the last of a file do.
    """
    word = st.one_of(st.sampled_from(_WORDS), keys())
    number = values().map(str)
    line = st.one_of(
        st.lists(st.sampled_from(_WORDS), max_size=5).map(" ".join),
        st.tuples(word, number).map(" ".join),
        st.tuples(word, number).map(",".join),
        st.tuples(word, number, word).map("\t".join),
        number,
        st.text(_LETTERS + "1\t,.'", max_size=8),
    )
    ends = st.sampled_from(["\n"] * 9 + [""])
    return st.tuples(line, ends).map("".join)


def splits(data: Sequence[Any] | SearchStrategy[Sequence[Any]], *, max_inputs: int = 5) -> SearchStrategy[list[Any]]:
    """The elements of a data set as a list of 1 to `max_inputs` inputs, each a list; none is lost or doubled.

    `data` is a sequence, or a strategy for one. Cut into pieces, or dealt out; some inputs may be empty. Shrinks to
    one input with everything in its order.
    """
    return _splits(data, max_inputs)


@st.composite
def _splits(draw: st.DrawFn, data: Any, max_inputs: int) -> list[list[Any]]:
    data = list(draw(data) if isinstance(data, st.SearchStrategy) else data)
    count = draw(st.integers(1, max_inputs))
    # One number for all of them: a choice for each element would be too many of a large data set.
    number = draw(_SEEDS)
    chance = random.Random(number)
    if number % 2:
        inputs: list[list[Any]] = [[] for _ in range(count)]
        for element in data:
            chance.choice(inputs).append(element)
        return inputs
    size = len(data)
    cuts = [(size * place + count - 1) // count for place in range(1, count)]
    if number:
        cuts = sorted(chance.randint(0, size) for _ in cuts)
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, size])]


def partition_counts(max_value: int = 7) -> SearchStrategy[int]:
    """How many partitions a job has, from 1."""
    return st.integers(1, max_value)


def flush_points(size: int) -> SearchStrategy[list[int]]:
    """After how many of `size` pairs a combiner's buffer is ended and a new one begun, in ascending order."""
    return st.sets(st.integers(1, size), max_size=8).map(sorted) if size > 0 else st.just([])


def cluster_shapes(*, max_nodes: int = 3, max_workers: int = 2) -> SearchStrategy[dict[str, Any]]:
    """Arguments of a LocalCluster that make no difference to the results of a job: nodes, workers_per_node, seed."""
    return st.fixed_dictionaries(
        {"nodes": st.integers(1, max_nodes), "workers_per_node": st.integers(1, max_workers), "seed": _SEEDS}
    )


def chaos_schedules() -> SearchStrategy[Faults]:
    """Faults of a cluster that every correct job survives: of one kind or of several. Shrinks to none."""
    from discolocal.cluster.faults import KINDS, Faults

    rates = st.sampled_from([0.1, 0.25, 0.5])
    return st.builds(
        lambda seed, rates: Faults(seed, **(rates or {"slow": 0.0})),
        _SEEDS,
        st.lists(st.tuples(st.sampled_from(KINDS), rates), max_size=3).map(dict),
    )


def params() -> SearchStrategy[Params]:
    """Parameters of a job, as `discolocal.Params`: names with numbers, texts or lists of them."""
    from discolocal.worker.params import Params

    simple = st.one_of(values(), keys(), st.booleans(), st.none(), st.floats(-10, 10))
    names = st.text("abcdefg_", min_size=1, max_size=6).filter(lambda name: not name.startswith("__"))
    return st.dictionaries(names, st.one_of(simple, st.lists(simple, max_size=3)), max_size=4).map(
        lambda named: Params(**named)
    )
