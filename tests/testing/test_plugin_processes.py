"""The pytest plugin with other plugins and programs: pytest runs in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from tests.testing.conftest import PLUGIN, ROOT, Spawn

pytest_plugins = "pytester"


def test_processes_of_xdist_have_one_seed(pytester: pytest.Pytester, spawn: Spawn) -> None:
    pytester.makepyfile(
        test_inner="""
        import os
        import pytest
        from discolocal.testing import searching
        from jobs import Count

        @pytest.mark.parametrize("number", range(4))
        def test_seed(disco_inline, number):
            assert searching.default_seed is None
            disco_inline.run(Count, input=["raw://a"])
            with open("seeds", "a") as file:
                file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {disco_inline.seed}\\n")
            assert number < 3
        """
    )
    done = spawn("-m", "pytest", *PLUGIN, "-n2", "-v")
    lines = [line.split() for line in (pytester.path / "seeds").read_text().splitlines()]
    workers, seeds = zip(*lines)
    assert set(workers) == {"gw0", "gw1"} and len(set(seeds)) == 1, done.stdout
    assert f"--disco-seed={seeds[0]}" in done.stdout
    assert "1 failed, 3 passed" in done.stdout and "discolocal: Count@" in done.stdout


# Coverage

MEASURED = """
    import pytest
    import helped_exec, helped_fork, helped_inline

    @pytest.mark.parametrize("start", ["fork", "exec", "inline"])
    def test_start(disco_cluster_factory, start):
        cluster = disco_cluster_factory(start=start)
        assert list(cluster.run(globals()["helped_" + start].Helped, input=["raw://abc"])) == [("abc", 6)]
    """
HELPED = """
    from discolocal import Job
    from helper_START import double

    class Helped(Job):
        @staticmethod
        def map(line, params):
            if line == "never":
                yield "line 8", 0
            yield line, double(len(line))
    """
HELPER = """
    def double(number):
        if number > 100:
            return "line 3"
        return number * 2
    """
STARTS = ("fork", "exec", "inline")


@pytest.fixture
def measured(pytester: pytest.Pytester) -> Iterator[None]:
    """For each way of starting a job, in a module that is pickled, and one that it imports, which travels as a file."""
    pytester.makepyfile(test_inner=MEASURED)
    for start in STARTS:
        texts = {f"{name}_{start}": text for name, text in (("helped", HELPED), ("helper", HELPER))}
        pytester.makepyfile(**{name: text.replace("START", start) for name, text in texts.items()})
    yield
    assert not [name for name in os.listdir(pytester.path) if name.startswith(".coverage.")]


@pytest.mark.usefixtures("measured")
def test_code_in_tasks_counts(pytester: pytest.Pytester, spawn: Spawn) -> None:
    done = spawn("-m", "coverage", "run", "--branch", "--source=.", "-m", "pytest", *PLUGIN)
    assert "3 passed" in done.stdout and "arning" not in done.stdout, done.stdout
    found = missing(pytester)
    for start in STARTS:
        assert (found[f"helped_{start}.py"], found[f"helper_{start}.py"]) == (([8], [[7, 8]]), ([3], [[2, 3]])), start


@pytest.mark.usefixtures("measured")
def test_code_in_tasks_counts_for_pytest_cov(pytester: pytest.Pytester, spawn: Spawn) -> None:
    modules = [f"--cov={name}_{start}" for name in ("helped", "helper") for start in STARTS]
    done = spawn("-m", "pytest", *PLUGIN, *modules, "--cov-context=test", "-n2", "--cov-report=")
    assert "3 passed" in done.stdout and "arning" not in done.stdout, done.stdout
    found = missing(pytester)
    data = coverage.CoverageData(str(pytester.path / ".coverage"))
    data.read()
    for start in STARTS:
        assert (found[f"helped_{start}.py"], found[f"helper_{start}.py"]) == (([8], []), ([3], [])), start
        contexts = data.contexts_by_lineno(str(pytester.path / f"helper_{start}.py"))
        assert contexts[4] == [f"test_inner.py::test_start[{start}]|run"]


def missing(pytester: pytest.Pytester) -> dict[str, tuple[list[int], list[list[int]]]]:
    """By file of a job, the lines and branches that did not run."""
    measure = coverage.Coverage(data_file=str(pytester.path / ".coverage"), messages=False)
    measure.load()
    report = pytester.path / "report.json"
    measure.json_report(outfile=str(report), include=["*/help*.py"])
    files = json.loads(report.read_text())["files"]
    return {
        Path(name).name: (found["missing_lines"], found.get("missing_branches", [])) for name, found in files.items()
    }


# The debugger


def test_the_debugger_finds_the_way_into_jobs(pytester: pytest.Pytester, spawn: Spawn) -> None:
    pytester.makepyfile(
        test_inner="""
        from jobs import Bad, Count

        def test_inline_job_that_fails(disco_inline):
            disco_inline.run(Bad, input=["raw://abc"])

        def test_other_job_that_fails(disco_cluster):
            number = 42
            disco_cluster.run(Bad, input=["raw://abc"])

        def stopped(line, params):
            word = line * 2
            breakpoint()
            return [(word, 1)]

        def test_breakpoint(disco_inline):
            assert list(disco_inline.run(Count, input=["raw://ab"], map=stopped)) == [("abab", 1)]
        """
    )
    said = ['p "the word is", word', "c", 'p "the number is", number', "c", 'p "it is", word', "c", ""]
    done = spawn("-m", "pytest", *PLUGIN, "--pdb", said="\n".join(said))
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    inline, other = done.stdout.split("def test_other_job_that_fails")
    assert "('the word is', 'ABC')" in inline
    assert "('the number is', 42)" in other and "('it is', 'abab')" in other
    assert "in map\n    raise ValueError(word)" in done.stdout


# The sample project


def test_the_sample_project_passes_as_a_user_runs_it(tmp_path: Path, spawn: Spawn) -> None:
    project = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "examples" / "testing", project, ignore=ignored)
    done = spawn("-m", "pytest", *PLUGIN, "-W", "error", cwd=project)
    assert re.search(r"^=+ \d+ passed in", done.stdout, re.MULTILINE), done.stdout
    assert "discolocal: 3 nodes" in done.stdout
    assert not [path for path in project.rglob("*") if path.suffix not in (".py", ".md", ".toml", "")]
