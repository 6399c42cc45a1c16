"""Jobs on clusters where things go wrong: the right result, from what counts alone, and the same faults again."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster, Results
from discolocal.cluster.faults import AFTERWARDS, KINDS, MANNERS, POINTS, Fault, Faults
from discolocal.util import parse_dir
from discolocal.worker.classic.func import nop_reduce, sum_combiner, sum_reduce
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker

pytestmark = pytest.mark.filterwarnings("error::discolocal.error.PortabilityWarning")

TEXTS = ["the-cat-the-dog", "a-dog-a-bee", "no-cat"]
COUNTS = sorted({"the": 2, "cat": 2, "dog": 2, "a": 2, "bee": 1, "no": 1}.items())
WORDS_OF_TEXTS = sorted((word, 1) for text in TEXTS for word in text.split("-"))


def words(entry, params):
    for word in entry.split("-"):
        yield word, 1


def keyed(entry, params):
    for word in entry.split("-"):
        yield word.encode(), 1


WORDS = Job(map=words, reduce=sum_reduce, combiner=sum_combiner, partitions=2)


def lines_of(line, params):
    for word in line.strip().split("-"):
        yield word, 1


def putting(entry, params):
    Task.put(entry, b"put")  # noqa: F821  a name that tasks have
    for word in entry.split("-"):
        yield word, 1


def flushing(key, value, buf, done, params):
    if done:
        return buf.items()
    buf[key] = buf.get(key, 0) + value
    if len(buf) > 2:
        full = list(buf.items())
        buf.clear()
        return full


def spread(key, nr_partitions, params):
    return key[0] % nr_partitions


def run(cluster: LocalCluster, job: Job = WORDS, texts: list[str] = TEXTS) -> Results:
    return cluster.run(job, input=[[f"raw://{text}"] for text in texts])


def check_attempts(results: Any, faults: Faults) -> None:
    """Every task has run once more for each fault by which an attempt of it failed, and for nothing else."""
    failed = Counter(fault[:2] for fault in map(Fault.parse, faults.done) if fault.deed != "slow")
    for stage in results.stages:
        assert [task.attempts for task in stage.tasks] == [1 + failed[stage.name, n] for n in range(len(stage.tasks))]


# Each kind alone


# What programs do in the same lines of code is not tried with them again: they take long to start.
ALONE = [(kind, start) for kind in KINDS for start in ("fork", "inline")] + [("corrupt", "exec"), ("lost", "exec")]


@pytest.mark.parametrize(("kind", "start"), ALONE)
def test_a_job_survives_each_kind_alone(kind: str, start: str) -> None:
    options: dict[str, Any] = {kind: True, "limit": 1}
    faults = Faults(3, **options)
    with LocalCluster(nodes=2, start=start, seed=2, strict=True, faults=faults) as cluster:
        results = run(cluster)
        assert sorted(results) == COUNTS
        check_attempts(results, faults)
    happened = Counter(Fault.parse(line).deed for line in faults.done)
    if (kind, start) == ("slow", "inline"):
        assert not happened, "nobody is in the way of a task that is alone"
        return
    assert happened and set(happened) <= ({*MANNERS} if kind == "deaths" else {kind.replace("_", "-")})
    # Three maps and two reduces at least; shuffles read no records, and only reduces read Disco's own format.
    least = {"deaths": 4, "corrupt": 2, "failing": 5, "slow": 5}
    assert happened.total() >= least.get(kind, 6)


# Deaths


def points_of(point: str) -> list[str]:
    """A fault at this point for as many tasks as there are manners, each of them once."""
    stage = "reduce" if point in ("sort", "mid-reduce") else "map"
    nth = " 2" if point in ("mid-map", "mid-reduce", "partition-write", "combiner") else ""
    return [f"{stage}/{number} attempt 0: {manner} at {point}{nth}" for number, manner in enumerate(MANNERS)]


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_may_die_at_every_point_in_every_manner(point: str, start: str) -> None:
    lines = points_of(point)
    texts = [f"{number}-x-y-{number}" for number in range(len(MANNERS))]
    expected = sorted(Counter(word.encode() for text in texts for word in text.split("-")).items())
    faults = Faults.replay(*lines)
    with LocalCluster(nodes=2, start=start, seed=2, faults=faults) as cluster:
        job = Job(map=keyed, reduce=sum_reduce, combiner=flushing, partition=spread, sort=True)
        results = cluster.run(job, input=[f"raw://{text}" for text in texts], partitions=len(MANNERS))
        assert sorted(results) == expected
        check_attempts(results, faults)
    assert sorted(faults.done) == sorted(lines)


def noting(line, path):
    with open(path, "a") as file:
        file.write("x")
    yield "line", 1


def noting_combiner(key, value, buf, done, path):
    with open(path, "a") as file:
        file.write("x")
    return [] if done else [(key, value)]


@pytest.mark.parametrize(
    ("fault", "before"),
    [
        ("kill at first-read", 0),
        ("kill at mid-map", 0),
        ("OSError at mid-map 3", 2),
        ("exit at mid-map 99", 5),
        ("failing at record 4", 3),
        ("failing at record 99", 5),
        ("DataError at after-output", 5),
        ("full-disk at write 1", 5),
    ],
)
@pytest.mark.parametrize("start", ["fork", "inline"])
def test_a_fault_is_where_its_line_says(start: str, fault: str, before: int, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("line\n" * 5)
    job = Job(map=noting, params=str(tmp_path / "noted"))
    with LocalCluster(nodes=1, start=start, faults=Faults.replay(f"map/0 attempt 0: {fault}")) as cluster:
        assert list(cluster.run(job, input=[str(tmp_path / "text")])) == [("line", 1)] * 5
    assert len((tmp_path / "noted").read_text()) == before + 5


@pytest.mark.parametrize(("nth", "before"), [(1, 0), (3, 2), (99, 5)])
def test_a_death_in_a_combiner_is_before_that_call(nth: int, before: int, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("line\n" * 5)
    job = Job(map=lines_of, combiner=noting_combiner, params=str(tmp_path / "noted"))
    faults = Faults.replay(f"map/0 attempt 0: kill at combiner {nth}")
    with LocalCluster(nodes=1, start="inline", faults=faults) as cluster:
        assert list(cluster.run(job, input=[str(tmp_path / "text")])) == [("line", 1)] * 5
    assert len((tmp_path / "noted").read_text()) == before + 6, "and once more when all is done"


def test_programs_die_at_every_point_too() -> None:
    ways = [*MANNERS, *MANNERS]
    early = [point for point in POINTS if point not in ("sort", "mid-reduce")]
    lines = [f"map/{number} attempt 0: {ways[number]} at {point}" for number, point in enumerate(early)]
    lines += ["reduce/0 attempt 0: kill at sort", "reduce/1 attempt 0: exit at mid-reduce 1"]
    texts = [f"{number}-x-y-{number}" for number in range(len(early))]
    expected = sorted(Counter(word.encode() for text in texts for word in text.split("-")).items())
    faults = Faults.replay(*lines)
    with LocalCluster(nodes=2, start="exec", seed=2, faults=faults) as cluster:
        job = Job(map=keyed, reduce=sum_reduce, combiner=flushing, partition=spread, sort=True)
        results = cluster.run(job, input=[f"raw://{text}" for text in texts], partitions=2)
        assert sorted(results) == expected
        check_attempts(results, faults)
    assert sorted(faults.done) == sorted(lines)


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_the_events_say_what_was_injected(start: str) -> None:
    line = "map/1 attempt 0: kill at mid-map 1"
    with LocalCluster(nodes=2, start=start, seed=2, faults=Faults.replay(line)) as cluster:
        results = run(cluster)
        events = [text for _offset, (_time, _host, text) in cluster.events(results.job.name)]
    (told,) = [number for number, text in enumerate(events) if "Injected fault" in text]
    assert re.fullmatch(rf"MSG: \[map:\d\] Injected fault: {line}", events[told])
    died = "killed by signal SIGKILL" if start == "fork" else "exited with status 1"
    assert died in next(text for text in events[told:] if text.startswith("WARNING") and "the worker" in text)


def test_faults_are_not_shown_as_what_the_job_prints(capfd: pytest.CaptureFixture[str]) -> None:
    with LocalCluster(nodes=2, start="fork", seed=2, faults=Faults(1, deaths=1, lost=1)) as cluster:
        assert sorted(run(cluster)) == COUNTS
    assert capfd.readouterr() == ("", "")


# Data


def test_another_replica_takes_the_place_of_one_that_fails(tmp_path: Path) -> None:
    copies = [tmp_path / "one", tmp_path / "two"]
    for copy in copies:
        copy.write_text("".join(f"{text}\n" for text in TEXTS))
    line = "map/0 attempt 0: failing at record 2"
    with LocalCluster(nodes=2, start="inline", faults=Faults.replay(line)) as cluster:
        results = cluster.run(Job(map=lines_of, reduce=sum_reduce), input=[[str(copy) for copy in copies]])
        assert sorted(results) == COUNTS
        assert cluster.faults is not None and cluster.faults.done == [line]
        assert results.stages["map"].tasks[0].attempts == 1, "the attempt went on"


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("place", [14, 15, 16, 20, 10_000])
def test_the_checksum_finds_a_damaged_file(place: int, sort: bool, start: str) -> None:
    with LocalCluster(
        nodes=2, start=start, seed=2, faults=Faults.replay(f"reduce/0 attempt 0: corrupt at byte {place}")
    ) as cluster:
        results = run(cluster, Job(map=keyed, reduce=sum_reduce, sort=sort, partitions=2))
        assert sorted(results) == [(word.encode(), number) for word, number in COUNTS]
        (warning,) = [t for _o, (_t, _h, t) in cluster.events(results.job.name) if t.startswith("WARNING")]
    assert "Corrupted data between bytes" in warning, "not fewer records, and not others"


def test_another_replica_takes_the_place_of_a_damaged_one() -> None:
    line = "reduce/0 attempt 0: corrupt at byte 30"
    with LocalCluster(nodes=1, start="inline", faults=Faults.replay(line)) as cluster:
        made = run(cluster, Job(map=words))
        files = [url for index in made.urls for url in parse_dir(index[0])]
        results = cluster.run(Job(reduce=sum_reduce, partitions=None), input=[[url, url] for url in files])
        assert sorted(results) == COUNTS
        assert cluster.faults is not None and cluster.faults.done == [line]
        assert results.stages["reduce"].tasks[0].attempts == 1, "the attempt went on"


def whole(stream, size, url, params):
    yield stream.read()


def test_text_is_never_damaged(tmp_path: Path) -> None:
    """Nothing would find it: a correct job would have another result."""
    (tmp_path / "text").write_text("the-cat\n" * 100)
    faults = Faults(1, corrupt=True)
    with LocalCluster(nodes=2, start="inline", faults=faults) as cluster:
        lines = cluster.run(Job(map=lines_of), input=[str(tmp_path / "text")])
        assert list(lines) == [("the", 1), ("cat", 1)] * 100
        bytes_of = Job(map=lambda entry, params: [(entry, 1)], map_reader=whole)
        assert list(cluster.run(bytes_of, input=[str(tmp_path / "text")])) == [(b"the-cat\n" * 100, 1)]
    assert faults.done == []


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_a_full_disk_leaves_no_part_of_an_output(start: str) -> None:
    faults = Faults(1, full_disk=True, limit=1)
    with LocalCluster(nodes=2, start=start, seed=2, faults=faults) as cluster:
        assert sorted(run(cluster)) == COUNTS
        names = glob.glob(f"{cluster.data}/**", recursive=True)
        assert names and not [name for name in names if name.endswith(".partial")]
        texts = [text for name in cluster._jobs for _o, (_t, _h, text) in cluster.events(name)]
    assert [text for text in texts if text.startswith("WARNING") and "No space left on device" in text]


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize("deed", AFTERWARDS)
def test_files_of_an_attempt_that_does_not_count(deed: str, start: str) -> None:
    with LocalCluster(nodes=1, start=start, faults=Faults.replay(f"map/0 attempt 0: {deed}")) as cluster:
        assert list(cluster.run(Job(map=words), input=["raw://a-b"])) == [("a", 1), ("b", 1)]
        outputs = glob.glob(f"{cluster.data}/node1/*/*/*/map:*/*")
        indexes = glob.glob(f"{cluster.data}/node1/*/*/.disco/map-0-*")
    attempts = 2 if deed == "duplicate" else 1
    assert (len(outputs), len(indexes)) == (attempts, attempts), "lost files are gone, others stay and do not count"


@pytest.mark.parametrize("deed", AFTERWARDS)
def test_out_of_band_results_of_a_task_that_runs_twice(deed: str) -> None:
    lines = [f"map/{number} attempt 0: {deed}" for number in range(3)]
    with LocalCluster(nodes=2, start="inline", seed=1, strict=True, faults=Faults.replay(*lines)) as cluster:
        results = run(cluster, Job(map=putting, reduce=nop_reduce))
        assert sorted(results) == WORDS_OF_TEXTS
        job = results.job
        assert {key: job.oob_get(key) for key in job.oob_list()} == dict.fromkeys(TEXTS, b"put")


@pytest.mark.parametrize("start", ["fork", "inline"])
@pytest.mark.parametrize("deed", AFTERWARDS)
def test_saved_results_of_a_task_that_runs_twice(deed: str, start: str) -> None:
    lines = [f"reduce/{number} attempt 0: {deed}" for number in range(2)]
    faults = Faults.replay(*lines)
    with LocalCluster(nodes=2, start=start, seed=1, faults=faults) as cluster:
        results = cluster.run(WORDS, input=[f"raw://{text}" for text in TEXTS], save_results=True)
        assert sorted(results) == COUNTS
        assert len(glob.glob(f"{cluster.root}/ddfs/*/vol0/blob/*/*")) == 2, "blobs that do not count are removed"
    assert sorted(faults.done) == lines


# The mix


def cats(interface, state, label, inp):
    for entry in inp:
        for word in entry.split("-"):
            interface.output(len(word)).add(word, 1)


def tally(interface, state, label, inp):
    counts: dict[str, int] = {}
    for word, one in inp:
        counts[word] = counts.get(word, 0) + one
    for pair in counts.items():
        interface.output(label).add(*pair)


def pipeline(concurrent: bool) -> Job:
    tallying = ("group_label", Stage("tally", process=tally, combine=True), concurrent)
    return Job(worker=PipelineWorker(pipeline=[("split", Stage("cut", process=cats)), tallying]))


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_correct_jobs_survive_any_seed_in_processes(first: int) -> None:
    for seed in range(first, first + 20):
        job = WORDS if seed % 2 else pipeline(concurrent=seed % 4 == 0)
        with LocalCluster(nodes=2, start="fork", seed=seed, faults=Faults(seed)) as cluster:
            assert sorted(run(cluster, job, ["the-cat", "a-cat"])) == [("a", 1), ("cat", 2), ("the", 1)], cluster.replay


@pytest.mark.parametrize("first", range(100, 110, 10))
def test_correct_jobs_survive_any_seed_inline(first: int) -> None:
    for seed in range(first, first + 10):
        with LocalCluster(nodes=3, start="inline", seed=seed, strict=True, faults=Faults(seed)) as cluster:
            assert sorted(run(cluster)) == COUNTS, cluster.replay
            sorted_job = Job(map=keyed, reduce=sum_reduce, combiner=flushing, partitions=2, sort=True)
            assert sorted(run(cluster, sorted_job)) == [(word.encode(), n) for word, n in COUNTS], cluster.replay
            assert sorted(run(cluster, pipeline(concurrent=seed % 2 == 1))) == COUNTS, cluster.replay


def test_programs_survive_a_seed() -> None:
    with LocalCluster(nodes=2, start="exec", seed=5, faults=Faults(5)) as cluster:
        assert sorted(run(cluster)) == COUNTS
        assert cluster.faults is not None and len(cluster.faults.done) > 2


# Replaying


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_the_same_schedule_again(start: str) -> None:
    found = []
    faults = Faults(11)
    # One node: which tasks there are depends on nothing else then.
    for again in (faults, eval(repr(faults)), Faults.replay(*schedule_of(faults, start))):
        with LocalCluster(nodes=1, start=start, seed=3, faults=again) as cluster:
            assert sorted(run(cluster)) == COUNTS
        found.append(sorted(again.done))
    assert found[0] == found[1] == found[2] and len(found[0]) > 2


def schedule_of(faults: Faults, start: str) -> list[str]:
    with LocalCluster(nodes=1, start=start, seed=3, faults=(copy := eval(repr(faults)))) as cluster:
        run(cluster)
    done: list[str] = copy.done
    return done


def test_start_modes_have_the_same_schedule() -> None:
    found = {}
    for start in ("fork", "inline"):
        faults = Faults(12, deaths=0.3, lost=0.2, failing=0.2, duplicate=0.2)
        with LocalCluster(nodes=1, start=start, seed=3, faults=faults) as cluster:
            run(cluster)
        found[start] = sorted(faults.done)
    assert found["fork"] == found["inline"] != []


def test_one_schedule_for_several_jobs_and_clusters() -> None:
    faults = Faults.replay("map/0 attempt 0: lost")
    for _ in range(2):
        with LocalCluster(nodes=1, start="inline", faults=faults) as cluster:
            for _ in range(2):
                assert sorted(run(cluster)) == COUNTS
    assert faults.done == ["map/0 attempt 0: lost"] * 4


# Bugs that only faults bring out


def numbering(entry, path):
    import os

    with open(path, "a") as file:
        file.write("x")
    yield entry, os.path.getsize(path)


def only_once(entry, path):
    import os

    os.mkdir(os.path.join(path, entry))
    yield entry, 1


@pytest.mark.parametrize("start", ["fork", "inline"])
def test_duplicate_execution_finds_state_in_a_file(start: str, tmp_path: Path) -> None:
    def result(name: str, faults: Faults | None) -> list[Any]:
        job = Job(map=numbering, reduce=nop_reduce, params=str(tmp_path / name))
        with LocalCluster(nodes=1, start=start, faults=faults) as cluster:
            return sorted(cluster.run(job, input=["raw://a"]))

    assert result("calm", None) == [("a", 1)]
    assert result("stormy", Faults(1, duplicate=True)) == [("a", 3)]


def test_a_job_that_breaks_says_how_to_repeat_it(tmp_path: Path) -> None:
    job = Job(map=only_once, params=str(tmp_path / "a"))
    os.mkdir(tmp_path / "a")
    os.mkdir(tmp_path / "b")
    with LocalCluster(nodes=2, start="inline", faults=Faults(duplicate=0.9)) as cluster:
        with pytest.raises(JobError) as failed:
            cluster.run(job, input=[f"raw://{letter}" for letter in "abcdef"])
        assert cluster.faults is not None
        done = cluster.faults.done
    text = str(failed.value)
    assert "FileExistsError" in text and f"faults: {len(done)} injected" in text
    (call,) = re.findall(r"replay: (LocalCluster\(.*\))$", text, re.MULTILINE)
    with eval(call) as again:
        with pytest.raises(JobError, match="FileExistsError"):
            again.run(job, input=[f"raw://{letter}" for letter in "abcdef"], params=str(tmp_path / "b"))
        assert again.faults.done == done


def test_an_error_without_faults_does_not_speak_of_them() -> None:
    with LocalCluster(nodes=1, start="inline") as cluster, pytest.raises(JobError) as failed:
        cluster.run(Job(map=lambda entry, params: 1 / 0), input=["raw://a"])
    assert "replay" not in str(failed.value) and "faults" not in str(failed.value)
