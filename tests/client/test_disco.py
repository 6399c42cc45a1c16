"""Submitting to a real master, waiting and reading results, against recorded answers."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from discolocal import CommError, Disco, DiscoError, Job, JobError, JobPack, result_iterator
from discolocal.error import DataError, RemoteTraceback
from discolocal.schemes import open_url
from discolocal.util import read_index
from discolocal.wire import packcheck
from discolocal.wire.jobpack import MAX_SIZE
from discolocal.worker.task_io import chain_reader
from tests.client.recorded import Exchange, RecordedMaster, Recordings, Request, answer, ranged, rendered

# Submitting


def packs_and_replies(golden: Path) -> dict[str, tuple[bytes, list[Any]]]:
    replies = json.loads((golden / "badpacks" / "replies.json").read_text())
    folder = golden / "badpacks"
    return {n: ((folder / f"{n}.jobpack").read_bytes(), json.loads(r["body"])) for n, r in replies.items()}


def submission(pack: bytes, reply: object) -> Exchange:
    body = reply if isinstance(reply, bytes) else json.dumps(reply, separators=(",", ":")).encode()
    return Exchange(Request("POST", "/disco/job/new", "", pack), answer(200, body))


def test_every_recorded_verdict_on_a_pack_reaches_the_caller(golden: Path, master: RecordedMaster) -> None:
    disco = Disco(master.url)
    recorded = json.loads((golden / "badpacks" / "replies.json").read_text())
    verdicts = {"ok": 0, "error": 0}
    for name, (pack, (verdict, said)) in packs_and_replies(golden).items():
        master.expect(submission(pack, recorded[name]["body"].encode()))
        verdicts[verdict] += 1
        if verdict == "ok":
            assert disco.submit(pack) == said, name
        else:
            with pytest.raises(DiscoError) as caught:
                disco.submit(pack)
            assert str(caught.value) == f"Failed to submit jobpack: {said}", name
        assert master.problems == [], name
    assert min(verdicts.values()) > 20


def test_a_master_that_takes_no_jobs(golden: Path, master: RecordedMaster) -> None:
    status, headers, text = json.loads((golden / "retries" / "retries_and_limits.json").read_text())[
        "submit_when_closed"
    ]
    master.expect(Exchange(Request("POST", "/disco/job/new", "", b"x"), rendered(status, headers, text.encode())))
    with pytest.raises(CommError, match="No new jobs should be submitted to this cluster") as caught:
        Disco(master.url).submit(b"x")
    assert caught.value.code == 403 and master.url in str(caught.value)


def test_packs_are_submitted_as_they_are(golden: Path, master: RecordedMaster) -> None:
    for path in sorted((golden / "jobpacks").glob("*.jobpack")):
        data = path.read_bytes()
        master.expect(submission(data, ["ok", "a@1:2:3"]), submission(data, ["ok", "a@1:2:4"]))
        assert Disco(master.url).submit(JobPack.loads(data)) == "a@1:2:3"
        assert Disco(master.url).submit(bytearray(data)) == "a@1:2:4"


def test_too_large_a_pack_is_not_sent(master: RecordedMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discolocal.core.MAX_SIZE", 10)
    with pytest.raises(DiscoError, match=r"Failed to submit jobpack: it has 11 bytes, a master takes 10$"):
        Disco(master.url).submit(b"x" * 11)
    assert master.asked == []
    assert MAX_SIZE == 1024 << 20


def test_what_is_no_job_is_not_sent(master: RecordedMaster) -> None:
    disco = Disco(master.url)
    with pytest.raises(TypeError, match="cannot submit 5"):
        disco.submit(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a job pack takes no parameters: input"):
        disco.submit(b"x", input=["raw://a"])
    with pytest.raises(TypeError, match="not a job or the name of one: 5"):
        disco.kill(5)  # type: ignore[arg-type]
    assert master.asked == []


def a_good_pack(body: bytes | None) -> bool:
    """What a master accepts: judged by the rules that are themselves compared with the recorded verdicts."""
    return packcheck.check(body or b"").prefix == "Words"


def words(line: str, params: object) -> list[tuple[str, int]]:
    return [(word, 1) for word in line.split()]


READY = "TeeMR@703:3c361:b91aa"
DEAD = "TeeFatal@703:3c376:8b89c"


@pytest.mark.parametrize("by", ["url", "disco://", "host:port", "environment", "object"])
def test_a_job_runs_on_a_real_master(
    recordings: Recordings, master: RecordedMaster, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    accepted = Exchange(Request("POST", "/disco/job/new"), answer(200, b'["ok","%s"]' % READY.encode()), a_good_pack)
    master.expect(accepted, results_asked(recordings, "finished_classic_mr.get_results", 2000))
    where: Any = {
        "url": master.url,
        "disco://": "disco://127.0.0.1",
        "host:port": master.url.removeprefix("http://"),
        "environment": None,
        "object": Disco(master.url),
    }[by]
    if by == "environment":
        monkeypatch.setenv("DISCO_MASTER", master.url)
    job = Job("Words", master=where, map=words).run(input=["raw://a"])
    assert job.name == READY
    assert job.wait() == json.loads(recordings.body("finished_classic_mr.get_results"))[0][1][1]
    assert isinstance(job.disco, Disco) and job.disco.master == master.url


def results_asked(recordings: Recordings, name: str, timeout: int) -> Exchange:
    """A recorded exchange of get_results, asked with another time-out."""
    exchange = recordings[name]
    asked = json.dumps([timeout, json.loads(exchange.request.body or b"")[1]]).encode()
    return exchange._replace(request=exchange.request._replace(body=asked))


def test_new_job(recordings: Recordings, master: RecordedMaster) -> None:
    accepted = Exchange(Request("POST", "/disco/job/new"), answer(200, b'["ok","Words@1:2:3"]'), a_good_pack)
    master.expect(accepted)
    assert Disco(master.url).new_job("Words", map=words, input=["raw://a"]).name == "Words@1:2:3"


def test_methods_of_a_job_ask_its_master(recordings: Recordings, master: RecordedMaster) -> None:
    job = Job(READY, master=master.url)
    names = ["jobinfo", "rawevents", "parameters", "stageresults.map"]
    master.expect(*(recordings[f"finished_classic_mr.{name}"] for name in names))
    assert job.jobinfo()["active"] == "ready"
    assert [event[2] for _offset, event in job.events()][-1] == "READY: Job done in 0:00:01.190"
    assert job.jobpack().jobdict["prefix"] == "TeeMR"
    assert len(job.stageresults()) == 2


def test_a_master_does_not_travel_in_a_pack(master: RecordedMaster) -> None:
    disco = Disco(master.url)
    with pytest.raises(TypeError, match="a Disco object cannot be pickled"):
        pickle.dumps(disco)
    job = Job("Words", master=disco, map=words)
    assert master.url.encode() not in job.pack(input=["raw://a"]).jobdata
    with pytest.raises((TypeError, DiscoError), match="a Disco object cannot be pickled"):
        Job("Words", map=lambda line, params: [(str(disco), 1)]).pack(input=["raw://a"])


@pytest.mark.parametrize(
    ("master", "url"),
    [
        ("http://h:8989", "http://h:8989"),
        ("http://h:8989/", "http://h:8989"),
        ("https://h", "https://h"),
        ("http://h", "http://h"),
        ("disco://h", "http://h:7"),
        ("disco://h:9", "http://h:9"),
        ("h", "http://h:7"),
        ("h:9", "http://h:9"),
        ("disco://[::1]", "http://[::1]:7"),
        ("[::1]:9", "http://[::1]:9"),
    ],
)
def test_forms_of_a_master(monkeypatch: pytest.MonkeyPatch, master: str, url: str) -> None:
    monkeypatch.setenv("DISCO_PORT", "7")
    assert Disco(master).master == url
    monkeypatch.setenv("DISCO_MASTER", master)
    assert Disco().master == url


@pytest.mark.parametrize(
    "master",
    ["", "http://", "ftp://h", "http://h:x", "http://h:0", "http://h:99999", "http://u:p@h", "http://h/x", "h h", "h:",
     "http://h?q", "disco://", 5, b"http://h", "http://[::1"],
)  # fmt: skip
def test_what_is_no_master(master: Any) -> None:
    with pytest.raises(DiscoError, match="a master is given as http://host:8989"):
        Disco(master)


def test_local_clusters_have_no_url() -> None:
    with pytest.raises(DiscoError, match=r"Job\(master=LocalCluster\(\)\)"):
        Job(master="local://x").run(input=["raw://a"])


def test_no_master_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCO_MASTER", raising=False)
    with pytest.raises(DiscoError, match="DISCO_MASTER is not set"):
        Disco()
    with pytest.raises(JobError, match="it has no master"):
        Job(map=words).run(input=["raw://a"])
    with pytest.raises(DiscoError, match="settings"):
        Disco("h", settings={})  # type: ignore[arg-type]


def test_a_bad_port_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PORT", "eighty")
    with pytest.raises(DiscoError, match="DISCO_PORT='eighty' in the environment"):
        Disco("h")


def test_an_environment_with_proxies_is_not_asked(
    recordings: Recordings, master: RecordedMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    master.expect(recordings["version"])
    assert Disco(master.url).version() == "0.5.4"


def test_disco_proxy(recordings: Recordings, master: RecordedMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_PROXY", master.url)
    version, index = recordings["version"], recordings.body("disco_proxy")
    master.expect(version._replace(request=Request("GET", "/proxy/far/GET/disco/version")))
    assert Disco("http://far:8989").version() == "0.5.4"
    path = recordings["disco_proxy"].request.path
    master.files[path] = index
    found = read_index("dir://localhost/" + path.removeprefix("/proxy/localhost/GET/"))
    assert [f"{line.label} {line.url} {line.size}\n".encode() for line in found] == [index]


def test_results_through_a_proxy(recordings: Recordings, master: RecordedMaster) -> None:
    index = b"0 disco://far/disco/far/aa/J@1:2:3/x 8\n"
    master.files["/proxy/far/GET/disco/far/aa/J@1:2:3/.disco/reduce.results"] = index
    master.files["/proxy/far/GET/disco/far/aa/J@1:2:3/x"] = b"one\ntwo\n"
    seen: list[Any] = []
    with pytest.warns(DeprecationWarning, match="set DISCO_PROXY in the environment") as told:
        found = result_iterator(
            [["dir://far/disco/far/aa/J@1:2:3/.disco/reduce.results"]], None, notifier=seen.append, proxy=master.url
        )
    assert (list(found), seen) == (["one\n", "two\n"], ["disco://far/disco/far/aa/J@1:2:3/x"]) and len(told) == 1


# Waiting


def test_waiting_for_a_job_that_dies_tells_the_cause(recordings: Recordings, master: RecordedMaster) -> None:
    master.expect(
        results_asked(recordings, "failed_fatal.get_results", 2000),
        recordings["failed_fatal.rawevents"],
    )
    with pytest.raises(JobError) as caught:
        Disco(master.url).wait(DEAD)
    assert str(caught.value) == f"Job {DEAD} failed: Status dead: task map:0 failed: ValueError: user code blew up"
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert caught.value.__cause__.text.startswith("Traceback (most recent call last):\n  File")
    assert caught.value.__cause__.text.endswith("ValueError: user code blew up")


def test_waiting_for_a_job_that_was_killed(recordings: Recordings, master: RecordedMaster) -> None:
    name = "gold_tokill@703:3c3c2:5df4e"
    master.expect(
        recordings["active.get_results_timeout_500"],
        recordings["killed.get_results_0.3s"],
        recordings["killed.rawevents"],
    )
    with pytest.raises(JobError) as caught:
        Disco(master.url).wait(name, poll_interval=0.5)
    assert str(caught.value) == f"Job {name} failed: Status dead: the job was killed"


def test_waiting_for_a_job_whose_task_failed_too_often(golden: Path, master: RecordedMaster) -> None:
    run = json.loads((golden / "retries" / "retries_and_limits.json").read_text())["maxfail_2"]
    master.expect(asked(run["job"], ["dead", []]), events_asked(run["job"], "\n".join(run["rawevents"])))
    with pytest.raises(JobError) as caught:
        Disco(master.url).wait(run["job"])
    failed = "Status dead: task map:0 failed 3 times, the last time: always failing"
    assert str(caught.value) == f"Job {run['job']} failed: {failed}"


def asked(job: str, found: list[Any], timeout: int = 2000) -> Exchange:
    body = json.dumps([timeout, [job]]).encode()
    said = json.dumps([[job, found]], separators=(",", ":")).encode()
    return Exchange(Request("POST", "/disco/ctrl/get_results", "", body), answer(200, said))


def events_asked(job: str, lines: str, offset: int = 0) -> Exchange:
    status, headers, body = ranged(lines.encode(), f"bytes={offset}-" if offset else "")
    request = Request("GET", f"/disco/ctrl/rawevents?name={quote(job, safe='')}", f"bytes={offset}-" if offset else "")
    return Exchange(request, answer(status, body, "text/plain", **headers))


def test_waiting_for_a_job_that_nobody_knows(recordings: Recordings, master: RecordedMaster) -> None:
    name = "TeePipe@703:3c365:8fd91"
    master.expect(results_asked(recordings, "purged.get_results", 2000))
    with pytest.raises(JobError) as caught:
        Disco(master.url).wait(name)
    assert str(caught.value) == f"Job {name} failed: Status unknown job"


def test_waiting_for_a_limited_time(recordings: Recordings, master: RecordedMaster) -> None:
    name = "gold_tokill@703:3c3c2:5df4e"
    master.expect(results_asked(recordings, "active.get_results_timeout_500", 0))
    with pytest.raises(JobError, match="Timeout"):
        Disco(master.url).wait(name, timeout=0)


def test_a_job_is_cleaned_when_it_is_ready_and_not_before(recordings: Recordings, master: RecordedMaster) -> None:
    job = "TeeError@703:3c379:5c0ae"
    ready = results_asked(recordings, "finished_after_retry.get_results", 2000)
    urls = json.loads(recordings.body("finished_after_retry.get_results"))[0][1][1]
    master.expect(
        asked(job, ["active", []]), asked(job, ["active", []]), ready, recordings["clean_finished_after_retry"]
    )
    assert Disco(master.url).wait(job, clean=True) == urls
    master.expect(asked(job, ["dead", []]), events_asked(job, ""))
    with pytest.raises(JobError, match="Status dead$"):
        Disco(master.url).wait(job, clean=True)


def test_results_in_the_time_they_were_recorded(golden: Path, master: RecordedMaster) -> None:
    recorded = json.loads((golden / "http_api" / "events_flush_longpoll_fair.json").read_text())
    disco = Disco(master.url)
    for key, timeout in (("longpoll_30000ms_job_2s", 30000), ("longpoll_1000ms_job_5s", 1000)):
        body = recorded[key][1]
        [[name, [status, results]]] = json.loads(body)
        request = Request("POST", "/disco/ctrl/get_results", "", json.dumps([timeout, [name]]).encode())
        master.expect(Exchange(request, answer(200, body.encode())))
        assert disco.results(name, timeout=timeout) == (status, results)
    body = recorded["longpoll_two_names_one_unknown"][1]
    names = [name for name, _ in json.loads(body)]
    request = Request("POST", "/disco/ctrl/get_results", "", json.dumps([2000, names]).encode())
    master.expect(Exchange(request, answer(200, body.encode())))
    assert disco.results(names) == ([(names[0], ("ready", [])), (names[1], ("unknown job", []))], [])
    name, found = "paced@1:2:3", recorded["paced_msgs_every_0.26s"]["results"]
    master.expect(asked(name, found))
    assert disco.results(Job(name)) == tuple(found)


def test_active_jobs_can_be_asked_for_again(recordings: Recordings, master: RecordedMaster) -> None:
    job = "gold_tokill@703:3c3c2:5df4e"
    master.expect(asked(job, ["active", []]), recordings["killed.get_results_0.3s"])
    disco = Disco(master.url)
    others, active = disco.results([job])
    assert (others, active) == ([], [(job, ("active", []))])
    assert disco.results(active, timeout=500) == ([(job, ("dead", []))], [])


def test_events_are_shown_once_while_a_master_writes_them(
    golden: Path, recordings: Recordings, master: RecordedMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recorded course of a job's status and event file; the events themselves are those of another job."""
    rows = json.loads((golden / "http_api" / "events_flush_longpoll_fair.json").read_text())["flush_timeline"]["rows"]
    job = "gold_tokill@703:3c3c2:5df4e"
    log = recordings.body("killed.rawevents").decode().splitlines(keepends=True)
    offset = 0
    for _when, _status, lines, _in_memory, status in rows[
        : 1 + next(i for i, row in enumerate(rows) if row[4] == "ready")
    ]:
        info = Request("GET", f"/disco/ctrl/jobinfo?name={quote(job, safe='')}")
        counts = {"pipeline": [["map", 0, 0, 1, lines, 0], ["reduce", 0, 0, 0, 0, 0]]}
        master.expect(
            asked(job, [status, []]),
            Exchange(info, answer(200, json.dumps(counts).encode())),
            events_asked(job, "".join(log[:lines]), offset),
        )
        offset = len("".join(log[:lines]))
    assert Disco(master.url).wait(job, show=True) == []
    shown = capsys.readouterr().err.splitlines(keepends=True)
    stages = [line for line in shown if line.startswith("Status: ")]
    assert stages[0] == "Status: [map] 0 pending, 0 waiting, 1 running, 0 done, 0 failed\n"
    assert len(stages) == len(set(stages)) > 1
    assert [line for line in shown if line not in stages] == ["{} {} {}\n".format(*json.loads(line)) for line in log]


