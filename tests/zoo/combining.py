"""Bugs of combiners."""

from __future__ import annotations

from discolocal import Job
from discolocal.util import kvgroup
from tests.zoo.animal import Animal, lines

TEXTS = lines(
    "If seven maids with seven mops\nSwept it for half a year\n",
    "Do you suppose the Walrus said\nThat they could get it clear\nif\n",
)


def words(line, params):
    for word in line.split():
        yield word, 1


def total(iter, params):
    for word, counts in kvgroup(sorted(iter)):
        yield word, sum(counts)


# Means

WEATHER = lines("oslo,3\noslo,-4\nrome,21\n", "rome,30\noslo,8\nrome,26\nrome,25\n")


class MeansOfMeans(Job):
    @staticmethod
    def map(line, params):
        city, _, degrees = line.partition(",")
        if degrees.strip():
            yield city, float(degrees)

    @staticmethod
    def combiner(city, degrees, buffer, done, params):
        if done:
            return [(city, total / count) for city, (total, count) in buffer.items()]
        total, count = buffer.get(city, (0, 0))
        buffer[city] = total + degrees, count + 1
        return None

    @staticmethod
    def reduce(iter, params):
        for city, found in kvgroup(sorted(iter)):
            found = list(found)
            yield city, sum(found) / len(found)


class MeansOfSums(Job):
    @staticmethod
    def map(line, params):
        city, _, degrees = line.partition(",")
        if degrees.strip():
            yield city, (float(degrees), 1)

    @staticmethod
    def combiner(city, measured, buffer, done, params):
        if done:
            return buffer.items()
        total, count = buffer.get(city, (0, 0))
        buffer[city] = total + measured[0], count + measured[1]
        return None

    @staticmethod
    def reduce(iter, params):
        for city, found in kvgroup(sorted(iter)):
            found = list(found)
            yield city, sum(total for total, _ in found) / sum(count for _, count in found)


# Counts that are handed on when there are a hundred of them


class ForgottenAtTheEnd(Job):
    partitions = 2
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if not done:
            buffer[word] = buffer.get(word, 0) + count
            if len(buffer) >= 100:
                counts = list(buffer.items())
                buffer.clear()
                return counts
        return None


class HandedOnAtTheEnd(Job):
    partitions = 2
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if not done:
            buffer[word] = buffer.get(word, 0) + count
        if done or len(buffer) >= 100:
            counts = list(buffer.items())
            buffer.clear()
            return counts
        return None


class NeverEmptied(Job):
    partitions = 2
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if not done:
            buffer[word] = buffer.get(word, 0) + count
        if done or len(buffer) >= 100:
            return list(buffer.items())
        return None


class EmptiedByPop(Job):
    partitions = 2
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if not done:
            buffer[word] = buffer.get(word, 0) + count
        if done or len(buffer) >= 100:
            return [buffer.popitem() for _ in range(len(buffer))]
        return None


LIMIT = 10_000


class LostAtTheLimit(Job):
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if done or len(buffer) >= LIMIT:
            counts = list(buffer.items())
            buffer.clear()
            return counts
        buffer[word] = buffer.get(word, 0) + count
        return None


class KeptAtTheLimit(Job):
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        counts = None
        if done or len(buffer) >= LIMIT:
            counts = list(buffer.items())
            buffer.clear()
        if not done:
            buffer[word] = buffer.get(word, 0) + count
        return counts


# Words in any case


class OtherKeys(Job):
    partitions = 4
    map = staticmethod(words)
    reduce = staticmethod(total)

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if done:
            return buffer.items()
        word = word.lower()
        buffer[word] = buffer.get(word, 0) + count
        return None


class KeysOfMap(Job):
    partitions = 4
    reduce = staticmethod(total)

    @staticmethod
    def map(line, params):
        for word in line.lower().split():
            yield word, 1

    @staticmethod
    def combiner(word, count, buffer, done, params):
        if done:
            return buffer.items()
        word = str(word)
        buffer[word] = buffer.get(word, 0) + count
        return None


# How often each word occurs


def sums(word, count, buffer, done, params):
    if done:
        return buffer.items()
    buffer[word] = buffer.get(word, 0) + count
    return None


class RecordsCounted(Job):
    map = staticmethod(words)
    combiner = staticmethod(sums)

    @staticmethod
    def reduce(iter, params):
        for word, counts in kvgroup(sorted(iter)):
            yield word, sum(1 for count in counts)


class CountsAdded(Job):
    map = staticmethod(words)
    combiner = staticmethod(sums)

    @staticmethod
    def reduce(iter, params):
        for word, counts in kvgroup(sorted(iter)):
            yield word, sum(1 * count for count in counts)


ANIMALS = [
    Animal(
        "mean-of-means",
        "The mean of means of tasks is not the mean of all.",
        ("check_combiner",),
        ("combiner",),
        MeansOfMeans,
        MeansOfSums,
        WEATHER,
    ),
    Animal(
        "dropped-at-done",
        "What is in the buffer at the end is never handed on.",
        ("check_combiner",),
        ("combiner",),
        ForgottenAtTheEnd,
        HandedOnAtTheEnd,
        TEXTS,
    ),
    Animal(
        "not-emptied",
        "The buffer is handed on when it is full and not emptied, so that its counts come again.",
        ("check_combiner",),
        ("combiner",),
        NeverEmptied,
        EmptiedByPop,
        TEXTS,
    ),
    Animal(
        "lost-at-the-limit",
        "The pair that finds the buffer full is dropped.",
        ("check_combiner",),
        ("combiner",),
        LostAtTheLimit,
        KeptAtTheLimit,
        TEXTS,
    ),
    Animal(
        "keys-of-other-partitions",
        "The combiner changes keys, though they have been given to a partition already.",
        ("check_combiner",),
        ("combiner",),
        OtherKeys,
        KeysOfMap,
        TEXTS,
        {"check_combiner": {"pairs": [("If", 1), ("if", 1), ("the", 1), ("Do", 1)]}},
    ),
    Animal(
        "count-of-sums",
        "Reduce counts records, of which a combiner leaves one for each key.",
        ("check_combiner",),
        ("combiner",),
        RecordsCounted,
        CountsAdded,
        TEXTS,
    ),
]
