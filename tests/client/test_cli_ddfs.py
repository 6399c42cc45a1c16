"""`discolocal ddfs`: every command on the store of a local cluster, and on a master (reference 8.15)."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from discolocal import Job, LocalCluster
from discolocal.cli import main
from discolocal.ddfs import DDFS
from discolocal.worker.classic.func import sum_reduce
from tests.client.recorded import RecordedMaster, Recordings


class Shell:
    """A directory with a root in it; runs commands there."""

    def __init__(self, there: Path) -> None:
        self.there = there
        self.root = there / "root"
        self.root.mkdir()
        self.ddfs = DDFS(f"local://{self.root}")

    def run(self, *arguments: str, input: bytes | None = None) -> Result:
        """The result of a command on the root."""
        return CliRunner().invoke(main, ["ddfs", "--root", str(self.root), *arguments], input=input)

    def __call__(self, *arguments: str, input: bytes | None = None) -> list[str]:
        """What a command prints, which must succeed."""
        done = self.run(*arguments, input=input)
        assert done.exit_code == 0, done.output
        assert done.stderr == ""
        return done.stdout.splitlines()

    def fails(self, *arguments: str, status: int = 1) -> str:
        """What a command that must fail says about it."""
        done = self.run(*arguments)
        assert done.exit_code == status, done.output
        assert "Traceback" not in done.output
        return done.stderr

    def write(self, name: str, content: str) -> str:
        (self.there / name).write_text(content)
        return f"./{name}"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name in ("DISCO_MASTER", "DDFS_READ_TOKEN", "DDFS_WRITE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield Shell(tmp_path)
    sys.path[:] = path


# Data


def test_files_are_pushed_listed_and_printed(shell: Shell) -> None:
    a, b = shell.write("a.txt", "a\n"), shell.write("b.txt", "b\n")
    created = shell("push", "data:x", a, b)
    blobs = shell.ddfs.urls("data:x")
    assert created == [f"created:\t{url}" for (url,) in blobs]
    assert [DDFS.blob_name(url) for (url,) in blobs] == ["a_txt", "b_txt"]
    assert shell("ls") == shell("ls", "data") == ["data:x"] and shell("ls", "other") == []
    listed = [url for (url,) in blobs]
    assert shell("ls", "-r") == ["data:x", *listed, ""]
    assert shell("blobs", "data:x") == shell("urls", "tag://data:x") == shell("blobs", "-p", "da") == listed
    assert shell("cat", "data:x") == ["a", "b"]
    assert shell("cat", "data:x", a) == ["a", "a", "b"]  # tags come after everything else
    assert shell("cat", listed[1]) == ["b"]


def test_a_file_in_the_working_directory_has_no_name_of_a_tag(shell: Shell) -> None:
    shell.write("plain", "x\n")
    assert "Tag not found" in shell.fails("cat", "plain")
    assert shell("cat", "./plain") == ["x"]


def test_bytes_are_printed_as_they_are(shell: Shell) -> None:
    data = bytes(range(256)) * 1000
    (shell.there / "b.bin").write_bytes(data)
    shell("push", "data", "./b.bin")
    assert shell.run("cat", "data").stdout_bytes == data


def test_directories_and_archives_are_pushed(shell: Shell) -> None:
    (shell.there / "sub" / "deep").mkdir(parents=True)
    (shell.there / "sub" / "one").write_text("1\n")
    (shell.there / "sub" / "deep" / "two").write_text("2\n")
    assert "sub is a directory: give -r" in shell.fails("push", "all", "./sub", status=2)
    assert len(shell("push", "-r", "all", "./sub")) == 2
    assert sorted(shell("cat", "all")) == ["1", "2"]
    with tarfile.open(shell.there / "x.tar", "w") as archive:
        archive.add(shell.there / "sub", "sub")
    assert len(shell("push", "-x", "-E", "deep", "tars", "./x.tar")) == 1
    assert shell("cat", "tars") == ["1"]
    assert len(shell("push", "-x", "-z", "-I", "two", "packed", "./x.tar")) == 1
    (name,) = [DDFS.blob_name(url) for (url,) in shell.ddfs.urls("packed")]
    assert name.endswith("two_gz")
    assert "give -x" in shell.fails("push", "-z", "tars", "./x.tar", status=2)


def test_replicas_and_hosts(shell: Shell) -> None:
    for host in ("n1", "n2"):
        (shell.root / "ddfs" / host / "vol0").mkdir(parents=True)
    a = shell.write("a.txt", "a\n")
    shell("push", "-n", "2", "two", a)
    (replicas,) = shell.ddfs.urls("two")
    assert sorted(url.split("/")[2] for url in replicas) == ["n1", "n2"]
    for host in ("n1", "n2"):
        shell("push", "-F", host, f"on:{host}", a)
        assert f"disco://{host}/" in shell("urls", f"on:{host}")[0]
    assert "Not enough nodes" in shell.fails("push", "-n", "3", "three", a)
    assert shell("exists", "two") == ["True"] and not shell.ddfs.exists("three")
    os.unlink(shell.root / "ddfs" / replicas[0].partition("//")[2].replace("/ddfs/", "/"))
    done = shell.run("cat", "two")
    assert done.exit_code == 0 and done.stdout == "a\n" and "a_txt" in done.stderr
    os.unlink(shell.root / "ddfs" / replicas[1].partition("//")[2].replace("/ddfs/", "/"))
    assert "a_txt" in shell.fails("cat", "two")


def test_the_name_of_a_file_alone_is_no_tag(shell: Shell) -> None:
    path = shell.write("a.txt", "x\n")
    for command in (("chunk", "t"), ("cat",), ("xcat",)):
        assert "the file is ./a.txt" in shell.fails(*command, "a.txt", status=2)
    assert "Invalid tag" in shell.fails("xcat", "b.txt")
    assert shell("chunk", "t", path) and shell("xcat", "t") == ["x"]


def test_records_are_chunked_and_read(shell: Shell) -> None:
    lines = "".join(f"line {number}\n" for number in range(500))
    path = shell.write("lines.txt", lines)
    assert len(shell("chunk", "recs", path)) == 1
    assert shell("xcat", "recs") == lines.splitlines()
    assert shell("chunk", "copy", "recs", "-R", "discolocal.worker.task_io.chain_reader")[0].startswith("created:\t")
    assert shell("xcat", "copy") == lines.splitlines()
    shell("chunk", "-S", "0.000001", "-Z", "0.001", "small", path)
    assert len(shell.ddfs.urls("small")) >= 1 and shell("xcat", "small") == lines.splitlines()
    assert "larger than max_record_size" in shell.fails("chunk", "-Z", "0.000001", "none", path)
    assert not shell.ddfs.exists("none")
    shell("chunk", "piped", "-", input=b"x\ny\n")
    assert shell("xcat", "piped") == ["x", "y"]
    assert DDFS.blob_name(shell.ddfs.urls("piped")[0][0]).startswith("stdin-")


def test_functions_are_given_by_their_names(shell: Shell) -> None:
    shell.write("readers.py", "def pairs(stream, size, url, params):\n    return ((line[0], 1) for line in stream)\n")
    path = shell.write("a.txt", "ab\ncd\n")
    shell("chunk", "-R", "readers.pairs", "pairs", path)
    assert shell("xcat", "pairs") == ["a\t1", "c\t1"]
    assert shell("xcat", "-R", "readers.pairs", path) == ["a\t1", "c\t1"]
    assert "readers.none" in shell.fails("chunk", "-R", "readers.none", "pairs", path, status=2)


def test_saved_results_are_printed_by_the_name_of_their_job(shell: Shell) -> None:
    with LocalCluster(nodes=1, start="inline", root=shell.root) as cluster:
        job = Job("Count", map=lambda line, params: [(line, 1)], reduce=sum_reduce)
        name = cluster.run(job, input=["raw://x", "raw://x"], save_results=True).job.name
    assert shell("xcat", "-j", name) == shell("xcat", f"disco:results:{name}") == ["x\t2"]
    assert len(shell.run("cat", "-j", name).stdout_bytes) > 10
    assert "Tag not found" in shell.fails("xcat", "-j", "other@1:2:3")


# Tags


def test_what_tags_hold(shell: Shell) -> None:
    shell("touch", "a", "b")
    assert shell("ls") == ["a", "b"]
    shell("tag", "a", "http://h/1 http://i/1", "http://h/2")
    shell("tag", "a", "http://h/3")
    assert shell("urls", "a") == ["http://h/3", "http://h/1\thttp://i/1", "http://h/2"]
    shell("touch", "a")
    assert len(shell("urls", "a")) == 3
    shell("put", "a", "http://h/4")
    shell("cp", "a", "c")
    assert shell("urls", "a", "c") == ["http://h/4", "http://h/4"]
    assert json.loads("".join(shell("get", "a")))["urls"] == [["http://h/4"]]
    (row,) = shell("stat", "c")
    assert row.split("\t")[0] == "1" and row.split("\t")[1].startswith("c$")
    assert len(shell("stat", "-p", "")) == 3
    assert shell("exists", "a") == ["True"]
    assert shell("rm", "a") == ["deleted\ta"]
    done = shell.run("exists", "a")
    assert (done.exit_code, done.stdout) == (1, "False\n")
    assert shell("rm", "-p", "") == ["deleted\tb", "deleted\tc"] and shell("ls") == []
    assert shell("rm", "never") == ["deleted\tnever"]
    assert "Invalid tag" in shell.fails("touch", "no spaces")


def test_tags_in_tags_are_walked(shell: Shell) -> None:
    shell("tag", "inner", "http://h/1")
    shell("tag", "outer", "tag://inner", "tag://gone", "http://h/2")
    assert "Tag not found" in shell.fails("blobs", "outer") and "Tag not found" in shell.fails("find", "outer")
    assert sorted(shell("blobs", "-i", "outer")) == ["http://h/1", "http://h/2"]
    paths = [["tag://outer"], ["tag://outer", "tag://inner"], ["tag://outer", "tag://gone"]]
    assert [line.split("\t") for line in shell("find", "-i", "outer")] == paths
    warned = [line.split("\t") for line in shell("find", "-w", "outer")]
    assert warned == [*paths[:2], ["Tag not found:", *paths[2]]]
    assert shell("find", "-p", "inn") == ["tag://inner"]
    listed = shell("ls", "-r", "outer")
    assert listed[0] == "outer" and "Tag not found" in listed[-2]


def test_attributes_and_tokens(shell: Shell) -> None:
    shell("setattr", "a", "owner", "me")
    shell("setattr", "a", "b", "2")
    assert sorted(shell("attrs", "a")) == ["b\t2", "owner\tme"]
    assert shell("getattr", "a", "owner") == ["me"] and shell("getattr", "a", "ddfs:urls") == ["[]"]
    shell("delattr", "a", "b")
    assert shell("attrs", "a") == ["owner\tme"]
    assert "Tag attribute not found" in shell.fails("getattr", "a", "b")
    assert "-r, -w or both" in shell.fails("chtok", "a", "secret", status=2)
    shell("chtok", "-r", "-w", "a", "secret")
    assert "Incorrect or missing token" in shell.fails("attrs", "a")
    assert shell("attrs", "-t", "secret", "a") == ["owner\tme"]
    assert "Incorrect" in shell.fails("-t", "wrong", "attrs", "a")
    done = CliRunner().invoke(main, ["ddfs", "attrs", "a", "--token", "secret", "--root", str(shell.root)])
    assert done.stdout == "owner\tme\n"
    assert shell("attrs", "tag://token:secret@/a") == ["owner\tme"]


def test_garbage_is_collected_when_asked(shell: Shell) -> None:
    shell("push", "a", shell.write("a.txt", "a\n"))
    (url,) = shell.ddfs.urls("a")[0]
    shell("rm", "a")
    assert shell("gc")[0].startswith("blobs 0\t")
    assert shell("cat", url) == ["a"]
    assert shell("gc", "--age", "0")[0].startswith("blobs 1\t")
    assert "a_txt" in shell.fails("cat", url)


# Where


def test_a_place_has_to_be_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["ddfs", *arguments])
        assert done.exit_code == 2
        return done.stderr

    assert "Give --root DIR or --master URL, or set DISCO_MASTER" in said("ls")
    assert "give one of them" in said("--root", "x", "ls", "-M", "http://h:1")
    monkeypatch.setenv("DISCO_MASTER", "local://")
    assert "the cluster of a program that runs" in said("ls")
    monkeypatch.setenv("DISCO_MASTER", f"local://{shell.root}")
    shell("touch", "a")
    assert CliRunner().invoke(main, ["ddfs", "ls"]).stdout == "a\n"
    done = CliRunner().invoke(main, ["ddfs", "--root", "nowhere", "ls"])
    assert done.exit_code == 1 and "nowhere" in done.stderr and not os.path.exists("nowhere")


def test_tags_of_a_real_master(master: RecordedMaster, recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ddfs_tags", "tag_post", "tag_get", "tag_put", "tag_attr_put", "tag_attr_get", "tag_delete")
    master.expect(*(recordings[name] for name in names))
    monkeypatch.setenv("DISCO_MASTER", master.url)

    def shown(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["ddfs", *arguments])
        assert done.exit_code == 0, done.output
        return str(done.stdout)

    assert shown("ls").splitlines() == json.loads(recordings.body("ddfs_tags"))
    assert shown("tag", "gold:test", "http://a/x") == ""
    assert json.loads(shown("get", "gold:test")) == json.loads(recordings.body("tag_get"))
    assert shown("put", "gold:test", "http://c/z") == ""
    assert shown("setattr", "gold:test", "myattr", "val") == ""
    assert shown("getattr", "gold:test", "myattr") == "val\n"
    assert shown("rm", "gold:test") == "deleted\tgold:test\n"
