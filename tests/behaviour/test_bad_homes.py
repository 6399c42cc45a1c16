"""Job packs whose zip archive would do harm, or is damaged: refused, named, and nothing of them is left.

A real master unpacks what an archive says. Here each is submitted to a cluster, inside a directory that is watched.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from discolocal import DiscoError, JobError, JobPack, LocalCluster
from discolocal.cluster import homes

WORKER = b'#!/bin/sh\nprintf \'WORKER 30 {"version": "1.1", "pid": 123}\\nDONE 2 ""\\n\' >&2\ncat >/dev/null\n'
JOBDICT = {
    "prefix": "home",
    "worker": "worker",
    "owner": "me@here",
    "scheduler": {},
    "pipeline": [["map", "split", False]],
    "inputs": [[0, 0, ["raw://input"]]],
}


@pytest.fixture(scope="module", params=["exec", "fork"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    root = tmp_path_factory.mktemp("watched") / "one" / "two" / "root"
    with LocalCluster(nodes=1, start=request.param, root=root, max_failures=0, timeouts=0.1) as started:
        yield started


def files(cluster: LocalCluster) -> set[Path]:
    """All paths around the cluster's root, but for the Python it provides."""
    place = Path(cluster.root).parents[2]
    python = f"{cluster.root}/python-"
    return {path for path in place.rglob("*") if not str(path).startswith(python)}


