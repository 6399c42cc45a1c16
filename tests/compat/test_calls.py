"""Functions and classes that were called with other arguments once, and methods that had other names."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Disco, DiscoError, Job, JobError, LocalCluster, core, result_iterator
from discolocal.error import CommError
from discolocal.wire.jobpack import JobPack
from discolocal.worker import oob
from discolocal.worker.old import records
from tests.compat.conftest import Run


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Nothing here is about processes."""
    with LocalCluster(nodes=2, start="inline", seed=3) as started:
        yield started


def letters(line: str, params: Any) -> list[tuple[str, int]]:
    return [(letter, 1) for letter in line]


def add_up(iter: Any, out: Any, params: Any) -> None:
    sums: dict[str, int] = {}
    for key, value in iter:
        sums[key] = sums.get(key, 0) + value
    for pair in sums.items():
        out.add(*pair)


# Job(master, name)


@pytest.mark.parametrize("master", ["disco://localhost", "http://h:8989", "local://"])
def test_a_job_of_0_3_names_its_master_first(master: str) -> None:
    with pytest.warns(
        DeprecationWarning, match=r"Job\(master, name\) is an old order: use Job\(name, master\)"
    ) as told:
        job = Job(master, "wc")
    assert (job.name, job.master) == ("wc", master) and Path(told[0].filename).name == "test_calls.py"


def test_a_master_may_be_an_object(cluster: LocalCluster) -> None:
    class Count(Job):
        map = staticmethod(letters)

    client = Disco("http://h:8989")
    with pytest.warns(DeprecationWarning):
        assert (Count(client).name, Count(client).master) == ("Count", client)
    with pytest.warns(DeprecationWarning):
        job = Count(cluster, "mine").run(input=["raw://ab"])
    assert job.name.startswith("mine@") and sorted(result_iterator(job.wait())) == [("a", 1), ("b", 1)]
    assert job.disco is cluster


# Errors


def test_an_error_of_a_job_as_it_was_made_before_0_4() -> None:
    with pytest.warns(DeprecationWarning, match=r"use JobError\(name, message\)") as told:
        error = JobError("no such thing", "http://h:8989", "wc@1")
    assert Path(told[0].filename).name == "test_calls.py"
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert (str(one), one.job) == ("Job wc@1 failed: no such thing", "wc@1")
        assert str(one) == str(JobError("wc@1", "no such thing"))


