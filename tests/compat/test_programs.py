"""Programs for the usual tasks, as people wrote them for Disco, against plain Python.

They import `disco`, name masters that do not exist, and have their job functions in the script itself.
"""

from __future__ import annotations

import gzip
import os
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.compat.conftest import LINES, Run, counts, printed

INVERTED = """
import sys, os
from disco.job import Job
from disco.core import Disco, result_iterator
from disco.settings import DiscoSettings

class InvertedIndex(Job):
    partitions = 3
    sort = True

    @staticmethod
    def map_reader(fd, size, url, params):
        for number, line in enumerate(fd):
            yield os.path.basename(url), number, line

    @staticmethod
    def map(entry, params):
        name, number, line = entry
        for word in set(re.findall(r"[a-z]+", line)):
            yield word, "%s:%d" % (name, number)

    @staticmethod
    def reduce(iter, params):
        from disco.util import kvgroup
        for word, places in kvgroup(iter):
            yield word, sorted(places)

disco = Disco(DiscoSettings()['DISCO_MASTER'])
job = InvertedIndex(master=disco).run(input=[sys.argv[1:]][0])
print(dict(result_iterator(disco.wait(job.name))))
"""


def test_an_inverted_index(script: Run, texts: list[str], start: str) -> None:
    expected: dict[str, list[str]] = defaultdict(list)
    for name, lines in (("one.txt", LINES[:2]), ("two.txt", LINES[2:])):
        for number, line in enumerate(lines):
            for word in set(re.findall("[a-z]+", line)):
                expected[word].append(f"{name}:{number}")
    found = printed(script(INVERTED, *texts, options=("--start", start)))
    assert found == {word: sorted(places) for word, places in expected.items()}


LOG = """
import sys
from functools import partial
from disco.core import Job, result_iterator
from disco.worker.task_io import re_reader, gzip_reader, task_input_stream
from disco.worker.classic.func import sum_combiner, sum_reduce

LINE = r'(\\S+) \\S+ \\S+ \\[(.*?)\\] "(\\w+) (\\S+) .*?" (\\d+) (\\d+)\\n'

def status_bytes(entry, params):
    host, when, method, path, status, size = entry
    if method in params['methods']:
        yield status, int(size)

job = Job("log").run(
    input=sys.argv[1:],
    map_input_stream=[task_input_stream, gzip_reader],
    map_reader=partial(re_reader, LINE),
    map=status_bytes,
    combiner=sum_combiner,
    reduce=sum_reduce,
    partitions=2,
    params={'methods': ('GET', 'POST')})
print(dict(result_iterator(job.wait())))
"""


def test_log_analysis_with_re_reader_and_gzip(script: Run, tmp_path: Path, start: str) -> None:
    generator = random.Random(4)
    expected: Counter[str] = Counter()
    for name in ("a.gz", "b.gz"):
        lines = []
        for number in range(200):
            method = generator.choice(["GET", "POST", "HEAD"])
            status, size = generator.choice(["200", "404", "500"]), generator.randrange(10_000)
            lines.append(f'10.0.0.{number % 7} - - [21/Nov] "{method} /{number} HTTP/1.0" {status} {size}\n')
            if method != "HEAD":
                expected[status] += size
        (tmp_path / name).write_bytes(gzip.compress("".join(lines).encode()))
    assert printed(script(LOG, "a.gz", "b.gz", options=("--start", start))) == expected


JOIN = """
import csv, sys
from disco.core import Disco, result_iterator

class CsvInnerJoiner:
    def __init__(self, host):
        self.disco = Disco(host)

    def run(self, left, right):
        results = self.disco.new_job(
            name="join",
            input=[left, right],
            map_reader=reader,
            map=join_map,
            reduce=join_reduce,
            sort=True,
            partitions=2).wait()
        return sorted(result_iterator(results))

def reader(fd, sze, fname):
    side = fname.endswith("right.csv")
    for row in csv.reader(fd):
        yield side, row

def join_map(entry, params):
    side, row = entry
    yield row[0], (side, row[1])

def join_reduce(iter, out, params):
    from disco.util import kvgroup
    for key, rows in kvgroup(iter):
        rows = list(rows)
        for left in [v for s, v in rows if not s]:
            for right in [v for s, v in rows if s]:
                out.add(key, (left, right))

print(CsvInnerJoiner("http://discomaster:8989").run(*sys.argv[1:]))
"""


def test_a_join_with_sort(script: Run, tmp_path: Path, start: str) -> None:
    generator = random.Random(8)
    sides = [[(str(generator.randrange(20)), f"{side}{n}") for n in range(30)] for side in ("l", "r")]
    for name, rows in zip(("left.csv", "right.csv"), sides):
        (tmp_path / name).write_text("".join(f"{key},{value}\n" for key, value in rows))
    expected = sorted((key, (left, right)) for key, left in sides[0] for other, right in sides[1] if key == other)
    assert printed(script(JOIN, "left.csv", "right.csv", options=("--start", start))) == expected


PAGERANK = """
import sys
from disco.core import Job, result_iterator
from disco.worker.classic.func import chain_reader, nop_map

DAMPING = 0.85

def send(entry, params):
    node, (rank, links) = entry
    yield node, links
    for link in links:
        yield link, rank / len(links)

def collect(iter, out, params):
    links, ranks = {}, {}
    for node, value in iter:
        if isinstance(value, list):
            links[node] = value
        else:
            ranks[node] = ranks.get(node, 0) + value
    for node in links:
        out.add(node, ((1 - DAMPING) / params.n + DAMPING * ranks.get(node, 0), links[node]))

def first(line, params):
    node, *links = line.split()
    yield node, (1.0 / params.n, links)

from disco.worker.classic.worker import Params
params = Params(n=4)
job = Job("first").run(input=[sys.argv[1]], map=first, params=params)
for number in range(5):
    before, job = job, Job("rank%d" % number).run(
        input=job.wait(), map_reader=chain_reader, map=send, reduce=collect, partitions=2, params=params)
    job.wait()
    before.purge()
print(dict((node, rank) for node, (rank, links) in result_iterator(job.results()[1])))
"""


