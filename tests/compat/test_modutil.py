"""The functions that find the modules of job functions (reference 8.11)."""

from __future__ import annotations

import functools
import os
import os.path as path_of_os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, LocalCluster
from discolocal.worker.modutil import ModUtilImportError, find_modules, locate_modules, parse_function

SOURCES = {
    "h1_one.py": "import h1_two\nimport json\n\ndef double(text):\n    return h1_two.twice(text)\n",
    "h1_two.py": "def twice(text):\n    return text * 2\n",
    "h1_pack/__init__.py": "",
    "h1_pack/inner.py": "import h1_two\n",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules of the user's own, on the import path."""
    (tmp_path / "h1_pack").mkdir()
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path


def uses(line: str, params: Any) -> Any:
    value = random.uniform(1, 10)
    return [(h1_one.double(line), [os.sep for _ in line], value, str.lower(line), here(line), path_of_os.sep)]  # type: ignore[name-defined]  # noqa: F821


def here(line: str) -> str:
    return line


def misspelt(line: str, params: Any) -> Any:
    return [(line, randon.random())]  # type: ignore[name-defined]  # noqa: F821


def test_what_a_function_uses() -> None:
    assert parse_function(uses) == ["h1_one", "os", "posixpath", "random"]
    assert parse_function(functools.partial(uses, "line")) == parse_function(uses)
    assert parse_function(here) == parse_function(len) == []


def test_where_modules_are(own: Path) -> None:
    one, two = str(own / "h1_one.py"), str(own / "h1_two.py")
    assert locate_modules(["h1_one", "random"]) == [("h1_one", one), ("h1_two", two)]
    assert locate_modules(["h1_one"], recurse=False) == [("h1_one", one)]
    assert locate_modules(["random", "h1_two", "pytest"], include_sys=True) == [
        ("h1_two", two),
        ("pytest", None),
        ("random", None),
    ]
    assert dict(locate_modules(["h1_pack.inner"])) == {
        "h1_pack": str(own / "h1_pack"),
        "h1_pack.inner": str(own / "h1_pack" / "inner.py"),
        "h1_two": two,
    }
    with pytest.raises(ImportError, match="No module named 'h1_none'"):
        locate_modules(["h1_none"])


def test_what_functions_need(own: Path) -> None:
    pairs = [("h1_one", str(own / "h1_one.py")), ("h1_two", str(own / "h1_two.py"))]
    assert find_modules([uses, here]) == [*pairs, "os", "posixpath", "random"]
    assert find_modules([uses], recurse=False, exclude=["os", "posixpath"]) == [pairs[0], "random"]
    assert find_modules([uses], send_modules=False) == ["h1_one", "os", "posixpath", "random"]
    with pytest.raises(ModUtilImportError, match=r"'randon': Could not find module defined in misspelt\.") as caught:
        find_modules([here, misspelt])
    assert isinstance(caught.value, DiscoError) and isinstance(caught.value, ImportError)
    assert find_modules([misspelt], exclude=["randon"]) == []


@pytest.mark.parametrize("start", ["exec", "inline"])
def test_what_was_found_is_what_a_job_requires(own: Path, start: str) -> None:
    def map(line: str, params: Any) -> Any:
        return [(h1_one.double(line), 1)]  # type: ignore[name-defined]  # noqa: F821

    with LocalCluster(nodes=1, start=start) as cluster:
        found = cluster.run(Job(), strict=True, input=["raw://a"], map=map, required_modules=find_modules([map]))
        assert list(found) == [("aa", 1)]
