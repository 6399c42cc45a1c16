"""Out-of-band results, and what a task knows of itself (reference 7.5, 8.3, 9.35)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError, DiscoError, Job, JobError, LocalCluster, PortabilityWarning, result_iterator
from tests.behaviour.classic import Write

Space = dict[str, Any]


def bare(source: str, *names: str) -> list[Any]:
    """Functions of a module that imports nothing: what they name comes from Disco."""
    space: Space = {}
    exec(source, space)
    return [space[name] for name in names]


STATISTICS = """
def map(line, params):
    words = line.split('.')
    put('length-' + words[0], str(len(words)).encode())
    return [(word, this_name()) for word in words]

def reduce(iter, out, params):
    assert get('no-such-key') is None
    seen = sorted({job for _, job in iter})
    put('reduce', get('length-a') + b' ' + get('length-c', job=this_name()))
    out.add(this_partition(), seen)
"""


def test_tasks_put_and_a_reduce_gets(cluster: LocalCluster) -> None:
    map, reduce = bare(STATISTICS, "map", "reduce")
    results = cluster.run(Job("Oob", map=map, reduce=reduce), input=["raw://a.b.b", "raw://c"])
    assert list(results) == [(0, [results.job.name])]
    job = results.job
    assert sorted(job.oob_list()) == ["length-a", "length-c", "reduce"]
    assert [job.oob_get(key) for key in ("length-a", "length-c", "reduce")] == [b"3", b"1", b"3 1"]
    assert job.oob_get("other") is None
    assert cluster.oob_get(job.name, "length-a") == cluster.oob_get(job, "length-a") == b"3"


def test_results_of_another_job(cluster: LocalCluster) -> None:
    map, reduce = bare(STATISTICS, "map", "reduce")
    first = cluster.run(Job("First", map=map, reduce=reduce), input=["raw://a.b.b", "raw://c"]).job
    (later,) = bare("def map(key, params):\n    return [(key, get(key, params)), (key, Task.get(key, params))]", "map")
    found = cluster.run(Job("Second", map=later, params=first.name), input=["raw://length-a", "raw://none"])
    assert sorted(found, key=repr) == [("length-a", b"3")] * 2 + [("none", None)] * 2
    with pytest.raises(CommError, match="no out-of-band results, or is unknown") as failure:
        cluster.oob_list(found.job.name)
    assert failure.value.code == 404


def test_any_bytes_and_the_last_value_counts(cluster: LocalCluster) -> None:
    (map,) = bare(
        "def map(line, params):\n"
        "    put('k', b'first')\n"
        "    put('k', params)\n"
        "    put('empty', b'')\n"
        "    put('array', bytearray(b'x'))\n"
        "    return [(get('k'), 1)]",
        "map",
    )
    value = bytes(range(256)) * 5000 + b"\n"
    results = cluster.run(Job(map=map, params=value), input=["raw://a"])
    assert list(results) == [(value, 1)]
    assert [results.job.oob_get(key) for key in ("k", "empty", "array")] == [value, b"", b"x"]


LONG = ["x" * length for length in (199, 200, 201, 256)] + ["x" * 255 + "y"]


def test_every_character_of_a_tag_and_long_keys(cluster: LocalCluster) -> None:
    (map,) = bare(
        "def map(line, params):\n    for key in params:\n        put(key, key.upper().encode())\n    return []", "map"
    )
    keys = ["Az09_-@:", "a:", "a", "-", *LONG]
    job = cluster.run(Job(map=map, params=keys), input=["raw://a"]).job
    assert sorted(job.oob_list()) == sorted(keys)
    assert {key: job.oob_get(key) for key in keys} == {key: key.upper().encode() for key in keys}


@pytest.mark.sampled
@pytest.mark.parametrize("key", ["a b", "a/b", "..", ".", "", "ä", "a\n", "a.b"])
def test_other_characters_are_refused_in_the_words_of_disco(cluster: LocalCluster, key: str) -> None:
    (map,) = bare("def map(line, params):\n    put(params, b'')\n    return []", "map")
    with pytest.raises(JobError, match="DiscoError: OOB key contains invalid characters \\(") as failure:
        cluster.run(Job(map=map, params=key), input=["raw://a"])
    assert "failed on" in str(failure.value), "it is tried once"


def test_limits_of_a_task(cluster: LocalCluster) -> None:
    (map,) = bare(
        "def map(line, params):\n    for n in range(params):\n        put(line + str(n), b'')\n    return []", "map"
    )
    job = cluster.run(Job(map=map, params=1000), input=["raw://a", "raw://b"]).job
    assert len(job.oob_list()) == 2000
    with pytest.raises(JobError, match="put\\('a1000', ...\\): a task may store 1000 out-of-band results"):
        cluster.run(Job(map=map, params=1001), input=["raw://a"])
    (map,) = bare("def map(line, params):\n    put('k' * 257, b'')\n    return []", "map")
    with pytest.raises(JobError, match="OOB key is too long \\(kkk"):
        cluster.run(Job(map=map), input=["raw://a"])


def test_text_is_taken_with_a_warning(cluster: LocalCluster, write: Write) -> None:
    (map,) = bare("def map(line, params):\n    put('k', 'ä')\n    put('l', 'b')\n    return []", "map")
    with pytest.warns(PortabilityWarning, match=r"\[oob-text\]") as warned:
        job = cluster.run(Job(map=map), input=["raw://a"]).job
    assert len(warned) == 1
    assert (job.oob_get("k"), job.oob_get("l")) == ("ä".encode(), b"b")
    with pytest.raises(JobError, match="oob-text"):
        cluster.run(Job(map=map), strict=True, input=["raw://a"])
    (map,) = bare("def map(line, params):\n    put('k', 1)\n    return []", "map")
    with pytest.raises(JobError, match=r"TypeError: put\('k', ...\): an out-of-band result must be bytes, not int"):
        cluster.run(Job(map=map), input=["raw://a"])


RETRIED = """
def map(line, params):
    import os
    attempt = len(os.listdir(params)) + 1
    open(os.path.join(params, str(attempt)), 'w').close()
    put('attempt-%d' % attempt, b'')
    put('last', str(attempt).encode())
    if attempt < 3:
        raise DataError('not yet', line)
    return [(line, get('last'))]
