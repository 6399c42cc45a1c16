"""Bugs of pipelines."""

from __future__ import annotations

import zlib

from discolocal import Job
from discolocal.worker.pipeline.worker import Stage, Worker
from tests.zoo.animal import Animal, lines

TEXTS = lines("one two one\n", "two three\n", "three one\nfour\n", "four\n")


def begin_set(interface, params):
    return set()


def spread(interface, state, label, inp):
    for line in inp:
        for word in line.split():
            interface.output(zlib.crc32(word.encode()) % 3).add(word, 1)


def unite(interface, state, label, inp):
    for word, _ in inp:
        state.add(word)


def count_distinct(interface, state):
    for word in state:
        interface.output(0).add(word, 1)


class DistinctOnEachNode(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("spread", process=spread)),
        ("group_node", Stage("distinct", init=begin_set, process=unite, done=count_distinct)),
    ]


class DistinctInEachLabel(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("spread", process=spread)),
        ("group_label", Stage("distinct", init=begin_set, process=unite, done=count_distinct)),
    ]


# Sales, with what the articles cost

SALES = lines("price tea 3\nsold pot 1\nsold tea 2\n", "sold tea 4\nprice pot 9\n", "sold pot 2\n")


def begin_prices(interface, params):
    return {}


def price_or_sale(interface, state, label, inp):
    for line in inp:
        kind, article, number = line.split()
        interface.output(0 if kind == "price" else 1).add(article, int(number))


def earn(interface, state, label, inp):
    for article, number in inp:
        if label == 0:
            state[article] = number
        elif article in state:
            interface.output(0).add(article, number * state[article])


class PricesAnyTime(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("read", process=price_or_sale)),
        ("group_all", Stage("earn", init=begin_prices, process=earn)),
    ]


class PricesFirst(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("read", process=price_or_sale)),
        (
            "group_all",
            Stage("earn", init=begin_prices, process=earn, input_hook=lambda state, labels: sorted(labels)),
        ),
    ]


ANIMALS = [
    Animal(
        "distinct-on-each-node",
        "Words are made distinct on each node, and a word may be on several.",
        (),
        (),
        DistinctOnEachNode,
        DistinctInEachLabel,
        TEXTS,
    ),
    Animal(
        "prices-any-time",
        "Sales that are read before the prices are lost.",
        (),
        (),
        PricesAnyTime,
        PricesFirst,
        SALES,
    ),
]
