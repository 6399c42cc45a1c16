"""What only Disco's own client cannot send: no warning in a default run, an error in a strict one (reference 9)."""

from __future__ import annotations

import functools
import importlib
import io
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import PortabilityWarning
from discolocal.report import check
from discolocal.wire.portability import CLIENT, CODES
from discolocal.worker import Params
from discolocal.worker.classic.func import disco_output_stream, sum_reduce, task_output_stream
from discolocal.worker.pipeline import worker as pipeline
from discolocal.worker.pipeline.worker import Stage
from tests.client.meeting import RAW, local_class, one, run

ROOT = Path(__file__).resolve().parents[2]


def helper() -> int:
    return 1


def with_globals(line: str, params: Any) -> Any:
    return [(line, helper())]


def inner_globals(line: str, params: Any) -> Any:
    return [(line, number) for number in (lambda: [helper()])()]


def closure() -> Callable[..., Any]:
    number = 5
    return lambda line, params: [(line, number)]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(line: str, params: Any) -> Any:
        return function(line, params)

    return wrapper


@decorated
def wrapped(line: str, params: Any) -> Any:
    return [(line, 1)]


def keyword_default(line: str, params: Any, *, number: int = 3) -> Any:
    return [(line, number)]


class Callback:
    def __call__(self, line: str, params: Any) -> Any:
        return [(line, 1)]

    def method(self, line: str, params: Any) -> Any:
        return [(line, 1)]


UNSENDABLE: dict[str, tuple[str, Job]] = {
    "a global of the module": ("function-globals", Job(map=with_globals)),
    "a global in a nested function": ("function-globals", Job(map=inner_globals)),
    "a global through a partial": ("function-globals", Job(map=functools.partial(with_globals))),
    "a variable of the function around it": ("function-closure", Job(map=closure())),
    "a default of a keyword": ("function-defaults", Job(map=keyword_default)),
    "a class in a function": ("local-class", local_class()),
    "a callable object": ("function-object", Job(map=Callback())),
    "a bound method": ("function-object", Job(map=Callback().method)),
}


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_discos_client_cannot_send_runs_here_without_a_word(cluster: LocalCluster, what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run(cluster, UNSENDABLE[what][1], {})) == 1


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_discos_client_cannot_send_fails_when_strict_and_is_told(cluster: LocalCluster, what: str) -> None:
    code, job = UNSENDABLE[what]
    with pytest.raises(PortabilityWarning) as caught:
        run(cluster, job, {}, strict=True)
    assert caught.value.code == code
    assert CODES[code].level == CLIENT
    report = check(job, cluster, input=RAW)
    assert report.codes == [code] and not report.ok


WRAPPED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "itself": (lambda file: file, lambda params: params),
    "in Params": (lambda file: Params(x=[file]), lambda params: params.x[0]),
    "in a dict": (lambda file: {"x": (file,)}, lambda params: params["x"][0]),
}
"""An open file in params: how it gets there, and how a map finds it."""


@pytest.mark.parametrize("how", WRAPPED)
def test_an_open_file_is_sent_by_its_content_and_told(cluster: LocalCluster, tmp_path: Path, how: str) -> None:
    wrap, find = WRAPPED[how]
    (tmp_path / "text").write_text("in the file")
    with open(tmp_path / "text") as file:
        params = wrap(file)
        with pytest.raises(TypeError, match="TextIOWrapper"):
            pickle.dumps(params)
        assert "open-file" in check(Job(map=one, params=params)).codes
        with pytest.raises(PortabilityWarning, match="open-file"):
            run(cluster, Job(map=one, params=params), {}, strict=True)
        job = Job(map=lambda line, params: [(find(params).read(), 1)], params=params)
        assert run(cluster, job, {}) == [("in the file", 1)]


def test_what_is_no_open_file_is_not_taken_for_one(cluster: LocalCluster) -> None:
    params = Params(text=["in a file"], buffer={"x": io.StringIO("text")})
    assert check(Job(map=one, params=params), cluster, input=RAW).codes == []


def test_a_decorated_function_loses_the_function_that_it_wraps(cluster: LocalCluster) -> None:
    assert check(Job(map=wrapped), cluster, input=RAW).codes == ["function-closure"]


