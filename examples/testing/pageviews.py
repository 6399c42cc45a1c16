"""Jobs over the log of a web server; a line of it is a page, a user and the milliseconds that the page took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from discolocal import Job, Params
from discolocal.util import kvgroup
from discolocal.worker.pipeline.worker import Stage, Worker

Seconds = tuple[int, int]
"""How many views, and how many milliseconds they took."""


def parse(line: str) -> tuple[str, str, int] | None:
    """Return page, user and milliseconds; None for a line that is none of the log's."""
    fields = line.split()
    if len(fields) != 3 or not (fields[2].isascii() and fields[2].isdigit()):
        return None
    return fields[0], fields[1], int(fields[2])


class PageViews(Job):
    """For each page, how often it was viewed and how long that took on average, in milliseconds."""

    partitions = 4
    params = Params(fewest=1)

    @staticmethod
    def map(line: str, params: Any) -> Iterator[tuple[str, Seconds]]:
        """A page was viewed once."""
        view = parse(line)
        if view is not None:
            page, _, milliseconds = view
            yield page, (1, milliseconds)

    @staticmethod
    def partition(page: str, nr_partitions: int, params: Any) -> int:
        """All pages of a section, such as /news/1 and /news/2, are in one partition."""
        section = page.strip("/").partition("/")[0]
        return crc32(section.encode()) % nr_partitions

    @staticmethod
    def combiner(
        page: str, seconds: Seconds, buffer: dict[str, Seconds], done: bool, params: Any
    ) -> Iterator[tuple[str, Seconds]] | None:
        """Add up on the node: averages could not be put together again, sums can."""
        if done:
            pairs = list(buffer.items())
            buffer.clear()
            return iter(pairs)
        views, milliseconds = buffer.get(page, (0, 0))
        buffer[page] = (views + seconds[0], milliseconds + seconds[1])
        return None

    @staticmethod
    def reduce(pairs: Iterable[tuple[str, Seconds]], params: Any) -> Iterator[tuple[str, tuple[int, float]]]:
        """The average of each page that was viewed often enough."""
        for page, found in kvgroup(sorted(pairs)):
            every = list(found)
            views = sum(count for count, _ in every)
            if views >= params.fewest:
                yield page, (views, sum(milliseconds for _, milliseconds in every) / views)


def count_views(interface: Any, state: dict[str, int], label: int, lines: Iterable[str]) -> None:
    """Count the views of each user in one input."""
    for line in lines:
        view = parse(line)
        if view is not None:
            state[view[1]] = state.get(view[1], 0) + 1


def begin(interface: Any, params: Any) -> dict[str, int]:
    """Counts, none yet."""
    return {}


def hand_over(interface: Any, state: dict[str, int]) -> None:
    """Give the counts to the next stage, all with one label."""
    for user, count in state.items():
        interface.output(0).add(user, count)


def add_up(interface: Any, state: dict[str, int], label: int, counts: Iterable[tuple[str, int]]) -> None:
    """Add up what the tasks before have counted."""
    for user, count in counts:
        state[user] = state.get(user, 0) + count


def busiest(interface: Any, state: dict[str, int]) -> None:
    """Put out the three users with the most views; of equal ones those that come first in the alphabet."""
    for user in sorted(state, key=lambda user: (-state[user], user))[:3]:
        interface.output(0).add(user, state[user])


class BusiestUsers(Job):
    """The three users with the most views, of all inputs together."""

    Worker = Worker
    pipeline = [
        ("split", Stage("count", init=begin, process=count_views, done=hand_over)),
        ("group_all", Stage("busiest", init=begin, process=add_up, done=busiest)),
    ]
