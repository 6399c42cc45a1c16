"""Results that are kept in DDFS: what they are, how long they stay, and that nothing is saved by halves (2.8, 3.2)."""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster, PortabilityWarning, result_iterator
from discolocal.chain import JobChain
from discolocal.cluster.locks import locked
from discolocal.cluster.tags import TagStore
from discolocal.error import CommError
from discolocal.report import check
from discolocal.wire.jobpack import JobPack
from discolocal.worker.classic.func import nop_reduce, sum_reduce
from discolocal.worker.task_io import chain_reader
from tests.behaviour.conftest import Server
from tests.behaviour.test_recorded_sessions import plain

Write = Callable[..., str]


def words(line: str, params: Any) -> Iterable[tuple[str, int]]:
    return [(word, 1) for word in line.split()]


def pairs(pair: tuple[str, int], params: Any) -> Iterable[tuple[str, int]]:
    yield pair


RAW = ["raw://a", "raw://b", "raw://a", "raw://c"]
COUNTED = {"a": 2, "b": 1, "c": 1}


def by_letter(key: str, number: int, params: Any) -> int:
    return ord(key[0]) % number


COUNT = Job("Count", map=words, reduce=sum_reduce, partition=by_letter)


def stored(cluster: LocalCluster) -> list[str]:
    """The files of all blobs of a cluster, and what was begun of some."""
    return sorted(str(path) for path in Path(cluster.root, "ddfs").glob("*/vol0/blob/*/*"))


def saved_tag(urls: Any) -> str:
    (tag,) = urls
    assert isinstance(tag, str)
    return tag


@pytest.fixture
def inline() -> Iterator[LocalCluster]:
    """A cluster of the test's own, where how workers start is no matter."""
    with LocalCluster(nodes=2, start="inline", seed=7, max_failures=1) as started:
        yield started


# What is saved


@pytest.mark.parametrize("parameter", ["save_results", "save"])
def test_results_are_the_blobs_of_a_tag(cluster: LocalCluster, parameter: str) -> None:
    plainly = cluster.run(COUNT, input=RAW, partitions=2)
    results = cluster.run(COUNT, input=RAW, partitions=2, **{parameter: True})
    tag = saved_tag(results.urls)
    assert tag == f"tag://disco:results:{results.job.name}"
    assert dict(results) == dict(plainly) == COUNTED
    assert cluster.results(results.job) == ("ready", [tag])
    assert cluster.jobinfo(results.job)["results"] == [tag]
    assert cluster.jobpack(results.job).jobdict["save_results"] is True
    blobs = cluster.ddfs.urls(tag)
    assert cluster.stageresults(results.job, "reduce") == blobs
    assert list(result_iterator(blobs)) == list(results)
    tasks = [re.search(rf"/{results.job.name}:(\d+):(\d+):reduce:", url) for (url,) in blobs]
    numbers = [int(task[1]) for task in tasks if task]
    assert numbers == sorted(numbers) and len(numbers) == len(blobs) == 2
    with pytest.raises(DataError):
        list(result_iterator([[f"dir://{cluster.nodes[0]}/disco/none"]]))


def test_saved_results_are_the_input_of_the_next_job(cluster: LocalCluster) -> None:
    results = cluster.run(COUNT, input=RAW, partitions=3, save_results=True)
    reduced = cluster.run(Job("Reduce", reduce=nop_reduce), input=results.urls)
    assert dict(reduced) == COUNTED
    mapped = cluster.run(
        Job("Next", map=pairs, map_reader=chain_reader, reduce=sum_reduce), input=results.urls, save_results=True
    )
    assert dict(mapped) == COUNTED
    assert saved_tag(mapped.urls) != saved_tag(results.urls)


def test_saved_results_pass_through_a_chain(inline: LocalCluster) -> None:
    first = Job("First", map=words, reduce=sum_reduce, save_results=True, master=inline)
    second = Job("Second", reduce=nop_reduce, save_results=True, master=inline)
    JobChain({first: RAW, second: first}).wait()
    assert dict(result_iterator(second.wait())) == COUNTED
    assert len(inline.ddfs.list("disco:results:")) == 2


def test_they_are_kept_when_the_job_is_purged(cluster: LocalCluster) -> None:
    results = cluster.run(COUNT, input=RAW, save_results=True)
    cluster.purge(results.job)
    assert not list(Path(cluster.data).glob(f"*/*/{results.job.name}"))
    assert dict(results) == dict(result_iterator(results.urls, ddfs=cluster)) == COUNTED
    assert dict(cluster.run(Job("Next", reduce=nop_reduce), input=results.urls)) == COUNTED


