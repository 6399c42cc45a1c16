"""Jobs whose functions use modules and packages of the user's own, however workers start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from discolocal import LocalCluster
from tests.client.modules import Modules

JOB = """
import functools
import click
import dm_words
from discolocal import Job, LocalCluster, Results
from discolocal.util import kvgroup

@functools.cache
def clean(word):
    from dm_words import rules
    return rules.clean(word)

class Word:
    def __init__(self, text):
        self.text = text

class Words(Job):
    partitions = 2

    @staticmethod
    def map(line, params):
        for word in line.split():
            yield clean(word), [dm_words.Count(1), Word(word)]

    @staticmethod
    def reduce(records, params):
        for word, values in kvgroup(sorted(records, key=lambda record: record[0])):
            counts, words = zip(*values)
            yield word, (dm_words.Count(sum(count.n for count in counts)), words[0])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    modules = Modules(tmp_path, monkeypatch)
    modules.write(
        dm_words__="from .counts import Count\n",
        dm_words__counts="class Count:\n    def __init__(self, n):\n        self.n = n\n",
        dm_words__rules="from dm_space.deep.fold import fold\n\ndef clean(word):\n    return fold(word).strip('.')\n",
        dm_space__deep__fold="def fold(word):\n    return word.casefold()\n",
        dm_job=JOB,
    )
    yield modules
    modules.forget()


def test_a_job_with_packages_of_its_own(cluster: LocalCluster, own: Modules) -> None:
    """Records hold objects of a class of such a package, and of one of the job's own module, which no node imports."""
    job = own.load("dm_job")
    lines = ["the.cat.", "Hat.", "THE.CAT.", "hat", "a"]
    found = dict(cluster.run(job.Words(), input=[f"raw://{line}" for line in lines]))
    assert {word: count.n for word, (count, _) in found.items()} == Counter(line.lower().strip(".") for line in lines)
    assert {type(count) for count, _ in found.values()} == {own.load("dm_words").Count}
    assert {type(word) for _, word in found.values()} == {job.Word}
