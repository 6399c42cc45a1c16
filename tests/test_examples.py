"""Every example as a script, as a job of the command line and as a class, against plain Python."""

from __future__ import annotations

import ast
import collections
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from math import dist
from pathlib import Path

import pytest

from discolocal import LocalCluster
from tests.program import DISCOLOCAL

ROOT = Path(__file__).resolve().parents[1]

TEXTS = {
    "one.txt": "the cat and the hat\n\nthe end of the cat \u00e9\u00e8\n",
    "two.txt": "a cat\twithout a hat, and no final newline: the end",
}
TABLES = {
    "left.csv": "1,ada\n2,grace\n3,edsger\n3,edgar\n",
    "right.csv": '1,"London, UK"\n3,Rotterdam\n4,Oslo\n3,Austin\n',
}
GRAPH = {"graph-1.txt": "a b c\nb c\n", "graph-2.txt": "c a\nd c e\n"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, strict=True) as started:  # an example is portable
        yield started


@pytest.fixture
def make(tmp_path: Path):
    def make(files: dict[str, str]) -> list[str]:
        for name, content in files.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        return [str(tmp_path / name) for name in files]

    return make


def script(name: str, *arguments: str, cwd: Path) -> list[str]:
    """The lines that an example prints when it is run as a script."""
    return run([sys.executable, str(ROOT / "examples" / name), *arguments], cwd)


def command(*arguments: str) -> dict[str, str]:
    """What `discolocal run` prints in the checkout, as pairs of key and value, in any order."""
    lines = run([*DISCOLOCAL, "run", *arguments], ROOT)
    return dict(line.split("\t", 1) for line in lines if line)


def run(command: list[str], cwd: Path) -> list[str]:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def count(files: dict[str, str]) -> collections.Counter[str]:
    return collections.Counter(word for text in files.values() for word in text.split())


def matches(pattern: str, files: dict[str, str]) -> list[str]:
    lines = [(name, line) for name, text in files.items() for line in text.split("\n") if line]
    return sorted(f"{name}:{line}" for name, line in lines if re.search(pattern, line))


def pagerank(files: dict[str, str], iterations: int) -> dict[str, float]:
    links = {line.split()[0]: line.split()[1:] for text in files.values() for line in text.splitlines()}
    nodes = set(links) | {link for several in links.values() for link in several}
    ranks = dict.fromkeys(links, 1.0)
    for _ in range(iterations):
        ranks = {
            node: 0.15 + 0.85 * sum(ranks[n] * to.count(node) / len(to) for n, to in links.items() if node in to)
            for node in nodes
        }
    return ranks


def test_word_count(cluster, make) -> None:
    from examples.wordcount import WordCount

    results = list(cluster.run(WordCount, input=make(TEXTS)))
    assert dict(results) == count(TEXTS)
    assert len(results) == len(count(TEXTS))


def test_word_count_as_script(make, tmp_path) -> None:
    lines = script("wordcount.py", *make(TEXTS), cwd=tmp_path)
    expected = sorted(count(TEXTS).items(), key=lambda item: (-item[1], item[0]))
    assert lines == [f"{word}\t{n}" for word, n in expected]


def test_word_count_as_command(make) -> None:
    printed = command("examples.wordcount.WordCount", *make(TEXTS))
    assert printed == {word: str(n) for word, n in count(TEXTS).items()}


def test_grep(cluster, make) -> None:
    from examples.grep import Grep

    found = cluster.run(Grep, input=make(TEXTS), params=r"c.t\b")
    assert sorted(f"{Path(url).name}:{line.rstrip()}" for url, line in found) == matches(r"c.t\b", TEXTS)


def test_grep_as_script(make, tmp_path) -> None:
    make(TEXTS)
    lines = script("grep.py", "the", *TEXTS, cwd=tmp_path)
    assert [f"{Path(url).name}:{line}" for url, line in (line.split(":", 1) for line in lines)] == matches("the", TEXTS)


def test_grep_as_command(make) -> None:
    printed = command("examples.grep.Grep", "-P", "params", "hat", *make(TEXTS))
    assert sorted(f"{Path(url).name}:{line}" for url, line in printed.items()) == matches("hat", TEXTS)


JOINED = {("1", ("ada", "London, UK"))} | {
    ("3", (name, town)) for name in ("edsger", "edgar") for town in ("Rotterdam", "Austin")
}


def test_inner_join(cluster, make) -> None:
    from examples.inner_join import InnerJoin

    rows = list(cluster.run(InnerJoin, input=make(TABLES)))
    assert len(rows) == len(JOINED)
    assert set(rows) == JOINED


def test_inner_join_as_script(make, tmp_path) -> None:
    lines = script("inner_join.py", *make(TABLES), cwd=tmp_path)
    quoted = ((key, name, f'"{town}"' if "," in town else town) for key, (name, town) in sorted(JOINED))
    assert lines == [",".join(row) for row in quoted]