def test_page_rank_over_several_jobs(script: Run, tmp_path: Path, start: str) -> None:
    graph = {"a": ["b", "c"], "b": ["c"], "c": ["a"], "d": ["c"]}
    (tmp_path / "graph.txt").write_text("".join(f"{node} {' '.join(links)}\n" for node, links in graph.items()))
    ranks = dict.fromkeys(graph, 0.25)
    for _ in range(5):
        sent: dict[str, float] = defaultdict(float)
        for node, links in graph.items():
            for link in links:
                sent[link] += ranks[node] / len(links)
        ranks = {node: 0.15 / 4 + 0.85 * sent[node] for node in graph}
    assert printed(script(PAGERANK, "graph.txt", options=("--start", start))) == pytest.approx(ranks)


KMEANS = """
import sys
from disco.core import Disco, Job, result_iterator
from disco.worker.classic.worker import Params

def nearest(point, centers):
    return min(range(len(centers)), key=lambda i: abs(centers[i] - point))

def assign(line, params):
    point = float(line)
    yield str(params.nearest(point, params.centers)), (point, 1)

def add(key, value, buf, done, params):
    if done:
        return buf.items()
    total, number = buf.get(key, (0.0, 0))
    buf[key] = total + value[0], number + value[1]

def means(iter, out, params):
    sums = {}
    for key, (total, number) in iter:
        before = sums.get(key, (0.0, 0))
        sums[key] = before[0] + total, before[1] + number
    for key, (total, number) in sums.items():
        out.add(key, total / number)

master = Disco("disco://nowhere")
centers = [0.0, 50.0, 100.0]
for _ in range(4):
    job = master.new_job(name="kmeans", input=sys.argv[1:], map=assign, combiner=add, reduce=means, partitions=2,
                         params=Params(centers=centers, nearest=nearest))
    for key, mean in result_iterator(job.wait()):
        centers[int(key)] = mean
print(centers)
"""


def test_k_means_with_functions_in_params(script: Run, tmp_path: Path, start: str) -> None:
    points = [float(n) for n in random.Random(5).sample(range(1000), 60)]
    for name, part in (("a", points[:30]), ("b", points[30:])):
        (tmp_path / name).write_text("".join(f"{point}\n" for point in part))
    centers = [0.0, 50.0, 100.0]
    for _ in range(4):
        groups: dict[int, list[float]] = defaultdict(list)
        for point in points:
            groups[min(range(3), key=lambda i: abs(centers[i] - point))].append(point)
        for number, group in groups.items():
            centers[number] = sum(group) / len(group)
    assert printed(script(KMEANS, "a", "b", options=("--start", start))) == pytest.approx(centers)


STATISTICS = """
import sys
from disco.core import Disco, result_iterator

def count(line, params):
    put("words-%s" % this_host(), str(len(line.split())))
    yield "lines", 1

def total(iter, out, params):
    out.add("lines", sum(value for key, value in iter))
    put("reduced", this_name())

disco = Disco("disco://nowhere")
job = disco.new_job(name="stats", input=sys.argv[1:], map=count, reduce=total)
results = disco.wait(job.name)
keys = sorted(job.oob_list())
values = [disco.oob_get(job.name, key) for key in keys]
print((list(result_iterator(results)), keys[0], bytes(values[0]) == job.name.encode(),
       sum(int(value) for value in values[1:])))
"""


def test_out_of_band_statistics(script: Run, tmp_path: Path, start: str) -> None:
    (tmp_path / "one").write_text("a b c\n")
    done = script(STATISTICS, "one", options=("--start", start))
    assert printed(done) == ([("lines", 1)], "reduced", True, 3)


CHAIN = """
import sys
from disco.job import Job, JobChain
from disco.core import result_iterator
from disco.worker.task_io import chain_reader

class First(Job):
    partitions = 2
    @staticmethod
    def map(line, params):
        for word in line.split():
            yield word, 1
    @staticmethod
    def reduce(iter, params):
        from disco.util import kvgroup
        for word, ones in kvgroup(sorted(iter)):
            yield word, sum(ones)

class Most(Job):
    map_reader = staticmethod(chain_reader)
    @staticmethod
    def map(entry, params):
        yield "", (entry[1], entry[0])
    @staticmethod
    def reduce(iter, params):
        yield max(value for key, value in iter)

if __name__ == "__main__":
    first, most = First(), Most()
    chain = JobChain({first: sys.argv[1:], most: first}).wait()
    print(list(result_iterator(most.results()[1])))
    chain.purge()
"""


def test_a_chain_of_0_5(script: Run, texts: list[str], start: str) -> None:
    word, count = max(counts().items(), key=lambda item: (item[1], item[0]))
    assert printed(script(CHAIN, *texts, options=("--start", start))) == [(count, word)]


def test_a_program_that_can_be_read_only_once_is_refused(script: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = script("raise SystemExit(7)", options=("pipe",))
    assert done.returncode == 2 and "pipe is a pipe or device: save the program in a file" in done.stderr
