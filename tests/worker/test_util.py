"""Helpers of job code, keys of partitions, and files that appear at once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from discolocal import schemes, util
from discolocal.error import DataError, DiscoError
from discolocal.fileutils import AtomicFile, DiscoZipFile
from discolocal.func import default_partition, re_reader
from discolocal.worker import Params
from discolocal.worker.classic import func
from discolocal.worker.classic.keys import stable_bytes
from discolocal.worker.task_io import old_netstr_reader, string_input_stream

ROOT = Path(__file__).resolve().parents[2]


def test_kvgroup_groups_consecutive_keys() -> None:
    pairs = [("a", 1), ("a", 2), ("b", 3), ("a", 4)]
    assert [(key, list(values)) for key, values in util.kvgroup(pairs)] == [("a", [1, 2]), ("b", [3]), ("a", [4])]


def test_small_helpers() -> None:
    assert list(util.flatten([1, [2, (3, "ab")], [[]]])) == [1, 2, 3, "ab"]
    assert util.chainify([[1], (2, 3)]) == [1, 2, 3]
    assert util.ilen(iter("abc")) == 3
    assert (util.iterify("ab"), util.iterify([1]), util.listify(None)) == (("ab",), [1], [])
    assert util.partition([1, 2, 3, 4], lambda n: n % 2) == ([1, 3], [2, 4])
    assert sorted(util.shuffled(range(5))) == [0, 1, 2, 3, 4]
    assert util.iskv((1, 2)) and not util.iskv([1, 2])


def test_urls() -> None:
    assert util.schemesplit("a://b://c") == ("a", "b://c") and util.schemesplit("/a") == ("", "/a")
    assert util.urlsplit("http://u@h:80/a/b") == ("http", ("h", "80"), "a/b")
    assert util.urlsplit("file:///a/b") == ("file", ("", ""), "/a/b")
    assert util.urljoin(("disco", ("h", "80"), "a/b")) == "disco://h:80/a/b"
    assert util.urlresolve("disco://h/a") == "http://h:8989/a"
    assert util.urlresolve("http://h/a") == "http://h/a"
    assert util.jobname("disco://h/disco/h/aa/Job@1:2:3/x/y") == "Job@1:2:3"
    assert util.jobname(["dir://h/disco/h/aa/Job@1:2:3/.disco/x.results"]) == "Job@1:2:3", "as wait() lists it"
    with pytest.raises(DiscoError, match="Not the url of a file"):
        util.jobname([])


def test_dsorted_merges_runs(tmp_path: Path) -> None:
    values = [(n * 7919) % 1009 for n in range(1009)]
    assert list(util.dsorted(values, buffer_size=100, tempdir=str(tmp_path))) == sorted(values)
    assert list(util.dsorted([3, 1], buffer_size=100)) == [1, 3]
    assert os.listdir(tmp_path) == []


def test_external_packages_files(tmp_path: Path) -> None:
    for name in ("program", "config"):
        (tmp_path / name).write_text(name)
    package = util.external([str(tmp_path / "program"), str(tmp_path / "config")])
    assert package == {"op": b"program", "config": b"config"}


def test_sizes_in_messages() -> None:
    assert [util.format_size(n) for n in (0, 53, 2048, 3 << 20)] == ["0.0 bytes", "53.0 bytes", "2.0 KB", "3.0 MB"]


def test_disk_sort_outside_of_a_task(tmp_path: Path) -> None:
    pairs = [(b"b", 1), (b"a", 2)]
    assert list(util.disk_sort(None, pairs, str(tmp_path / "with blank"))) == [(b"a", 2), (b"b", 1)]


def test_unix_sort_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Sorting .* failed"):
        util.unix_sort(str(tmp_path / "none"))


# Keys


@pytest.mark.parametrize("text", ["", "word", "é", "日本", "\udc80"])
def test_text_and_its_bytes_have_the_md5_partition(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    want = int(md5(data).hexdigest(), 16)
    for count in (1, 2, 7, 1000):
        assert default_partition(text, count) == default_partition(data, count) == want % count


@pytest.mark.parametrize(
    "equal",
    [
        (1, 1.0, True, Fraction(1), Decimal(1), 1 + 0j),
        (0, 0.0, -0.0, False),
        (0.5, Fraction(1, 2), Decimal("0.5")),
        (2**80, float(2**80)),
        ((1, 2), (1.0, 2.0)),
        (frozenset([1, 2, 3]), frozenset([3.0, 2, True])),
        (float("inf"), Decimal("Infinity")),
    ],
)
def test_equal_keys_have_equal_forms(equal: tuple[Any, ...]) -> None:
    assert all(key == equal[0] for key in equal)
    assert len({stable_bytes(key) for key in equal}) == 1


def test_different_keys_have_different_forms() -> None:
    keys = [None, 0, 1, -1, 1.5, 1j, 1 + 1j, "1", b"1", (), ("a",), ("a", "b"), ("ab",), (("a",), "b"), frozenset("a")]
    keys += [float("inf"), float("-inf"), (1, None), ("1:", "s"), ("s1:", "")]
    assert len({stable_bytes(key) for key in keys}) == len(keys)


def test_forms_are_the_same_in_another_process() -> None:
    keys = "[1, 'a', (1, 'b'), frozenset(['x', 'y', 'z']), None, 2.5]"
    program = f"from discolocal.func import default_partition as p; print([p(k, 1000003) for k in {keys}])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("key", [[1], {}, object(), {1}, ([],), bytearray(b"x"), print])
def test_other_keys_are_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="has no partition"):
        default_partition(key, 2)


# Functions


def test_the_examples_of_interfaces_work() -> None:
    class Out(list[Any]):
        def add(self, key: Any, value: Any) -> None:
            self.append((key, value))

    pairs = list(func.map("a b a", None))
    out = Out()
    func.reduce(pairs, out, None)
    assert out == list(func.reduce2(pairs, None)) == [("a", 2), ("b", 1)]
    buffer: dict[Any, Any] = {}
    assert func.combiner("a", 1, buffer, False, None) is None
    assert list(func.combiner(None, None, buffer, True, None)) == [("a", 1)]
    assert func.partition("a", 3, None) == default_partition("a", 3)
    assert func.init(iter([]), None) is None and func.notifier("x") is None


def test_sum_combiner_sums_and_hands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(func, "MAX_SUMS", 2)
    buffer: dict[str, int] = {}
    assert func.sum_combiner("a", 1, buffer, False, None) is None
    assert list(func.sum_combiner("b", 2, buffer, False, None)) == [("a", 1), ("b", 2)]
    assert buffer == {}


def test_params() -> None:
    params = Params(a=1, b=[2])
    assert (params.a, params.b, repr(params)) == (1, [2], "Params(a=1, b=[2])")
    assert params == Params(a=1, b=[2]) != Params()
    with pytest.raises(AttributeError, match="no 'c'; it has a, b"):
        _ = params.c


# Readers


@pytest.mark.parametrize("buffer", [1, 3, 8192])
@pytest.mark.parametrize("text", [True, False])
def test_re_reader(buffer: int, text: bool) -> None:
    data = "a=1;é=22;c=3;".encode()
    pattern: Any = r"(\w+)=(\d+);" if text else rb"([^=]+)=(\d+);"
    got = list(re_reader(pattern, io.BytesIO(data), len(data), "url", read_buffer_size=buffer))
    want = [("a", "1"), ("é", "22"), ("c", "3")]
    assert got == (want if text else [(key.encode(), value.encode()) for key, value in want])


def test_re_reader_tells_about_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(re_reader(rb"(\d),", io.BytesIO(b"1,2,xyz"), 7, "url")) == [(b"1",), (b"2",)]
    assert capsys.readouterr().out == (
        "Couldn't match the last 3 bytes in url. Some bytes may be missing from input.\n"
    )
    assert list(re_reader(rb"(\d),", io.BytesIO(b"1,2,xyz"), None, "url", True))[-1] == [b"xyz"]
    with pytest.raises(DataError, match="Truncated input: Expected 9 bytes, got 7"):
        list(re_reader(rb"(\d),", io.BytesIO(b"1,2,xyz"), 9, "url"))


def test_old_records() -> None:
    data = b"3 key 5 value\n0  0 \n"
    assert list(old_netstr_reader(io.BytesIO(data), len(data), "url")) == [("key", "value"), ("", "")]
    with pytest.raises(ValueError, match="Content-length must be defined"):
        old_netstr_reader(io.BytesIO(data), None, "url")


def test_strings_as_streams() -> None:
    file, size, _url = string_input_stream("a\nb", None, "url", None)
    assert (list(file), size) == (["a\n", "b"], 3)


# Files


def test_an_atomic_file_appears_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    file = AtomicFile(str(path))
    file.write(b"data")
    assert not path.exists() and (tmp_path / "new" / "file.partial").exists()
    file.close()
    file.close()
    assert path.read_bytes() == b"data" and file.size() == 4
    assert os.listdir(path.parent) == ["file"]


def test_an_atomic_file_can_be_given_up(tmp_path: Path) -> None:
    file = AtomicFile(str(tmp_path / "file"))
    file.write(b"data")
    file.discard()
    file.close()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 10, 1024

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    with pytest.raises(DataError, match=r"Only 10 KB disk space available\. Task failed\."):
        AtomicFile(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == []


def test_zip_archives(tmp_path: Path) -> None:
    (tmp_path / "d" / "__pycache__").mkdir(parents=True)
    (tmp_path / "d" / "__pycache__" / "x.pyc").write_text("")
    (tmp_path / "d" / "a.py").write_text("a")
    (tmp_path / "d" / "b.pyc").write_text("b")
    archive = DiscoZipFile()
    assert archive.namelist() == []
    archive.writepath(str(tmp_path / "d"), "lib", exclude=(".pyc",))
    archive.writestr("x", "é")
    archive.write(str(tmp_path / "d" / "a.py"))
    assert archive.namelist() == ["lib/a.py", "x", str(tmp_path / "d" / "a.py").lstrip("/")]
    more = DiscoZipFile(archive.dumps())
    more.writestr("y", b"1" * 2000)
    assert more.namelist()[-1] == "y"
    with pytest.raises(DiscoError):
        more.writestr("a/../../b", "")


# Inputs by labels, under all the names that these ever had


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The url of an index of three files of two labels."""
    home = tmp_path / "node1" / "aa" / "J@1:2:3"
    home.mkdir(parents=True)
    for name in "abc":
        (home / name).write_text(name)
    urls = [f"disco://node1/disco/node1/aa/J@1:2:3/{name}" for name in "abc"]
    lines = [f"{label} {url} 1\n" for label, url in zip((0, 1, 0), urls)]
    (home / "index").write_text("".join(lines))
    monkeypatch.setattr(schemes, "data_roots", [str(tmp_path)])
    return "dir://node1/disco/node1/aa/J@1:2:3/index"