def test_events_end_at_what_is_no_event(recordings: Recordings, master: RecordedMaster) -> None:
    job = READY
    log = recordings.body("finished_classic_mr.rawevents").decode()
    first, second = (line + "\n" for line in log.split("\n")[:2])
    disco = Disco(master.url)
    for text in (first + second + '["half a li', first + second + "not JSON\n" + first, first + second + '["a"]\n'):
        master.expect(events_asked(job, text))
        assert [offset for offset, _ in disco.events(job)] == [len(first), len(first + second)]
    # a complete event without its newline is still being written
    master.expect(events_asked(job, first + second[:-1]))
    assert [offset for offset, _ in disco.events(job)] == [len(first)]


def test_urls_that_were_recorded_for_each_form_of_input(golden: Path, master: RecordedMaster) -> None:
    disco = Disco(master.url)
    recorded = json.loads((golden / "http_api" / "input_url_forms_with_real_worker.json").read_text())
    for form, run in recorded.items():
        status, results = run["result"]
        if status != "TIMEOUT":  # of the one who recorded
            master.expect(asked(run["job"], [status, results]))
            assert disco.results(run["job"]) == (status, results)
        exhausted = [error for error in run["errors"] if error.startswith("disco.error.DataError")]
        for error in exhausted:
            ours = DataError("Exhausted all available replicas", [form])
            assert f"disco.error.{type(ours).__name__}: {ours}" == error


