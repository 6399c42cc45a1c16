"""The inputs of a job that has many of them: every task could see them, and hardly one looks."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from discolocal import Job, LocalCluster, jobdata
from discolocal.worker import apart
from discolocal.worker.base import Worker

INPUTS: list[Any] = [f"raw://{n}" if n % 2 else [f"raw://{n}"] for n in range(70)]


def words(line: str, params: Any) -> Iterator[tuple[str, int]]:
    yield line, 1


def seen(line: str, params: Any) -> Iterator[tuple[str, int]]:
    yield line, len(Task.jobobjs[1]["input"])  # type: ignore[name-defined]  # noqa: F821  a name that tasks have


class Asking(Worker):
    """Looks at the arguments of its job."""

    def run(self, task: Any, job: Any, **jobargs: Any) -> None:
        self.output(task, label=0).file.add(task.taskid, jobargs["input"])


@pytest.mark.parametrize("count", [1, 63, 64, 70])
def test_whoever_loads_the_data_of_a_job_finds_its_inputs(count: int) -> None:
    _, jobargs = pickle.loads(jobdata.jobdata(Job(map=words), {"input": INPUTS[:count], "name": "x"}))
    assert jobargs == {"input": INPUTS[:count], "name": "x"}


@pytest.mark.parametrize(
    "inputs", [tuple(INPUTS), [("a",)] * 70, [b"a"] * 70, [*INPUTS, ["a", b"b"]], dict.fromkeys("abc")]
)
def test_other_inputs_stay_as_they_are(inputs: Any) -> None:
    assert pickle.loads(jobdata.jobdata(Job(map=words), {"input": inputs}))[1] == {"input": inputs}


def test_inputs_hold_nothing_but_texts() -> None:
    with pytest.raises(pickle.UnpicklingError, match="posix.system"):
        jobdata.many_inputs(pickle.dumps([os.system]))


def test_a_task_does_not_load_what_it_does_not_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(apart.Unread, "read", lambda unread: loaded.append(unread) or jobdata.many_inputs(unread._data))
    with LocalCluster(start="inline") as cluster:
        assert len(list(cluster.run(Job(map=words), input=INPUTS))) == 70
        assert loaded == []
        assert {count for _, count in cluster.run(Job(map=seen), input=INPUTS)} == {70}
        assert len(loaded) == 70


@pytest.mark.parametrize("start", ["inline", "fork"])
def test_a_worker_of_the_users_gets_them(start: str) -> None:
    with LocalCluster(nodes=1, start=start) as cluster:
        results = dict(cluster.run(Job(worker=Asking()), input=INPUTS))
    assert results == dict.fromkeys(range(70), INPUTS)
