"""A job's life as its client follows it, and which nodes get tasks (reference 4.3, 4.5, 5, 6, 8.13)."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job, JobError, LocalCluster, result_iterator
from discolocal.worker.classic.func import sum_reduce
from tests.client.recorded import Recordings


def words(line: str, params: Any) -> Any:
    return [(word, 1) for word in line.split(".")]


def fails(line: str, params: Any) -> Any:
    raise ValueError("no")


def waits(line: str, params: Any) -> Any:
    """Wait for the file `params`, a minute at most."""
    import os
    import time

    end = time.monotonic() + 60
    while not os.path.exists(params) and time.monotonic() < end:
        time.sleep(0.005)
    return [(line, 1)]


@pytest.fixture
def own(start: str) -> Iterator[LocalCluster]:
    """Three nodes of a test's own, for what would change those of others."""
    with LocalCluster(nodes=3, start=start, seed=3) as started:
        yield started


@pytest.fixture(params=["fork", "exec"])
def working(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """Two nodes of a test's own that run tasks while the test goes on."""
    with LocalCluster(nodes=2, start=request.param, seed=3) as started:
        yield started


# Results of jobs


def test_results_of_several_jobs(cluster: LocalCluster) -> None:
    good = cluster.submit(Job(map=words), input=["raw://a"])
    bad = cluster.submit(Job(map=fails), input=["raw://a"])
    for job in (good, bad):
        with pytest.raises(JobError) if job is bad else pytest.MonkeyPatch.context():
            job.wait()
    rows = [(good.name, ("ready", good.wait())), ("No@1:2:3", ("unknown job", [])), (bad.name, ("dead", []))]
    assert cluster.results([good, "No@1:2:3", bad.name]) == (rows, [])
    assert cluster.results(rows) == (rows, []), "what was returned can be asked again"
    assert cluster.results([]) == ([], [])
    assert cluster.results(good) == cluster.results(good.name) == good.results() == ("ready", good.wait())
    assert cluster.results((good.name,)) == (rows[:1], [])


def test_results_of_several_jobs_come_when_one_ends(working: LocalCluster, tmp_path: Path) -> None:
    flags = [tmp_path / name for name in ("first", "second")]
    jobs = [
        working.submit(Job(name, map=waits, params=str(tmp_path / name)), input=["raw://x"])
        for name in ("first", "second")
    ]
    names = [job.name for job in jobs]
    began = time.monotonic()
    assert working.results(jobs, timeout=50) == ([], [(name, ("active", [])) for name in names])
    assert time.monotonic() - began >= 0.05
    threading.Timer(0.1, flags[1].touch).start()
    others, active = working.results(jobs, timeout=60_000)
    assert [row[0] for row in others] == names[1:] and [row[0] for row in active] == names[:1]
    assert others[0][1] == ("ready", jobs[1].wait())
    began = time.monotonic()
    assert working.results(others, timeout=60_000) == (others, []), "none is active: at once"
    threading.Timer(0.1, flags[0].touch).start()
    done, active = working.results([*active, *others], timeout=60_000)
    assert [row[0] for row in done] == names and active == []
    assert time.monotonic() - began < 30


def test_a_new_job_is_a_classic_job(cluster: LocalCluster) -> None:
    job = cluster.new_job("Words", map=words, reduce=sum_reduce, input=["raw://a.b.a"])
    assert job.name.startswith("Words@") and job.disco is cluster
    assert dict(result_iterator(job.wait())) == {"a": 2, "b": 1}
    with pytest.raises(TypeError, match="unexpected argument 'mapp'"):
        cluster.new_job("Words", mapp=words, input=["raw://a"])


def test_a_job_is_told_by_itself_or_its_name(cluster: LocalCluster) -> None:
    job = cluster.submit(Job(map=words, profile=True), input=["raw://a"])
    job.wait()
    for method in ("jobinfo", "rawevents", "jobevents", "stageresults", "results"):
        assert getattr(cluster, method)(job) == getattr(cluster, method)(job.name)
    assert list(cluster.events(job)) == list(job.events())
    assert cluster.jobpack(job).jobdict == job.jobpack().jobdict
    assert cluster.profile_stats(job, "map").total_calls == job.profile_stats("map").total_calls > 0
    cluster.kill(job)
    cluster.clean(job)
    assert cluster.results(job) == ("unknown job", [])
    cluster.purge(job)


def test_events_as_lines_and_as_a_list(cluster: LocalCluster) -> None:
    job = cluster.submit(Job(map=words), input=["raw://a"])
    job.wait()
    events = list(job.events())
    raw = cluster.rawevents(job)
    assert [tuple(json.loads(line)) for line in raw.decode().splitlines()] == [found for _, found in events]
    for offset, _ in events:
        assert cluster.rawevents(job, offset) == raw[offset:]
        assert [position for position, _ in job.events(offset)] == [p for p, _ in events if p > offset]
    last = [list(found) for _, found in events][::-1]
    assert cluster.jobevents(job) == last[:10] and cluster.jobevents(job, 3) == last[:3]
    found = cluster.jobevents(job, 100, "stage MAP")
    assert found == [row for row in last if "Stage map" in row[2]] and len(found) >= 2
    assert cluster.jobevents("Nobody@1:2:3") == []
    with pytest.raises(JobError, match="Status unknown job"):
        cluster.rawevents("Nobody@1:2:3")


# Showing events


def test_events_are_shown_in_the_formats_of_disco(cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    job = cluster.submit(Job(map=words, reduce=sum_reduce), input=["raw://a"])
    for nothing in (False, None, ""):
        job.wait(show=nothing)
    assert capsys.readouterr() == ("", "")
    rows = [found for _, found in job.events()]
    job.wait(show="json")
    assert capsys.readouterr() == ("".join(json.dumps(row) + "\n" for row in rows), "")
    plain = "".join(f"{when} {host} {text}\n" for when, host, text in rows)
    status = "Status: [reduce] 0 pending, 0 waiting, 0 running, 1 done, 0 failed\n"
    for text in ("nocolor", True):
        job.wait(show=text)
        assert capsys.readouterr() == ("", plain + status), "no terminal, no colours"


def test_events_have_colours_on_a_terminal(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cluster.submit(Job(map=fails), input=["raw://a"])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(JobError):
        job.wait(show=True)
    shown = capsys.readouterr().err
    assert "\x1b[31mFATAL: [map:0] " in shown and "\x1b[35mWARN: Job killed" in shown
    assert shown.startswith(f"\x1b[44m{job.name}:")
    without = re.sub(r"\x1b\[\d+m", "", shown)
    for _, (when, host, text) in job.events():
        assert f"{when} {host:<10} {text}\n" in without
    with pytest.raises(JobError):
        job.wait(show="nocolor")
    assert "\x1b" not in capsys.readouterr().err


def test_events_are_shown_while_the_job_runs(
    working: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = tmp_path / "flag"
    job = working.submit(Job(map=waits, params=str(flag)), input=["raw://x"])
    with pytest.raises(JobError, match="Timeout"):
        job.wait(timeout=0.5, show="nocolor")
    shown = capsys.readouterr().err
    assert "map:0 assigned to node" in shown and "READY" not in shown
    assert "Status: [map] 0 pending, 0 waiting, 1 running, 0 done, 0 failed\n" in shown
    flag.touch()
    job.wait(show="nocolor")
    assert "READY: Job done in" in capsys.readouterr().err


# Nodes


def test_nodeinfo_has_the_keys_of_a_cluster(golden: Path, own: LocalCluster) -> None:
    (recorded,) = json.loads(Recordings(golden).body("killed.nodeinfo")).values()
    assert all(info.keys() - {"pid"} == recorded.keys() for info in own.nodeinfo().values())
    own.run(Job(map=words), input=["raw://a"] * 4)
    with pytest.raises(JobError):
        own.run(Job(map=fails), input=["raw://a"])
    infos = own.nodeinfo()
    assert list(infos) == own.nodes
    # Four maps and the joining of their outputs on each node that ran one.
    assert sum(info["job_ok"] for info in infos.values()) == 4 + sum(info["job_ok"] > 0 for info in infos.values())
    assert [sum(info[key] for info in infos.values()) for key in ("data_error", "error")] == [0, 1]
    for info in infos.values():
        assert {key: type(value) for key, value in info.items() if key != "pid"} == {
            key: type(value) for key, value in recorded.items()
        }
        assert (info["max_workers"], info["connected"], info["blacklisted"]) == (1, True, False)
    assert json.loads(json.dumps(infos)) == infos


def test_a_failure_that_is_tried_again_counts_as_one_of_data(own: LocalCluster, tmp_path: Path) -> None:
    def once(line: str, params: str) -> Any:
        import os

        if not os.path.exists(params):
            open(params, "w").close()
            raise OSError("once")
        return [(line, 1)]

    with pytest.warns(UserWarning, match="os-error"):
        own.run(Job(map=once, params=str(tmp_path / "flag")), input=["raw://a"])
    infos = own.nodeinfo().values()
    assert [sum(info[key] for info in infos) for key in ("data_error", "error")] == [1, 0]


def test_joblist_is_newest_first(own: LocalCluster) -> None:
    first = own.submit(Job("First", map=words), input=["raw://a"])
    first.wait()
    second = own.submit(Job("Second", map=fails), input=["raw://a"])
    with pytest.raises(JobError):
        second.wait()
    rows = own.joblist()
    assert [row[1:] for row in rows] == [("dead", second.name), ("ready", first.name)]
    assert rows[0][0] >= rows[1][0] > time.time() - 60


def where(own: LocalCluster, count: int = 12) -> set[str]:
    """The nodes that ran the tasks of a job with this many inputs."""
    job = own.submit(Job(map=words), input=[f"raw://{n}" for n in range(count)])
    assert len(list(result_iterator(job.wait()))) == count
    texts = [text for _, (_, _, text) in job.events()]
    return {text.rpartition(" ")[2] for text in texts if " assigned to " in text}


def test_a_blacklisted_node_gets_no_tasks(own: LocalCluster) -> None:
    assert where(own) == {"node1", "node2", "node3"} and own.get_blacklist() == []
    own.blacklist("node3")
    own.blacklist("node1")
    own.blacklist("node1")
    assert own.get_blacklist() == ["node1", "node3"]
    assert [info["blacklisted"] for info in own.nodeinfo().values()] == [True, False, True]
    assert where(own) == {"node2"}
    with pytest.raises(DiscoError, match="No node would get tasks any more.*node1, node2, node3"):
        own.blacklist("node2")
    assert own.get_blacklist() == ["node1", "node3"]
    own.whitelist("node1")
    own.whitelist("node2")
    assert own.get_blacklist() == ["node3"] and where(own) == {"node1", "node2"}
    own.whitelist("node3")
    assert where(own) == {"node1", "node2", "node3"}


def test_data_on_a_blacklisted_node_is_read_by_others(own: LocalCluster) -> None:
    maps = own.run(Job(map=words), input=[f"raw://{n}" for n in range(9)])
    own.blacklist("node2")
    assert sorted(own.run(Job(reduce=sum_reduce), input=maps.urls)) == [(str(n), 1) for n in range(9)]


def test_a_failing_task_is_tried_again_where_there_are_nodes(own: LocalCluster) -> None:
    def broken(line: str, params: Any) -> Any:
        raise OSError("always")

    own.blacklist("node1")
    own.blacklist("node2")
    with pytest.raises(JobError, match="failed 4 times, the last time on node3"):
        own.run(Job(map=broken), input=["raw://a"])


@pytest.mark.parametrize("method", ["blacklist", "whitelist"])
def test_nodes_that_do_not_exist(own: LocalCluster, method: str) -> None:
    with pytest.raises(DiscoError, match="'localhost' is no node of this cluster, which has node1, node2, node3"):
        getattr(own, method)("localhost")


def test_running_tasks_of_a_blacklisted_node_go_on_and_waiting_ones_leave(
    working: LocalCluster, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    job = working.submit(Job(map=waits, params=str(flag)), input=[f"raw://{n}" for n in range(6)])
    end = time.monotonic() + 30
    while len(job.jobinfo()["hosts"]) < 2:
        assert time.monotonic() < end
        time.sleep(0.005)
    working.blacklist("node1")
    assert sorted(job.jobinfo()["hosts"]) == ["node1", "node2"]
    assert [info["tasks"] for info in working.nodeinfo().values()] == [[job.name], [job.name]]
    flag.touch()
    assert len(list(result_iterator(job.wait()))) == 6
    hosts = [text for _, (_, _, text) in job.events() if text.startswith("map:") and " assigned to " in text]
    assert sum(text.endswith("node1") for text in hosts) == 1 and len(hosts) == 6


def test_the_table_of_nodes(own: LocalCluster) -> None:
    assert own.config == own.get_config() == [["node1", "1"], ["node2", "1"], ["node3", "1"]]
    own.config = [("node1", 2), ["node3", "2"]]
    assert own.config == [["node1", "2"], ["node2", "0"], ["node3", "2"]]
    assert [info["max_workers"] for info in own.nodeinfo().values()] == [2, 0, 2]
    assert where(own) == {"node1", "node3"}
    own.blacklist("node1")
    assert where(own) == {"node3"}
    for table, text in (
        ([("node1", 1)], "No node would get tasks"),
        ([], "No node would get tasks"),
        ([("node1", 1), ("node1", 2)], "duplicate nodes: 'node1'"),
        ([("node9", 1)], "'node9' is no node"),
        ([("node1", "many")], "invalid config"),
        ([("node1", -1)], "invalid config"),
        (["node1"], "invalid config"),
    ):
        with pytest.raises(DiscoError, match=text):
            own.set_config(table)
    assert own.config == [["node1", "2"], ["node2", "0"], ["node3", "2"]], "a bad table changes nothing"


def test_more_slots_run_more_tasks_at_once(working: LocalCluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    job = working.submit(Job(map=waits, params=str(flag)), input=[f"raw://{n}" for n in range(6)])
    working.set_config([("node1", 3), ("node2", 1)])
    end = time.monotonic() + 30
    while len(job.jobinfo()["hosts"]) < 4:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert sorted(job.jobinfo()["hosts"]) == ["node1"] * 3 + ["node2"]
    flag.touch()
    assert len(list(result_iterator(job.wait()))) == 6


def test_a_closed_cluster_has_no_nodes(start: str) -> None:
    cluster = LocalCluster(nodes=2, start=start)
    cluster.close()
    questions: list[Callable[[], object]] = [
        cluster.nodeinfo,
        lambda: cluster.blacklist("node1"),
        lambda: cluster.whitelist("node1"),
        lambda: cluster.set_config([("node1", 1)]),
    ]
    for question in questions:
        with pytest.raises(DiscoError, match="closed"):
            question()


# Several jobs at once


def test_jobs_share_the_nodes_fairly(working: LocalCluster, tmp_path: Path) -> None:
    """A long job does not keep a short one waiting: as soon as a slot is free the job with the fewest tasks has it."""
    order = tmp_path / "order"
    order.touch()

    def note(line: str, params: str) -> Any:
        import time

        time.sleep(0.03)
        with open(params, "a") as file:
            file.write(line[0])
        return [(line, 1)]

    long = working.submit(Job("Long", map=note, params=str(order)), input=[f"raw://L{n}" for n in range(20)])
    short = working.submit(Job("Short", map=note, params=str(order)), input=[f"raw://S{n}" for n in range(4)])
    short.wait()
    long.wait()
    text = order.read_text()
    assert sorted(text) == sorted("L" * 20 + "S" * 4)
    assert text.rindex("S") < 14, text


def test_max_cores_limits_a_job_and_leaves_the_rest_to_others(working: LocalCluster, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    narrow = working.submit(
        Job("Narrow", map=waits, params=str(flag), scheduler={"max_cores": 1}), input=[f"raw://{n}" for n in range(3)]
    )
    other = working.run(Job("Other", map=words), input=["raw://a", "raw://b"])
    assert sorted(other) == [("a", 1), ("b", 1)], "it had the other node"
    assert len(narrow.jobinfo()["hosts"]) <= 1 and narrow.results(timeout=0)[0] == "active"
    flag.touch()
    assert len(list(result_iterator(narrow.wait()))) == 3


def test_a_job_that_was_cleaned_can_still_be_purged(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=lambda entry, params: [(entry, 1)]), input=["raw://x"])
    name = results.job.name
    there = [path for path in Path(cluster.root).rglob("*") if name in path.name]
    cluster.clean(name)
    assert any(path.exists() for path in there), "cleaning keeps what nodes have"
    cluster.purge(name)
    assert not any(path.exists() for path in there)


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "x/../../y@1:2:3", "nobody", "@", "a@b"])
def test_purge_deletes_jobs_only(cluster: LocalCluster, name: str) -> None:
    before = sorted(Path(cluster.root).rglob("*"))
    cluster.purge(name)
    assert sorted(Path(cluster.root).rglob("*")) == before