def test_operations_that_were_not_recorded(master: RecordedMaster) -> None:
    disco = Disco(master.url)
    for method in ("gc_blacklist", "gc_whitelist"):
        master.expect(Exchange(Request("POST", f"/disco/ctrl/{method}", "", b'"node"'), answer(200, b'""')))
        getattr(disco, method)("node")
    path = "/disco/ctrl/get_mapresults?name=a%20b%401%3A2%3A3"
    master.expect(Exchange(Request("GET", path), answer(200, b'["dir://h/disco/h/00/j/i"]')))
    assert disco.mapresults("a b@1:2:3") == ["dir://h/disco/h/00/j/i"]
    table = Exchange(
        Request("POST", "/disco/ctrl/save_config_table", "", b'[["h","2"]]'), answer(200, b'"table saved!"')
    )
    master.expect(table, Exchange(Request("GET", "/disco/ctrl/load_config_table"), answer(200, b'[["h","2"]]')))
    disco.config = [("h", 2)]
    assert disco.config == [["h", "2"]]


# Reading results


def records_of(golden: Path, stream: str) -> tuple[bytes, list[Any]]:
    """A data file that the real library has written, and what the real reader made of it."""
    path = golden / "streams" / stream
    data = path.read_bytes()
    return data, list(chain_reader(io.BytesIO(data), len(data), stream))


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_results_of_a_real_master_are_read_by_http(
    golden: Path,
    recordings: Recordings,
    master: RecordedMaster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    data, records = records_of(golden, "v1_level2_default.bin")
    assert records
    urls = json.loads(recordings.body("finished_classic_mr.get_results"))[0][1][1]
    for [url] in urls:
        path = golden / "layout" / "classic_map_shuffle_reduce.indexes" / url.rpartition("/")[2]
        index = path.read_bytes()
        master.files[url.removeprefix("dir://localhost")] = index if form == "plain" else gzip.compress(index)
        for line in index.decode().splitlines():
            master.files[line.split()[1].removeprefix("disco://localhost")] = data
    (tmp_path / "node1").mkdir()  # of a local cluster, whose files are not those of this master
    monkeypatch.setattr("discolocal.schemes.data_roots", [str(tmp_path)])
    assert list(result_iterator(urls)) == records * len(urls)


def test_blobs_are_read_by_http(recordings: Recordings, master: RecordedMaster) -> None:
    master.files[recordings["oob_blob"].request.path] = recordings.body("oob_blob")
    file, size, _url = open_url("disco://localhost" + recordings["oob_blob"].request.path)
    with file:
        assert (file.read(), size) == (b"value b", 7)
