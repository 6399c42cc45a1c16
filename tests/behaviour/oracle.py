"""Plain Python that says what a job must give. Nothing here looks at the library."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any


def label(key: str | bytes, partitions: int) -> int:
    """The partition of a str or bytes key: the md5 of its text as a number (reference 9.17)."""
    data = key.encode() if isinstance(key, str) else key
    return int(hashlib.md5(data).hexdigest(), 16) % partitions


def words(*texts: str) -> Counter[str]:
    """How often each word occurs."""
    return Counter(word for text in texts for word in text.split())


def multiset(records: Iterable[Any]) -> Counter[str]:
    """Records in no order; `repr` tells 1 from True and from 1.0."""
    return Counter(map(repr, records))


def partitioned(pairs: Iterable[tuple[Any, Any]], partition: Callable[[Any], int]) -> dict[int, Counter[str]]:
    """The pairs of each partition."""
    found: dict[int, list[tuple[Any, Any]]] = {}
    for key, value in pairs:
        found.setdefault(partition(key), []).append((key, value))
    return {number: multiset(some) for number, some in found.items()}
