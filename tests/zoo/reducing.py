"""Bugs of reduce functions."""

from __future__ import annotations

import heapq
from collections import Counter
from operator import itemgetter

from discolocal import Job
from discolocal.util import kvgroup
from discolocal.worker.classic.worker import Params
from tests.zoo.animal import Animal, lines

TEXTS = lines(
    "red fish blue fish\nold fish new fish\n",
    "this one has a red car\nthat one has an old car\n",
    "say what a lot of fish there are\n\na lot of one\n",
)


def words(line, params):
    for word in line.split():
        yield word, 1


# Customers and their orders

SHOP = lines(
    "customer 17 ann\norder 17 tea\norder 23 pot\n",
    "order 17 cup\ncustomer 23 bob\norder 23 tin\norder 42 jar\n",
)
ROWS = [
    ("17", ("customer", "ann")),
    ("17", ("order", "tea")),
    ("17", ("order", "cup")),
    ("23", ("order", "tin")),
    ("23", ("customer", "bob")),
]


class CustomerComesFirst(Job):
    partitions = 4

    @staticmethod
    def map(line, params):
        if len(line.split()) == 3:
            kind, number, what = line.split()
            yield number, (kind, what)

    @staticmethod
    def reduce(iter, params):
        for _number, rows in kvgroup(sorted(iter, key=itemgetter(0))):
            _kind, name = next(rows)
            for _kind, thing in rows:
                yield name, thing


class CustomerIsSortedFirst(Job):
    partitions = 4

    @staticmethod
    def map(line, params):
        if len(line.split()) == 3:
            kind, number, what = line.split()
            yield number, (kind, what)

    @staticmethod
    def reduce(iter, params):
        for _number, rows in kvgroup(sorted(iter, key=itemgetter(0, 1))):
            _kind, name = next(rows)
            for _kind, thing in rows:
                yield name, thing


# Counting words


class UnsortedGroups(Job):
    partitions = 3
    map = staticmethod(words)

    @staticmethod
    def reduce(iter, params):
        for word, counts in kvgroup(iter):
            yield word, sum(counts)


class SortedGroups(Job):
    partitions = 3
    sort = True

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word.encode(), 1

    @staticmethod
    def reduce(iter, params):
        for word, counts in kvgroup(iter):
            yield word, sum(counts)


class TotalsByHand(Job):
    sort = True

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word.encode(), 1

    @staticmethod
    def reduce(pairs, params):
        current, total = next(pairs)
        for word, count in pairs:
            if word != current:
                yield current, total
                current, total = word, 0
            total += count
        yield current, total


class TotalsByHandIfAny(Job):
    sort = True

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word.encode(), 1

    @staticmethod
    def reduce(pairs, params):
        current, total = next(pairs, (None, 0))
        for word, count in pairs:
            if word != current:
                yield current, total
                current, total = word, 0
            total += count
        if current is not None:
            yield current, total


# Words that occur more than once, with each of their values


class ReadTwice(Job):
    map = staticmethod(words)

    @staticmethod
    def reduce(iter, params):
        frequency = Counter(word for word, _ in iter)
        for word, value in iter:
            if frequency[word] > 1:
                yield word, value


class KeptAndReadTwice(Job):
    map = staticmethod(words)

    @staticmethod
    def reduce(iter, params):
        iter = list(iter)
        frequency = Counter(word for word, _ in iter)
        for word, value in iter:
            if frequency[word] > 1:
                yield word, value


# The most frequent words


def most_frequent(iter, params):
    totals = Counter()
    for word, count in iter:
        totals[word] += count
    return heapq.nlargest(params.n, totals.items(), key=itemgetter(1, 0))


class TopOfEachPartition(Job):
    partitions = 4
    params = Params(n=3)
    map = staticmethod(words)
    reduce = staticmethod(most_frequent)


class TopOfAll(Job):
    partitions = 1
    params = Params(n=3)
    map = staticmethod(words)
    reduce = staticmethod(most_frequent)


# Sessions: a pause longer than params.pause begins a new one

CLICKS = lines("ann 3\nann 90\nbob 5\n", "ann 20\nbob 7\nann 12\nbob 44\n", "cem 1\nann 33\n")


def clicks(line, params):
    user, _, time = line.strip().partition(" ")
    if time.isdigit():
        yield user, int(time)


class SessionsAsTheyCome(Job):
    partitions = 2
    params = Params(pause=10)
    map = staticmethod(clicks)

    @staticmethod
    def reduce(iter, params):
        for user, times in kvgroup(sorted(iter, key=itemgetter(0))):
            sessions, last = 1, next(times)
            for time in times:
                sessions += time - last > params.pause
                last = time
            yield user, sessions