def names(found: Any) -> Any:
    """Urls as the last letters of their paths."""
    return [url[-1] if isinstance(url, str) else names(url) for url in found]


def test_the_files_of_a_label(index: str) -> None:
    assert (names(util.parse_dir(index)), names(util.parse_dir(index, 0)), names(util.parse_dir(index, label=1))) == (
        ["a", "b", "c"],
        ["a", "c"],
        ["b"],
    )
    for old in ("partition", "partid"):
        for value in (1, "1"):
            with pytest.warns(DeprecationWarning, match=f"{old} is an old name: use label"):
                assert names(util.parse_dir(index, **{old: value})) == ["b"]
    with pytest.raises(TypeError, match="partition and label mean the same"):
        util.parse_dir(index, label=0, partition=1)


def test_lists_of_inputs(index: str) -> None:
    assert names(util.inputlist([index, "raw://x"])) == [["a"], ["b"], ["c"], "x"]
    for results in ([index], [[index]], [[index, index]]):
        replicas = 2 if len(results[0]) == 2 else 1
        assert names(util.inputlist(results, label=0)) == [["a"] * replicas, ["c"] * replicas]
    assert util.inputlist([index], label=False) == [index]
    with pytest.warns(DeprecationWarning, match="partition is an old name: use label"):
        assert names(util.inputlist([index], partition="1")) == [["b"]]
    assert names(util.inputexpand(index)) == [["a"], ["b"], ["c"]]
    assert names(util.inputexpand(index, 1)) == names(util.inputexpand([index], 1)) == [["b"]]
    assert util.inputexpand("raw://x") == ["raw://x"]
    with pytest.warns(DeprecationWarning, match="partition is an old name: use label"):
        assert names(util.inputexpand(index, partition=1)) == [["b"]]


def test_lists_of_urls_as_before_0_4(index: str) -> None:
    with pytest.warns(DeprecationWarning, match="urllist is an old name: use inputexpand"):
        urllist = util.urllist
    assert (names(urllist(index)), names(urllist(index, partid="0"))) == (["a", "b", "c"], ["a", "c"])
    assert urllist(index, listdirs=False) == [index] and urllist("http://h/x") == ["http://h/x"]
    assert urllist(["http://h/x", "http://g/x"]) == [["http://h/x", "http://g/x"]]
    with pytest.raises(DiscoError, match="another master is not asked"):
        urllist(index, ddfs="disco://h")
