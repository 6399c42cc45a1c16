"""The rows of the table: which scripts compete on which data, and for which target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .data import Want
from .goals import OURS, Goal

WARM_JOBS = 31
MEMORY_SIZES = (10, 50, 100, 400)
QUICK_MEMORY_SIZES = (1, 2, 4, 8)
MEMORY_LIMIT = 150.0
FLAT = 1.15  # peak at the largest size by the peak at the one before
LINEAR = 1.2  # the same for seconds per MB
PEERS = ("pool", "gnu sort", "gzip", "cp", "cat", "loop", "loky", "dask", "mrjob")  # the columns
NEEDS = {
    "gnu sort": "sort",
    "gzip": "gzip",
    "cp": "cp",
    "cat": "cat",
    "loky": "loky",
    "dask": "dask",
    "mrjob": "mrjob",
    OURS: "discolocal",
}


class Script(NamedTuple):
    """A script of one contestant, relative to this package."""

    name: str
    path: str


@dataclass(frozen=True)
class Row:
    """One comparison: every contestant runs with the same options and files; `{}` in the title stands for the size."""

    workload: str
    title: str
    contestants: tuple[Script, ...]
    want: Want
    quick: Want
    goal: Goal
    options: tuple[str, ...] = ()
    rounds: int = 3


def scripts(workload: str, *peers: str) -> tuple[Script, ...]:
    """Our script of a workload and those of peers."""
    ours = Script(OURS, f"ours/{workload}.py")
    return (ours, *(Script(peer, f"peers/{peer.replace(' ', '_')}_{workload}.py") for peer in peers))


def cold() -> list[Row]:
    """A whole process with a trivial job."""
    small = Want("small", 1)
    goal = Goal(limit=0.30, peer="mrjob", ahead=("mrjob",), sized=False)
    return [Row("cold", "cold", scripts("cold", "pool", "loky", "dask", "mrjob"), small, small, goal, rounds=9)]


def warm() -> list[Row]:
    """The same job again in one process."""
    want, quick = Want("warm", WARM_JOBS), Want("warm", 6)
    goal = Goal(limit=0.010, peer="pool", sized=False)
    contestants = scripts("warm", "pool", "loky", "dask", "mrjob")
    return [
        Row("warm", "warm", contestants, want, quick, goal),
        Row("warm", "warm, new cluster", scripts("warm", "pool"), want, quick, Goal(peer="pool"), ("--new",)),
    ]


def wordcount() -> list[Row]:
    """100 MB of text with a combiner."""
    contestants = scripts("wordcount", "pool", "loky", "dask", "mrjob")
    goal = Goal(peer="pool", factor=1.5, ahead=("dask", "mrjob"))
    return [Row("wordcount", "word count, {}", contestants, Want("text", 100), Want("text", 2), goal)]


def shuffle() -> list[Row]:
    """2.7 million pairs shuffled."""
    contestants = scripts("shuffle", "pool", "loky", "dask", "mrjob")
    want, quick = Want("text", 20), Want("text", 1)
    return [
        Row("shuffle", "shuffle, {}", contestants, want, quick, Goal(peer="pool", factor=2.0)),
        Row("shuffle", "shuffle, {}, sort", contestants, want, quick, Goal(peer="pool", factor=1.3), ("--sort",)),
    ]


def sort() -> list[Row]:
    """2 million records of 102 bytes into two partitions."""
    ours, pool, loky, dask, mrjob = scripts("sort", "pool", "loky", "dask", "mrjob")
    gnu = Script("gnu sort", "peers/gnu_sort.py")
    want, quick = Want("records", 2_000_000), Want("records", 20_000)
    goal = Goal(peer="pool", factor=1.3)
    default = (ours, pool)
    return [
        Row("sort", "sort, {}", (ours, pool, gnu, loky, dask, mrjob), want, quick, goal),
        Row("sort", "sort, {}, default partition", default, want, quick, goal, ("--default",)),
    ]


def tasks() -> list[Row]:
    """1,000 tasks of one line."""
    contestants = scripts("tasks", "pool", "loky", "dask", "mrjob")
    want, quick = Want("singles", 1000), Want("singles", 20)
    return [Row("tasks", "{}", contestants, want, quick, Goal(limit=2.0, peer="pool"))]


def chain() -> list[Row]:
    """Ten stages of 1,000 tasks: 3 ms for each of them, in processes of their own and without any."""
    want, quick = Want("singles", 1000), Want("singles", 10)
    inline = Row("chain", "ten stages of {}, inline", scripts("chain"), want, quick, Goal(limit=30.0), ("--inline",))
    return [
        Row("chain", "ten stages of {}", scripts("chain", "pool"), want, quick, Goal(limit=30.0, peer="pool")),
        inline,
    ]


def executed() -> list[Row]:
    """The cost of a task whose worker is a program."""
    want, quick = Want("singles", 50), Want("singles", 10)
    return [Row("exec", "a task with exec", scripts("exec", "pool"), want, quick, Goal(0.120, "pool", sized=False))]


def home() -> list[Row]:
    """The archive of a job home, once all is in memory."""
    small = Want("small", 1)
    return [Row("home", "zip a job home, warm", scripts("home"), small, small, Goal(limit=0.005, sized=False))]


def push() -> list[Row]:
    """100 MB of text into a tag, as it is."""
    return [Row("push", "push, {}", scripts("push", "cp"), Want("text", 100), Want("text", 2), Goal(peer="cp"))]


def chunk() -> list[Row]:
    """100 MB of text into a tag, as records."""
    return [Row("chunk", "chunk, {}", scripts("chunk", "gzip"), Want("text", 100), Want("text", 2), Goal(peer="gzip"))]


def external() -> list[Row]:
    """1.34 million words, one by one, through a program and back: 200,000 a second."""
    goal = Goal(limit=6.7, peer="cat", factor=3.0)
    return [Row("external", "external map, {}", scripts("external", "cat"), Want("text", 10), Want("text", 1), goal)]


def drivers() -> list[Row]:
    """A hundred small jobs in memory."""
    small = Want("small", 1)
    return [Row("drivers", "100 × run_job", scripts("drivers", "loop"), small, small, Goal(0.1, "loop", sized=False))]


def partitioner() -> list[Row]:
    """The law of partition functions on the slowest of those of the library."""
    small = Want("small", 1)
    return [Row("partitioner", "check_partitioner", scripts("partitioner"), small, small, Goal(2.0, sized=False))]


WORKLOADS: dict[str, Callable[[], list[Row]]] = {
    "cold": cold,
    "warm": warm,
    "wordcount": wordcount,
    "shuffle": shuffle,
    "sort": sort,
    "tasks": tasks,
    "chain": chain,
    "exec": executed,
    "home": home,
    "push": push,
    "chunk": chunk,
    "external": external,
    "drivers": drivers,
    "partitioner": partitioner,
}
MEMORY = "memory"
NAMES = (*WORKLOADS, MEMORY)