"""


def test_what_a_failed_attempt_has_put_does_not_count(cluster: LocalCluster, tmp_path: Path) -> None:
    (map,) = bare(RETRIED, "map")
    results = cluster.run(Job(map=map, params=str(tmp_path)), input=["raw://a"])
    assert list(results) == [("a", b"3")]
    assert sorted(results.job.oob_list()) == ["attempt-3", "last"]
    assert results.job.oob_get("last") == b"3"


def test_a_failed_job_keeps_what_its_done_tasks_have_put(cluster: LocalCluster) -> None:
    map, reduce = bare(
        "def map(line, params):\n    put(line, b'map')\n    return [(line, 1)]\n"
        "def reduce(iter, out, params):\n    put('reduce', b'')\n    raise ValueError('no')",
        "map",
        "reduce",
    )
    job = cluster.submit(Job(map=map, reduce=reduce), input=["raw://a"])
    with pytest.raises(JobError):
        job.wait()
    assert job.oob_list() == ["a"]


def test_clean_keeps_and_purge_removes(cluster: LocalCluster) -> None:
    (map,) = bare("def map(line, params):\n    put(line, b'1')\n    return []", "map")
    job = cluster.run(Job(map=map), input=["raw://a"]).job
    other = cluster.run(Job(map=map), input=["raw://a"]).job
    other.clean()
    assert other.results() == ("unknown job", []) and other.oob_get("a") == b"1"
    job.purge()
    with pytest.raises(DiscoError, match="Unknown key or jobname: 'a' of Job@"):
        job.oob_get("a")
    with pytest.raises(CommError):
        job.oob_list()
    left = [name for _, _, files in os.walk(cluster.root) for name in files]
    assert not [name for name in left if job.name in name]
    assert not os.path.exists(os.path.join(cluster.root, "ddfs", "oob", job.name))


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["../data", "", ".", "a/../b", "a\0b", "Nobody@1:2:3"])
def test_names_that_are_no_job(cluster: LocalCluster, name: str) -> None:
    with pytest.raises(DiscoError, match="Unknown key or jobname"):
        cluster.oob_get(name, "k")
    (map,) = bare("def map(line, params):\n    return [get('k', params)]", "map")
    if name:  # "" means the job itself, as None does
        with pytest.raises(JobError, match="CommError"):
            cluster.run(Job(map=map, params=name), input=["raw://a"])


@pytest.mark.own_events  # which task replaces the value of which one is a matter of time
@pytest.mark.filterwarnings("ignore::discolocal.PortabilityWarning")
def test_several_jobs_do_not_see_each_other(cluster: LocalCluster) -> None:
    (map,) = bare("def map(line, params):\n    put('k', params)\n    return []", "map")
    jobs = [cluster.submit(Job(map=map, params=b"%d" % n), input=["raw://a"] * 3) for n in range(4)]
    for job in jobs:
        job.wait()
    assert [job.oob_get("k") for job in jobs] == [b"0", b"1", b"2", b"3"]


KNOWN = """
def know():
    return [this_name(), this_host() in ('node1', 'node2'), this_master(), this_partition(), this_inputs()]

def map(line, params):
    return [(int(line), know())]

def reduce(iter, out, params):
    out.add('maps', sorted(iter))
    out.add('reduce', know()[:4] + [len(this_inputs())])
"""


def test_a_task_knows_itself_by_bare_names(cluster: LocalCluster) -> None:
    map, reduce = bare(KNOWN, "map", "reduce")
    job = cluster.submit(
        Job("Know", map=map, reduce=reduce, partition=lambda key, n, params: key % n, partitions=2),
        input=["raw://2", "raw://4", "raw://5"],
    )
    name, master = job.name, f"local://{cluster.root}"
    maps = [(n, [name, True, master, 0, [[f"raw://{n}"]]]) for n in (2, 4, 5)]
    records = list(result_iterator(job.wait()))
    assert [value for key, value in records if key == "maps"] == [maps[:2], maps[2:]]
    reduces = [value for key, value in records if key == "reduce"]
    assert [value[:4] for value in reduces] == [[name, True, master, 0], [name, True, master, 1]]
    assert all(value[4] > 0 for value in reduces)


def from_the_module(line: str, params: Any) -> Any:
    from discolocal.worker.classic import worker

    worker.put("by-module", worker.this_name().encode())
    return [(line, [worker.get("by-module"), worker.this_partition(), worker.this_inputs()])]


def test_the_same_names_in_the_module_of_the_worker(cluster: LocalCluster) -> None:
    results = cluster.run(Job(map=from_the_module), input=["raw://a"])
    assert list(results) == [("a", [results.job.name.encode(), 0, [["raw://a"]]])]
    assert results.job.oob_get("by-module") == results.job.name.encode()
