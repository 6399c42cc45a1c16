"""What a job would meet on a cluster: the default run works and warns, a strict one fails, a check tells all of it.

The jobs run in worker processes: some of what they do cannot be done in the test's own.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, LocalCluster
from discolocal.error import DiscoError, JobError, PortabilityWarning
from discolocal.report import check, check_pack
from discolocal.wire.jobpack import JobPack
from discolocal.wire.portability import CLIENT, CODES, REFUSED, WARNING
from discolocal.worker.classic.func import disco_output_stream, make_range_partition, sum_reduce, task_output_stream

ROOT = Path(__file__).resolve().parents[2]
RAW = ["raw://x"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, seed=3) as started:
        yield started


@pytest.fixture(scope="module", params=["fork", "exec"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with LocalCluster(nodes=2, seed=3, start=request.param) as started:
        yield started


# Functions that Disco's own client could send: nothing of this module is used in them.


def one(line: str, params: Any) -> Any:
    return [(line, 1)]


def int_keys(line: str, params: Any) -> Any:
    return [(1, 1)]


def chatty(line: str, params: Any) -> Any:
    for number in range(12):
        print("line", number)
    return [(line, 1)]


def forks(line: str, params: Any) -> Any:
    import os

    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return [(line, 1)]


def reads_input(line: str, params: Any) -> Any:
    import sys

    return [(line, len(sys.stdin.read()))]


def iterates_over_input(line: str, params: Any) -> Any:
    import sys

    return [(line, sum(1 for _ in sys.stdin))]


def fails_once(line: str, params: Any) -> Any:
    import os

    if not os.path.exists("failed"):
        with open("failed", "w"):
            pass
        raise FileNotFoundError("gone for a moment")
    return [(line, 1)]


def echoes(line: str, params: Any) -> Any:
    import subprocess

    subprocess.run(["echo", "stray"], check=True)
    return [(line, 1)]


def local_values(line: str, params: Any) -> Any:
    class Thing:
        pass

    return [(line, Thing())]


def outside(key: Any, count: int, params: Any) -> int:
    return 7


def uncompressed(stream: Any, size: Any, url: str, params: Any) -> Any:
    from discolocal.worker.task_io import disco_output_stream

    return disco_output_stream(stream, size, url, params, compression_level=0)


def sorted_job(key: Any, value: Any = 1) -> Job:
    return Job(map=lambda line, params: params, reduce=sum_reduce, params=[(key, value)], sort=True)


class Plain(Job):
    def map(line: str, params: Any) -> Any:  # noqa: N805
        return [(line, 1)]


def names_operator(line: str, params: Any) -> Any:
    return [(line, operator.add(0, 1))]  # type: ignore[name-defined]  # noqa: F821 (supplied)


MEETS: dict[str, tuple[Job, dict[str, Any]]] = {
    "force-local": (Job(map=one), {"scheduler": {"force_local": True}}),
    "plain-function": (Plain(), {}),
    "prefix-characters": (Job("a!b", map=one), {}),
    "range-partition": (Job(map=int_keys, partition=make_range_partition(0, 9), partitions=2), {}),
    "fork-in-task": (Job(map=forks), {}),
    "implied-module": (Job(map=names_operator), {}),
    "key-type": (Job(map=int_keys, partitions=2), {}),
    "message-rate": (Job(map=chatty), {}),
    "os-error": (Job(map=fails_once), {}),
    "raw-host": (Job(map=one), {"input": ["raw://hello world"]}),
    "record-class": (Job(map=local_values), {}),
    "stdin-read": (Job(map=reads_input), {}),
    "stray-output": (Job(map=echoes), {}),
    "uncompressed-shuffle": (
        Job(map=one, map_output_stream=(task_output_stream, uncompressed), scheduler={"max_cores": 1}),
        {"input": [f"raw://{n}" for n in range(8)]},
    ),
    "sort-high-bytes": (Job(map=lambda line, params: [(b"k", "\xff")], reduce=lambda i, p: i, sort=True), {}),
    "sort-long-records": (Job(map=lambda line, params: [(b"k", "v" * 20000)], reduce=lambda i, p: i, sort=True), {}),
    "sort-special-bytes": (sorted_job(b"\0"), {}),
    "sort-text-keys": (sorted_job("text"), {}),
}
"""For each code a job that meets it."""


def run(cluster: LocalCluster, job: Job, arguments: dict[str, Any], **more: Any) -> Any:
    return list(cluster.run(job, **{"input": RAW, **arguments}, **more))


@pytest.mark.parametrize("code", MEETS)
def test_the_default_run_works_and_warns(anywhere: LocalCluster, code: str) -> None:
    with pytest.warns(PortabilityWarning) as seen:
        assert run(anywhere, *MEETS[code])
    found = [
        str(one.message) for one in seen if isinstance(one.message, PortabilityWarning) and one.message.code == code
    ]
    assert len(found) == 1
    assert re.search("cluster|master|Disco", found[0]), "it says where"


@pytest.mark.parametrize("code", MEETS)
def test_a_strict_run_fails(anywhere: LocalCluster, code: str) -> None:
    with pytest.raises((PortabilityWarning, JobError), match=code):
        run(anywhere, *MEETS[code], strict=True)


@pytest.mark.parametrize("code", MEETS)
def test_a_check_tells(cluster: LocalCluster, code: str) -> None:
    job, arguments = MEETS[code]
    before = cluster.joblist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check(job, cluster, **{"input": RAW, **arguments})
    found = {finding.code: finding for finding in report}
    assert set(found) == {code}, report
    assert not report.ok
    known = CODES[code]
    assert found[code][1:3] == (WARNING, known.traps)
    assert found[code][4:] == (known.consequence, known.change)
    assert known.consequence in str(report) and known.change in str(report)
    assert cluster.joblist() == before, "the run has left something"


def test_every_code_of_a_warning_is_met_here() -> None:
    elsewhere = {"index-replicas", "oob-text", "missing-module", "no-stages", "wait-clean"}
    assert set(MEETS) | elsewhere == {code for code, known in CODES.items() if known.level == WARNING}


def test_reading_line_by_line_is_reading_standard_input(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="stdin-read"):
        assert run(cluster, Job(map=iterates_over_input), {}) == [("x", 0)]


def test_an_os_error_that_stays_is_told_with_the_error(cluster: LocalCluster) -> None:
    def fails(line: str, params: Any) -> Any:
        raise OSError("always")

    report = check(Job(map=fails), cluster, input=RAW)
    assert report.codes == ["os-error", "error"]
    assert "OSError: always" in report.findings[1].seen


def test_a_data_error_is_no_os_error(cluster: LocalCluster) -> None:
    def fails(line: str, params: Any) -> Any:
        from discolocal.error import DataError

        raise DataError("damaged", "raw://x")

    assert check(Job(map=fails), cluster, input=RAW).codes == ["error"]


def test_a_job_without_stages(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="no-stages"):
        assert cluster.run(Job(), input=RAW).urls == [RAW]
    with pytest.raises(PortabilityWarning, match="no-stages"):
        cluster.run(Job(), strict=True, input=RAW)
    assert check(Job(), cluster, input=RAW).codes == ["no-stages"]


def test_a_module_that_a_node_would_miss(cluster: LocalCluster) -> None:
    def uses(line: str, params: Any) -> Any:
        try:
            import click
        except OSError:
            pass
        return [(click.__name__, 1)]

    with pytest.warns(PortabilityWarning, match="missing-module.*click"):
        assert run(cluster, Job(map=uses), {}) == [("click", 1)]
    with pytest.raises(PortabilityWarning, match=r"missing-module.*click"):
        run(cluster, Job(map=uses), {}, strict=True)
    assert check(Job(map=uses), cluster, input=RAW).codes == ["missing-module"]


def test_waiting_with_clean_for_a_job_that_takes_longer_than_a_poll(cluster: LocalCluster) -> None:
    def slow(line: str, params: Any) -> Any:
        import time

        time.sleep(0.1)
        return [(line, 1)]

    with pytest.warns(PortabilityWarning, match="wait-clean"):
        cluster.wait(cluster.submit(Job(map=slow), input=RAW).name, poll_interval=0.01, clean=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster.wait(cluster.submit(Job(map=one), input=RAW).name, poll_interval=60, clean=True)


# What only Disco's own client cannot send


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


def local_class() -> Job:
    class Inner(Job):
        @staticmethod
        def map(line: str, params: Any) -> Any:
            return [(line, 1)]

    return Inner()


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


# What is refused


REFUSALS: dict[str, tuple[Job, dict[str, Any]]] = {
    "unknown-argument": (Job(map=one), {"mapp": one}),
    "max-cores": (Job(map=one), {"scheduler": {"max_cores": 0}}),
    "bytes-input": (Job(map=one), {"input": [b"raw://x"]}),
    "external-program": (Job(map={"op": b"x"}), {}),
    "save-results": (Job(map=one), {"save_results": True}),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_refused_is_told(cluster: LocalCluster, code: str) -> None:
    job, arguments = REFUSALS[code]
    with pytest.raises((DiscoError, TypeError)):
        run(cluster, job, arguments)
    report = check(job, cluster, **{"input": RAW, **arguments})
    assert report.codes == [code] and not report.ok
    assert report.findings[0].level == REFUSED


def test_a_partition_out_of_range_is_refused_by_the_task(cluster: LocalCluster) -> None:
    report = check(Job(map=one, partition=outside, partitions=2), cluster, input=RAW)
    assert report.codes == ["partition-range", "error"]


def pack_of(version: int, **more: Any) -> bytes:
    jobdict = {"prefix": "p", "owner": "o", "worker": "w", "scheduler": {}}
    return JobPack(version, jobdict | more, {}, b"", b"").dumps()


def test_a_pack_whose_first_stage_is_concurrent_is_refused() -> None:
    pack = pack_of(2, pipeline=[["map", "split", True]], inputs=[[0, 0, ["raw://a"]]])
    report = check_pack(pack)
    assert report.codes == ["concurrent-first-stage"]


def test_a_pack_that_a_master_refuses_is_told_with_its_words() -> None:
    report = check_pack(pack_of(1, input=["raw://a"]))
    assert report.codes == ["error"] and "jobpack missing key 'nr_reduces'" in str(report)
    assert not report.ok


def test_a_pack_is_looked_at_without_its_job() -> None:
    pack = pack_of(1, input=["/a/b", "raw://a b"], nr_reduces=1, scheduler={"max_cores": 0}, prefix="a b")
    assert set(check_pack(pack).codes) == {"no-stages", "max-cores", "prefix-characters", "raw-host", "local-file"}


def test_a_check_agrees_with_a_master_about_every_recorded_pack(golden: Path) -> None:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    said = {path.stem: str(check_pack(path.read_bytes())) for path in sorted(golden.glob("badpacks/*.jobpack"))}
    refused = {name for name, reply in replies.items() if reply["body"].startswith('["error"')}
    assert len(refused) > 30
    assert {name for name, text in said.items() if "a master refuses the job pack" in text} == refused & set(said)
    outside = [name for name in said if name.startswith("home_zip_with_")]
    assert len(outside) == 2
    assert all("a LocalCluster refuses it" in said[name] and "outside the job home" in said[name] for name in outside)


@pytest.mark.parametrize("worker", ["nosuchworker", "discolocal/worker/classic/worker.py"])
def test_a_pack_whose_worker_is_not_in_its_home_is_told(worker: str) -> None:
    pack = pack_of(2, worker=worker, pipeline=[["map", "split", False]], inputs=[[0, 0, ["raw://a"]]])
    report = check_pack(pack)
    assert report.codes == ["error"] and not report.ok
    assert f"its worker '{worker}' is not in the job home" in str(report)


# The report


def test_local_files_are_a_note(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    report = check(Job(map=one), cluster, input=[str(tmp_path / "a.txt")])
    assert report.codes == ["local-file"] and report.ok
    assert str(tmp_path / "a.txt") in str(report)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(cluster, Job(map=one), {"input": [str(tmp_path / "a.txt")]}, strict=True)


def test_without_inputs_nothing_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def map(line: str, params: Any) -> Any:
        ran.touch()
        return [(line, 1)]

    assert check(Job(map=map)).codes == ["function-closure"]
    assert not ran.exists()
    report = check(Job(map=map, input=RAW))
    assert report.codes == ["function-closure"] and ran.exists()


def test_a_job_that_meets_nothing(cluster: LocalCluster) -> None:
    report = check(Job(map=one), cluster, input=RAW)
    assert (report.ok, len(report), str(report)) == (True, 0, "nothing found")


def test_a_job_that_cannot_be_packed_or_read_has_an_error(cluster: LocalCluster, tmp_path: Path) -> None:
    report = check(Job(map=one), cluster, input=[str(tmp_path / "missing")])
    assert report.codes == ["error"] and "missing" in str(report)
    report = check(Job(map=one, params=open), cluster, input=["dir://nowhere/disco/x"])
    assert report.codes == ["error"]


@pytest.mark.parametrize("strict", [1, "yes", 0.0])
def test_strict_is_a_truth_value(cluster: LocalCluster, strict: Any) -> None:
    with pytest.raises(ValueError, match="strict="):
        cluster.run(Job(map=one), strict=strict, input=RAW)


def test_a_run_may_be_less_strict_than_its_cluster() -> None:
    with LocalCluster(nodes=1, start="inline", strict=True) as strict:
        with pytest.warns(PortabilityWarning, match="key-type"):
            assert run(strict, Job(map=int_keys, partitions=2), {}, strict=False) == [(1, 1)]
        with pytest.raises(JobError, match="key-type"):
            run(strict, Job(map=int_keys, partitions=2), {})
        with pytest.raises(JobError, match="key-type"):
            Job(map=int_keys, partitions=2, master=strict).run(input=RAW).wait()


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
