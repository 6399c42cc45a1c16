"""Bugs of map functions."""

from __future__ import annotations

import json
import random
from pathlib import Path

from discolocal import Job
from discolocal.util import kvgroup
from discolocal.worker.classic.func import sum_combiner
from discolocal.worker.classic.worker import Params
from tests.zoo.animal import Animal, lines

HERE = Path(__file__).parent
STOP_WORDS = "stopwords.txt"

POEM = lines(
    "the fog comes\non little cat feet\n\nit sits looking\nover harbor and city\n",
    "on silent haunches\nand then moves on\nthe cat and the fog\n",
)


def count(iter, params):
    for word, counts in kvgroup(sorted(iter)):
        yield word, sum(counts)


def gather(iter, params):
    for word, found in kvgroup(sorted(iter)):
        yield word, list(found)


# An index of a text

line_number = 0


class NumberedIndex(Job):
    reduce = staticmethod(gather)

    @staticmethod
    def map(line, params):
        global line_number
        line_number += 1
        for word in line.split():
            yield word, line_number


lines_read = 0


class QuotingIndex(Job):
    reduce = staticmethod(gather)

    @staticmethod
    def map(line, params):
        global lines_read
        lines_read += 1
        if lines_read % 1000 == 0:
            print(f"{lines_read} lines read")
        for word in line.split():
            yield word, line.strip()


# What people look at after what

VISITS = lines(
    "ann home\nbob home cart\nann cart pay\nbob help\nann pay\n",
    "cem home\nann home cart\ncem cart\n\nbob home\n",
)


class Transitions(Job):
    partitions = 3
    params = Params(previous={})
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        user, _, page = line.strip().partition(" ")
        before = params.previous.get(user)
        if before is not None:
            yield f"{before} > {page}", 1
        params.previous[user] = page


class TransitionsOfSessions(Job):
    partitions = 3
    params = Params(ignored=["help"])
    reduce = staticmethod(count)

    @staticmethod
    def map_init(entries, params):
        params.ignored = frozenset(params.ignored)

    @staticmethod
    def map(line, params):
        previous = {}
        user, *pages = line.split() or [""]
        for page in pages:
            before = previous.get(user)
            if before is not None and page not in params.ignored:
                yield f"{before} > {page}", 1
            previous[user] = page


# How much of its line a word is


class SharesOfGenerator(Job):
    @staticmethod
    def map(line, params):
        words = (word.strip(".,;") for word in line.split())
        total = sum(1 for _ in words)
        for word in words:
            yield word, 1 / total

    reduce = staticmethod(count)


class SharesOfList(Job):
    @staticmethod
    def map(line, params):
        words = [word.strip(".,;") for word in line.split()]
        total = sum(1 for _ in words)
        for word in words:
            yield word, 1 / total

    reduce = staticmethod(count)


# Which words stand before a word


def extend(key, value, buffer, done, params):
    if done:
        return buffer.items()
    buffer.setdefault(key, []).extend(value)
    return None


def contexts(iter, params):
    for word, found in kvgroup(sorted(iter)):
        yield word, sorted(context for some in found for context in some)


class SharedWindow(Job):
    combiner = staticmethod(extend)
    reduce = staticmethod(contexts)

    @staticmethod
    def map(line, params):
        window = []
        for word in line.split():
            yield word, [window]
            window.append(word)
            del window[:-2]


class WindowOfItsOwn(Job):
    combiner = staticmethod(extend)
    reduce = staticmethod(contexts)

    @staticmethod
    def map(line, params):
        window = []
        for word in line.split():
            yield word, [list(window)]
            window.append(word)
            del window[:-2]


# A sample of the lines


class RandomSample(Job):
    params = Params(rate=0.5)
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        if random.random() < params.rate:
            for word in line.split():
                yield word, 1


class SeededSample(Job):
    params = Params(rate=0.5)
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        if random.Random(line).random() < params.rate:
            for word in line.split():
                yield word, 1


# One topic for each line


class AnyTopic(Job):
    combiner = staticmethod(sum_combiner)
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        words = set(line.lower().split())
        if words:
            yield next(iter(words)), 1


class LeastTopic(Job):
    combiner = staticmethod(sum_combiner)
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        words = set(line.lower().split())
        for word in words:
            if word == min(words):
                yield word, 1


# How many users there are of each kind


class SeenBefore(Job):
    partitions = 2

    @staticmethod
    def map(line, params, seen=set()):
        user = line.partition(" ")[0].strip()
        if user not in seen:
            seen.add(user)
            yield user[:1], 1

    reduce = staticmethod(count)


