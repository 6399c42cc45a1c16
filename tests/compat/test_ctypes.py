"""C libraries in `required_files`, used by `ctypes` as Disco's documentation has it (reference 1.6, 1.7)."""

from __future__ import annotations

import ast
import ctypes
import subprocess
from pathlib import Path

import pytest

from discolocal import Job, JobError, LocalCluster
from discolocal.worker.libraries import libraries_found
from tests.compat.conftest import Run

# The documented program: but for the address of the input and the last line, word for word.
DOCUMENTED = """
from disco.core import Disco, result_iterator

def fast_map(e, params):
        return [("", params.mylib.fast_function(e))]

def map_init(iter, params):
        ctypes.cdll.LoadLibrary("mylib.so")
        params.mylib = ctypes.CDLL("mylib.so")

job = Disco("disco://discomaster").new_job(
        name = "mylib_job",
        input = ["INPUT"],
        map = fast_map,
        map_init = map_init,
        required_files = ["mylib.so"],
        required_modules = ["ctypes"])
print(sorted(value for _, value in result_iterator(job.wait())))
"""

# A str comes as wide characters, as Python 3 hands it over.
FAST = "int fast_function(const wchar_t *e) { int n = 0; while (*e) n = 31 * n % 1000 + *e++; return n; }"


def fast_function(line: str) -> int:
    """The same in Python."""
    n = 0
    for char in line:
        n = 31 * n % 1000 + ord(char)
    return n


def compiled(directory: Path, name: str, source: str, *more: str) -> Path:
    """The shared library of some C source."""
    (directory / f"{name}.c").write_text(f"#include <wchar.h>\n{source}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", name, f"{name}.c", *more], cwd=directory, check=True)
    return directory / name


def test_the_documented_use_of_a_c_library(script: Run, tmp_path: Path, start: str) -> None:
    lines = ["seven\n", "the cat and the hat\n", "\n"]
    compiled(tmp_path, "mylib.so", FAST)
    (tmp_path / "lines").write_text("".join(lines))
    done = script(DOCUMENTED.replace("INPUT", "lines"), options=("--start", start))
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == sorted(map(fast_function, lines))


def load(name: str, params: str) -> list[tuple[str, int]]:
    import ctypes

    return [(name, ctypes.CDLL(name)[params]())]


def run(cluster: LocalCluster, libraries: list[Path], name: str, function: str) -> list[tuple[str, int]]:
    files = [str(path) for path in libraries]
    return list(cluster.run(Job(map=load, params=function, required_files=files), input=[f"raw://{name}"]))


def test_a_library_that_needs_another_one_of_the_job(tmp_path: Path, start: str) -> None:
    inner = compiled(tmp_path, "libinner.so", "int inner(void) { return 40; }", "-Wl,-soname,libinner.so")
    outer = compiled(
        tmp_path, "libouter.so", "int inner(void); int outer(void) { return inner() + 2; }", "-L.", "-linner"
    )
    with LocalCluster(nodes=1, start=start) as cluster:
        with pytest.raises(JobError, match="libinner.so: cannot open shared object file"):
            run(cluster, [outer], "libouter.so", "outer")
        assert run(cluster, [outer, inner], "libouter.so", "outer") == [("libouter.so", 42)]


def test_each_job_has_its_own_library_and_none_stays(tmp_path: Path, start: str) -> None:
    opener = vars(ctypes)["_dlopen"]
    with LocalCluster(nodes=1, start=start) as cluster:
        for number in (1, 2):
            (tmp_path / str(number)).mkdir()
            library = compiled(tmp_path / str(number), "mine.so", f"int mine(void) {{ return {number}; }}")
            assert run(cluster, [library], "mine.so", "mine") == [("mine.so", number)]
        with pytest.raises(JobError, match="mine.so: cannot open shared object file"):
            run(cluster, [], "mine.so", "mine")
    assert vars(ctypes)["_dlopen"] is opener
    with pytest.raises(OSError, match="mine.so"):
        ctypes.CDLL("mine.so")


def test_what_is_not_there_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    compiled(tmp_path, "a.so", "int a(void) { return 1; }")
    # Two that need each other are no way round in circles.
    compiled(tmp_path, "one.so", "int two(void); int one(void) { return two(); }", "-Wl,-soname,one.so")
    compiled(tmp_path, "two.so", "int one(void); int two(void) { return one(); }", "-Wl,-soname,two.so", "./one.so")
    compiled(tmp_path, "one.so", "int two(void); int one(void) { return two(); }", "-Wl,-soname,one.so", "./two.so")
    with libraries_found(str(tmp_path)):
        assert ctypes.CDLL("a.so").a() == ctypes.CDLL(str(tmp_path / "a.so")).a() == 1
        assert ctypes.CDLL(None).abs(-3) == 3
        with pytest.raises(OSError, match=r"b\.so: cannot open shared object file"):
            ctypes.CDLL("b.so")
        with pytest.raises(OSError, match=r"a\.so: cannot open shared object file"):
            ctypes.CDLL("./a.so")
        with pytest.raises(OSError, match=r"(one|two)\.so: cannot open shared object file"):
            ctypes.CDLL("one.so")


def test_without_libraries_ctypes_is_left_alone(tmp_path: Path) -> None:
    opener = vars(ctypes)["_dlopen"]
    (tmp_path / "module.py").write_text("")
    for directory in (tmp_path, tmp_path / "absent"):
        with libraries_found(str(directory)):
            assert vars(ctypes)["_dlopen"] is opener
    (tmp_path / "libz.so.1").write_bytes(b"")
    with libraries_found(str(tmp_path)):
        assert vars(ctypes)["_dlopen"] is not opener
    assert vars(ctypes)["_dlopen"] is opener