@pytest.mark.parametrize("module", ["core", "error"])
def test_the_first_name_of_the_error(script: Run, module: str) -> None:
    done = script(
        f"from disco.{module} import JobException\nfrom disco.core import Job\n"
        "def map(line, params):\n    return 1 / 0\n"
        "try:\n    Job().run(input=['raw://a'], map=map).wait()\nexcept JobException as error:\n"
        "    print('ZeroDivisionError' in str(error))\n",
        options=("--start", "inline"),
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert "program.py:1: DeprecationWarning" in done.stderr and "use JobError" in done.stderr


# Results


def test_the_order_of_arguments_of_0_2(cluster: LocalCluster) -> None:
    with pytest.warns(DeprecationWarning):
        found = cluster.run(Job(), input=["raw://aba"], map=letters, reduce=add_up, reduce_writer=records.object_writer)
    expected, seen = [("a", 2), ("b", 1)], []

    def notifier(url: Any) -> None:
        seen.append(url)

    for arguments in (
        (None, None, records.object_reader),
        (notifier, None, records.object_reader),
        (notifier, "http://proxy:8989", records.object_reader),
        (notifier,),
    ):
        with pytest.warns(DeprecationWarning, match=r"\(urls, notifier, proxy, reader\) is an old order") as told:
            iterator = result_iterator(found.urls, *arguments)
        assert {Path(one.filename).name for one in told} == {"test_calls.py"}
        if len(arguments) == 3:
            assert sorted(iterator) == expected
    assert len(seen) == 2, "the notifier is called for the one file, when it is read"
    with pytest.warns(
        DeprecationWarning, match="object_reader is of Disco before 0.4: use the default streams"
    ) as told:
        assert sorted(result_iterator(found.urls, reader=records.object_reader)) == expected
    assert len(told) == 1


def test_the_order_of_today_is_not_mistaken(cluster: LocalCluster, recwarn: pytest.WarningsRecorder) -> None:
    found = cluster.run(Job(), input=["raw://aba"], map=letters, reduce=add_up)
    from discolocal.worker.task_io import chain_reader, task_input_stream

    def triple(stream: Any, size: Any, url: str) -> Any:
        return chain_reader(stream, size, url)

    seen: list[Any] = []
    for reader in (chain_reader, triple):
        assert len(list(result_iterator(found.urls, reader, (task_input_stream,), seen.append))) == 2
    (lines,) = [list(result_iterator(found.urls, None, (task_input_stream,)))]
    assert len(seen) == 2 and lines and not isinstance(lines[0], tuple)
    assert [str(one.message) for one in recwarn if one.category is DeprecationWarning] == []


# Methods


def test_the_job_dict_by_its_old_methods(cluster: LocalCluster) -> None:
    job = cluster.run(Job("named"), input=["raw://a"], map=letters).job
    for old in (cluster.jobdict, cluster.jobspec):
        with pytest.warns(DeprecationWarning, match=r"is an old name: use jobpack\(jobname\).jobdict"):
            assert old(job.name) == job.jobpack().jobdict
    assert job.jobpack().jobdict["prefix"] == "named"


def test_a_dictionary_of_parameters(cluster: LocalCluster) -> None:
    class Mine(Job):
        partitions = 4

    with pytest.warns(DeprecationWarning, match="JobDict is an old name"):
        kind = core.JobDict
    with pytest.warns(DeprecationWarning, match="fun_map"):
        found = kind(Mine(), fun_map=letters, input=["raw://ab"])
    assert (found["partitions"], found["map"], found["input"], found["sort"]) == (4, letters, ["raw://ab"], False)
    assert JobPack.loads(found.pack()).jobdict["nr_reduces"] == 4
    assert sorted(cluster.run(found.pack())) == [("a", 1), ("b", 1)]
    with pytest.raises(TypeError, match="mapp"):
        kind(Mine(), mapp=letters)


# Merged partitions


def to_the_last(key: Any, nr_partitions: int, params: Any) -> int:
    return nr_partitions + 7


def reduces(found: Any) -> int:
    """How many reduce tasks a job had."""
    return sum("reduce:" in text and "assigned" in text for _, (_, _, text) in found.job.events())


def test_merged_partitions_are_one_reduce(cluster: LocalCluster) -> None:
    class Merged(Job):
        merge_partitions = True

    arguments: dict[str, Any] = {"input": ["raw://ab", "raw://bc"], "map": letters, "reduce": add_up, "partitions": 3}
    for job, more in (
        (Job(), {"merge_partitions": True}),
        (Job(merge_partitions=True), {}),
        (Merged(), {"partition": to_the_last}),
        (Job(worker=Job.Worker(merge_partitions=True)), {}),
    ):
        with pytest.warns(DeprecationWarning, match="merge_partitions is gone: use partitions=1"):
            found = cluster.run(job, **{**arguments, **more})
        assert sorted(found) == [("a", 1), ("b", 2), ("c", 1)] and found.job.jobpack().jobdict["nr_reduces"] == 1
    with pytest.warns(DeprecationWarning):
        found = cluster.run(Merged(), **arguments, merge_partitions=False)
    assert sorted(found) == [("a", 1), ("b", 2), ("c", 1)] and found.job.jobpack().jobdict["nr_reduces"] == 3


def test_partitions_of_inputs_are_merged(cluster: LocalCluster) -> None:
    first = cluster.run(Job(), input=["raw://abcdefgh"], map=letters, partitions=4)
    alone = cluster.run(Job(), input=first.urls, reduce=add_up)
    assert sorted(alone) == [(letter, 1) for letter in "abcdefgh"] and reduces(alone) > 1
    with pytest.warns(DeprecationWarning):
        found = cluster.run(Job(), input=first.urls, reduce=add_up, merge_partitions=True, partitions=None)
    assert sorted(found) == [(letter, 1) for letter in "abcdefgh"] and reduces(found) == 1


def test_a_map_alone_has_nothing_to_merge(cluster: LocalCluster) -> None:
    with pytest.warns(DeprecationWarning):
        found = cluster.run(Job(), input=["raw://abcdefgh"], map=letters, partitions=4, merge_partitions=True)
    (url,) = [url for urls in found.urls for url in urls]
    from discolocal.util import read_index

    assert len({line.label for line in read_index(url)}) > 1


def test_there_have_to_be_partitions(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a\n")
    lines = [str(tmp_path / "lines")]
    for arguments in ({"map": letters, "reduce": add_up}, {"reduce": add_up}):
        with pytest.warns(DeprecationWarning), pytest.raises(DiscoError, match="Can't merge partitions without part"):
            Job().pack(input=lines, partitions=None, merge_partitions=True, **arguments)


# Out-of-band results by functions


SAVES = """
from disco.core import Disco, result_iterator
from disco.util import load_oob, save_oob

def map(line, params):
    from disco.util import load_oob, save_oob
    save_oob(this_master(), this_name(), "line", line.strip())
    save_oob(this_master(), "another", "line-" + this_host(), b"x")
    yield load_oob(this_master(), this_name(), "line"), load_oob(this_master(), params, "k")

first = Disco("disco://nowhere").new_job(name="first", input=["raw://a"], map=lambda line, params: [])
first.wait()
save_oob("disco://nowhere", first.name, "k", "before")
job = first.disco.new_job(name="second", input=["raw://b"], map=map, params=first.name)
found = list(result_iterator(job.wait()))
print(found, load_oob("disco://nowhere", job.name, "line"), load_oob(job.disco, first.name, "k"))
print(len(job.disco.oob_list("another")), load_oob(job.disco, first.name, "other"))
"""


def test_functions_of_util_store_and_load(script: Run, start: str) -> None:
    done = script(SAVES, options=("--start", start))
    assert (done.returncode, done.stdout) == (0, "[(b'b', b'before')] b'b' b'before'\n1 None\n"), done.stderr


def test_what_cannot_be_stored(cluster: LocalCluster) -> None:
    from discolocal.util import load_oob, save_oob

    with pytest.raises(DiscoError, match="Unknown key or jobname"):
        load_oob(cluster, "nobody", "k")
    with pytest.raises(DiscoError, match="invalid characters"):
        save_oob(cluster, "nobody", "a key", b"")
    with pytest.raises(DiscoError, match=r"save_oob\(ddfs_token=...\)"):
        save_oob(cluster, "nobody", "k", b"", "token")
    with pytest.raises(CommError, match="Not the name of a job"):
        save_oob(cluster, "../x", "k", b"")
    with pytest.raises(CommError):
        oob.keys(cluster.root, "nobody")
