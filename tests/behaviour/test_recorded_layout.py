"""Files of recorded jobs beside those of the same jobs here: a worker of any kind, results that were saved, and OOB.

Processes, because a node's files are what is compared.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from discolocal import Job, LocalCluster
from discolocal.wire.jobpack import JobPack
from discolocal.worker.classic.func import sum_reduce
from tests.behaviour.conftest import Server
from tests.behaviour.test_layout import golden_listing, our_listing, plain, words
from tests.behaviour.test_recorded_sessions import Recording

OF_THE_TEST = ("script.json", "SCENARIO.json", "heard-start-0", "place-start-0")


def added(home: bytes, files: dict[str, bytes]) -> bytes:
    """A job home with more files in it."""
    archive = io.BytesIO(home)
    with zipfile.ZipFile(archive, "a") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


def without(listing: list[str], names: tuple[str, ...]) -> list[str]:
    return [row for row in listing if not row.endswith(names)]


@pytest.mark.parametrize("start", ["fork", "exec"])
def test_a_program_leaves_the_files_of_a_cluster(golden: Path, tmp_path: Path, start: str) -> None:
    recording = Recording(golden / "protocol_scripted" / "happy.json")
    recorded = golden / "layout" / "scripted_happy.find.txt"
    pack = JobPack.loads(recording.pack())
    pack.jobhome = added(pack.jobhome, {"out/a": b"sixsix", "out/b": b"2b"})
    with LocalCluster(nodes=1, start=start, root=tmp_path / "root") as cluster:
        name = cluster.run(pack.dumps()).job.name
        ours, theirs = our_listing(cluster.root, name), golden_listing(recorded)
        assert without(ours, OF_THE_TEST) == without(theirs, OF_THE_TEST)

        (home,) = Path(cluster.data).glob(f"node1/*/{name}")
        (index,) = (golden / "layout" / "scripted_happy.indexes").iterdir()
        (written,) = (home / ".disco").iterdir()
        assert plain(written.read_text(), name) == plain(index.read_text(), recording.name)
        # Sizes and modes of what does not depend on the test.
        rows = {row[3].rpartition(f"{recording.name}/")[2]: row[1:3] for row in map(str.split, lines(recorded))}
        for path in (".jobhome", "out/a", "out/b", "scriptworker.py"):
            found = os.stat(home / path)
            mode, size = rows[path]
            assert stat.S_IMODE(found.st_mode) == int(mode, 8), path
            assert found.st_size == int(size) or path == "scriptworker.py"
        assert (home / "jobfile").read_bytes() == pack.dumps()


def lines(recorded: Path) -> list[str]:
    return recorded.read_text().splitlines()[1:]


JOBS = {
    # Their results were saved, which adds files of DDFS, not of the job.
    "save_results": (["/a", "/b"], Job("TeeSave", map=words, reduce=sum_reduce, partitions=1)),
    # And here the map task had put two values aside, which are no files of the job either.
    "oob": (["/a"], Job("TeeOOB", map=words, partitions=1)),
}


@pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")
@pytest.mark.parametrize("start", ["fork", "exec"])
@pytest.mark.parametrize("run", JOBS)
def test_a_job_leaves_the_files_of_a_cluster(
    golden: Path, tmp_path: Path, server: Server, run: str, start: str
) -> None:
    pages, job = JOBS[run]
    urls = [server.page(path, b"the quick brown fox\nthe end\n") for path in pages]
    with LocalCluster(nodes=1, start=start, root=tmp_path / "root") as cluster:
        results = cluster.run(job, input=urls)
        ours = our_listing(cluster.root, results.job.name)
    assert ours == golden_listing(golden / "layout" / f"{run}.find.txt")
