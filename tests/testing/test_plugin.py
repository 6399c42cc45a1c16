"""The pytest plugin: its fixtures, options and reports. pytest runs in this process."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import discolocal.testing.searching
from tests.testing.conftest import ROOT, Run

pytest_plugins = "pytester"


# Fixtures


def test_each_test_has_a_cluster_of_its_own_on_processes_of_the_session(run: Run) -> None:
    result = run(
        """
        import os
        import pytest
        from jobs import Count

        seen = []

        @pytest.mark.parametrize("number", range(3))
        def test_clean(disco_cluster, number):
            assert disco_cluster.joblist() == []
            assert disco_cluster.ddfs.list() == []
            assert os.listdir(disco_cluster.data) == []
            disco_cluster.run(Count, input=["raw://a"])
            disco_cluster.ddfs.tag("data:a", [["raw://a"]])
            seen.append((disco_cluster.root, sorted(node["pid"] for node in disco_cluster.nodeinfo().values())))

        def test_after():
            (a, pids), (b, same), (c, others) = seen
            assert len({a, b, c}) == 3
            assert pids == same == others
            assert not any(map(os.path.exists, (a, b, c)))
        """
    )
    result.assert_outcomes(passed=4)


def test_shapes_come_from_arguments_then_marks_then_options(run: Run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.disco(nodes=5, seed=1, strict=True)
        class TestMarked:
            def test_class(self, disco_cluster):
                assert shape(disco_cluster) == (5, "inline", 1, True)

            @pytest.mark.disco(nodes=1, start="fork")
            def test_nearest(self, disco_cluster):
                assert shape(disco_cluster) == (1, "fork", 1, True)

            def test_argument(self, disco_cluster_factory):
                assert shape(disco_cluster_factory(seed=9, max_failures=0)) == (5, "inline", 9, True)

        @pytest.mark.disco(start="exec")
        def test_inline(disco_inline, disco_cluster_factory):
            assert shape(disco_inline) == (3, "inline", 77, False)
            assert shape(disco_cluster_factory()) == (3, "exec", 77, False)

        def shape(cluster):
            return len(cluster.nodes), cluster.start, cluster.seed, cluster.strict
        """,
        "--disco-nodes=3",
        "--disco-start=inline",
        "--disco-seed=77",
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["discolocal: 3 nodes, start=inline, --disco-seed=77"])


def test_files_say_what_options_do_not(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makeini("[pytest]\ndisco_nodes = 4\ndisco_start = inline\ndisco_seed = 5\n")
    text = """
        def test_shape(disco_cluster):
            assert (len(disco_cluster.nodes), disco_cluster.start, disco_cluster.seed) == (4, "inline", SEED)
        """
    run(text.replace("SEED", "5")).assert_outcomes(passed=1)
    run(text.replace("SEED", "6"), "--disco-seed=6").assert_outcomes(passed=1)


@pytest.mark.parametrize("table", ["tool.pytest", "tool.pytest.ini_options"])
def test_numbers_of_a_toml_file_are_numbers(pytester: pytest.Pytester, run: Run, table: str) -> None:
    pytester.makepyprojecttoml(f"[{table}]\ndisco_nodes = 4\ndisco_start = 'inline'\ndisco_seed = 5\n")
    result = run("def test(): pass")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["discolocal: 4 nodes, start=inline, --disco-seed=5"])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("disco_nodes = 0", "disco_nodes: 0: must be at least 1"),
        ("disco_nodes = many", "disco_nodes: *'many'"),
        ("disco_start = spoon", "disco_start = spoon: must be one of fork, exec, inline"),
        ("disco_seed = x", "disco_seed: *'x'"),
        ("disco_keep = perhaps", "disco_keep: *'perhaps'"),
    ],
)
def test_a_value_that_cannot_be_used_ends_the_run(pytester: pytest.Pytester, run: Run, line: str, text: str) -> None:
    pytester.makeini(f"[pytest]\n{line}\n")
    result = run("def test(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{text}*"])


