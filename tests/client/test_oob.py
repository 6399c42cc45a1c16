"""Out-of-band results and profiles on a real cluster: a tag and blobs (reference 7.5), by what was recorded."""

from __future__ import annotations

import cProfile
import json
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, DataError, Disco, DiscoError, Job, JobError
from discolocal.task import Task
from discolocal.util import load_oob, save_oob
from tests.client.recorded import Exchange, RecordedMaster, Recordings, Request, answer, rendered

JOB = "TeeOOB@703:3c36c:7a060"
PROFILED = "TeeProfile@703:3c372:7fd0e"
TOKEN = "Basic dG9rZW46am9i"


def unknown(recordings: Recordings, job: str) -> Exchange:
    """The recorded answer to a request for a tag that does not exist, for the tag of this job, with the token."""
    recorded = recordings["oob_tag_missing"]
    path = recorded.request.path.replace("nosuch", job)
    return recorded._replace(request=recorded.request._replace(path=path, authorization=TOKEN))


def test_keys_and_latest_values(recordings: Recordings, master: RecordedMaster) -> None:
    disco = Disco(master.url)
    master.expect(recordings["oob_tag"])
    assert disco.oob_list(JOB) == ["key-b", "key-a"]
    master.files[recordings["oob_blob"].request.path] = recordings.body("oob_blob")
    for jobname in (JOB, Job(JOB)):
        master.expect(recordings["oob_tag"])
        assert disco.oob_get(jobname, "key-b") == b"value b"
    master.expect(recordings["oob_tag"])
    assert disco.oob_get(JOB, "key-c") is None


def test_a_job_without_values(recordings: Recordings, master: RecordedMaster) -> None:
    disco = Disco(master.url)
    master.expect(*[unknown(recordings, "nobody")] * 3)
    with pytest.raises(DiscoError, match="Unknown key or jobname: 'k' of nobody"):
        disco.oob_get("nobody", "k")
    with pytest.raises(CommError, match="Tag not found") as failure:
        disco.oob_list("nobody")
    assert failure.value.code == 404
    with pytest.raises(JobError, match="No profile data"):
        disco.profile_stats("nobody")


@pytest.mark.parametrize("body", [b"[]", b'{"urls": [[]]}', b'{"urls": [[1]]}', b'{"url": []}', b"3", b"not JSON"])
def test_what_is_no_tag(master: RecordedMaster, body: bytes) -> None:
    master.expect(Exchange(Request("GET", "/ddfs/tag/disco:job:oob:a", "", None, TOKEN), answer(200, body)))
    with pytest.raises(CommError, match="Not what"):
        Disco(master.url).oob_list("a")


def test_profiles(recordings: Recordings, master: RecordedMaster, tmp_path: Path) -> None:
    urls = [urls[0] for urls in json.loads(recordings.body("oob_tag_profile"))["urls"]]
    profile = cProfile.Profile()
    profile.runcall(sorted, [3, 1])
    profile.dump_stats(tmp_path / "stats")
    for url in urls:
        master.files[url.removeprefix("disco://localhost")] = (tmp_path / "stats").read_bytes()
    single, calls = Disco(master.url), []
    for mode in ("", "map_shuffle", "map:"):
        master.expect(recordings["oob_tag_profile"])
        stats: Any = single.profile_stats(PROFILED, mode)
        calls.append(next(row[1] for (_, _, name), row in stats.stats.items() if "sorted" in name))
    assert calls == [2, 1, 1]
    master.expect(recordings["oob_tag_profile"])
    with pytest.raises(JobError, match="No profile data"):
        single.profile_stats(PROFILED, "reduce")
    master.files[urls[0].removeprefix("disco://localhost")] = b"something else"
    master.expect(recordings["oob_tag_profile"])
    with pytest.raises(DataError, match="Not a profile"):
        single.profile_stats(PROFILED)


def on_a_node(master: RecordedMaster) -> Task:
    """A task as a real master describes it."""
    return Task(taskid=0, stage="map", group=[0, "n"], jobname=JOB, host="n", jobfile="jobfile", master=master.url)


def test_a_task_stores_a_blob_and_tags_it(recordings: Recordings, master: RecordedMaster) -> None:
    new = recordings["new_blob"]
    where = json.loads(recordings.body("new_blob"))[0].replace("http://localhost:8990", master.url)
    stored = "disco://localhost/ddfs/vol0/blob/08/goldblob$703-3c3c8-e6b10"
    tag = Request("POST", recordings["oob_tag"].request.path + "?delayed=1", "", json.dumps([[stored]]).encode(), TOKEN)
    master.expect(
        Exchange(new.request, answer(200, json.dumps([where]).encode())),
        Exchange(
            Request("PUT", where.removeprefix(master.url), "", b"value"), answer(201, json.dumps(stored).encode())
        ),
        Exchange(tag, answer(200, recordings.body("tag_post"))),
    )
    on_a_node(master).put("goldblob", b"value")


def test_a_client_stores_a_blob_and_tags_it(recordings: Recordings, master: RecordedMaster) -> None:
    new = recordings["new_blob"]
    where = json.loads(recordings.body("new_blob"))[0].replace("http://localhost:8990", master.url)
    tag = Request("POST", recordings["oob_tag"].request.path + "?delayed=1", "", b'[["disco://n/ddfs/b"]]', TOKEN)
    put = Request("PUT", where.removeprefix(master.url), "", b"value")
    asked = (
        Exchange(new.request, answer(200, json.dumps([where]).encode())),
        Exchange(put, answer(201, b'"disco://n/ddfs/b"')),
        Exchange(tag, answer(200, recordings.body("tag_post"))),
    )
    for host in (master.url, Disco(master.url)):
        master.expect(*asked)
        save_oob(host, JOB, "goldblob", "value")
        master.expect(recordings["oob_tag"])
        assert load_oob(host, JOB, "key-c") is None


def test_a_task_reads_values(recordings: Recordings, master: RecordedMaster) -> None:
    task = on_a_node(master)
    task.disco_port = master.port
    master.files[recordings["oob_blob"].request.path] = recordings.body("oob_blob")
    master.expect(recordings["oob_tag"], recordings["oob_tag"], unknown(recordings, "nobody"))
    assert (task.get("key-b"), task.get("key-c")) == (b"value b", None)
    with pytest.raises(CommError, match="Tag not found"):
        task.get("key-b", "nobody")


def test_a_name_that_no_blob_may_have_is_not_even_sent(recordings: Recordings, master: RecordedMaster) -> None:
    with pytest.raises(DiscoError, match=r"OOB key contains invalid characters \(gold blob\)"):
        on_a_node(master).put("gold blob", b"")
    refused = recordings["new_blob_badname"]
    assert refused.answer.endswith(b"Invalid tag"), "as the master would"
    master.expect(Exchange(Request("GET", "/ddfs/new_blob/k"), rendered(403, {}, b"Not enough nodes for replicas.")))
    with pytest.raises(CommError, match="Not enough nodes"):
        on_a_node(master).put("k", b"")
