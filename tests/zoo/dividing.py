"""Bugs of partition functions."""

from __future__ import annotations

import bisect
import zlib

from discolocal import Job
from discolocal.util import kvgroup
from discolocal.worker.classic.worker import Params
from tests.zoo.animal import Animal, lines

TEXTS = lines("so much depends\nupon\n", "a red wheel\nbarrow\n", "glazed with rain\nwater\na red barrow\n")


def words(line, params):
    for word in line.split():
        yield word, 1


def total(iter, params):
    for word, counts in kvgroup(sorted(iter)):
        yield word, sum(counts)


class ByHash(Job):
    partitions = 4
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        return hash(key) % nr_partitions


class ByChecksum(Job):
    partitions = 4
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        return zlib.crc32(key.encode()) % nr_partitions


# Invoices by month

INVOICES = lines("2026-01-31,10\n2026-11-02,7\n", "2026-12-24,30\n2026-01-31,5\n2026-06-15,1\n")
DATES = {"check_partitioner": {"keys": ["2026-01-31", "2026-06-15", "2026-11-02", "2026-12-24"]}}


def invoices(line, params):
    date, comma, amount = line.partition(",")
    if comma and date[5:7].isdigit():
        yield date, int(amount)


class TwelveOfTwelve(Job):
    partitions = 4
    map = staticmethod(invoices)
    reduce = staticmethod(total)

    @staticmethod
    def partition(date, nr_partitions, params):
        return int(date[5:7]) * nr_partitions // 12


class TwelveFromZero(Job):
    partitions = 4
    map = staticmethod(invoices)
    reduce = staticmethod(total)

    @staticmethod
    def partition(date, nr_partitions, params):
        return (int(date[5:7]) - 1) * nr_partitions // 12


# Partitions of the same size


class RoundRobin(Job):
    partitions = 3
    params = Params(turn=0)
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        params.turn += 1
        return params.turn % nr_partitions


class Boundaries(Job):
    partitions = 3
    params = Params(boundaries=["f", "r"])
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        return bisect.bisect(params.boundaries, key) % nr_partitions


# The frequent words have a partition of their own


class NoOthers(Job):
    params = Params(frequent=frozenset(["a", "the"]))
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        if key in params.frequent:
            return 0
        return 1 + zlib.crc32(key.encode()) % (nr_partitions - 1)


class PerhapsOthers(Job):
    params = Params(frequent=frozenset(["a", "the"]))
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def partition(key, nr_partitions, params):
        if key in params.frequent or nr_partitions == 1:
            return 0
        return 1 + zlib.crc32(key.encode()) % (nr_partitions - 1)


ANIMALS = [
    Animal(
        "hash-of-text",
        "hash() of a text is another number in each process.",
        ("check_partitioner",),
        ("hash", "process", "interpreter"),
        ByHash,
        ByChecksum,
        TEXTS,
    ),
    Animal(
        "out-of-range",
        "December has the number of partitions as its partition.",
        ("check_partitioner",),
        ("range",),
        TwelveOfTwelve,
        TwelveFromZero,
        INVOICES,
        DATES,
    ),
    Animal(
        "changes-with-params",
        "A counter in params gives the same key another partition each time.",
        ("check_partitioner",),
        ("params", "deterministic"),
        RoundRobin,
        Boundaries,
        TEXTS,
    ),
    Animal(
        "fails-for-one-partition",
        "With one partition there are no others to divide the keys among.",
        ("check_partitioner",),
        ("ZeroDivisionError",),
        NoOthers,
        PerhapsOthers,
        TEXTS,
    ),
]