def test_inner_join_as_command(make) -> None:
    printed = command("examples.inner_join.InnerJoin", *make({**TABLES, "left.csv": "1,ada\n2,grace\n"}))
    assert printed == {"1": "('ada', 'London, UK')"}


def test_page_rank(cluster, make) -> None:
    from examples.pagerank import rank

    ranks = {node: value for node, (value, _) in rank(cluster, make(GRAPH), iterations=3)}
    assert ranks == pytest.approx(pagerank(GRAPH, iterations=3))


def test_page_rank_as_script(make, tmp_path) -> None:
    lines = script("pagerank.py", "-n", "2", *make(GRAPH), cwd=tmp_path)
    ranks = {node: float(value) for node, value in (line.split("\t") for line in lines)}
    assert ranks == pytest.approx(pagerank(GRAPH, iterations=2), abs=1e-6)


def test_page_rank_as_command(make) -> None:
    printed = command("examples.pagerank.PageRank", *make(GRAPH))
    assert {node: ast.literal_eval(page)[0] for node, page in printed.items()} == pytest.approx(pagerank(GRAPH, 1))


NUMBERS = {f"numbers-{part}.txt": "".join(f"{n}\n" for n in range(part, 960, 3)) for part in range(3)}
POINTS = {
    "points-1.txt": "0,0\n10,10\n0,2\n\n11,9\n",
    "points-2.txt": "1,1\n9,11\n-20,5\n",
}


def primes(numbers: list[int]) -> list[int]:
    return [n for n in sorted(numbers) if n > 1 and all(n % d for d in range(2, n))]


def k_means(files: dict[str, str], k: int, iterations: int) -> list[tuple[tuple[float, ...], int]]:
    points = [tuple(map(float, line.split(","))) for text in files.values() for line in text.split()]
    found = [(point, 0) for point in points[:k]]
    for _ in range(iterations):
        groups: dict[int, list[tuple[float, ...]]] = {number: [] for number in range(k)}
        for point in points:
            groups[min(groups, key=lambda number: (dist(point, found[number][0]), number))].append(point)
        found = [
            (tuple(sum(axis) / len(group) for axis in zip(*group)) if group else found[number][0], len(group))
            for number, group in groups.items()
        ]
    return found


def lists(paths: list[str]) -> list[list[str]]:
    """Inputs as a pipeline has them."""
    return [[path] for path in paths]


def test_condensed_word_count(cluster, make) -> None:
    from examples.condense import Condense

    results = cluster.run(Condense, input=lists(make(TEXTS)))
    assert dict(results) == count(TEXTS) and len(list(results)) == len(count(TEXTS))
    rows = {row[0]: row[4] for row in results.job.jobinfo()["pipeline"]}
    assert rows["count"] == 2 and rows["total"] == 3 <= rows["condense"]


def test_condensed_word_count_as_script_and_command(make, tmp_path) -> None:
    paths = make(TEXTS)
    expected = sorted(count(TEXTS).items(), key=lambda item: (-item[1], item[0]))
    assert script("condense.py", *paths, cwd=tmp_path) == [f"{word}\t{n}" for word, n in expected]
    assert command("examples.condense.Condense", *paths) == {word: str(n) for word, n in expected}


def test_k_means(cluster, make) -> None:
    from examples.kmeans import cluster_points

    for iterations in (1, 2, 9):
        found = cluster_points(cluster, make(POINTS), 3, iterations)
        expected = k_means(POINTS, 3, iterations)
        assert [number for _, number in found] == [number for _, number in expected]
        assert [centre for centre, _ in found] == [pytest.approx(centre) for centre, _ in expected]
    assert sum(number for _, number in found) == 7


def test_k_means_as_script(make, tmp_path) -> None:
    lines = script("kmeans.py", "-k", "2", "-n", "5", *make(POINTS), cwd=tmp_path)
    expected = sorted(k_means(POINTS, 2, 5))
    assert lines == [f"{x:g},{y:g}\t{number}" for (x, y), number in expected]


def test_a_sieve_of_ten_stages(cluster, make) -> None:
    from examples.sieve import Sieve

    results = cluster.run(Sieve, input=lists(make(NUMBERS)))
    assert sorted(prime for prime, _ in results) == primes(list(range(960)))
    assert all(str(prime) in NUMBERS[Path(url).name].split() for prime, url in results)
    rows = results.job.jobinfo()["pipeline"]
    assert len(rows) == 10 and rows[0][4] == 3 and all(row[4] <= 2 for row in rows[1:])


def test_a_sieve_as_script_and_command(make, tmp_path) -> None:
    paths = make({"few.txt": "1\n2\n841\n0\n29\n937\n4\n", "none.txt": "\n"})
    assert script("sieve.py", *paths, cwd=tmp_path) == ["2", "29", "937"]
    assert command("examples.sieve.Sieve", *paths).keys() == {"2", "29", "937"}