class KnownNames(Job):
    partitions = 2

    @staticmethod
    def map(line, params, known={}):
        user = line.partition(" ")[0].strip()
        if user not in known:
            known[user] = user[:1].casefold()
        yield known[user], user

    @staticmethod
    def reduce(iter, params):
        for initial, users in kvgroup(sorted(iter)):
            yield initial, len(set(users))


# Orders of a shop: records of JSON

ORDERS = [
    [{"user": "ann", "paid": 3, "items": ["tea", "cup"]}, {"user": "bob", "paid": 5, "items": ["pot"]}],
    [{"user": "ann", "paid": 2, "items": ["tea", "tin", "cup"]}],
]


def read_json(fd, size, url, params):
    for line in fd:
        yield json.loads(line)


class TakenApart(Job):
    map_reader = staticmethod(read_json)
    reduce = staticmethod(gather)

    @staticmethod
    def map(order, params):
        user = order.pop("user")
        order["items"].sort()
        yield user, sorted(order.items())


class LookedAt(Job):
    map_reader = staticmethod(read_json)
    reduce = staticmethod(gather)

    @staticmethod
    def map(order, params):
        order = {**order, "items": sorted(order["items"])}
        user = order.pop("user")
        yield user, sorted(order.items())


# Words that matter


opened = []


def stopping_at_file() -> Job:
    stop_words = open(HERE / STOP_WORDS)
    opened.append(stop_words)

    def words_that_matter(line, params):
        stop = {word.strip() for word in stop_words}
        for word in line.split():
            if word not in stop:
                yield word, 1

    return Job("important", map=words_that_matter, reduce=count)


def stopping_at_words() -> Job:
    with open(HERE / STOP_WORDS) as file:
        stop_words = file.readlines()

    def words_that_matter(line, params):
        stop = {word.strip() for word in stop_words}
        for word in line.split():
            if word not in stop:
                yield word, 1

    return Job("important", map=words_that_matter, reduce=count)


class FileOfThisMachine(Job):
    reduce = staticmethod(count)

    @staticmethod
    def map(line, params):
        with open(STOP_WORDS) as file:
            stop = set(file.read().split())
        return [(word, 1) for word in line.split() if word not in stop]


class FileSentAlong(Job):
    reduce = staticmethod(count)
    required_files = {STOP_WORDS: (HERE / STOP_WORDS).read_bytes()}

    @staticmethod
    def map(line, params):
        with open(STOP_WORDS) as file:
            stop = set(file.read().split())
        return [(word, 1) for word in line.split() if word not in stop]


ANIMALS = [
    Animal(
        "global-counter",
        "A global variable counts lines, though each task counts for itself and from one.",
        ("check_map",),
        ("state", "alone", "order", "among"),
        NumberedIndex,
        QuotingIndex,
        POEM,
    ),
    Animal(
        "changed-params",
        "Map keeps the last page of each user in params, of which every task has a copy.",
        ("check_map",),
        ("params",),
        Transitions,
        TransitionsOfSessions,
        VISITS,
    ),
    Animal(
        "generator-used-twice",
        "A generator is counted, and has nothing left for the loop after it.",
        ("check_map",),
        ("iterator", "generator", "exhausted", "end"),
        SharesOfGenerator,
        SharesOfList,
        POEM,
    ),
    Animal(
        "shared-list",
        "Map yields the same list again and again and changes it between.",
        ("check_map",),
        ("changed", "yielded"),
        SharedWindow,
        WindowOfItsOwn,
        POEM,
    ),
    Animal(
        "random-sample",
        "Map draws random numbers, so that a task that is tried again gives something else.",
        ("check_map",),
        ("deterministic",),
        RandomSample,
        SeededSample,
        POEM,
    ),
    Animal(
        "order-of-set",
        "The first element of a set of texts is another one in each process.",
        ("check_map",),
        ("deterministic", "hash", "process", "interpreter"),
        AnyTopic,
        LeastTopic,
        POEM,
    ),
    Animal(
        "default-argument",
        "A set as the default of an argument remembers entries, those of one task only.",
        ("check_map",),
        ("state", "alone", "order", "among"),
        SeenBefore,
        KnownNames,
        VISITS,
    ),
    Animal(
        "changed-entry",
        "Map takes its entry apart, which others may still read.",
        ("check_map",),
        ("entry",),
        TakenApart,
        LookedAt,
        ORDERS,
        {"check_map": {"entries": ORDERS[0] + ORDERS[1]}},
    ),
    Animal(
        "open-file",
        "Map reads a file that was opened where the job was made.",
        ("check_portable",),
        ("open", "file"),
        stopping_at_file,
        stopping_at_words,
        POEM,
    ),
    Animal(
        "local-path",
        "Map opens a file of the directory where the job was started.",
        ("check_portable",),
        (STOP_WORDS,),
        FileOfThisMachine,
        FileSentAlong,
        POEM,
    ),
]
