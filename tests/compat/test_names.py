"""`import disco` finds this package, on the client and in tasks, and old names tell what they are called today."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import Run, printed

MODULES = [
    "core", "ddfs", "error", "func", "job", "node.worker", "schemes.scheme_http", "settings", "task", "util", "worker",
    "worker.classic.func", "worker.classic.worker", "worker.task_io",
]  # fmt: skip

RECORDS = [
    ("map_line_reader", "map_reader=None"),
    ("netstr_reader", "chain_reader"),
    ("netstr_writer", "plain_output_stream"),
    ("object_reader", "default streams"),
    ("object_writer", "default streams"),
]
OLD = [
    ("core", "Params", "discolocal.worker"),
    ("core", "classic_iterator", "result_iterator"),
    ("util", "msg", "print"),
    ("util", "err", "DiscoError"),
    ("util", "data_err", "DataError"),
    ("util", "urllist", "inputexpand"),
    ("core", "JobDict", "Job.pack"),
    ("core", "JobException", "JobError"),
    ("node.worker", "msg", "print"),
    ("node.worker", "err", "DiscoError"),
    ("node.worker", "data_err", "DataError"),
    ("worker.classic.worker", "ClassicFile", "StreamCombiner"),
    ("worker.task_io", "ClassicFile", "StreamCombiner"),
    ("worker.classic.func", "unix_sort", "unix_sort of discolocal.util"),
    ("worker.classic.func", "disk_sort", "disk_sort of discolocal.util"),
    *(("worker.classic.func", name, today) for name, today in RECORDS),
    *(("func", f"{stage}_input_stream", "task_input_stream") for stage in ("map", "reduce")),
    *(("func", f"{stage}_output_stream", "task_output_stream") for stage in ("map", "reduce")),
]
MOVED = [
    "discolocal.node.worker",
    "discolocal.node.external",
    "discolocal.netstring",
    "discolocal.modutil",
    "discolocal.worker.classic.modutil",
]


@pytest.mark.parametrize(("module", "name", "today"), OLD)
def test_an_old_name_says_what_it_is_called_today(module: str, name: str, today: str) -> None:
    home = importlib.import_module(f"discolocal.{module}")
    with pytest.warns(DeprecationWarning, match=f"discolocal.{module}.{name} is an old name: use .*{today}") as told:
        value = getattr(home, name)
    assert callable(value)
    assert [Path(one.filename).name for one in told] == ["test_names.py"]
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        home.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", MOVED)
def test_an_old_module_has_all_that_the_one_of_today_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{name} is an old name: use discolocal.worker") as told:
        old = importlib.import_module(name)
    today = importlib.import_module(str(told[0].message).rpartition(" ")[2])
    assert old.__all__ == today.__all__
    changed = {"discolocal.node.worker": {"this_partition"}}.get(name, set())
    assert {one for one in old.__all__ if getattr(old, one) is not getattr(today, one)} == changed


def test_everything_from_func() -> None:
    space: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec("from discolocal.func import *", space)
    from discolocal import util
    from discolocal.worker.classic import func

    assert set(func.__all__) <= set(space) and space["unix_sort"] is util.unix_sort
    assert list(space["map_line_reader"](["a\n"], None, "u")) == ["a"]
    assert {name for name, _ in RECORDS} <= set(space)


STARRED = """
from disco.core import Disco, result_iterator
from disco.func import *
from disco.node.worker import Task, get, put, this_name
from disco.worker.classic.worker import Task as same

def fun(line, params):
    put("of-" + line, Task.jobname)
    return [(line, same.jobname == this_name() == Task.jobname)]

job = Disco("http://h:1").new_job(name="star", input=["raw://a", "raw://b"], map_reader=map_line_reader, map=fun)
print(sorted(result_iterator(job.wait())), job.oob_get("of-b") == job.name.encode())
"""


def test_a_script_that_imports_everything(script: Run, start: str) -> None:
    done = script(STARRED, options=("--start", start))
    assert (done.returncode, done.stdout) == (0, "[('a', True), ('b', True)] True\n"), done.stderr
    told = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    assert len(told) == 2 and "node.worker is an old name" in told[0]
    assert "program.py:11" in told[1] and "map_line_reader is of Disco before 0.4: use map_reader=None" in told[1]


def test_core_has_the_names_that_real_scripts_take_from_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import discolocal.job
        from discolocal.core import Job

    assert Job is discolocal.job.Job


def test_both_names_are_one_module(python: Run) -> None:
    done = python(
        "import sys\nimport discolocal.compat\ndiscolocal.compat.install_as_disco()\n"
        "discolocal.compat.install_as_disco()\n"
        f"import importlib\nfor name in {MODULES!r}:\n"
        "    one, other = (importlib.import_module(top + '.' + name) for top in ('disco', 'discolocal'))\n"
        "    assert one is other and one.__name__ == one.__spec__.name == 'discolocal.' + name, (name, one.__spec__)\n"
        "import disco, discolocal, disco.util\n"
        "assert disco is discolocal and disco.util.kvgroup.__module__ == 'discolocal.util'\n"
        "try:\n    import disco.nothing\nexcept ModuleNotFoundError as error:\n    print(error)\n"
        "print(sum(type(finder).__module__ == 'discolocal.worker.aliases' for finder in sys.meta_path))\n"
    )
    assert (done.returncode, done.stdout) == (0, "No module named 'disco.nothing'\n1\n"), done.stderr


def test_another_disco_is_not_hidden_unasked(python: Run, tmp_path: Path) -> None:
    (tmp_path / "disco.py").write_text("mine = True\n")
    program = "from discolocal.compat import install_as_disco\n{}\nimport disco\nprint(disco.__name__)\n"
    done = python(program.format("install_as_disco()"))
    assert done.returncode == 1 and f"There is another module disco, {tmp_path}/disco.py" in done.stderr
    done = python(program.format("install_as_disco(force=True)"))
    assert (done.returncode, done.stdout) == (0, "discolocal\n"), done.stderr
    done = python("import disco\n" + program.format("install_as_disco(force=True)"))
    assert done.returncode == 1 and "was imported already" in done.stderr


TASKS = """
import discolocal.compat
discolocal.compat.install_as_disco()
import sys, warnings
import disco.util
from disco.core import Job, Disco, result_iterator
from disco.error import DiscoError
import helper
from discolocal import LocalCluster

