"""What a job leaves behind: the urls of its results, and the records behind them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from discolocal.cluster.stages import Stage, Stages, check_open
from discolocal.core import result_iterator

if TYPE_CHECKING:
    from discolocal.cluster.jobrun import JobRun
    from discolocal.cluster.local import LocalCluster
    from discolocal.job import Job


class ResultUrls(list[Any]):
    """The result urls of a job in Disco's shape, a list of one url list per output, or of a tag's url (reference 3.2).

    Holds on to its cluster, so that a temporary cluster lives as long as its results are in use.
    """

    def __init__(self, urls: list[Any], cluster: LocalCluster) -> None:
        super().__init__(urls)
        self.cluster = cluster

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        """As the input of another job they are plain urls: the cluster does not travel with them."""
        return list, (list(self),)


class Results:
    """The results of a job that has ended.

    Iterating gives the records, `(key, value)` pairs for a classic job, in the order of the result
    files; it can be repeated while the cluster is open. `dict(results)` and `list(results)` work.
    Attributes: `job`, the job with its unique name; `urls`, the result urls; `stages`, what its stages did, a `Stages`.
    """

    def __init__(self, job: Job, urls: ResultUrls, run: JobRun) -> None:
        self.job = job
        self.urls = urls
        self._run = run

    @functools.cached_property
    def stages(self) -> Stages:
        """The stages of the job, with their tasks, inputs and outputs, in order; printed as a table."""
        return Stages(self.job.name, self._run.stages(), self.urls.cluster)

    def stage(self, name: str) -> Stage:
        """A stage by its name; iterating over it gives the records that it has put out.

        Raises DiscoError when there is none.
        """
        return self.stages[name]

    def __iter__(self) -> Iterator[Any]:
        check_open(self.job.name, self.urls.cluster)
        return result_iterator(self.urls)

    def __repr__(self) -> str:
        count = len(self.urls)
        return f"<Results of {self.job.name}: {count} {'url' if count == 1 else 'urls'} on {self.urls.cluster!r}>"