class SessionsInTime(Job):
    partitions = 2
    params = Params(pause=10)
    map = staticmethod(clicks)

    @staticmethod
    def reduce(iter, params):
        for user, times in kvgroup(sorted(iter, key=itemgetter(0))):
            times = in_time(times)
            sessions, last = 1, next(times)
            for time in times:
                sessions += time - last > params.pause
                last = time
            yield user, sessions


def in_time(values):
    yield from sorted(values)


# How many of the lines have a word

state = {"lines": 0}


class ShareOfLinesMapped(Job):
    @staticmethod
    def map(line, params):
        state["lines"] += 1
        for word in set(line.split()):
            yield word, 1

    @staticmethod
    def reduce(iter, params):
        for word, ones in kvgroup(sorted(iter)):
            yield word, sum(ones) / max(state["lines"], 1)


class ShareOfLinesKnown(Job):
    params = Params(lines=6)

    @staticmethod
    def map(line, params):
        state["lines"] += 1
        for word in set(line.split()):
            yield word, 1

    @staticmethod
    def reduce(iter, params):
        for word, ones in kvgroup(sorted(iter)):
            yield word, sum(ones) / max(params.lines, 1)


# What is left of each article

STOCK = lines("delivery,17,40\ndelivery,tea,5\n", "sale,17,2\nsale,tea,1\nsale,17,3\n")


class NumbersAndTexts(Job):
    partitions = 4

    @staticmethod
    def map(line, params):
        kind, _, rest = line.strip().partition(",")
        article, _, pieces = rest.partition(",")
        if kind == "delivery":
            yield int(article) if article.isdigit() else article, int(pieces)
        elif kind == "sale":
            yield article, -int(pieces)

    @staticmethod
    def reduce(iter, params):
        stock = {}
        for article, pieces in iter:
            stock[str(article)] = stock.get(str(article), 0) + pieces
        yield from stock.items()


class TextsOnly(Job):
    partitions = 4

    @staticmethod
    def map(line, params):
        kind, _, rest = line.strip().partition(",")
        article, _, pieces = rest.partition(",")
        if kind == "delivery":
            yield article, int(pieces)
        elif kind == "sale":
            yield article, -int(pieces)

    @staticmethod
    def reduce(iter, params):
        stock = {}
        for article, pieces in iter:
            stock[article] = stock.get(article, 0) + pieces
        yield from stock.items()


ANIMALS = [
    Animal(
        "order-of-values",
        "A join takes the first row of each key for the customer, but rows come in any order.",
        ("check_reduce",),
        ("order",),
        CustomerComesFirst,
        CustomerIsSortedFirst,
        SHOP,
        {"check_reduce": {"pairs": ROWS}},
    ),
    Animal(
        "groups-without-sort",
        "kvgroup groups neighbours, and without sort equal keys are not neighbours.",
        ("check_reduce",),
        ("order",),
        UnsortedGroups,
        SortedGroups,
        TEXTS,
    ),
    Animal(
        "next-of-nothing",
        "Reduce takes a first record, which an empty partition does not have.",
        ("check_reduce",),
        ("empty", "without records"),
        TotalsByHand,
        TotalsByHandIfAny,
        TEXTS,
    ),
    Animal(
        "iter-read-twice",
        "The second loop over iter finds it at its end.",
        ("check_reduce",),
        ("iterator", "exhausted", "end", "twice"),
        ReadTwice,
        KeptAndReadTwice,
        TEXTS,
    ),
    Animal(
        "top-of-each-partition",
        "The three most frequent words of each partition are not those of all.",
        ("check_reduce",),
        ("partition",),
        TopOfEachPartition,
        TopOfAll,
        TEXTS,
    ),
    Animal(
        "times-out-of-order",
        "Sessions are counted as if the times of a user came in order.",
        ("check_reduce",),
        ("order",),
        SessionsAsTheyCome,
        SessionsInTime,
        CLICKS,
    ),
    Animal(
        "state-across-tasks",
        "Map counts lines in a variable of the module, and reduce is another process.",
        (),
        (),
        ShareOfLinesMapped,
        ShareOfLinesKnown,
        TEXTS,
    ),
    Animal(
        "number-or-text",
        "Some records have the key 1 and others '1', which are two keys and may go to two partitions.",
        ("check_reduce",),
        ("partition",),
        NumbersAndTexts,
        TextsOnly,
        STOCK,
        {"check_reduce": {"pairs": [(17, 40), ("tea", 5), ("17", -2), ("tea", -1)]}},
    ),
]
