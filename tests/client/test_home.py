"""The library's part of a job home: whatever a task needs, found there alone, and the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from discolocal import demo
from discolocal.job import Job
from discolocal.worker import jobhome
from discolocal.worker.classic.func import sum_combiner, sum_reduce

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import importlib, pickle, sys, zipfile
archive, data = sys.argv[1:]
sys.path.insert(0, archive)
for name in sorted(zipfile.ZipFile(archive).namelist()):
    if name.startswith("discolocal/"):
        importlib.import_module(name[:-3].replace("/", ".").removesuffix(".__init__"))
importlib.import_module("cloudpickle")
with open(data, "rb") as file:
    job, jobargs = pickle.load(file)
print(job.map.__module__, sys.modules["discolocal"].__file__.startswith(archive), sys.modules["cloudpickle"].__file__)
"""


def test_a_task_of_the_demonstration_needs_nothing_but_its_home(tmp_path: Path) -> None:
    job = Job("demo", map_reader=demo.lines_of_files, map=demo.words, combiner=sum_combiner, reduce=sum_reduce)
    pack = job.pack(input=["raw://x"])
    archive, data = tmp_path / "home.zip", tmp_path / "data"
    archive.write_bytes(pack.jobhome)
    data.write_bytes(pack.jobdata)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(archive), str(data)],
        capture_output=True, text=True, check=False, cwd="/", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    module, ours, cloudpickle = done.stdout.split()
    assert (module, ours) == ("discolocal.demo", "True")
    assert cloudpickle.startswith(str(archive))


def test_the_archive_is_the_same_in_every_process_and_at_every_place(tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(ROOT / "discolocal", copy / "discolocal", ignore=shutil.ignore_patterns("__pycache__"))
    os.utime(copy / "discolocal" / "task.py", (1e9, 1e9))
    program = "import sys, hashlib; from discolocal.worker.jobhome import library\n"
    program += "sys.stdout.write(hashlib.md5(library()).hexdigest())"
    prints = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(place), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for place, seed in ((ROOT, "1"), (copy, "2"))
    ]  # fmt: skip
    assert prints[0] == prints[1] != ""


def test_what_only_a_client_has_stays_there() -> None:
    import io
    import zipfile

    names = zipfile.ZipFile(io.BytesIO(jobhome.library())).namelist()
    assert "discolocal/demo.py" in names
    for part in ("cluster/", "testing/", "testing.py", "report.py", "cli.py", "__main__.py"):
        assert not [name for name in names if name.startswith(f"discolocal/{part}")]
    assert len(names) == len(set(names))