def test_a_mark_with_an_unknown_name_is_refused(run: Run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.disco(node=3)
        def test_unknown(disco_cluster): pass

        @pytest.mark.disco(3)
        def test_position(disco_cluster): pass

        def test_root(disco_cluster_factory, tmp_path):
            disco_cluster_factory(root=tmp_path)
        """,
        "--strict-markers",
    )
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*mark.disco: node is no parameter of LocalCluster*",
            "*by name, as in disco(nodes=3)*",
            "*root is the test's*",
        ]
    )
    result.stdout.no_fnmatch_line("*testing/clusters.py*")


def test_run_job_takes_entries_texts_and_paths(run: Run) -> None:
    result = run(
        """
        import pytest
        from discolocal.util import kvgroup
        from discolocal.worker.task_io import task_input_stream
        from jobs import Count, Piped

        WORDS = [("a", 2), ("b", 1), ("c", 1)]

        def reader(stream, size, url, params):
            raise RuntimeError("the job's own reader has nothing to read here")

        def test_entries(run_job):
            inputs = [["a b", "c"], [], ["a\\n"]]
            assert sorted(run_job(Count, inputs)) == WORDS
            assert sorted(run_job(Count(), inputs, partitions=1, map_reader=reader)) == WORDS
            assert sorted(run_job(Count, inputs, map_input_stream=(task_input_stream, reader))) == WORDS

        def test_objects(run_job):
            entries = [{"a": [1]}, None, ("x", 2)]
            shown = run_job(Count, [entries], map=lambda e, params: [(repr(e), 1)], reduce=None, partitions=0)
            assert shown == [(repr(entry), 1) for entry in entries]

        def test_reduce_alone(run_job):
            assert sorted(run_job(Count, [[("a", 1)], [("b", 1), ("a", 1)], [("c", 1)]], map=None)) == WORDS

        def test_pipeline(run_job):
            assert sorted(run_job(Piped, [["ab", "c"], ["def"]])) == [("ab", 2), ("c", 1), ("def", 3)]
            assert Piped.pipeline[0][1].input_chain == []

        def test_texts_and_paths(run_job, tmp_path):
            path = tmp_path / "words"
            path.write_text("a c\\n")
            assert sorted(run_job(Count, ["a\\nb\\n", path])) == WORDS
            assert sorted(run_job(Count, [b"a\\nb", str(path)])) == WORDS
            assert sorted(run_job(Count, ["raw://a", "raw://b", str(path)])) == WORDS
            assert sorted(run_job(Count, input=["raw://a", "raw://b", str(path)])) == WORDS

        @pytest.mark.parametrize("inputs", ["a b", [["a"], "b\\n"], [3], "text\\n", [{"a"}]])
        def test_others(run_job, inputs):
            with pytest.raises(TypeError, match="input"):
                run_job(Count, inputs)

        def test_twice(run_job):
            with pytest.raises(TypeError, match="twice"):
                run_job(Count, [["a"]], input=["raw://a"])
        """,
        "--disco-start=inline",
    )
    result.assert_outcomes(passed=11)


# Failures


def test_a_failed_test_tells_what_its_jobs_said(run: Run, pytester: pytest.Pytester) -> None:
    result = run(
        """
        import pytest
        from discolocal import JobError
        from jobs import Bad, Count

        def test_failed_job(run_job):
            run_job(Bad, [["one"]])

        def test_wrong_result(run_job, disco_cluster_factory):
            disco_cluster_factory(nodes=1).run(Count, input=["raw://x"], name="Other")
            assert run_job(Count, [["a"]]) == []

        def test_good(run_job):
            run_job(Count, [["a"]])

        @pytest.mark.xfail(raises=JobError)
        def test_expected(run_job):
            run_job(Bad, [["one"]])

        @pytest.fixture
        def results(run_job):
            return run_job(Bad, [["two"]])

        def test_setup(results):
            pass
        """,
        "--disco-seed=3",
    )
    result.assert_outcomes(failed=2, passed=1, xfailed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*discolocal: Bad@*, dead (2 nodes, start=fork, seed=3)*",
            "*node?*MSG: [[]map:0] looking at TWO",
            "*FATAL: [[]map:0] map failed at record 1*ValueError: TWO*",
            "*discolocal: files*",
            "*disco-test_setup*",
            "*def test_failed_job(run_job):",
            '>*run_job(Bad, [[][[]"one"]])',
            "E*JobError: Job Bad@*map failed at record 1*",
            "*test_inner.py:6: JobError",
            "*MSG: [[]map:0] looking at ONE",
            "*disco-test_failed_job*",
            "*discolocal: Count@*, ready (2 nodes*",
            "*discolocal: Other@*, ready (1 nodes*",
            "*disco-test_wrong_result*",
        ]
    )
    assert "local.py" not in result.stdout.str().replace('File "', "")
    kept = {path.name.rstrip("0123456789") for path in pytester.path.rglob("disco-*0")}
    assert kept == {"disco-test_failed_job", "disco-test_wrong_result", "disco-test_setup"}
    for path in pytester.path.rglob("disco-test_failed_job0"):
        assert list(path.rglob("events")) and f"{path} (" in result.stdout.str()


def test_files_are_kept_on_demand(run: Run, pytester: pytest.Pytester) -> None:
    text = """
        from jobs import Count

        def test_good(run_job):
            run_job(Count, [["a"]])
        """
    run(text, "--disco-start=inline").assert_outcomes(passed=1)
    assert not list(pytester.path.rglob("disco-*0"))
    result = run(text, "--disco-start=inline", "--disco-keep")
    result.assert_outcomes(passed=1)
    (kept,) = pytester.path.rglob("disco-*0")
    assert list(kept.rglob("events"))
    result.stdout.fnmatch_lines(["*files of jobs*", f"test_inner.py::test_good: {kept} (*"])
    pytester.makeini("[pytest]\ndisco_keep = true\n")
    run(text, "--disco-start=inline").stdout.fnmatch_lines(["*files of jobs*"])


def test_only_the_last_events_of_a_long_job_are_shown(run: Run) -> None:
    result = run(
        """
        from jobs import Count

        def talk(line, params):
            for number in range(150):
                print("number", number)
            return ()

        def test_long(run_job):
            run_job(Count, [["a"]], map=talk)
            assert False
        """,
        "--disco-start=inline",
    )
    shown = result.stdout.str()
    assert "events before)" in shown
    assert "MSG: [map:0] number 149" in shown and "MSG: [map:0] number 10\n" not in shown


def test_a_law_that_broke_is_shown_in_the_test(run: Run) -> None:
    text = """
        from discolocal.testing import assert_same_records, check_partitioner

        def test_law():
            check_partitioner(lambda key, nr_partitions, params: nr_partitions, keys=["a"])

        def test_records():
            assert_same_records([1], [2])

        def test_own():
            assert check_partitioner is None
        """
    result = run(text)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            ">*check_partitioner(lambda*",
            "E*LawBroken*",
            "*test_inner.py:4: LawBroken",
            "*test_inner.py:7: AssertionError",
        ]
    )
    assert f"{os.sep}testing{os.sep}laws" not in result.stdout.str()
    assert "_without_tools" not in result.stdout.str()
    assert f"{os.sep}testing{os.sep}laws" in run(text, "--full-trace").stdout.str()


# Seeds


def test_a_seed_that_is_asked_for_is_that_of_the_laws(run: Run) -> None:
    text = """
        from discolocal.testing import searching

        def test_seed(disco_inline):
            assert searching.default_seed == {}
            assert {} in (None, disco_inline.seed)
        """
    before = discolocal.testing.searching.default_seed
    run(text.replace("{}", "12"), "--disco-seed=12").assert_outcomes(passed=1)
    run(text.replace("{}", repr(before))).assert_outcomes(passed=1)
    assert discolocal.testing.searching.default_seed == before


# The plugin as such


def test_the_plugin_imports_nothing() -> None:
    code = (
        "import sys, pytest; before = {*sys.modules}; import discolocal.testing.plugin; print(*{*sys.modules} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"discolocal", "discolocal.testing", "discolocal.testing.plugin"}


@pytest.mark.parametrize(
    ("arguments", "text", "outcome"),
    [
        (("-p", "discolocal.testing.plugin"), "", "1 passed"),
        ((), "", "1 passed"),
        ((), 'pytest_plugins = "discolocal.testing.plugin"', "1 passed"),
        (("-p", "no:discolocal"), "", "fixture 'disco_inline' not found"),
    ],
)
def test_the_installed_plugin_can_be_named_and_refused(
    pytester: pytest.Pytester, arguments: tuple[str, ...], text: str, outcome: str
) -> None:
    info = pytester.mkdir("site") / "discolocal-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: discolocal\nVersion: 0\n")
    (entry,) = re.findall(r"^pytest11 =\n +(.*)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    (info / "entry_points.txt").write_text(f"[pytest11]\n{entry}\n")
    pytester.makeconftest(text)
    pytester.makepyfile(test_inner="def test(disco_inline): pass")
    pytester.syspathinsert(info.parent)
    assert outcome in pytester.runpytest_inprocess(*arguments).stdout.str()
