"""Workers of users: subclasses with a `run`, a program or stages of their own (reference 8.1, 11.3)."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, PortabilityWarning
from discolocal.worker import Worker as BaseWorker
from discolocal.worker.classic.func import sum_reduce
from discolocal.worker.classic.worker import Worker as ClassicWorker
from tests.behaviour.wordcounts import words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

TEXT = ["raw://b-a", "raw://a"]


class Telling(ClassicWorker):
    """A classic worker that does something around each task."""

    def run(self, task: Any, job: Any, **jobargs: Any) -> None:
        task.msg(f"before {task.stage} of {type(job).__name__}, {sorted(jobargs)}")
        super().run(task, job, **jobargs)


class Told(Job):
    """A job class with that worker."""

    Worker = Telling
    map = staticmethod(words)
    reduce = staticmethod(sum_reduce)


@pytest.mark.parametrize("how", ["class", "instance"])
def test_a_run_around_that_of_the_classic_worker(cluster: LocalCluster, how: str) -> None:
    job = Told() if how == "class" else Job("Told", worker=Telling(map=words, reduce=sum_reduce))
    results = cluster.run(job, input=TEXT)
    assert dict(results) == {"a": 2, "b": 1}
    told = Counter(text.split("] ")[1] for _, (_, _, text) in results.job.events() if "before" in text)
    maps = told[f"before map of {type(job).__name__}, ['input']"]
    assert maps == 2 and f"before reduce of {type(job).__name__}, ['input']" in told


class Upper(BaseWorker):
    """Reads and writes by itself, and knows neither map nor reduce."""

    def run(self, task: Any, job: Any, **jobargs: Any) -> None:
        for entry in self.input(task):
            out = self.output(task, partition=str(len(entry)))
            assert (out.type, out.partition, out.label) == ("disco", len(entry), len(entry))
            assert self.output(task, len(entry)) is out, "one output for one label"
            out.file.append(f"{job.prefix}{entry.upper()}")


class Prefixed(Job):
    """A job with an attribute that its worker looks at."""

    Worker = Upper
    prefix = "> "


@pytest.mark.parametrize("how", ["class", "instance"])
def test_a_worker_with_a_run_of_its_own(cluster: LocalCluster, how: str) -> None:
    job = Prefixed() if how == "class" else Prefixed(worker=Upper())
    results = cluster.run(job, input=TEXT)
    assert sorted(results) == ["> A", "> B-A"]
    assert [stage for stage, *_ in results.job.jobinfo()["pipeline"]] == ["map", "map_shuffle"]


def entries_of(task: Any, job: Any, **jobargs: Any) -> None:
    """A stage of a base worker: what its parameter `map` is called with."""
    worker = job.worker
    with_marks = jobargs["mark"]
    for entry in worker.input(task):
        worker.output(task, None).file.add(with_marks, entry)


def sorted_lines(task: Any, job: Any, **jobargs: Any) -> None:
    """The next stage: all inputs at once, merged."""
    merged = job.worker.input(task, merged=True)
    out = job.worker.output(task, None)
    for line in merged:
        out.file.append(line)


class Stages(BaseWorker):
    """The base worker, with a parameter of its own."""

    def defaults(self) -> dict[str, Any]:
        return {**super().defaults(), "mark": None, "version": "1"}


def test_a_base_worker_calls_the_parameters_named_like_its_stages(cluster: LocalCluster) -> None:
    job = Job("Staged", worker=Stages())
    results = cluster.run(job, input=["raw://b", "raw://a"], map=entries_of, mark="* ")
    assert sorted(results) == [("* ", "a"), ("* ", "b")]


def test_a_base_worker_may_reduce(cluster: LocalCluster, tmp_path: Path) -> None:
    files = []
    for name, text in (("one", "a\nc\n"), ("two", "b\nd\n")):
        (tmp_path / name).write_text(text)
        files.append(str(tmp_path / name))
    results = cluster.run(Job("Merging", worker=Stages(reduce=sorted_lines)), input=files)
    assert list(results) == ["a\n", "b\n", "c\n", "d\n"]


def test_a_base_worker_without_a_stage_says_so(cluster: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="no-stages"):
        cluster.run(Job("Nothing", worker=Stages()), input=["raw://a"])


class Chained(BaseWorker):
    """Reads results of another job, by an `open` of its own: "wrong" as it would open a file, "right"."""

    how = "right"

    def run(self, task: Any, job: Any, **jobargs: Any) -> None:
        for record in self.input(task, open=records_of if self.how == "right" else as_file):
            self.output(task, None).file.append(record)


def as_file(url: str) -> Any:
    from discolocal.worker.task_io import chain_reader, task_input_stream

    return chain_reader(*task_input_stream(None, None, url, None))


def records_of(url: str) -> Any:
    from discolocal.util import parse_dir

    return [record for file in parse_dir(url) for record in as_file(file)]


class Mistaken(Chained):
    how = "wrong"


def test_a_base_worker_reads_results_file_by_file_and_is_told_to(cluster: LocalCluster) -> None:
    found = cluster.run(Job(map=lambda line, params: [(line, 1)]), input=["raw://a", "raw://b"])
    parameters = {"input": found.urls, "reduce": len}
    assert sorted(cluster.run(Job(worker=Chained()), **parameters)) == [("a", 1), ("b", 1)]
    with pytest.raises(JobError, match=r"dir://.* is an index of files.*parse_dir\(url, label\).*worker.input\(task"):
        cluster.run(Job(worker=Mistaken()), **parameters)


class Failing(BaseWorker):
    """Fails after it has written."""

    def run(self, task: Any, job: Any, **jobargs: Any) -> None:
        self.output(task, None).file.append("half")
        raise KeyError("of my own")


def test_a_run_that_fails_ends_the_job_and_leaves_no_output(cluster: LocalCluster) -> None:
    with pytest.raises(JobError, match="KeyError: 'of my own'") as error:
        cluster.run(Job("Failing", worker=Failing()), input=["raw://a"])
    assert not list(Path(cluster.root).glob(f"**/{error.value.job}/**/map-*"))


class Homely(ClassicWorker):
    """Adds to the job home and to the environment, as hooks of the interface allow."""

    def jobzip(self, job: Any, **jobargs: Any) -> Any:
        home = super().jobzip(job, **jobargs)
        home.writestr("extra/note.txt", b"from jobzip")
        return home

    def jobenvs(self, job: Any, **jobargs: Any) -> dict[str, str]:
        return {**super().jobenvs(job, **jobargs), "OF_MY_OWN": "from jobenvs"}

    def jobdict(self, job: Any, **jobargs: Any) -> dict[str, Any]:
        return {**super().jobdict(job, **jobargs), "owner": "from jobdict"}


def test_hooks_of_the_job_pack(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_MY_OWN", "of the caller")

    def map(entry: str, params: Any) -> Any:
        import os

        with open(os.path.join(home(), "extra", "note.txt")) as file:
            yield file.read(), os.environ.get("OF_MY_OWN")

    def home() -> str:
        import os

        return os.path.dirname(Task.jobfile)  # type: ignore[name-defined]  # noqa: F821 (injected)

    results = cluster.run(Job("Hooks", worker=Homely(map=map)), input=["raw://x"])
    assert list(results) == [("from jobzip", "from jobenvs")]
    assert os.environ.get("OF_MY_OWN") == "of the caller", "an inline task has given it back"
    assert results.job.jobinfo()["owner"] == "from jobdict"


PROGRAM = b'''#!/usr/bin/env python3
"""A worker whose program is its own file."""

from discolocal.worker.classic.worker import Worker


class Own(Worker):
    @property
    def bin(self):
        return "own_program.py"


if __name__ == "__main__":
    print("this is", __file__)
    Own.main()
'''


class Own(ClassicWorker):
    """The same class on the client's side."""

    @property
    def bin(self) -> str:
        return "own_program.py"


@pytest.mark.own_events  # no program of its own runs in the test's thread
def test_a_worker_whose_program_is_its_own_file(cluster: LocalCluster) -> None:
    job = Job("Own", worker=Own(map=words, reduce=sum_reduce, required_files={"own_program.py": PROGRAM}))
    if cluster.start == "inline":
        with pytest.raises(DiscoError, match="own_program.py.*start='exec'"):
            cluster.run(job, input=TEXT)
    else:
        assert dict(cluster.run(job, input=TEXT)) == {"a": 2, "b": 1}
    with pytest.raises(DiscoError, match="own_program.py.*not in the job home"):
        cluster.run(Job("Own", worker=Own(map=words)), input=TEXT)


def test_a_worker_is_a_dict_of_parameters(write: Callable[[str, Any], str]) -> None:
    worker = ClassicWorker(partitions=4, map=words)
    assert isinstance(worker, dict) and worker["partitions"] == 4
    assert {**worker.defaults(), "partitions": 4, "map": words} == dict(worker)
    copy = pickle.loads(pickle.dumps(ClassicWorker(partitions=4)))
    assert type(copy) is ClassicWorker and copy == ClassicWorker(partitions=4) and copy.outputs == {}
