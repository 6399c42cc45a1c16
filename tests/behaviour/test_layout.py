"""Files, urls, events and answers about a job, beside those of a real cluster (reference 1.3, 2.8, 5.2, 6, 8.13)."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, JobPack, LocalCluster, result_iterator
from discolocal.util import parse_dir
from discolocal.worker.classic.func import nop_reduce, sum_reduce
from tests.behaviour.classic import WordCount
from tests.behaviour.conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")

PAGES = {"/a": b"the quick brown fox\njumps over the lazy dog\n", "/b": b"the end of the story\nfox and dog\n"}
GOLDEN = {"classic_map_shuffle_reduce": False, "classic_reduce_shuffle": True}


class Recorded(WordCount):
    """The job of the recordings: words as bytes, so that a real worker can sort them."""


def run_recorded(cluster: LocalCluster, server: Server, reduce_shuffle: bool) -> Any:
    urls = [server.page(path, body) for path, body in PAGES.items()]
    return cluster.run(Recorded(), input=urls, encoding=None, reduce_shuffle=reduce_shuffle)


def words(line: str, params: Any) -> list[tuple[str, int]]:
    return [(word, 1) for word in line.split()]


@pytest.fixture
def single(start: str, tmp_path: Path) -> Any:
    """A cluster of one node with a root of its own, as the recordings had one."""
    with LocalCluster(nodes=1, start=start, root=tmp_path / "root") as cluster:
        yield cluster


def plain(text: str, jobname: str) -> str:
    """`text` without what differs from run to run: names, times, pids, hosts."""
    text = text.replace(jobname, "JOB")
    text = re.sub(r"\b(localhost|127[._]0[._]0[._]1|node1)\b", "HOST", text)
    text = re.sub(r"(?<=[:/\- ])[0-9a-f]{2}(?=/(JOB|\w+:-?\d+-))", "HH", text)
    text = re.sub(r"(\w+:-?\d+-\w*-\d+)-[0-9a-f]{2}-\d+", r"\1-XX-PID", text)
    text = re.sub(r"-\d+\.results", "-TIME.results", text)
    return re.sub(r"\d+:\d\d:\d\d\.\d{3}", "DURATION", text)


OF_THE_WORKER = re.compile(
    r"JOB/(srv|lib|REALWORKER|teeworker\.py|discolocal|cloudpickle)(/|$)|/[0-9a-f]{2}$|JOB/[0-9a-f]{2}$"
)


def listing(lines: list[tuple[str, str]], jobname: str) -> list[str]:
    """(type, path) rows without library files and the two-digit directories."""
    rows = [f"{kind} {plain(path, jobname)}" for kind, path in lines]
    return sorted(row for row in rows if not OF_THE_WORKER.search(row))


def golden_listing(path: Path) -> list[str]:
    head, *lines = path.read_text().splitlines()
    jobname = head.removeprefix("# job name: ").split()[0]
    rows = [line.split(" ", 3) for line in lines]
    return listing([(kind, name) for kind, _mode, _size, name in rows], jobname)


def our_listing(root: str, jobname: str) -> list[str]:
    rows = []
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if jobname in relative and not relative.startswith("logs/"):
                rows.append(("d" if name in names else "f", relative))
    return listing(rows, jobname)


@pytest.mark.parametrize("run", GOLDEN)
def test_files_lie_where_a_cluster_has_them(golden: Path, single: LocalCluster, server: Server, run: str) -> None:
    results = run_recorded(single, server, GOLDEN[run])
    assert our_listing(single.root, results.job.name) == golden_listing(golden / "layout" / f"{run}.find.txt")


def test_a_failed_job_leaves_the_files_of_a_cluster(golden: Path, single: LocalCluster, server: Server) -> None:
    def map(line, params):
        raise ValueError("user code blew up")

    job = single.submit(Job("TeeFatal", map=map), input=[server.page("/a", PAGES["/a"])])
    with pytest.raises(JobError):
        job.wait()
    assert our_listing(single.root, job.name) == golden_listing(golden / "layout" / "fatal_user_exception.find.txt")


def sizes(path: Path, what: str) -> list[int]:
    """The sizes of the files of that name in a recorded listing, in order of the task ids."""
    rows = [line.split(" ", 3) for line in path.read_text().splitlines()[1:]]
    found = [(re.search(r"reduce:\d+--(\d+)-", name), int(size)) for kind, _, size, name in rows if kind == "f"]
    by_task = {}
    for (match, size), row in zip(found, [row for row in rows if row[0] == "f"]):
        if match and re.search(what, row[3]):
            by_task[int(match[1])] = size
    return [by_task[task] for task in sorted(by_task)]


def test_sort_files_and_results_are_as_long_as_those_of_a_cluster(
    golden: Path, single: LocalCluster, server: Server
) -> None:
    results = run_recorded(single, server, False)
    recorded = golden / "layout" / "classic_map_shuffle_reduce.find.txt"
    found = {"out": {}, "sort": {}}
    for path in Path(single.data).rglob("*"):
        match = re.fullmatch(r"reduce:\d+--(\d+)-[0-9a-f]{2}-\d+", path.parent.name)
        if match and path.is_file():
            found["sort" if path.name == "sort.dl" else "out"][int(match[1])] = path.stat().st_size
    for kind, pattern in (("sort", r"/sort\.dl$"), ("out", r"/reduce:[^/]*/reduce:[^/]*$")):
        assert [found[kind][task] for task in sorted(found[kind])] == sizes(recorded, pattern)
    texts = json.loads((golden / "protocol_real_worker" / "classic_map_shuffle_reduce.json").read_text())
    assert list(results) == [(key["bytes"].encode(), value) for key, value in texts["records"]]


def test_lines_of_index_files(golden: Path, single: LocalCluster, server: Server) -> None:
    results = run_recorded(single, server, False)
    jobname = results.job.name

    def shapes(files: list[Path], jobname: str) -> dict[str, list[str]]:
        found = {}
        for file in files:
            # Intermediate files are not compressed here, and paths have other lengths: sizes are compared elsewhere.
            lines = [plain(line.rsplit(" ", 1)[0], jobname) for line in file.read_text().splitlines()]
            found[plain(file.name, jobname)] = lines
        return found

    recorded = list((golden / "layout" / "classic_map_shuffle_reduce.indexes").iterdir())
    ours = [path for path in Path(single.data).rglob(".disco/*") if jobname in str(path)]
    assert shapes(ours, jobname) == shapes(recorded, "TeeMR@703:3c361:b91aa")
    for index in ours:
        for line in index.read_text().splitlines():
            label, url, size = line.split(" ")
            file = Path(single.data) / url.split("/disco/", 1)[1]
            assert url == f"disco://node1/disco/node1/{url.split('/')[5]}/{jobname}/{file.relative_to(file.parents[2])}"
            assert file.stat().st_size == int(size) and int(label) in range(3)


def test_names_and_directories_of_jobs(single: LocalCluster) -> None:
    import hashlib

    before = int(time.time() * 1e6)
    results = single.run(Job("Named", map=words), input=["raw://x"])
    prefix, mega, second, micro = re.fullmatch(
        r"(Named)@([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)", results.job.name
    ).groups()
    stamp = int(mega, 16) * 10**12 + int(second, 16) * 10**6 + int(micro, 16)
    assert before <= stamp <= int(time.time() * 1e6)
    hh = hashlib.md5(results.job.name.encode()).hexdigest()[:2]
    assert (Path(single.data) / "_disco_8989" / hh / results.job.name / "jobfile").is_file()
    assert (Path(single.data) / "node1" / hh / results.job.name / "jobfile").is_file()
    ((url,),) = results.urls
    assert url.startswith(f"dir://node1/disco/node1/{hh}/{results.job.name}/.disco/map_shuffle-1-")


# Events


def events_of(rows: list[tuple[str, str]], jobname: str) -> tuple[list[str], dict[str, list[str]]]:
    """The events of the job itself, and those of each task, in order; host and text."""
    own, tasks = [], {}
    for host, text in rows:
        row = plain(f"{host}| {text}", jobname)
        match = re.match(r"\S+\| (?:\w+: \[(\w+:\d+)\]|(\w+:\d+) assigned)", row)
        if match:
            tasks.setdefault(match[1] or match[2], []).append(row)
        else:
            own.append(row)
    return own, tasks


@pytest.mark.parametrize("run", GOLDEN)
def test_events_are_those_of_a_cluster(golden: Path, single: LocalCluster, server: Server, run: str) -> None:
    recorded = json.loads((golden / "protocol_real_worker" / f"{run}.json").read_text())
    rows = [tuple(json.loads(line)[1:]) for line in recorded["rawevents"] if line]
    results = run_recorded(single, server, GOLDEN[run])
    ours = [(host, text) for _, (_, host, text) in results.job.events()]
    assert events_of(ours, results.job.name) == events_of(rows, recorded["job"])


def test_the_events_file_has_the_lines_of_the_events(single: LocalCluster) -> None:
    results = single.run(Job(map=words, reduce=sum_reduce), input=["raw://caf\u00e9 \u4e2d"])
    (path,) = Path(single.data).glob(f"_disco_8989/*/{results.job.name}/events")
    data = path.read_bytes()
    assert data.isascii()
    lines = [json.loads(line) for line in data.splitlines()]
    found = list(results.job.events())
    assert [list(event) for _, event in found] == lines
    assert found[-1][0] == len(data)
    offsets = [offset for offset, _ in found]
    position = 0
    for line, offset in zip(data.splitlines(keepends=True), offsets):
        position += len(line)
        assert offset == position
    for cut in (0, 3, len(offsets) - 1):
        assert list(results.job.events(offsets[cut])) == found[cut + 1 :]
    assert all(re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", when) for when, _, _ in lines)


def test_events_of_prints_are_cut_and_binary_text_is_escaped(single: LocalCluster) -> None:
    def map(entry, params):
        print("x" * 10_000)
        print("\udcff\udcfe bad")
        yield entry, 1

    results = single.run(Job(map=map), input=["raw://e"])
    texts = [text for _, (_, _, text) in results.job.events() if text.startswith("MSG") or "Binary" in text]
    assert texts[0].startswith("MSG: [map:0] xxx") and len(texts[0]) <= 8192
    assert all(text.isprintable() for text in texts)


def test_wait_can_show_the_events(single: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    job = single.submit(Job(map=words), input=["raw://x"])
    job.wait(show=True)
    printed = capsys.readouterr().err
    for _, (_, _, text) in job.events():
        assert text in printed


# What can be asked


def test_jobinfo_is_that_of_a_cluster(golden: Path, single: LocalCluster, server: Server) -> None:
    recorded = json.loads((golden / "protocol_real_worker" / "classic_map_shuffle_reduce.json").read_text())
    info = json.loads(recorded["jobinfo"][1])
    results = run_recorded(single, server, False)
    ours = results.job.jobinfo()
    assert ours.keys() == info.keys()
    assert ours["pipeline"] == info["pipeline"]
    assert ours["active"] == info["active"] == "ready"
    assert ours["hosts"] == info["hosts"] == []
    assert ours["inputs"] == [server.url("/a"), server.url("/b")]
    assert ours["results"] == [url for urls in results.urls for url in urls]
    shape = [[plain(url, results.job.name) for url in urls] for urls in results.urls]
    assert shape == [[plain(url, recorded["job"]) for url in urls] for urls in recorded["get_results"][1]]
    assert json.loads(json.dumps(ours)) == ours


def test_a_running_job_can_be_asked_about(forked: LocalCluster, tmp_path: Path) -> None:
    flag = tmp_path / "go"

    def map(entry, params):
        import os
        import time

        while not os.path.exists(params):
            time.sleep(0.005)
        yield entry, 1

    job = forked.submit(Job(map=map, params=str(flag), reduce=sum_reduce), input=["raw://a", "raw://b", "raw://c"])
    end = time.monotonic() + 10
    while len(forked.worker_pids()) < 2:
        assert time.monotonic() < end
        time.sleep(0.005)
    info = job.jobinfo()
    assert info["active"] == "active" and sorted(info["hosts"]) == ["node1", "node2"]
    assert info["pipeline"][0] == ["map", 0, 1, 2, 0, 0] and info["pipeline"][2] == ["reduce", 0, 0, 0, 0, 0]
    assert job.results(timeout=10) == ("active", [])
    with pytest.raises(DiscoError, match="map"):
        job.stageresults("map")
    assert [info["tasks"] for info in forked.nodeinfo().values()] == [[job.name]] * 2
    assert [row[1] for row in forked.joblist()][0] == "active"
    flag.touch()
    urls = job.wait()
    assert sorted(result_iterator(urls)) == [("a", 1), ("b", 1), ("c", 1)]
    assert job.results() == ("ready", urls)
    assert [node for node, info in forked.nodeinfo().items() if "tasks" in info] == []


def test_stageresults_are_inputs_like_any_other(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce), input=["raw://a b", "raw://b"], partitions=2)
    mapped = results.job.stageresults("map")
    assert len(mapped) == 2 and all(url.split("/.disco/")[1].startswith("map-") for (url,) in mapped)
    assert results.job.stageresults("reduce") == results.urls
    assert sorted(result_iterator(mapped)) == [("a", 1), ("b", 1), ("b", 1)]
    assert dict(cluster.run(Job(reduce=sum_reduce), input=mapped)) == {"a": 1, "b": 2}
    with pytest.raises(DiscoError, match="nothing"):
        results.job.stageresults("nothing")


def test_the_pack_of_a_job_can_be_read_and_run_again(cluster: LocalCluster) -> None:
    results = cluster.run(Job("Packed", map=words, reduce=sum_reduce), input=["raw://a b a"])
    pack = results.job.jobpack()
    assert isinstance(pack, JobPack) and pack.jobdict["prefix"] == "Packed" and pack.jobdict["map?"] is True
    assert dict(cluster.run(pack.dumps())) == {"a": 2, "b": 1}


def test_result_iterator_takes_urls_in_every_shape(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=words, reduce=nop_reduce), input=["raw://a b c d e f"], partitions=3)
    expected = sorted((letter, 1) for letter in "abcdef")
    files = [file for (url,) in results.urls for file in parse_dir(url)]
    shapes: list[Any] = [
        results.urls,
        [url for (url,) in results.urls],
        files,
        [[file] for file in files],
        [["disco://node1/disco/node1/00/none/file", file] for file in files],
        tuple(results.urls),
        iter(results.urls),
    ]
    for urls in shapes:
        assert sorted(result_iterator(urls)) == expected
    assert sum(len(list(result_iterator(url))) for (url,) in results.urls) == 6
    seen: list[Any] = []
    list(result_iterator(results.urls, notifier=seen.append))
    assert seen == files
    with pytest.raises((DataError, DiscoError), match="none"):
        list(result_iterator(["disco://node1/disco/node1/00/none/file"]))
    with pytest.raises(DiscoError, match="There is no tag some:tag"):
        list(result_iterator(["tag://some:tag"], ddfs=cluster))


# Where files stay


def test_nothing_is_written_to_the_working_directory(start: str, home: Path) -> None:
    with LocalCluster(nodes=2, start=start) as cluster:
        job = Job(map=words, reduce=sum_reduce, sort=True)
        assert dict(cluster.run(job, input=["raw://a b"], partitions=2)) == {"a": 1, "b": 1}
        with pytest.raises(JobError):
            cluster.run(Job(map=lambda e, p: 1 / 0), input=["raw://a"])


def test_a_temporary_root_goes_and_a_given_one_stays(start: str, tmp_path: Path) -> None:
    with LocalCluster(nodes=2, start=start) as cluster:
        temporary = cluster.root
        assert os.path.isdir(temporary)
    assert not os.path.exists(temporary)

    root = tmp_path / "deep" / "root"
    with LocalCluster(nodes=2, start=start, root=root) as cluster:
        assert cluster.root == str(root)
        results = cluster.run(Job(map=words), input=["raw://x"])
    assert list((root / "data" / "_disco_8989").rglob("jobfile"))
    assert list(results) == [("x", 1)], "a given root is kept, and so are the results"

    with LocalCluster(nodes=2, start=start, root=root) as cluster:
        again = cluster.run(Job(map=words), input=["raw://y"])
        assert list(again) == [("y", 1)] and list(results) == [("x", 1)]


def test_keep_keeps_a_temporary_root(start: str) -> None:
    import shutil

    with LocalCluster(nodes=2, start=start, keep=True) as cluster:
        results = cluster.run(Job(map=words), input=["raw://x"])
    try:
        assert list(results) == [("x", 1)]
    finally:
        shutil.rmtree(cluster.root)


def test_purge_deletes_everything_of_a_job_and_clean_only_forgets_it(cluster: LocalCluster) -> None:
    def files(name: str) -> list[str]:
        return [path for path, _, _ in os.walk(cluster.data) if name in path]

    kept = cluster.run(Job(map=words), input=["raw://x"])
    purged = cluster.run(Job(map=words), input=["raw://y"])
    purged.job.purge()
    assert files(purged.job.name) == []
    with pytest.raises(DataError):
        list(purged)
    kept.job.clean()
    assert list(kept) == [("x", 1)]
    assert not [path for path in files(kept.job.name) if "_disco_8989" in path]
    for gone in (kept, purged):
        assert gone.job.results() == ("unknown job", [])
        with pytest.raises(JobError, match="unknown job"):
            gone.job.wait()


def test_wait_with_clean_forgets_the_job_when_it_has_ended(cluster: LocalCluster) -> None:
    job = cluster.submit(Job(map=words), input=["raw://x"])
    urls = job.wait(clean=True)
    assert list(result_iterator(urls)) == [("x", 1)]
    assert job.results() == ("unknown job", [])


def test_purge_of_a_running_job_ends_it(forked: LocalCluster) -> None:
    def map(entry, params):
        import time

        time.sleep(60)

    job = forked.submit(Job(map=map), input=["raw://x"])
    time.sleep(0.05)
    start = time.monotonic()
    job.purge()
    assert time.monotonic() - start < 2
    assert forked.worker_pids() == []
    assert [path for path, _, _ in os.walk(forked.data) if job.name in path] == []


def test_tasks_of_a_job_on_a_node_share_their_working_directory(single: LocalCluster) -> None:
    def map(entry, params):
        import os

        with open(f"note-{entry}", "w"):
            pass
        yield os.path.basename(os.getcwd()), sorted(name for name in os.listdir() if name.startswith("note-"))

    results = dict(single.run(Job(map=map), input=["raw://x", "raw://y"]))
    (name,) = results
    assert name.startswith("Job@") and results[name] == ["note-x", "note-y"]


def test_a_job_home_has_no_more_than_what_the_job_needs(single: LocalCluster) -> None:
    results = single.run(Job(map=words), input=["raw://x"], required_modules=[])
    (home,) = Path(single.data).glob(f"node1/*/{results.job.name}")
    needed = single.start == "exec"
    assert (home / "discolocal").exists() == needed, "workers that are no programs have the library loaded"


# The face of the cluster


def test_repr_of_cluster_and_results(cluster: LocalCluster, start: str) -> None:
    text = repr(cluster)
    assert "2 nodes" in text and repr(start) in text and "seed=7" in text
    results = cluster.run(Job(map=words), input=["raw://x"])
    assert results.job.name in repr(results) and "1 url" in repr(results)


def test_the_default_number_of_nodes_is_that_of_the_cpus_and_at_least_two() -> None:
    with LocalCluster(start="inline") as cluster:
        assert len(cluster.nodes) == max(2, os.cpu_count() or 2)


def test_a_cluster_without_a_seed_draws_one() -> None:
    with LocalCluster(start="inline") as one, LocalCluster(start="inline") as two:
        assert isinstance(one.seed, int) and one.seed != two.seed


def test_progress_is_shown_when_it_is_wanted(
    start: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def map(entry, params):
        import time

        time.sleep(0.3)
        yield entry, 1

    monkeypatch.setattr("discolocal.cluster.progress.DELAY", 0.1)

    with LocalCluster(nodes=2, start=start, progress=True) as cluster:
        assert list(cluster.run(Job("Slow", map=map), input=["raw://x"])) == [("x", 1)]
    shown = capsys.readouterr()
    if start == "fork":
        assert "Slow" in shown.err
    assert shown.out == ""
    with LocalCluster(nodes=2, start=start) as cluster:
        cluster.run(Job("Slow", map=map), input=["raw://x"])
    assert capsys.readouterr() == ("", ""), "nobody watches a captured stream"
