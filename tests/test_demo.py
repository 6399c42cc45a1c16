"""The demonstration job counts what plain Python counts, and reports it."""

from __future__ import annotations

import collections
import re

import pytest

from discolocal import demo


@pytest.fixture
def few_sources(monkeypatch) -> list[str]:
    """A few real files of the standard library, the first one found that is not UTF-8 among them."""
    files = demo.sources()
    undecodable = [path for path in files if "bad_coding" in path or "koi8" in path][:1]
    chosen = files[:: len(files) // 15] + undecodable
    monkeypatch.setattr(demo, "sources", lambda: chosen)
    return chosen


def test_the_sources_are_those_of_the_standard_library() -> None:
    files = demo.sources()
    assert len(files) > 400
    assert any(path.endswith("collections/__init__.py") for path in files)
    assert not any("site-packages" in path or "dist-packages" in path for path in files)


def test_the_most_frequent_words_are_printed_with_time_and_rate(few_sources, capsys) -> None:
    assert demo.main(nodes=2) == 0
    expected: collections.Counter[str] = collections.Counter()
    for path in few_sources:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            expected.update(word for line in file for word in line.split())
    lines = capsys.readouterr().out.splitlines()
    printed = [(word, int(count.replace(",", ""))) for count, word in (line.split() for line in lines[: demo.TOP])]
    assert printed == sorted(expected.items(), key=lambda item: (-item[1], item[0]))[: demo.TOP]
    assert lines[demo.TOP].startswith(f"{sum(expected.values()):,} words, {len(expected):,} of them distinct")
    assert re.fullmatch(r"[\d.]+ MB in [\d.]+ s: [\d.]+ MB/s", lines[-1])


def test_batches_hold_every_file_once_and_are_of_about_equal_size() -> None:
    sizes = {f"file-{n}": n * n for n in range(100)}
    lists = demo.batches(sizes)
    assert sorted(path for paths in lists for path in paths) == sorted(sizes)
    loads = [sum(sizes[path] for path in paths) for paths in lists]
    assert len(loads) == demo.BATCHES
    assert max(loads) - min(loads) <= max(sizes.values())
