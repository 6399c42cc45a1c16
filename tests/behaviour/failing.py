"""Jobs that must fail, and what their errors must say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster
from discolocal.error import RemoteTraceback
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour.classic import words


def failure(cluster: LocalCluster, job: Job, inputs: list[Any], **jobargs: Any) -> JobError:
    """Run a job that must fail. The next job on the cluster must work."""
    with pytest.raises(JobError) as caught:
        cluster.run(job, input=inputs, **jobargs)
    error = caught.value
    assert dict(cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://a b a"])) == {"a": 2, "b": 1}
    return error


def traceback(error: JobError) -> str:
    assert isinstance(error.__cause__, RemoteTraceback)
    return str(error.__cause__)


def check(error: JobError, stage: str, *parts: str) -> None:
    """The error names job, stage, task, host and seed, and all of `parts`."""
    text = str(error)
    assert re.match(r"Job \w+@[0-9a-f]+:[0-9a-f]+:[0-9a-f]+ failed: task \w+:\d+ of stage \w+ failed", text)
    assert f"of stage {stage} " in text and f"task {stage}:" in text
    assert re.search(r"on node[12]: ", text)
    assert "seed" in text and re.search(r"seed=\d+", text)
    for part in parts:
        assert part in text, (part, text)


def bad_map(line, params):
    for word in line.split():
        if word == "bad":
            raise ValueError("cannot be good")
        yield word, 1