def map(line, params):
    import disco
    from disco.func import nop_map
    from disco.task import Task
    from disco.worker.task_io import chain_reader
    assert issubclass(DiscoError, Exception) and disco.__name__ == "discolocal"
    yield helper.word(line), disco.util.iterify.__module__

def reduce(iter, params):
    import disco.util
    for key, value in disco.util.kvgroup(sorted(iter)):
        yield key, list(value)

with LocalCluster(nodes=2, start=sys.argv[1]) as cluster:
    print(sorted(cluster.run(Job(), map=map, reduce=reduce, input=["raw://a", "raw://b"])))
"""


def test_tasks_find_the_name_too(python: Run, tmp_path: Path, start: str) -> None:
    (tmp_path / "helper.py").write_text(
        "import disco.core\nfrom disco.util import listify\n"
        "def word(text):\n    return ''.join(listify(text.strip() + '!'))\n"
    )
    done = python(TASKS, start)
    expected = [("a!", ["discolocal.util"]), ("b!", ["discolocal.util"])]
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr
    assert "Warning" not in done.stderr


OWN_WORKER = """
import sys
import discolocal.compat
discolocal.compat.install_as_disco()
import disco, mine
from disco.job import Job
from discolocal import LocalCluster
with LocalCluster(nodes=1, start="exec") as cluster:
    results = cluster.run(Job(worker=mine.Mine()), input=["raw://a"], map=mine.go, required_files=["mine.py"])
    print(list(results))
"""
OWN_MODULE = """#!/usr/bin/env python3
from disco.worker.classic.worker import Worker
class Mine(Worker):
    bin = "lib/mine.py"
def go(line, params):
    yield line, __name__
if __name__ == "__main__":
    Mine.main()
"""


def test_a_program_of_the_users_own_finds_it_in_the_job_home(python: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_MODULE)
    done = python(OWN_WORKER)
    assert (done.returncode, done.stdout) == (0, "[('a', 'mine')]\n"), done.stderr


def test_a_job_without_it_does_not_take_the_name_along(cluster_home: Any) -> None:
    names, envs = cluster_home
    assert [name for name in names if name.startswith("lib/disco/")] == []
    assert "DISCOLOCAL_AS_DISCO" not in envs


@pytest.fixture
def cluster_home() -> tuple[list[str], dict[str, str]]:
    """The names of the files in a job's home, and its environment, of a job that this process makes."""
    import io
    import zipfile

    from discolocal import Job

    pack = Job(map=lambda line, params: []).pack(input=["raw://a"])
    return zipfile.ZipFile(io.BytesIO(pack.jobhome)).namelist(), pack.jobenvs


TEXTS = """
import sys
from disco.compat import bytes_to_str, str_to_bytes
from disco.core import Job, result_iterator

def map(line, params):
    from disco.compat import bytes_of_int, int_of_byte, pickle_dumps, pickle_loads, urlencode
    word = bytes_to_str(str_to_bytes(bytes_to_str(line.strip())))
    yield word, pickle_loads(pickle_dumps((bytes_of_int(int_of_byte(b"!"[0])), urlencode({"a": word}))))

job = Job().run(input=["raw://gr\\u00fcn"], map=map)
print(list(result_iterator(job.wait())))
"""


def test_the_module_of_both_pythons_is_there_on_the_client_and_in_tasks(script: Run, start: str) -> None:
    assert printed(script(TEXTS, options=("--start", start, "--era", "0.5"))) == [
        ("grün", (b"!", "a=gr%C3%BCn")),
    ]


def test_every_name_of_that_module_is_in_compat() -> None:
    """Disco's own list of what it needs of both Pythons, but for the command line of its sort."""
    import discolocal.compat as compat
    from discolocal.worker.old import texts

    names = {
        "basestring", "bytes_of_int", "int_of_byte", "str_to_bytes", "bytes_to_str", "force_utf8", "force_ascii",
        "StringIO", "BytesIO", "file", "pickle_loads", "pickle_dumps", "pickle_load", "pickle_dump", "UnpicklingError",
        "socket_server", "urlencode", "httplib", "http_server", "zip_longest", "integer_types",
    }  # fmt: skip
    assert names == texts.NAMES
    for name in names:
        assert getattr(compat, name) is getattr(texts, name)
    assert compat.httplib.HTTPConnection and compat.force_utf8("ü") == compat.force_ascii("ü") == "ü"
    with pytest.raises(AttributeError, match=r"discolocal\.compat.*'sort_cmd'"):
        _ = compat.sort_cmd
    with pytest.raises(UnicodeDecodeError):
        compat.bytes_to_str(b"\xff")


UNKNOWN = """
from disco.core import Job, result_iterator
job = Job().run(input=["raw://a"], map=lambda line, params: [(line, "")], partitons=3)
print(list(result_iterator(job.wait())))
"""


def test_an_argument_that_disco_ignores_is_told_of(script: Run) -> None:
    done = script(UNKNOWN, options=("--start", "inline"))
    assert printed(done) == [("a", "")]
    assert "program.py:3: PortabilityWarning: [unknown-argument]" in done.stderr
    assert "did you mean 'partitions'?; it has no effect" in done.stderr
