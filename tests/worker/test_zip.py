"""The archive of a job home: what may be in it, and under which names."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job
from discolocal.error import DiscoError
from discolocal.fileutils import DiscoZipFile
from discolocal.worker.classic.func import nop_map

BAD = ["/abs", "../x", "a/../b", "a/../../b", "..", "", ".", "a/", "a/.", "nul\0", "\udc80", "x" * 256, "é" * 128]
TAKEN = [".disco", ".disco/x", ".jobhome", "jobfile", "./jobfile"]


@pytest.mark.parametrize("name", BAD + TAKEN, ids=ascii)
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    archive = DiscoZipFile()
    with pytest.raises(DiscoError) as caught:
        archive.writestr(name, "x")
    assert repr("jobfile" if name == "./jobfile" else name[:200]) in str(caught.value)
    with pytest.raises(DiscoError):
        archive.write(str(tmp_path / "file"), name)
    with pytest.raises(DiscoError, match="file of the job home may not"):
        Job(map=nop_map).pack(input=["raw://x"], required_files={name: "x"})
    assert archive.namelist() == []


@pytest.mark.parametrize("name", ["a", "a/b", "./a", "a//b", "é" * 127, "a b", ".hidden", "...", "..a", "-", "a\\b"])
def test_names_that_can_be(name: str) -> None:
    archive = DiscoZipFile()
    archive.writestr(name, "x")
    (stored,) = archive.namelist()
    assert stored == os.path.normpath(name)


def test_one_name_has_one_content(tmp_path: Path) -> None:
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "data").write_text(directory)
        (tmp_path / directory / "same").write_text("same")
    same = [str(tmp_path / directory / "same") for directory in ("one", "two", "one")]
    assert Job(map=nop_map).pack(input=["raw://x"], required_files=same).jobhome
    data = [tmp_path / directory / "data" for directory in ("one", "two")]
    with pytest.raises(DiscoError, match=f"would be 'lib/data' in the job home: {data[0]} and {data[1]}"):
        Job(map=nop_map).pack(input=["raw://x"], required_files=data)


def test_a_file_is_no_directory() -> None:
    for first, second in (("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")):
        archive = DiscoZipFile()
        archive.writestr(first, "1")
        with pytest.raises(DiscoError, match=f"'{second}' would be both a file and a directory"):
            archive.writestr(second, "2")


def test_files_of_the_library_cannot_be_replaced_but_its_packages_can_have_more() -> None:
    def pack(name: str) -> bytes:
        return Job(map=nop_map).pack(input=["raw://x"], required_files={name: "x"}).jobhome

    for name in ("discolocal/job.py", "cloudpickle/cloudpickle.py"):
        with pytest.raises(DiscoError, match=f"'{name}'.*discolocal's own"):
            pack(name)
    with zipfile.ZipFile(io.BytesIO(pack("discolocal/schemes/scheme_x.py"))) as archive:
        assert archive.read("discolocal/schemes/scheme_x.py") == b"x"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for path, why in (("fifo", "no regular file"), (".", "no regular file"), ("loop", "symbolic"), ("none", "No such")):
        with pytest.raises(DiscoError, match=f"{tmp_path / path}.*{why}"):
            Job(map=nop_map).pack(input=["raw://x"], required_files=[tmp_path / path])
    with pytest.raises(DiscoError, match="no regular file"):
        DiscoZipFile().write("/dev/zero", "zero")
    with pytest.raises(DiscoError, match="null (byte|character)"):
        DiscoZipFile().write("a\0b", "x")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    archive = DiscoZipFile()
    archive.write(str(tmp_path / "link"), "x")
    with zipfile.ZipFile(io.BytesIO(archive.dumps())) as unpacked:
        assert unpacked.read("x") == b"text"
        assert unpacked.getinfo("x").external_attr >> 16 == 0o100644


def test_equal_entries_give_equal_bytes_whenever_they_were_written(tmp_path: Path) -> None:
    def dumped(time: float, base: bytes = b"") -> bytes:
        (tmp_path / "file").write_text("text " * 1000)
        os.utime(tmp_path / "file", (time, time))
        archive = DiscoZipFile(base)
        archive.write(str(tmp_path / "file"), "file")
        archive.writestr("worker.py", b"#!")
        return archive.dumps()

    assert dumped(1e9) == dumped(1.5e9)
    base = DiscoZipFile()
    base.writestr("first", "1")
    assert dumped(1e9, base.dumps()) == dumped(1.5e9, base.dumps())
    with zipfile.ZipFile(io.BytesIO(dumped(1e9))) as unpacked:
        assert {info.date_time for info in unpacked.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_program_of_the_worker_is_executable() -> None:
    data: Any = Job(map=nop_map).pack(input=["raw://x"])
    with zipfile.ZipFile(io.BytesIO(data.jobhome)) as archive:
        assert archive.getinfo(data.jobdict["worker"]).external_attr >> 16 == 0o100755
