"""What the tests of portability findings share: the smallest jobs, and a run."""

from __future__ import annotations

from typing import Any

from discolocal import Job, LocalCluster

RAW = ["raw://x"]

# Disco's own client could send these: they use nothing of this module, which imports no other of the tests.


def one(line: str, params: Any) -> Any:
    return [(line, 1)]


def int_keys(line: str, params: Any) -> Any:
    return [(1, 1)]


class Plain(Job):
    def map(line: str, params: Any) -> Any:  # noqa: N805
        return [(line, 1)]


def local_class() -> Job:
    class Inner(Job):
        @staticmethod
        def map(line: str, params: Any) -> Any:
            return [(line, 1)]

    return Inner()


def run(cluster: LocalCluster, job: Job, arguments: dict[str, Any], **more: Any) -> Any:
    return list(cluster.run(job, **{"input": RAW, **arguments}, **more))
