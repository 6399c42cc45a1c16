"""What travels: functions and classes of any kind, and clear errors for what cannot."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from discolocal.error import DiscoError
from discolocal.job import Job
from discolocal.task import jobdata
from discolocal.worker import Params

CONSTANT = 5


class Mine:
    def __init__(self, value: int) -> None:
        self.value = value


class Subclass(Job):
    params = Params(function=lambda x: x + CONSTANT)

    @staticmethod
    def map(line: str, params: Any) -> Any:
        return [(line, helper(line), params.function(1), Mine(2).value)]


def helper(text: str) -> str:
    return text * CONSTANT


def elsewhere(data: bytes, expression: str) -> str:
    """Evaluate an expression of `job` and `jobargs` in an interpreter that cannot import this module."""
    program = (
        "import sys, pickle\n"
        f"sys.path[:] = [p for p in {sys.path!r} if p]\n"
        "import discolocal.job\n"
        "sys.path[:] = [p for p in sys.path if 'packages' in p or 'lib/python' in p]\n"
        "job, jobargs = pickle.load(sys.stdin.buffer)\n"
        f"print({expression})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_a_job_class_with_its_helpers_goes_where_its_module_is_not() -> None:
    job = Subclass()
    job.worker = job.Worker()
    assert elsewhere(jobdata(job, {}), "job.map('a', job.params)") == "[('a', 'aaaaa', 6, 2)]"


def test_lambdas_closures_partials_methods_and_callables() -> None:
    captured = 7

    class Local:
        def method(self, line: str, params: Any) -> Any:
            return captured

        def __call__(self, line: str, params: Any) -> Any:
            return captured + 1

    functions = [lambda e, p: captured, functools.partial(helper, "x"), Local().method, Local(), (helper, len)]
    job = Job(params=functions)
    job.worker = job.Worker()
    expression = (
        "[job.params[0](1, 2), job.params[1](), job.params[2](1, 2), job.params[3](1, 2), job.params[4][0]('b')]"
    )
    assert elsewhere(jobdata(job, {}), expression) == "[7, 'xxxxx', 7, 8, 'bbbbb']"


@functools.lru_cache(maxsize=10)
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


class Caching:
    @functools.cache  # noqa: B019
    def method(self) -> int:
        return CONSTANT


def test_functions_with_a_cache() -> None:
    inner = functools.lru_cache(maxsize=None, typed=True)(lambda: CONSTANT)
    job = Job(map=lambda line, params: fibonacci(30), params=[fibonacci, Caching(), inner])
    job.worker = job.Worker()
    fibonacci(5)
    expression = (
        "[job.map(1, 2), job.map.__globals__['fibonacci'] is job.params[0], job.params[0].cache_parameters(),"
        " job.params[0].cache_info().currsize, job.params[1].method(), job.params[2](),"
        " job.params[2].cache_parameters()]"
    )
    assert elsewhere(jobdata(job, {}), expression) == str(
        [832040, True, {"maxsize": 10, "typed": False}, 10, 5, 5, {"maxsize": None, "typed": True}]
    )


def test_arguments_travel_too() -> None:
    job = Job()
    job.worker = job.Worker()
    data = jobdata(job, {"map": helper, "input": ["raw://x"]})
    assert elsewhere(data, "[jobargs['map']('a'), jobargs['input']]") == "['aaaaa', ['raw://x']]"


def test_functions_of_the_library_go_by_reference() -> None:
    from discolocal.worker.classic.func import nop_map

    job = Job(map=nop_map)
    job.worker = job.Worker()
    loaded, _args = pickle.loads(jobdata(job, {}))
    assert loaded.map is nop_map


def test_the_registry_of_modules_is_left_as_it_was() -> None:
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    job = Subclass()
    job.worker = job.Worker()
    jobdata(job, {})
    assert cloudpickle.list_registry_pickle_by_value() == before


@pytest.mark.parametrize("where", ["argument", "attribute of the job"])
def test_what_cannot_travel_is_named(where: str) -> None:
    lock = threading.Lock()
    job = Job(params=lock) if where != "argument" else Job()
    job.worker = job.Worker()
    with pytest.raises(
        DiscoError, match=rf"Cannot send the {where} 'params' to the nodes: TypeError: .*lock"
    ) as caught:
        jobdata(job, {"params": lock} if where == "argument" else {})
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_closure_over_something_that_cannot_travel(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file:
        job = Job(map=lambda e, p: file.write(e))
        job.worker = job.Worker()
        with pytest.raises(DiscoError, match="'map'"):
            jobdata(job, {})


def test_two_threads_may_pack_at_the_same_time() -> None:
    errors: list[BaseException] = []

    def pack() -> None:
        try:
            for _ in range(20):
                job = Subclass()
                job.worker = job.Worker()
                jobdata(job, {})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=pack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


class Counted:
    """Tells how often it was pickled."""

    pickled = 0

    def __getstate__(self) -> dict[str, Any]:
        Counted.pickled += 1
        return {"number": 7}


def test_a_pack_pickles_its_job_once() -> None:
    before = Counted.pickled
    pack = Subclass().pack(input=["raw://a"], params=Counted())
    assert Counted.pickled == before + 1
    assert elsewhere(pack.jobdata, "jobargs['params'].number") == "7"


@pytest.mark.parametrize("own", ["jobhome", "jobzip"])
def test_a_worker_that_makes_the_home_may_change_the_job(own: str) -> None:
    class Own(Subclass.Worker):  # type: ignore[name-defined,misc]
        pass

    def make(self: Any, job: Any, **jobargs: Any) -> Any:
        home = getattr(super(Own, self), own)(job, **jobargs)
        job.params["late"] = 7
        return home

    setattr(Own, own, make)
    pack = Job(map=Subclass.map, params={}, worker=Own()).pack(input=["raw://a"])
    assert elsewhere(pack.jobdata, "job.params['late']") == "7"
