"""Modules beside a script that its job functions name although nobody imports them (reference 8.11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discolocal import Job
from discolocal.worker.classic.implied import with_modules
from tests.compat.conftest import Run

PROGRAM = """
from disco.core import Disco, result_iterator

def fun_map(line, params):
    return [(helper.clean(word), 1) for word in line.split()]

def fun_reduce(iter, out, params):
    found = {}
    for key, value in iter:
        found.setdefault(key, []).append(value)
    for key, values in found.items():
        out.add(key, counting.total(values))

job = Disco("disco://nowhere").new_job(name="wc", input=["raw://b, a b"], map=fun_map, reduce=fun_reduce)
print(sorted(result_iterator(job.wait())))
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text(
        "import letters\n\ndef clean(word):\n    return ''.join(c for c in word if c in letters.ALL)\n"
    )
    (tmp_path / "letters.py").write_text("import string\n\nALL = string.ascii_letters\n")
    (tmp_path / "counting.py").write_text("def total(numbers):\n    return sum(numbers)\n")
    return tmp_path


def test_they_are_sent_and_supplied_with_a_warning(script: Run, beside: Path, start: str) -> None:
    done = script(PROGRAM, options=("--start", start))
    assert (done.returncode, done.stdout) == (0, "[('a', 1), ('b', 2)]\n"), done.stderr
    told = [line for line in done.stderr.splitlines() if "implied-module" in line]
    assert len(told) == 1 and "fun_map names the module helper, fun_reduce names the module counting" in told[0]


def test_a_strict_run_refuses_them(script: Run, beside: Path) -> None:
    done = script(PROGRAM, options=("--strict", "--start", "inline"))
    assert done.returncode == 1 and "PortabilityWarning: [implied-module]" in done.stderr


def names_helper(line: str, params: Any) -> Any:
    return [(helper.clean(line), package.thing, line.counting)]  # type: ignore[name-defined]  # noqa: F821


def test_which_names_are_modules(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(beside)
    (beside / "package").mkdir()
    (beside / "package" / "__init__.py").write_text("thing = 1\n")
    job, worker = Job(map=names_helper), Job.Worker()
    assert with_modules(worker, job, {})["required_modules"] == ["helper"], "no packages, and no attributes"
    for given in ([], ["counting"]):
        assert with_modules(worker, job, {"required_modules": given}) == {"required_modules": given}
    monkeypatch.setitem(names_helper.__globals__, "helper", object())
    assert with_modules(worker, job, {}) == {}
