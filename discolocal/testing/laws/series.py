"""Series of many pairs or entries, which show themselves as the Python expression that makes them.

Combiners and the like go wrong at a size: 100 keys, 10,000 pairs. No list of so many is drawn by a strategy, and none
of them would say anything to a reader.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Made(list[Any]):
    """A list that shows itself as `text`, the expression that makes it."""

    def __init__(self, values: Iterable[Any], text: str) -> None:
        super().__init__(values)
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return Made, (list(self), self.text)


Series = Callable[[int], Made]
"""A function of a size: that many pairs of one key, or two pairs of each of so many keys, apart from each other."""


def of_one_key(key: Any, values: list[Any]) -> Series:
    """Pairs of a key, with these values in turn."""

    def pairs(size: int) -> Made:
        found = [(key, values[number % len(values)]) for number in range(size)]
        return Made(found, f"[({key!r}, {_value(values)}) for i in range({size})]")

    return pairs


def of_many_keys(values: list[Any]) -> Series:
    """Pairs of many texts as keys, with these values in turn."""

    def pairs(size: int) -> Made:
        found = [(f"key{number % size}", values[number % len(values)]) for number in range(2 * size)]
        return Made(found, f"[(f'key{{i % {size}}}', {_value(values)}) for i in range({2 * size})]")

    return pairs


def _value(values: list[Any]) -> str:
    return repr(values[0]) if len(values) == 1 else f"{values!r}[i % {len(values)}]"


def mapped(template: str, run_map: Callable[[list[str]], list[Any]]) -> Series:
    """What a map makes of lines that differ in the numbers that stand for # in a template."""

    def pairs(size: int) -> Made:
        lines = [template.replace("#", str(number % size)) for number in range(2 * size)]
        text = f"run_map(job, [{template!r}.replace('#', str(i % {size})) for i in range({2 * size})])"
        return Made(run_map(lines), text)

    return pairs


def template(line: str) -> str:
    """A line with a place for a number in each word, or if it has no words in its first number."""
    if re.search("[A-Za-z]", line):
        return re.sub("[A-Za-z]+", r"\g<0>#", line)
    return re.sub(r"\d+", "#", line, count=1)


def repeated(entries: list[Any], size: int) -> Made:
    """`size` entries, these in turn."""
    found = (entries * (size // len(entries) + 1))[:size]
    if len(entries) == 1:
        return Made(found, f"{entries!r} * {size}")
    return Made(found, f"({entries!r} * {size // len(entries) + 1})[:{size}]")


def climb(makers: list[Series], usual: Iterable[int], near: Iterable[int]) -> Iterator[tuple[Series, int]]:
    """Give (series, size) for trials, small sizes first; what is done with each is measured.

    The `usual` sizes end where a trial would take more than a second of the processor, if time goes with the square of
    the size; those `near` a number of the code where it would take five, if it goes with the size.
    """
    hinted = set(near)
    known: dict[int, tuple[int, float]] = {}
    for size in sorted({*usual, *hinted}):
        for place, make in enumerate(makers):
            before, seconds = known.get(place, (size, 0.0))
            growth = size / before
            if seconds * growth > 5 or (size not in hinted and seconds * growth**2 > 1.5):
                continue
            begun = time.process_time()
            yield make, size
            known[place] = size, time.process_time() - begun
