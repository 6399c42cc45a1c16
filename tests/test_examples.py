"""Every example as a script, as a job of the command line and as a class, against plain Python."""

from __future__ import annotations

import ast
import collections
import os
import re
import subprocess
import sys
from collections.abc import Iterator
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