def test_strict_runs_name_all_that_submission_shows(cluster: LocalCluster) -> None:
    job = Job("a!b", map=closure(), scheduler={"force_local": True})
    with pytest.raises(PortabilityWarning) as caught:
        run(cluster, job, {}, strict=True)
    assert all(code in str(caught.value) for code in ("prefix-characters", "force-local", "function-closure"))
    assert cluster.joblist()[0][2] != "a!b"


def test_what_discos_client_can_send_is_not_complained_about(cluster: LocalCluster) -> None:
    jobs = [
        Job(map=one, reduce=sum_reduce, partition=functools.partial(lambda key, count, params: 0)),
        Job(map=lambda line, params: [(len(line), str(re_reader)) for _ in (1,)]),  # noqa: F821
        Job(map=one, map_output_stream=(task_output_stream, disco_output_stream)),
        Job(map=textwrap.indent, params=os.path.join),
    ]
    for job in jobs[:3]:
        run(cluster, job, {"partitions": None}, strict=True)
    assert check(jobs[3]).ok


def with_its_stage(stage: Stage, interface: Any, state: Any, label: int, inp: Any) -> None:
    for line in inp:
        interface.output(label).add(line, stage.name)


def test_a_stage_that_its_own_function_has(cluster: LocalCluster) -> None:
    stage = Stage("own")
    stage.process = functools.partial(with_its_stage, stage)
    job = Job("Own", worker=pipeline.Worker(pipeline=[("split", stage)]))
    assert list(cluster.run(job, strict=True, input=[["raw://x"]])) == [("x", "own")]
    stage.process = functools.partial(closed_over(), stage)
    assert check(job, cluster, input=[["raw://x"]]).codes == ["function-closure"]


def closed_over() -> Callable[..., Any]:
    number = 5
    return lambda stage, interface, state, label, inp: interface.output(number)


def test_a_class_of_main_and_a_module_it_needs(tmp_path: Path) -> None:
    (tmp_path / "mymod.py").write_text(
        "from discolocal import Job\nimport myhelper\n"
        "class Count(Job):\n    input = ['raw://a-b']\n    @staticmethod\n    def map(line, params):\n"
        "        for word in line.split('-'):\n            yield word, myhelper.ONE\n"
    )
    (tmp_path / "myhelper.py").write_text("ONE = 1\n")
    (tmp_path / "script.py").write_text(
        "from discolocal import Job, LocalCluster\nfrom discolocal.error import PortabilityWarning\n"
        "from discolocal.report import check\nimport mymod\n"
        "class Count(mymod.Count):\n    required_modules = ['myhelper']\n"
        "with LocalCluster(nodes=1, start='inline') as cluster:\n"
        "    print(sorted(cluster.run(Count)))\n"
        "    print(sorted(cluster.run(mymod.Count)))\n"
        "    for job in (Count, mymod.Count):\n"
        "        print(check(job, cluster).codes)\n"
        "        try:\n            cluster.run(job, strict=True)\n"
        "        except PortabilityWarning as warning:\n            print(warning.code)\n"
        "    print(check(mymod.Count, cluster, required_modules=['myhelper']).codes)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    records = "[('a', 1), ('b', 1)]"
    expected = [records, records, "['main-class']", "main-class", "['required-modules']", "required-modules", "[]"]
    assert done.stdout.splitlines() == expected


# The report


def test_modules_of_a_job_are_those_of_its_pack(cluster: LocalCluster, tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "apkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tools.py").write_text("def one():\n    return 1\n")
    (package / "jobs.py").write_text(
        "from discolocal import Job\nfrom apkg import tools\n"
        "class Count(Job):\n    @staticmethod\n    def map(line, params):\n        return [(line, tools.one())]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    job = importlib.import_module("apkg.jobs").Count
    (finding,) = check(job, cluster, input=RAW)
    assert finding.code == "required-modules" and "apkg.tools" in finding.seen and "apkg.jobs" not in finding.seen
    assert check(job, cluster, input=RAW, required_modules=["apkg.tools"]).codes == []
