"""Whole jobs of workers in several languages, beside an independent count."""

from __future__ import annotations

import collections
import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, JobError, JobPack, LocalCluster, result_iterator
from examples.workers.make_pack import make_pack
from tests.foreign.conversation import ROOT, WORKERS

LIBRARY = Path(os.__file__).parent

ODD = b'tabs\tand\x0bother\x0cblanks \r\n\r\n  two  two\nna\xc3\xafve \xff\xfe bytes \x01 "quoted\\" no end'


def with_shell(name: str, path: Path) -> Path:
    """The worker in shell for another shell than the system's `sh`."""
    copy = path / f"wordcount-{name}.sh"
    _, _, rest = (WORKERS / "wordcount.sh").read_text().partition("\n")
    copy.write_text(f"#!{shutil.which(name)}\n{rest}")
    return copy


@pytest.fixture(scope="module", params=["exec", "fork"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """Three nodes; a program is executed by a cluster that forks its own workers, too."""
    with LocalCluster(nodes=3, start=request.param, max_failures=1, seed=5) as started:
        yield started


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Real texts, and some that are not as texts should be."""
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "blank.txt").write_bytes(b" \n\n\t")
    (tmp_path / "odd.txt").write_bytes(ODD)
    sources = sorted(LIBRARY.glob("*.py"))[:8]
    assert len(sources) == 8
    return [*sources, *(tmp_path / f"{name}.txt" for name in ("empty", "blank", "odd"))]


def count(*texts: Path | bytes) -> collections.Counter[bytes]:
    counts: collections.Counter[bytes] = collections.Counter()
    for text in texts:
        counts.update((text if isinstance(text, bytes) else text.read_bytes()).split())
    return counts


def counted(records: Any) -> collections.Counter[bytes]:
    """The records of results as a count; a word that comes twice is an error."""
    counts: collections.Counter[bytes] = collections.Counter()
    for word, number in records:
        key = word.encode("utf-8", "surrogateescape")
        assert key not in counts, f"{word!r} comes twice"
        counts[key] = int(number)
    return counts


def test_the_words_of_real_texts_are_counted(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pack = make_pack(worker, [*map(str, texts), "raw://caf\u00e9 the \U0001f600"], 4)
    results = cluster.run(pack.dumps())
    assert counted(results) == count(*texts, "caf\u00e9 the \U0001f600".encode())
    assert len(results.urls) == 4, "one task for each label"
    stages = [row[0] for row in cluster.jobinfo(results.job.name)["pipeline"]]
    assert stages == ["map", "reduce"]
    said = [text for _, (_, host, text) in cluster.events(results.job.name) if text.startswith("MSG")]
    assert len(said) == len(texts) + 1 and all(text.endswith("different words") for text in said)


@pytest.mark.parametrize("partitions", [1, 23])
def test_any_number_of_partitions(cluster: LocalCluster, worker: Path, texts: list[Path], partitions: int) -> None:
    results = cluster.run(make_pack(worker, list(map(str, texts)), partitions).dumps())
    assert counted(results) == count(*texts)
    assert len(results.urls) == partitions


def test_all_languages_write_the_same_files(compiled: Path, texts: list[Path]) -> None:
    found = []
    with LocalCluster(nodes=2, start="exec") as cluster:
        for path in (compiled, WORKERS / "wordcount.py", WORKERS / "wordcount.sh"):
            results = cluster.run(make_pack(path, list(map(str, texts)), 3).dumps())
            homes = Path(cluster.data).glob(f"node*/*/{results.job.name}/wordcount/*")
            found.append({path.name: path.read_bytes() for path in homes})
    assert found[0] == found[1] == found[2]
    maps, reduces = ([name for name in found[0] if name.startswith(stage)] for stage in ("map", "reduce"))
    assert len(reduces) == 3 and len(maps) > 3 and len(found[0]) == len(maps) + len(reduces)


@pytest.mark.parametrize("shell", ["bash", "dash", "ksh"])
def test_the_worker_in_shell_runs_in_any_shell(shell: str, texts: list[Path], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    with LocalCluster(nodes=2, start="exec", max_failures=0) as cluster:
        results = cluster.run(make_pack(with_shell(shell, tmp_path), list(map(str, texts)), 3).dumps())
        assert counted(results) == count(*texts)


def test_the_pack_is_the_same_job_for_any_master(worker: Path) -> None:
    pack = make_pack(worker, ["raw://a"], 2)
    again = JobPack.loads(pack.dumps())
    assert (again.version, again.jobdict["worker"], again.jobdata) == (2, worker.name, b"2")
    assert again.jobdict["inputs"] == [[0, 0, ["raw://a"]]]


def test_another_replica_is_read_where_the_first_cannot(
    cluster: LocalCluster, worker: Path, texts: list[Path], tmp_path: Path
) -> None:
    pack = make_pack(worker, [])
    missing = [str(tmp_path / "gone.txt"), "ftp://localhost/gone", "disco://node1/disco/node1/gone"]
    pack.jobdict["inputs"] = [[0, 0, [*missing, str(texts[0])]], [0, 0, [str(texts[1]), *missing]]]
    assert counted(cluster.run(pack.dumps())) == count(*texts[:2])


def test_an_input_that_is_missing_is_named(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pack = make_pack(worker, [str(texts[0]), "/no/such/place/gone.txt"])
    with pytest.raises(JobError) as failed:
        cluster.run(pack.dumps())
    assert "failed 2 times" in str(failed.value)
    assert "input 0 cannot be read: /no/such/place/gone.txt (" in str(failed.value)
    assert "No such file" in str(failed.value)
    assert counted(cluster.run(make_pack(worker, [str(texts[0])]).dumps())) == count(texts[0])


def test_an_inline_cluster_refuses_programs() -> None:
    pack = make_pack(WORKERS / "wordcount.py", ["raw://a"])
    with LocalCluster(nodes=1, start="inline") as inline:
        with pytest.raises(DiscoError, match="'wordcount.py' is a program of its own"):
            inline.submit(pack.dumps())
        assert inline.joblist() == []


def test_nonsense_in_the_job_data_ends_the_job_at_once(cluster: LocalCluster, worker: Path) -> None:
    pack = make_pack(worker, ["raw://a"])
    pack.jobdata = b"many"
    with pytest.raises(JobError, match="not a number of partitions") as failed:
        cluster.run(pack.dumps())
    assert "times" not in str(failed.value)


def wait_for(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def open_for_reader(pipe: Path) -> int | None:
    """Open a named pipe for writing once somebody reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO
        return None


def write_to_reader(descriptor: int, data: bytes) -> int:
    """Write to a named pipe if somebody reads from it; how much was written."""
    try:
        return os.write(descriptor, data)
    except BrokenPipeError:
        return 0


def test_a_worker_that_is_killed_is_replaced(cluster: LocalCluster, worker: Path, texts: list[Path]) -> None:
    pipe = texts[-1].parent / "pipe"
    os.mkfifo(pipe)
    job = cluster.submit(make_pack(worker, [str(pipe), str(texts[0])]).dumps())

    def events() -> str:
        return "\n".join(text for _, (_, _, text) in cluster.events(job.name))

    descriptor = wait_for(lambda: open_for_reader(pipe))
    wait_for(lambda: "Received results" in events())  # the other map task
    (pid,) = cluster.worker_pids()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "failures so far" in events())
    wait_for(lambda: set(cluster.worker_pids()) - {pid})  # else what is written may go to a child of the killed one
    # This end stays open meanwhile: without a writer the next attempt would read an empty file.
    wait_for(lambda: write_to_reader(descriptor, ODD))
    os.close(descriptor)
    assert counted(result_iterator(cluster.wait(job.name))) == count(texts[0], ODD)
    assert "Worker crashed! (exit code: 137)" in events()


def test_the_maker_of_packs_is_a_command(tmp_path: Path) -> None:
    out = tmp_path / "words.jobpack"
    command = [sys.executable, str(WORKERS / "make_pack.py"), str(WORKERS / "wordcount.sh"), "-o", str(out)]
    subprocess.run(
        [*command, "--partitions", "2", "raw://x y", "a.txt"], check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    pack = JobPack.load(io.BytesIO(out.read_bytes()))
    assert pack.jobdict["inputs"] == [[0, 0, ["raw://x y"]], [0, 0, [str(tmp_path / "a.txt")]]]
    assert pack.jobdata == b"2"
