"""No golden file goes unused: the check that conftest.py makes at the end of a whole run, and recordings of DDFS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from discolocal.wire import names
from discolocal.wire.index import parse
from discolocal.wire.protocol import compact_json
from tests import goldens

ROOT = Path(__file__).resolve().parents[1]

READER = """
import pytest

@pytest.mark.parametrize("name", ["one.bin", "sub/two.bin"])
def test_reads(golden, name):
    assert (golden / name).read_bytes() == b"x"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with this one's conftest.py, two golden files and a test that reads both."""
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("__init__.py", "conftest.py", "goldens.py", "leaks.py"):
        shutil.copy(ROOT / "tests" / name, tests / name)
    (tests / "test_reader.py").write_text(READER)
    (tests / "test_other.py").write_text("def test_nothing(): pass\n")
    golden = tmp_path / "golden"
    (golden / "sub").mkdir(parents=True)
    (golden / "INDEX.md").write_text("what there is")
    for name in ("one.bin", "sub/two.bin"):
        (golden / name).write_bytes(b"x")
    return tmp_path


def run(project: Path, *arguments: str, required: str = "") -> tuple[int, str]:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "DISCOLOCAL_GOLDEN": str(project / "golden")}
    environ["DISCOLOCAL_REQUIRE_GOLDEN"] = required
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *arguments]
    done = subprocess.run(
        command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def test_a_run_that_reads_all_passes(project: Path) -> None:
    status, said = run(project)
    assert status == 0 and "golden files: 2 read, 0 not" in said, said


@pytest.mark.parametrize("required", ["", "1"])
def test_a_golden_file_that_nobody_reads_fails_the_run(project: Path, required: str) -> None:
    (project / "golden" / "sub" / "new one.json").write_text("{}")
    status, said = run(project, required=required)
    assert status == 1
    assert "golden files: 2 read, 1 not" in said and "not read by any test: sub/new one.json" in said


@pytest.mark.parametrize(
    "part", [["tests/test_other.py"], ["-k", "one"], ["tests/test_reader.py::test_reads[one.bin]"], ["--collect-only"]]
)
def test_a_part_of_the_tests_is_not_judged(project: Path, part: list[str]) -> None:
    (project / "golden" / "new.json").write_text("{}")
    status, said = run(project, *part)
    assert status == 0 and "golden files:" not in said, said


def test_looking_at_a_name_is_not_reading(project: Path) -> None:
    (project / "tests" / "test_reader.py").write_text(
        "def test_lists(golden):\n    assert len([p.stat() for p in golden.rglob('*.bin')]) == 2\n"
    )
    status, said = run(project)
    assert status == 1 and "golden files: 0 read, 2 not" in said


def test_the_recordings_are_those_of_the_index(golden: Path) -> None:
    text = (golden / "INDEX.md").read_text()
    folders = {path.name for path in golden.iterdir() if path.is_dir()}
    assert len(goldens.files(golden)) > 300
    assert [name for name in sorted(folders) if f"{name}/" not in text] == []


# DDFS: what is recorded of it agrees with what is known of names and times.

OBJECT = re.compile(r"\./vol0/(tag|blob)/([0-9a-f]{2})/(([^/$]+)\$([0-9a-f]+-[0-9a-f]+-[0-9a-f]+))")


def stored(golden: Path) -> dict[str, int]:
    """The recorded objects of DDFS: paths with their sizes."""
    rows = [line.split(" ", 3) for line in (golden / "ddfs" / "find.txt").read_text().splitlines()]
    return {path: int(size) for kind, _mode, size, path in rows if kind == "f"}


def tags(golden: Path) -> dict[str, bytes]:
    """The recorded tags, by their names with time stamps."""
    return {path.name: path.read_bytes() for path in (golden / "ddfs").iterdir() if "$" in path.name}


def test_objects_lie_below_the_digits_of_their_names(golden: Path) -> None:
    objects = [match for path in stored(golden) if (match := OBJECT.fullmatch(path))]
    assert len(objects) > 300 and {match[1] for match in objects} == {"tag", "blob"}
    for match in objects:
        _, digits, full, name, stamp = match.groups()
        assert names.hex2(full) == digits
        # A plus stands in front of a list that the master keeps for itself.
        assert names.safe_name(name) == name.replace("+", "_") and len(name) < 512
        mega, second, micro = (int(part, 16) for part in stamp.split("-"))
        assert names.object_time(mega * 1e6 + second + micro / 1e6 + 1e-7) == stamp


def test_tags_are_written_byte_for_byte(golden: Path) -> None:
    found = tags(golden)
    assert len(found) == 2
    for name, data in found.items():
        tag = json.loads(data)
        assert compact_json(tag).encode("ascii") == data
        assert list(tag) == ["version", "id", "last-modified", "read-token", "write-token", "urls", "user-data"]
        assert (tag["version"], tag["id"], tag["user-data"]) == (1, name, {})
        (path,) = (path for path in stored(golden) if path.endswith(f"/{name}"))
        assert stored(golden)[path] == len(data)
        mega, second, _ = (int(part, 16) for part in name.partition("$")[2].split("-"))
        # Hours and minutes are those of the time zone it was recorded in.
        assert names.event_time(mega * 1e6 + second)[-2:] == tag["last-modified"][-2:]


def test_tags_point_at_stored_blobs(golden: Path) -> None:
    objects = stored(golden)
    for data in tags(golden).values():
        for (url,) in json.loads(data)["urls"]:
            assert url.startswith("disco://localhost/ddfs/vol0/blob/")
            assert "." + url.removeprefix("disco://localhost/ddfs") in objects


def test_a_saved_result_is_the_file_of_the_index(golden: Path) -> None:
    """The name of a saved blob says which output of which task it holds (reference 2.8)."""
    (saved,) = (json.loads(data) for name, data in tags(golden).items() if name.startswith("disco:results:"))
    job = saved["id"].removeprefix("disco:results:").partition("$")[0]
    (index,) = (golden / "layout" / "save_results.indexes").glob("reduce-*.results")
    (line,) = parse(index.read_bytes(), index.name)
    ((url,),) = saved["urls"]
    blob = url.rpartition("/")[2].partition("$")[0]
    task = index.name.split("-")[1]
    assert re.fullmatch(rf"{re.escape(job)}:{task}:\d+:{re.escape(line.url.rpartition('/')[2])}", blob)
    assert blob == names.safe_name(blob)
    assert stored(golden)["." + url.removeprefix("disco://localhost/ddfs")] == line.size


def test_values_put_aside_are_in_a_tag_of_the_job(golden: Path) -> None:
    (aside,) = (json.loads(data) for name, data in tags(golden).items() if name.startswith("disco:job:oob:"))
    listing = (golden / "layout" / "oob.find.txt").read_text()
    job = aside["id"].removeprefix("disco:job:oob:").partition("$")[0]
    assert listing.startswith(f"# job name: {job} ")
    keys = [url.rpartition("/")[2].partition("$")[0] for (url,) in aside["urls"]]
    assert keys == ["key-b", "key-a", "key-b", "key-a"], "newest first"
    assert (aside["read-token"], aside["write-token"]) == ("job", "job")