@pytest.mark.parametrize("partitions", [None, 3])
def test_a_map_is_saved_with_its_partitions(cluster: LocalCluster, partitions: int | None) -> None:
    job = Job("Map", map=words, partition=by_letter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = cluster.run(job, input=RAW, partitions=partitions, save=True)
    assert Counter(dict(cluster.run(COUNT, input=["raw://a"]))) == Counter(a=1)
    assert Counter(key for key, _ in results) == Counter(COUNTED)
    labels = {url.partition("$")[0].rpartition("-")[2] for (url,) in cluster.ddfs.urls(saved_tag(results.urls))}
    assert labels <= {"0", "1", "2"} and (len(labels) > 1 if partitions else labels == {"0"})


def test_a_partitioned_map_warns_of_what_a_cluster_refuses(inline: LocalCluster) -> None:
    job = Job("Map", map=words)
    with pytest.warns(PortabilityWarning, match="NotImplementedError in every map"):
        results = inline.run(job, input=RAW, save_results=True)
    assert Counter(key for key, _ in results) == Counter(COUNTED)
    with pytest.raises(PortabilityWarning, match="save-results"):
        inline.run(job, input=RAW, save_results=True, strict=True)
    report = check(job, inline, input=RAW, save_results=True)
    assert report.codes == ["save-results"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inline.run(job, input=RAW, save_results=True, partitions=None)
        inline.run(COUNT, input=RAW, save_results=True)


def test_a_job_without_results_has_an_empty_tag(inline: LocalCluster) -> None:
    results = inline.run(COUNT, input=[], save_results=True)
    assert inline.ddfs.urls(saved_tag(results.urls)) == [] and list(results) == []
    nothing = inline.run(Job("Nothing", map=lambda line, params: [], reduce=sum_reduce), input=RAW, save_results=True)
    assert list(nothing) == []
    assert dict(inline.run(COUNT, input=[*nothing.urls, "raw://x"])) == {"x": 1}


def test_a_job_without_stages_tags_its_inputs(inline: LocalCluster) -> None:
    with pytest.warns(PortabilityWarning, match="neither map nor reduce"):
        results = inline.run(Job("Nothing"), input=["raw://x", ["raw://y", "raw://z"]], save_results=True)
    assert inline.ddfs.urls(saved_tag(results.urls)) == [["raw://y", "raw://z"], ["raw://x"]]


def test_a_class_may_say_that_its_results_are_saved(inline: LocalCluster) -> None:
    class Saving(Job):
        save_results = True
        map = staticmethod(words)
        reduce = staticmethod(sum_reduce)

    results = inline.run(Saving, input=RAW)
    assert saved_tag(results.urls) and dict(results) == COUNTED
    assert isinstance(inline.run(Saving, input=RAW, save_results=False).urls[0], list)


def test_the_tag_is_that_of_a_master(golden: Path, server: Server) -> None:
    (path,) = (golden / "ddfs").glob("disco:results:*")
    urls = [server.page(page, b"the quick brown fox\nthe end\n") for page in ("/a", "/b")]
    with LocalCluster(nodes=1, start="fork") as cluster:
        cluster.run(Job("TeeSave", map=words, reduce=sum_reduce, partitions=1), input=urls, save_results=True)
        (ours,) = Path(cluster.root, "ddfs", "node1", "vol0", "tag").glob("??/disco:results:*")
        texts = [ours.read_text(), path.read_text()]
        names = [ours.name, path.name]
    texts, names = ([unstamped(text) for text in found] for found in (texts, names))
    assert texts[0] == texts[1] and names[0] == names[1]
    assert list(json.loads(texts[0]))[:2] == ["version", "id"]


def unstamped(text: str) -> str:
    """A text of DDFS without times, directories and pids."""
    text = re.sub(r"\$[0-9a-f]+-[0-9a-f]+-[0-9a-f]+", "$TIME", plain(text))
    text = re.sub(r"/blob/../", "/blob/HH/", re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "DATE", text))
    return re.sub(r"-3-[0-9a-f]{2}-\d+", "-3-HEX-PID", text)


def test_a_kept_root_has_saved_results_when_it_is_opened_again(tmp_path: Path) -> None:
    with LocalCluster(nodes=2, root=tmp_path / "root", start="inline") as cluster:
        results = cluster.run(COUNT, input=RAW, save_results=True)
    assert dict(results) == COUNTED
    with LocalCluster(nodes=1, root=tmp_path / "root", start="inline") as again:
        assert dict(result_iterator(list(results.urls), ddfs=again)) == COUNTED
        assert dict(again.run(Job("Next", reduce=nop_reduce), input=results.urls)) == COUNTED


# What is refused


def test_what_cannot_be_saved_is_refused_before_anything_is_made(inline: LocalCluster) -> None:
    before = sorted(os.listdir(inline.data))
    with pytest.raises(DiscoError, match="save_info='hdfs,namenode:9,me,/out/': results are saved to DDFS alone"):
        inline.run(COUNT, input=RAW, save_results=True, save_info="hdfs,namenode:9,me,/out/")
    with pytest.raises(DiscoError, match=r"the name 'a!b' becomes part .* of a tag"):
        inline.run(COUNT, input=RAW, save_results=True, name="a!b")
    with pytest.raises(DiscoError, match=r"the name 'a{40}'\.\.\. has 200 characters, that of a tag has room for"):
        inline.run(COUNT, input=RAW, save_results=True, name="a" * 200)
    assert sorted(os.listdir(inline.data)) == before and inline.ddfs.list() == []
    results = inline.run(COUNT, input=RAW, save_results=False, save_info="hdfs,namenode:9,me,/out/")
    assert dict(results) == COUNTED


def test_a_pack_for_a_real_cluster_may_say_hdfs() -> None:
    pack = COUNT.pack(input=RAW, save_results=True, save_info="hdfs,namenode:9,me,/out/")
    assert pack.jobdict["save_info"].startswith("hdfs") and pack.jobdict["save_results"] is True


# Nothing is saved by halves


@pytest.mark.own_events  # which node fails first is a matter of how they start
def test_a_job_whose_results_cannot_be_stored_fails(start: str, tmp_path: Path) -> None:
    with LocalCluster(nodes=2, start=start, root=tmp_path / "root", max_failures=1) as cluster:
        os.makedirs(os.path.join(cluster.root, "ddfs"))
        for node in cluster.nodes:  # a file where there has to be a directory: even root cannot write there
            Path(cluster.root, "ddfs", node).write_text("in the way")
        with pytest.raises(JobError, match="task reduce:.* failed 2 times.*The outputs could not be saved") as caught:
            cluster.run(COUNT, input=RAW, save_results=True)
        assert "Not a directory" in str(caught.value)
        assert cluster.ddfs.list() == [] and stored(cluster) == []
        for node in cluster.nodes:
            Path(cluster.root, "ddfs", node).unlink()
        assert dict(cluster.run(COUNT, input=RAW, save_results=True)) == COUNTED


def test_a_job_whose_tag_cannot_be_stored_fails(inline: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> list[str]:
        raise CommError("Temporary server error. Try again. (No space left on device)", "tag://x", 503)

    with monkeypatch.context() as patched:
        patched.setattr(TagStore, "post", full)
        with pytest.raises(JobError, match="its results could not be saved: .*No space left on device"):
            inline.run(COUNT, input=RAW, save_results=True)
    (_, status, name), *_ = inline.joblist()
    assert status == "dead" and inline.results(name) == ("dead", [])
    texts = [text for _, (_, _, text) in inline.events(name)]
    assert texts[-1] == "WARN: Job killed" and not any("READY" in text for text in texts)
    assert stored(inline) == [] and inline.ddfs.list() == []
    assert dict(inline.run(COUNT, input=RAW, save_results=True)) == COUNTED


def test_a_second_output_that_fails_takes_the_first_one_away(
    inline: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, calls = TagStore.upload, []

    def fails_once(self: TagStore, target: str, source: Any) -> str:
        calls.append(target)
        if len(calls) in (2, 3):  # on one node, and on the other
            raise CommError("Could not store the blob: No space left on device", target, 500)
        return upload(self, target, source)

    monkeypatch.setattr(TagStore, "upload", fails_once)
    results = inline.run(Job("Map", map=words), input=RAW, partitions=3, save=True)
    assert Counter(key for key, _ in results) == Counter(COUNTED)
    of_tag = [url for urls in inline.ddfs.urls(saved_tag(results.urls)) for url in urls]
    assert len(calls) > len(of_tag)
    assert sorted(os.path.basename(path) for path in stored(inline)) == sorted(map(os.path.basename, of_tag))


def test_a_job_that_fails_or_is_killed_leaves_no_blobs(forked: LocalCluster) -> None:
    def reduce(entries: Any, params: Any) -> Iterator[Any]:
        found = list(entries)
        if ("hang", 1) in found:
            time.sleep(60)
        if ("fail", 1) in found:
            time.sleep(0.3)
            raise ValueError("on purpose")
        yield from found

    def partition(key: str, number: int, params: Any) -> int:
        return int(key in ("hang", "fail"))

    job = Job("Half", map=words, reduce=reduce, partition=partition)
    before = stored(forked)
    with pytest.raises(JobError, match="on purpose"):
        forked.run(job, input=["raw://a", "raw://fail"], partitions=2, save_results=True)
    assert stored(forked) == before
    handle = forked.submit(job, input=["raw://a", "raw://hang"], partitions=2, save_results=True)
    wait_for(lambda: stored(forked) != before)
    handle.kill()
    assert stored(forked) == before and forked.ddfs.list() == []


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("fate", ["kill", "purge", "node", "helper"])
def test_a_job_that_is_killed_while_it_saves(tmp_path: Path, fate: str) -> None:
    """Its helper waits for the store, which the test holds. Processes: a node is killed, or its helper."""
    with LocalCluster(nodes=2, start="fork", root=tmp_path / "root") as cluster:
        cluster.ddfs.put("there", [])
        clock = os.path.join(cluster.root, "ddfs", ".clock")
        pids = cluster._holding.executor.pids()
        with locked(clock):
            handle = cluster.submit(COUNT, input=RAW, save_results=True)
            wait_for(lambda: who_waits_for(clock))
            (host,) = cluster.jobinfo(handle.name)["hosts"]
            if fate == "node":
                os.kill(pids[host], 9)
            elif fate == "helper":
                os.kill(who_waits_for(clock)[0], 9)
                wait_for(lambda: any("could not be saved: the process" in text for _, (_, _, text) in handle.events()))
            else:
                getattr(handle, fate)()
        if fate in ("node", "helper"):
            tag = saved_tag(handle.wait())
            assert dict(result_iterator([tag], ddfs=cluster)) == COUNTED
            of_tag = [os.path.basename(url) for urls in cluster.ddfs.urls(tag) for url in urls]
            assert [os.path.basename(path) for path in stored(cluster)] == of_tag
        else:
            assert cluster.results(handle.name)[0] == {"kill": "dead", "purge": "unknown job"}[fate]
            assert stored(cluster) == [] and cluster.ddfs.list() == ["there"]
        assert (cluster._holding.executor.pids() == pids) is (fate != "node"), "no node is lost for it"
        assert dict(cluster.run(COUNT, input=RAW, save_results=True)) == COUNTED


def who_waits_for(path: str) -> list[int]:
    """The processes that wait for the lock of a file."""
    inode = f":{os.stat(path).st_ino} "
    with open("/proc/locks") as file:
        return [int(line.split()[5]) for line in file if "->" in line and inode in line]


def test_saving_counts_attempts_as_a_master_does(inline: LocalCluster, tmp_path: Path) -> None:
    def reduce(entries: Any, params: Any) -> Iterator[Any]:
        if not params.exists():
            params.touch()
            raise DataError("not yet", "x")
        yield from entries

    job = Job("Again", map=words, reduce=reduce, params=tmp_path / "failed")
    results = inline.run(job, input=["raw://a"], save_results=True)
    ((url,),) = inline.ddfs.urls(saved_tag(results.urls))
    # The third task, and the fourth attempt after those of map, map_shuffle and the reduce that failed.
    assert re.search(rf"/{results.job.name}:2:3:reduce:", url)


def test_a_long_name_of_a_job_may_make_that_of_a_blob_a_digest(inline: LocalCluster) -> None:
    results = inline.run(COUNT, input=RAW, save_results=True, name="a" * 190)
    assert dict(results) == COUNTED
    ((url,),) = inline.ddfs.urls(saved_tag(results.urls))
    assert re.search(r"/[0-9a-f]{32}\$", url)


def test_packs_of_others_save_too(inline: LocalCluster) -> None:
    pack = COUNT.pack(input=RAW, save_results=True)
    again = JobPack.loads(pack.dumps())
    assert dict(inline.run(again)) == COUNTED
    again.jobdict["save_results"] = False
    assert isinstance(inline.run(again).urls[0], list)