def pack(home: bytes) -> bytes:
    return JobPack(2, JOBDICT, {}, home, b"").dumps()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    home = io.BytesIO()
    with zipfile.ZipFile(home, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("worker", WORKER)
        for name, content in members:
            archive.writestr(name, content)
    return home.getvalue()


def renamed(old: str, new: str) -> bytes:
    """An archive with a member name that zipfile would not write; both names have the same length."""
    assert len(old.encode()) == len(new.encode())
    return zipped((old, b"x")).replace(old.encode(), new.encode())


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def patched(field: int, value: int, size: int = 4, member: int = -1, data: bytes | None = None) -> bytes:
    """An archive with a number of a member's entry in its directory changed; `field` is the number's place there."""
    data = zipped(("big", b"0" * 100_000)) if data is None else data
    places = [at for at in range(len(data)) if data.startswith(b"PK\x01\x02", at)]
    at = places[member] + field
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


SIZE = 24  # place of the unpacked size in an entry
METHOD = 10
FLAGS = 8

HARMFUL = {
    "up": (zipped(("../up", b"x")), "../up"),
    "up from within": (zipped(("a/../../up", b"x")), "a/../../up"),
    "up at the end": (zipped(("a/..", b"x")), "a/.."),
    "absolute": (renamed("+etc/discolocal", "/etc/discolocal"), "/etc/discolocal"),
    "two slashes": (renamed("++host/share", "//host/share"), "//host/share"),
    "backslashes": (renamed("..+..+up", "..\\..\\up"), "up"),
    "a drive": (renamed("C:+up", "C:\\up"), "up"),
    "a zero byte": (renamed("wor+er2", "wor\0er2"), "wor"),
    "a link": (zipped((special("link", stat.S_IFLNK), b"/etc")), "link"),
    "a link and a file behind it": (zipped((special("link", stat.S_IFLNK), b".."), ("link/up", b"x")), "link"),
    "a pipe": (zipped((special("pipe", stat.S_IFIFO), b"")), "pipe"),
    "a device": (zipped((special("device", stat.S_IFCHR), b"")), "device"),
    "file and directory": (zipped(("a", b"x"), ("a/b", b"x")), "a"),
    "directory and file": (zipped(("a/b/c", b"x"), ("a/b", b"x")), "a/b"),
    "the worker as directory": (zipped(("worker/x", b"x")), "worker"),
    "dots": (zipped(("./worker2", b"x")), "./worker2"),
    "empty part": (zipped(("a//b", b"x")), "a//b"),
    "no name": (renamed("+", "/"), "/"),
    "an empty name": (patched(28, len("big") << 16), "member '' is not a path"),  # its letters belong to the next field
    "job file": (zipped(("jobfile", b"x")), "jobfile"),
    "marker": (zipped((".jobhome", b"x")), ".jobhome"),
    "index": (zipped((".disco/map-0-1.results", b"x")), ".disco/map-0-1.results"),
    "bomb": (patched(SIZE, 1 << 31), "big"),
    "bombs": (patched(SIZE, 1 << 29, data=patched(SIZE, (1 << 29) + 1), member=0), "big"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_harmful_archives_are_refused(cluster: LocalCluster, case: str) -> None:
    home, named = HARMFUL[case]
    before = files(cluster)
    with pytest.raises(DiscoError) as refused:
        cluster.submit(pack(home))
    assert str(refused.value).startswith("Jobpack extraction failed: ") and len(str(refused.value)) < 300
    assert named in str(refused.value).replace("\\\\", "\\")
    assert files(cluster) == before and cluster.joblist() == []


def test_a_real_bomb_is_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many zeros in few bytes, with true sizes, against a limit that need not be a gigabyte here."""
    monkeypatch.setattr(homes, "MAX_SIZE", 1 << 20)
    assert outcome(cluster, zipped(("zeros", bytes((1 << 20) - 1000)))) == "done"
    before = files(cluster)
    home = zipped(("zeros", bytes(1 << 20)))
    assert len(home) < 5000
    with pytest.raises(DiscoError, match="'zeros'.* more than 1,048,576 bytes when unpacked"):
        cluster.submit(pack(home))
    assert files(cluster) == before


def test_too_many_members_are_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "MAX_MEMBERS", 10)
    assert outcome(cluster, zipped(*((str(number), b"") for number in range(9)))) == "done"
    assert outcome(cluster, zipped(*((str(number), b"") for number in range(10)))) == "refused"


def nothing_new(cluster: LocalCluster, before: set[Path]) -> bool:
    """Whether there are no other files than before; a worker is put away while its job goes on."""
    end = time.monotonic() + 5
    while left := {path for path in files(cluster) - before if path.is_file()}:
        if time.monotonic() > end:
            break
        time.sleep(0.005)
    return not left


def outcome(cluster: LocalCluster, home: bytes) -> str:
    """What comes of a job: "refused", "failed" with a clear error, or "done"; its files are taken away again."""
    before = files(cluster)
    try:
        job = cluster.submit(pack(home))
    except DiscoError as refused:
        assert str(refused).startswith(("Jobpack extraction failed: ", "Failed to submit jobpack: "))
        assert files(cluster) == before
        return "refused"
    try:
        cluster.wait(job.name, timeout=30)
    except JobError as failed:
        assert "Jobpack extraction failed: the job home is damaged" in str(failed), failed
        return "failed"
    finally:
        cluster.purge(job.name)
        assert nothing_new(cluster, before), "files outside the job's own"
    return "done"


LYING = {
    "smaller than it is": patched(SIZE, 10),
    "a little smaller": patched(SIZE, 99_999),
    "checksum": patched(16, 12345),
    "method": patched(METHOD, 99, 2),
    "stored": patched(METHOD, 0, 2),
    "encrypted": patched(FLAGS, 1, 2),
    "offset": patched(42, 1 << 30),
    "offset of another": patched(42, 0),
    "compressed size": patched(20, 10),
}


@pytest.mark.parametrize("case", LYING)
def test_archives_that_lie_are_refused_or_fail(cluster: LocalCluster, case: str) -> None:
    assert outcome(cluster, LYING[case]) in ("refused", "failed")


def test_a_size_beyond_what_is_there_does_no_harm(cluster: LocalCluster) -> None:
    assert outcome(cluster, patched(SIZE, 100_001)) == "done"


def test_a_small_size_does_not_let_more_out(cluster: LocalCluster) -> None:
    """A member that says it has 10 bytes writes no more, whatever the data unpack to."""
    data = patched(SIZE, 10, data=zipped(("big", bytes(1 << 24))))
    job = cluster.submit(pack(data))
    with pytest.raises(JobError, match="damaged"):
        cluster.wait(job.name, timeout=30)
    written = [path for path in Path(cluster.root).rglob("big") if path.is_file()]
    assert sum(path.stat().st_size for path in written) <= 10
    cluster.purge(job.name)


def test_members_that_come_twice(cluster: LocalCluster) -> None:
    """The last one counts, as for every program that reads zip archives."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        home = zipped(("worker", WORKER))
    assert outcome(cluster, home) == "done"


@pytest.mark.parametrize("home", [b"", zipped()[-22:], zipped()[:-1], b"x" * 100, b"PK\x05\x06" + bytes(18)])
def test_homes_without_a_worker_are_refused(cluster: LocalCluster, home: bytes) -> None:
    assert outcome(cluster, home) == "refused"


def test_an_archive_behind_other_bytes_is_one(cluster: LocalCluster) -> None:
    assert outcome(cluster, b"#!/bin/sh\n" + zipped()) == "done"


def test_an_archive_that_is_cut_anywhere_is_refused(cluster: LocalCluster) -> None:
    home = zipped(("folder/file", b"content" * 20))
    assert outcome(cluster, home) == "done"
    for cut in range(len(home)):
        assert outcome(cluster, home[:cut]) == "refused", cut


def test_an_archive_with_any_byte_changed_is_refused_or_fails_or_runs(cluster: LocalCluster) -> None:
    """Where a byte does not matter, the job runs."""
    home = zipped(("file", b"content" * 5))
    seen = set()
    for place in range(0, len(home), 3):
        seen.add(outcome(cluster, home[:place] + bytes([home[place] ^ 0x15]) + home[place + 1 :]))
    assert seen == {"refused", "failed", "done"}


def test_a_pack_that_is_cut_anywhere_is_refused(cluster: LocalCluster) -> None:
    data = pack(zipped())
    header = struct.unpack(">5I", data[:20])
    before = files(cluster)
    cuts = {*range(140), *(at + by for at in header[1:] for by in (-1, 0, 1)), len(data) - 1} - {
        len(data),
        len(data) + 1,
    }
    for cut in sorted(cuts):
        with pytest.raises(DiscoError):
            cluster.submit(data[:cut])
    assert files(cluster) == before


def test_homes_with_odd_but_harmless_names(cluster: LocalCluster) -> None:
    names = ["with blank", "caf\u00e9", "..dots", "a..b", "-rf", "~", "$HOME", "new\nline", "a/b/c/d/" + "x" * 200]
    job = cluster.submit(pack(zipped(*((name, name.encode()) for name in names))))
    cluster.wait(job.name)
    (home,) = Path(cluster.root).glob(f"data/node1/*/{job.name}")
    assert {name: (home / name).read_bytes() for name in names} == {name: name.encode() for name in names}
    assert os.stat(home / "worker").st_mode & 0o777 == 0o755
    cluster.purge(job.name)


def test_a_name_too_long_for_the_disk_is_refused(cluster: LocalCluster) -> None:
    begun = time.monotonic()
    for name in ("x" * 256, "é" * 128, "a/" * 101 + "b", "a/" * 32000 + "b"):
        with pytest.raises(DiscoError, match=f"member '{name[:30]}.* too long"):
            cluster.submit(pack(zipped(*((f"{name}{number}", b"x") for number in range(50)))))
    assert time.monotonic() - begun < 20, "a check is not longer than the names are"
    assert outcome(cluster, zipped(("x" * 255, b"x"), ("a/" * 99 + "b", b"y"))) == "done"


def test_directories_of_a_home_are_made(cluster: LocalCluster) -> None:
    home = zipped(("empty/", b""), ("a/b/", b""), ("a/c", b"x"))
    job = cluster.submit(pack(home))
    cluster.wait(job.name)
    names = {path.name for path in Path(cluster.data).rglob("*") if path.is_dir()}
    cluster.purge(job.name)
    assert {"empty", "b"} <= names
    with pytest.raises(DiscoError, match="'a' is a file and a directory"):
        cluster.submit(pack(zipped(("a", b"x"), ("a/", b""))))


def test_a_name_that_a_record_of_the_zip_changes_is_refused(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.13 on the module zipfile reads such records (the Unicode Path of Info-ZIP)."""
    name, hidden = "harmless", "../../up"
    record = struct.pack("<HHBL", 0x7075, 5 + len(hidden), 1, zlib.crc32(name.encode())) + hidden.encode()
    info = zipfile.ZipInfo(name)
    info.extra = record
    home = zipped((info, b"x"))
    if sys.version_info >= (3, 13):
        with pytest.raises(DiscoError, match="'../../up' would be written outside"):
            cluster.submit(pack(home))
    else:
        changed = zipfile.ZipFile(io.BytesIO(home)).getinfo(name)
        changed.filename = hidden
        with pytest.raises(DiscoError, match="'../../up' would be written outside"):
            homes._check(changed)
