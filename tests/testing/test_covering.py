"""What coverage.py is asked for in tasks, and what becomes of its counts."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import coverage
import pytest

from discolocal.testing.covering import Covering
from discolocal.worker.measuring import measured
from discolocal.worker.serving import MEASURING

CODE = "def double(x):\n    if x:\n        return 2 * x\n    return 0\n"


def covering(base: Path, **arguments: Any) -> Covering:
    """The Covering of a run that was started in this directory, with a Coverage of these arguments."""
    config: Any = SimpleNamespace(invocation_params=SimpleNamespace(dir=base), option=SimpleNamespace())
    return Covering(coverage.Coverage(data_file=None, config_file=False, **arguments), config)


def asked(one: Covering) -> dict[str, Any]:
    """The options for tasks."""
    with one:
        options: dict[str, Any] = json.loads(os.environ[MEASURING])["options"]
    return options


def test_tasks_get_absolute_patterns(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    options = asked(covering(tmp_path, source=["src", "json", "json.tool", "no_such_module"], omit=["gen.py"]))
    packages = os.path.realpath(os.path.dirname(json.__file__))
    assert options["include"] == [f"{tmp_path}/src/*", f"{packages}/*", f"{packages}/tool.py"]
    assert options["omit"][:2] == ["gen.py", str(tmp_path / "gen.py")]
    assert f"{os.path.realpath(sysconfig.get_path('purelib'))}/*" in options["omit"]
    assert asked(covering(tmp_path, include=["a/*", "*/b.py"], branch=True)) == {
        "branch": True,
        "timid": False,
        "concurrency": None,
        "omit": None,
        "include": ["a/*", "*/b.py", f"{tmp_path}/a/*"],
    }
    assert asked(covering(tmp_path, source=["no_such_module"]))["include"] == [os.devnull]
    assert asked(covering(tmp_path))["include"] is None


def test_installed_packages_count_if_they_are_asked_for(tmp_path: Path) -> None:
    assert asked(covering(tmp_path, source=["pytest"]))["omit"] is None


def test_the_environment_and_the_directory_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEASURING, "before")
    with covering(tmp_path):
        directory = json.loads(os.environ[MEASURING])["directory"]
        assert os.path.isdir(directory)
    assert os.environ[MEASURING] == "before" and not os.path.exists(directory)


def run(path: Path) -> int:
    """Run the code that is at a path."""
    names: dict[str, Any] = {}
    exec(compile(CODE, str(path), "exec"), names)
    return int(names["double"](2))


def test_counts_of_a_block_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy, home = tmp_path / "src" / "one.py", tmp_path / "home" / "lib" / "two.py", tmp_path / "home"
    for path in (source, tmp_path / "src" / "two.py", copy):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "src")
    one = covering(tmp_path, source=["src"])
    before = list(sys.path)
    with one:
        monkeypatch.chdir(home)
        with pytest.raises(SystemExit), measured(os.environ[MEASURING]):
            run(source)
            raise SystemExit(3)
        with measured(os.environ[MEASURING]):
            run(copy)
            monkeypatch.chdir(tmp_path)
        assert sys.path == before
    data = one._coverage.get_data()
    assert {path: data.lines(path) for path in data.measured_files()} == {
        str(tmp_path / "src" / name): [1, 2, 3] for name in ("one.py", "two.py")
    }


@pytest.mark.parametrize("lacking", ["path", "directory"])
def test_a_task_runs_where_nothing_can_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    with covering(tmp_path):
        said = json.loads(os.environ[MEASURING])
        said[lacking] = str(tmp_path / "nowhere")
        if lacking == "path":
            monkeypatch.setitem(sys.modules, "coverage", None)
        with measured(json.dumps(said)):
            assert run(tmp_path / "one.py") == 4
        assert os.listdir(json.loads(os.environ[MEASURING])["directory"]) == []
