"""`import disco` finds this package, on the client and in tasks, and old names tell what they are called today."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import Run

MODULES = [
    "core", "error", "func", "job", "node.worker", "schemes.scheme_http", "settings", "task", "util", "worker",
    "worker.classic.func", "worker.classic.worker", "worker.task_io",
]  # fmt: skip

OLD = [
    ("core", "Params", "discolocal.worker"),
    ("core", "classic_iterator", "result_iterator"),
    ("util", "msg", "print"),
    ("util", "err", "DiscoError"),
    ("util", "data_err", "DataError"),
    *(
        (module, name, today)
        for module in ("func", "worker.classic.func")
        for name, today in (
            ("map_line_reader", "map_reader=None"),
            ("netstr_reader", "chain_reader"),
            ("netstr_writer", "plain_output_stream"),
            ("object_reader", "default streams"),
            ("object_writer", "default streams"),
        )
    ),
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
