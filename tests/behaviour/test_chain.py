"""Chains of jobs, and jobs of the simple worker (reference 8.13, 9.25)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, result_iterator
from discolocal.job import JobChain, SimpleJob
from discolocal.worker.classic.func import sum_reduce
from discolocal.worker.pipeline.worker import Stage, Worker
from discolocal.worker.task_io import chain_stream, task_output_stream


def words(line: str, params: Any) -> Any:
    return [(word, 1) for word in line.split(".")]


def lengths(entry: Any, params: Any) -> Any:
    word, count = entry
    return [(str(len(word)), count)]


def fails(line: str, params: Any) -> Any:
    raise ValueError("no")


class Counts(Job):
    map = staticmethod(words)
    reduce = staticmethod(sum_reduce)


class Lengths(Job):
    map = staticmethod(lengths)
    reduce = staticmethod(sum_reduce)

    @staticmethod
    def map_reader(fd: Any, size: Any, url: Any, params: Any) -> Any:
        from discolocal.worker.task_io import chain_reader

        return chain_reader(fd, size, url, params)


def test_a_chain_runs_each_job_on_the_results_of_others(cluster: LocalCluster) -> None:
    one, two = Counts("One", master=cluster), Counts("Two", master=cluster)
    both, again = Lengths("Both", master=cluster), Lengths("Again", master=cluster)
    before = Counts("Before", master=cluster).run(input=["raw://xyz.xyz"])
    chain = JobChain(
        {
            again: [before, [one]],
            both: [one, two],
            one: "raw://a.b.cc",
            two: ["raw://a.dd", ["raw://ee"]],
        }
    )
    assert chain.wait(poll_interval=0.05) is chain
    assert dict(result_iterator(both.wait())) == {"1": 3, "2": 3}
    assert dict(result_iterator(again.wait())) == {"1": 2, "2": 1, "3": 2}
    names = [job.name for job in chain]
    assert [name.partition("@")[0] for name in names] == ["Again", "Both", "One", "Two"]
    chain.purge()
    others, active = cluster.results(names)
    assert others == [(name, ("unknown job", [])) for name in names] and active == []
    assert before.results()[0] == "ready"


def test_a_label_for_the_results_of_a_job(cluster: LocalCluster) -> None:
    def labels(interface: Any, state: Any, label: int, inp: Any) -> None:
        for word, count in inp:
            interface.output(0).add((label, word), count)

    one, two = Counts("One", master=cluster), Counts("Two", master=cluster)
    stage = Stage("labels", process=labels, input_chain=list(chain_stream))
    both = Job("Both", master=cluster, worker=Worker(pipeline=[("group_label", stage)]))
    JobChain({both: [(5, one), [7, [two, one]], two], one: "raw://a.b.a", two: "raw://c"}).wait(poll_interval=0.05)
    assert sorted(result_iterator(both.wait())) == [
        ((0, "c"), 1),
        ((5, "a"), 2),
        ((5, "b"), 1),
        ((7, "a"), 2),
        ((7, "b"), 1),
        ((7, "c"), 1),
    ]


def test_a_chain_that_was_run_is_not_run_again(cluster: LocalCluster) -> None:
    one = Counts("One", master=cluster)
    chain = JobChain({one: ["raw://a"]}).wait()
    name = one.name
    assert chain.wait() is chain and one.name == name


def test_an_empty_chain(cluster: LocalCluster) -> None:
    assert JobChain().wait() == {}


def test_a_chain_ends_with_the_error_of_a_job(cluster: LocalCluster) -> None:
    bad, after = Job("Bad", master=cluster, map=fails), Counts("After", master=cluster)
    with pytest.raises(JobError, match="ValueError: no"):
        JobChain({after: bad, bad: ["raw://a"]}).wait(poll_interval=0.05)
    assert after.results() == ("unknown job", [])


def test_chains_that_cannot_end_are_refused(cluster: LocalCluster) -> None:
    one, two, three = (Counts(name, master=cluster) for name in ("One", "Two", "Three"))
    with pytest.raises(DiscoError, match="One, Two: cannot start, as nobody starts One, Two; jobs of a chain must"):
        JobChain({one: two, two: [one], three: ["raw://a"]}).wait(poll_interval=0.05)
    assert three.results()[0] == "ready", "what could run did"
    with pytest.raises(DiscoError, match="One: cannot start, as nobody starts Nobody;"):
        JobChain({one: Counts("Nobody", master=cluster)}).wait()


def test_a_chain_over_several_clusters(start: str) -> None:
    with LocalCluster(nodes=1, start=start) as first, LocalCluster(nodes=1, start=start) as second:
        one, two = Counts("One", master=first), Lengths("Two", master=second)
        slow = Job("Slow", master=second, map=lambda line, params: time.sleep(0.2) or [(line, 1)])
        JobChain({slow: ["raw://s"], two: one, one: "raw://a.bb"}).wait(poll_interval=0.05)
        assert dict(result_iterator(two.wait())) == {"1": 1, "2": 1}
        assert slow.results()[0] == "ready"


class Shout(SimpleJob):
    """Writes upper case; the reduce counts lines and adds what the job says."""

    ending = "!"

    @staticmethod
    def map(worker: Any, task: Any, **jobargs: Any) -> None:
        for line in worker.input(task):
            out = worker.output(task, 0, open=lambda url: task_output_stream(None, None, url, None))
            out.file.write(line.upper().encode() + b"\n")

    @staticmethod
    def reduce(worker: Any, task: Any, **jobargs: Any) -> None:
        lines = sorted(worker.input(task))
        ending = worker.getitem("ending", task.jobobjs[0], jobargs)
        out = worker.output(task, partition=None).file
        out.add("".join(lines), len(lines))
        out.append(ending)


def test_a_simple_job_has_a_function_for_each_stage(cluster: LocalCluster) -> None:
    urls = cluster.submit(Shout(), input=["raw://a", "raw://b"]).wait()
    assert list(result_iterator(urls)) == [("A\nB\n", 2), "!"]
    urls = cluster.submit(Shout(), input=["raw://a", "raw://b"], reduce=None).wait()
    assert sorted(result_iterator(urls, reader=None)) == ["A\n", "B\n"]


def test_a_simple_job_without_a_function_for_a_stage(cluster: LocalCluster) -> None:
    pack = SimpleJob("Nothing", reduce=Shout.reduce).pack(input=["raw://a"])
    pack.jobdict["map?"] = True
    with pytest.raises(JobError, match="SimpleJob has no function for the stage 'map'"):
        cluster.run(pack)
