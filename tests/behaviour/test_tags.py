"""Tags as inputs of jobs, in every form, however workers start; tags where results are read (reference 1.5, 7)."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster, PortabilityWarning, result_iterator, schemes
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS
from discolocal.error import CommError
from discolocal.report import check
from discolocal.schemes import open_url
from discolocal.util import deref, inputlist, urlresolve, urlsplit
from discolocal.worker.classic.func import nop_reduce, sum_reduce
from discolocal.worker.task_io import chain_reader

Write = Callable[..., str]


def words(line: str, params: Any) -> Iterable[tuple[str, int]]:
    return [(word, 1) for word in line.split()]


COUNT = Job("Count", map=words, reduce=sum_reduce)
A, B, C = "a b\na\n", "b c\n", "a d\n"


def counted(*texts: str) -> dict[str, int]:
    return dict(Counter(word for text in texts for word in text.split()))


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No master but those that a test names."""
    for name in ("DISCO_MASTER", "DDFS_READ_TOKEN", "DDFS_WRITE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def inline() -> Iterator[LocalCluster]:
    """For what the client does: how workers start is no matter there."""
    with LocalCluster(nodes=2, start="inline", seed=7) as started:
        yield started


def prepared(cluster: LocalCluster, write: Write) -> DDFS:
    """The tags of a cluster: none but `letters`, two blobs, and `more`, one."""
    found = cluster.ddfs
    for name in found.list():
        found.delete(name, token="secret")
    found.push("letters", [write("a.txt", A), write("b.txt", B)])
    found.push("more", [write("c.txt", C)])
    return found


@pytest.fixture
def ddfs(inline: LocalCluster, write: Write) -> DDFS:
    """The tags of the inline cluster."""
    return prepared(inline, write)


# Forms


@pytest.mark.parametrize("reduces", [True, False])
def test_a_tag_is_an_input(cluster: LocalCluster, write: Write, reduces: bool) -> None:
    prepared(cluster, write)
    job = COUNT if reduces else Job("Map", map=words)
    found: Counter[str] = Counter()
    for word, count in cluster.run(job, input=["tag://letters"], partitions=2):
        found[word] += count
    assert found == counted(A, B)


def test_tags_stand_beside_other_inputs(inline: LocalCluster, ddfs: DDFS, write: Write) -> None:
    inputs = ["tag://letters", write("own.txt", "z\n"), "raw://az", "tag://more"]
    assert dict(inline.run(COUNT, input=inputs)) == counted(A, B, C, "z", "az")


def test_the_same_tag_twice_is_read_twice(inline: LocalCluster, ddfs: DDFS) -> None:
    assert dict(inline.run(COUNT, input=["tag://more", "tag://more"])) == counted(C, C)


def test_the_pack_has_blobs_with_their_replicas_and_no_tags(inline: LocalCluster, ddfs: DDFS, write: Write) -> None:
    ddfs.push("twice", [write("c.txt", C)], replicas=2)
    handle = inline.submit(COUNT, input=["tag://letters", "tag://twice"])
    inline.wait(handle.name)
    pack = inline.jobpack(handle.name)
    assert pack.jobdict["input"] == [*ddfs.urls("letters"), *ddfs.urls("twice")]
    hosts = [url.split("/")[2] for url in pack.jobdict["input"][2]]
    assert sorted(hosts) == ["node1", "node2"]


def test_a_reduce_reads_the_records_of_a_tag(cluster: LocalCluster, write: Write) -> None:
    ddfs = prepared(cluster, write)
    ddfs.chunk("records", [write("a.txt", A)], reader=pairs)
    assert dict(cluster.run(Job("Reduce", reduce=sum_reduce), input=["tag://records"])) == counted(A)
    lines = cluster.run(Job("Lines", map=first, map_reader=chain_reader), input=["tag://records"])
    assert sorted(key for key, _ in lines) == sorted(A.split())


def pairs(stream: Any, size: Any, url: Any, params: Any) -> Iterable[tuple[str, int]]:
    return ((word, 1) for line in stream for word in line.split())


def first(pair: tuple[str, int], params: Any) -> Iterable[tuple[str, int]]:
    yield pair


@pytest.mark.parametrize("url", ["tag://token:secret@/closed", "tag://secret@/closed"])
def test_a_token_in_the_url_of_a_tag(inline: LocalCluster, ddfs: DDFS, write: Write, url: str) -> None:
    ddfs.push("closed", [write("a.txt", A)], token="secret")
    assert dict(inline.run(COUNT, input=[url])) == counted(A)
    with pytest.raises(CommError, match="Incorrect or missing token"):
        inline.run(COUNT, input=["tag://closed"])
    with pytest.raises(CommError, match="Incorrect or missing token"):
        inline.run(COUNT, input=["tag://token:other@/closed"])


def test_a_token_of_the_environment(
    inline: LocalCluster, ddfs: DDFS, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddfs.push("closed", [write("a.txt", A)], token="secret")
    monkeypatch.setenv("DDFS_READ_TOKEN", "secret")
    assert dict(inline.run(COUNT, input=["tag://closed"])) == counted(A)


def test_tags_in_tags(inline: LocalCluster, ddfs: DDFS) -> None:
    ddfs.tag("inner", [["tag://more"]])
    ddfs.tag("outer", [["tag://inner"], *ddfs.urls("letters")])
    assert dict(inline.run(COUNT, input=["tag://outer"])) == counted(A, B, C)
    ddfs.tag("more", [["tag://outer"]])  # a circle
    assert dict(inline.run(COUNT, input=["tag://outer"])) == counted(A, B, C)


def test_a_tag_without_blobs_is_no_input(inline: LocalCluster, ddfs: DDFS) -> None:
    ddfs.tag("empty", [])
    assert dict(inline.run(COUNT, input=["tag://empty", "raw://x"])) == {"x": 1}
    assert dict(inline.run(COUNT, input=["tag://empty"])) == {}


def test_whatever_has_a_url_can_be_tagged(inline: LocalCluster, ddfs: DDFS, write: Write) -> None:
    results = inline.run(Job("Results", map=words), input=["raw://a", "raw://b", "raw://c"], partitions=2)
    ddfs.tag("results", results.urls)
    ddfs.tag("files", [[write("x.txt", "x y\n")], ["raw://z"]])
    assert dict(inline.run(COUNT, input=["tag://files"])) == counted("x y z")
    again = inline.run(Job("Again", map=first, map_reader=chain_reader), input=["tag://results"])
    assert sorted(again) == sorted(results)
    reduced = inline.run(Job("Reduce", reduce=sum_reduce), input=["tag://results"])
    assert dict(reduced) == counted("a b c")
    assert sorted(result_iterator(["tag://results"], ddfs=inline)) == sorted(results)


# Tags in lists


def test_a_tag_in_brackets_is_all_of_its_blobs(inline: LocalCluster, ddfs: DDFS) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dict(inline.run(COUNT, input=[["tag://letters"]])) == counted(A, B)
    with pytest.raises(PortabilityWarning, match="brackets") as caught:
        inline.run(COUNT, input=[["tag://letters"]], strict=True)
    assert caught.value.code == "tag-in-list"


def test_a_tag_of_one_blob_may_be_a_replica(inline: LocalCluster, ddfs: DDFS, write: Write) -> None:
    missing = "disco://node1/ddfs/vol0/blob/00/gone$703-3c369-72fc8"
    assert dict(inline.run(COUNT, input=[[missing, "tag://more"]])) == counted(C)
    assert dict(inline.run(COUNT, input=[["tag://more", write("c.txt", C)]])) == counted(C)


def test_tags_of_several_blobs_are_no_replicas(inline: LocalCluster, ddfs: DDFS) -> None:
    with pytest.raises(DiscoError, match="tag://letters in a list of replicas holds 2 blobs"):
        inline.run(COUNT, input=[["tag://more", "tag://letters"]])


# Names alone


def test_a_bare_name_is_a_file_if_there_is_one(inline: LocalCluster, ddfs: DDFS, home: Path) -> None:
    (home / "letters").write_text("file\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dict(inline.run(COUNT, input=["letters"])) == {"file": 1}
    (home / "letters").unlink()


def test_a_bare_name_is_else_a_tag_and_warns(inline: LocalCluster, ddfs: DDFS, home: Path) -> None:
    with pytest.warns(PortabilityWarning, match="write tag://letters") as caught:
        assert dict(inline.run(COUNT, input=["letters"])) == counted(A, B)
    assert [warning.message.code for warning in caught if isinstance(warning.message, PortabilityWarning)] == [
        "bare-tag"
    ]
    assert "bare-tag" in check(COUNT, inline, input=["letters"]).codes
    assert "tag-in-list" in check(COUNT, inline, input=[["tag://letters"]]).codes
    with pytest.raises(PortabilityWarning, match="bare-tag"):
        inline.run(COUNT, input=["letters"], strict=True)
    with pytest.raises(DiscoError, match="Input file does not exist: .*/lettres"):
        inline.run(COUNT, input=["lettres"])


# What is missing


def test_a_missing_tag_is_named_with_those_of_similar_names(inline: LocalCluster, ddfs: DDFS) -> None:
    with pytest.raises(DiscoError, match=r"There is no tag leters .*similar names are letters"):
        inline.run(COUNT, input=["tag://leters"])
    with pytest.raises(DiscoError, match="There is no tag qqq .*`discolocal ddfs ls`"):
        inline.run(COUNT, input=["tag://qqq"])
    ddfs.tag("outer", [["tag://gone"], ["raw://x"]])
    with pytest.raises(DiscoError, match="There is no tag gone, which is in tag://outer"):
        inline.run(COUNT, input=["tag://outer"])
    report = check(COUNT, inline, input=["tag://leters"])
    assert "There is no tag leters" in str(report)


@pytest.mark.own_events  # which replica is tried first is a matter of the node that the task runs on
def test_a_blob_whose_first_replica_is_gone(cluster: LocalCluster, write: Write) -> None:
    ddfs = prepared(cluster, write)
    _, ((first_url, second_url),) = ddfs.push("two", [write("a.txt", A)], replicas=2)
    os.unlink(path_of(cluster, first_url))
    assert dict(cluster.run(COUNT, input=["tag://two"])) == counted(A)
    assert "".join(result_iterator(["tag://two"], reader=None, ddfs=cluster)) == A
    os.unlink(path_of(cluster, second_url))
    with pytest.raises(DataError, match="No such file"):
        list(result_iterator(["tag://two"], reader=None, ddfs=cluster))
    with pytest.raises(JobError, match="a_txt"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster.run(COUNT, input=["tag://two"])


def path_of(cluster: LocalCluster, url: str) -> str:
    host, _, path = url.removeprefix("disco://").partition("/ddfs/")
    return os.path.join(cluster.root, "ddfs", host, path)


def test_a_task_does_not_read_tags(cluster: LocalCluster, write: Write) -> None:
    prepared(cluster, write)

    def reads(line: str, params: Any) -> Any:
        return [(str(record), 1) for record in open_url("tag://letters")[0]]

    with pytest.raises(JobError, match="Cannot read tag://letters in a task"):
        cluster.run(Job("Reads", map=reads), input=["raw://x"])


def test_a_task_has_the_tags_of_its_cluster_unless_it_is_executed(start: str, write: Write) -> None:
    def pushes(line: str, params: Any) -> Any:
        from discolocal.worker.classic.worker import this_master

        DDFS(this_master()).push("made", [(io.BytesIO(line.encode()), "x")])
        return [(line, 1)]

    with LocalCluster(nodes=1, start=start) as cluster:
        if start == "exec":
            with pytest.raises(JobError, match="executed from a job home reads the blobs .* but not its tags"):
                cluster.run(Job("Pushes", map=pushes), input=["raw://text"])
        else:
            assert list(cluster.run(Job("Pushes", map=pushes), input=["raw://text"])) == [("text", 1)]
            assert [file.read() for file in cluster.ddfs.pull("made")] == [b"text"]


# Where results are read


def test_results_are_read_by_their_tags(inline: LocalCluster, ddfs: DDFS, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sorted((A + B).splitlines(True))
    lines = lambda urls, **more: sorted(result_iterator(urls, reader=None, **more))  # noqa: E731
    assert lines("tag://letters", ddfs=inline) == lines(["tag://letters"], ddfs=ddfs) == expected
    assert lines([["tag://letters"]], ddfs=f"local://{inline.root}") == expected
    assert lines(["tag://letters"]) == expected  # of the clusters of this process that has it
    assert lines(["tag://letters", "raw://x"]) == sorted([*expected, "x"])
    with pytest.raises(DiscoError, match="There is no tag nothing"):
        lines(["tag://nothing"], ddfs=inline)
    seen: list[Any] = []
    lines(["tag://letters"], notifier=seen.append)
    assert seen == [urls[0] for urls in ddfs.urls("letters")]
    assert sorted(open_url("tag://letters")[0]) == expected
    monkeypatch.setenv("DISCO_MASTER", f"local://{inline.root}")
    assert lines(["tag://letters"]) == expected


def test_helpers_know_tags(inline: LocalCluster, ddfs: DDFS, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = ddfs.urls("letters")
    assert inputlist(["tag://letters", "raw://x"], ddfs=inline) == [*blobs, "raw://x"]
    assert inputlist(["tag://letters"]) == blobs
    assert list(deref(["tag://letters"], ddfs=inline)) == blobs
    resolved = [f"http://{url.removeprefix('disco://').replace('/', ':8989/', 1)}" for (url,) in blobs]
    monkeypatch.delenv("DISCO_PORT", raising=False)
    assert [url for (url,) in deref(["tag://letters"], resolve=True)] == resolved
    assert urlresolve("tag://x:y", master="http://m:1") == "http://m:1/ddfs/tag/x:y"
    assert urlresolve("tag://host/x") == "http://host:8989/ddfs/tag/x"
    assert urlresolve("tag://token:t@host:7/x", master="http://m:1") == "http://host:7/ddfs/tag/x"
    assert urlsplit("tag://x") == ("tag", ("", ""), "x")
    for master in ("", f"local://{inline.root}"):
        with pytest.raises(DiscoError, match="Cannot resolve tag://x"):
            urlresolve("tag://x", master=master)
    monkeypatch.setenv("DISCO_MASTER", "disco://m")
    assert urlresolve("tag://x") == "http://m:8989/ddfs/tag/x"


# Clusters that come and go


def test_a_kept_root_has_its_tags_when_it_is_opened_again(tmp_path: Path, write: Write) -> None:
    with LocalCluster(nodes=2, root=tmp_path / "root", start="inline") as cluster:
        cluster.ddfs.push("letters", [write("a.txt", A), write("b.txt", B)])
        cluster.ddfs.setattr("letters", "owner", "me")
    with LocalCluster(nodes=1, root=tmp_path / "root", start="inline") as again:
        assert again.ddfs.list() == ["letters"] and again.ddfs.attrs("letters") == {"owner": "me"}
        assert dict(again.run(COUNT, input=["tag://letters"])) == counted(A, B)
    assert sorted(result_iterator("tag://letters", reader=None, ddfs=again)) == sorted((A + B).splitlines(True))


def test_a_root_that_no_cluster_has_open(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    DDFS(TagStore(str(tmp_path / "elsewhere"), ["n1"])).push("letters", [write("a.txt", A)])
    monkeypatch.setattr(schemes, "data_roots", [])
    there = f"local://{tmp_path / 'elsewhere'}"
    assert "".join(result_iterator(["tag://letters"], reader=None, ddfs=there)) == A
    with LocalCluster(nodes=1, start="inline") as cluster:
        blobs = inputlist(["tag://letters"], ddfs=there)
        assert dict(cluster.run(COUNT, input=blobs)) == counted(A)


def test_a_temporary_cluster_takes_its_tags_with_it(write: Write) -> None:
    with LocalCluster(nodes=1, start="inline") as cluster:
        ddfs = cluster.ddfs
        ddfs.push("letters", [write("a.txt", A)])
    assert not os.path.exists(cluster.root)
    with pytest.raises(DiscoError, match="closed"):
        _ = cluster.ddfs
    assert not os.path.exists(cluster.root)


def test_a_job_looks_its_tags_up_at_its_master(write: Write) -> None:
    with LocalCluster(nodes=1, start="inline") as one, LocalCluster(nodes=1, start="inline") as other:
        one.ddfs.push("letters", [write("a.txt", A)])
        other.ddfs.push("letters", [write("b.txt", B)])
        for cluster, text in ((one, A), (other, B)):
            assert dict(cluster.run(COUNT, input=["tag://letters"])) == counted(text)
            handle = Job("Own", master=cluster, map=words, reduce=sum_reduce).run(input=["tag://letters"])
            assert dict(result_iterator(handle.wait())) == counted(text)
    with pytest.raises(JobError, match="it has no master"):
        COUNT.pack(input=["tag://letters"])
    assert COUNT.master is None


def test_a_worker_of_the_user_expands_tags_itself(inline: LocalCluster, ddfs: DDFS) -> None:
    from discolocal.worker.classic.worker import Worker

    class Own(Worker):
        def jobdict(self, job: Any, **jobargs: Any) -> dict[str, Any]:
            found = super().jobdict(job, **{**jobargs, "input": ["raw://"]})
            return {**found, "input": inputlist(jobargs["input"])}

    job = Job("Own", worker=Own(map=words, reduce=nop_reduce))
    assert sorted(word for word, _ in inline.run(job, input=["tag://more"])) == sorted(C.split())
