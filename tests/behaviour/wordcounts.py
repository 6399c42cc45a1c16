"""The words of two inputs, counted: what the tests of users' programs share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discolocal import LocalCluster  # a node has none, and may import this module

TEXT = ["raw://a-b-a", "raw://c-a"]

WORDS = {"a": 3, "b": 1, "c": 1}


def words(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    for word in entry.split("-"):
        yield word, 1


def found(cluster: LocalCluster, job: Any, **arguments: Any) -> dict[Any, Any]:
    """The results of a job as a dict; each key is there once."""
    records = list(cluster.run(job, **{"input": TEXT, **arguments}))
    assert len(dict(records)) == len(records), records
    return dict(records)
