"""The strategies: what they give is legal, varied, and shrinks to what is simplest; Hypothesis knows our types."""

from __future__ import annotations

import configparser
import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from discolocal import Params
from discolocal.cluster.faults import Faults
from discolocal.testing import searching, strategies

ROOT = Path(__file__).resolve().parents[2]
QUICK = settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
FIND = settings(max_examples=2000, database=None, deadline=None)


def simplest(strategy: Any, condition: Any = lambda value: True) -> Any:
    return find(strategy, condition, settings=FIND)


@pytest.mark.parametrize(
    ("strategy", "condition", "minimal"),
    [
        (strategies.keys(), lambda key: True, ""),
        (strategies.keys(), lambda key: key, "a"),
        (strategies.values(), lambda value: True, 0),
        (strategies.values(), lambda value: value < 0, -1),
        (strategies.pairs(), lambda pair: True, ("", 0)),
        (strategies.pairs(values=st.text()), lambda pair: True, ("", "")),
        (strategies.records(), lambda records: len(records) > 1, [("", 0), ("", 0)]),
        (strategies.records(), lambda records: len(dict(records)) > 1, [("", 0), ("a", 0)]),
        (strategies.text_lines(), lambda line: True, "\n"),
        (strategies.text_lines(), lambda line: not line.endswith("\n"), ""),
        (strategies.splits([1, 2, 3]), lambda inputs: True, [[1, 2, 3]]),
        (strategies.splits([1, 2, 3, 4]), lambda inputs: len(inputs) > 1, [[1, 2], [3, 4]]),
        (strategies.splits([]), lambda inputs: len(inputs) > 2, [[], [], []]),
        (strategies.splits(strategies.records()), lambda inputs: sum(map(len, inputs)) > 1, [[("", 0), ("", 0)]]),
        (strategies.partition_counts(), lambda count: True, 1),
        (strategies.flush_points(9), lambda points: True, []),
        (strategies.flush_points(9), lambda points: len(points) > 1, [1, 2]),
        (strategies.flush_points(0), lambda points: True, []),
        (strategies.cluster_shapes(), lambda shape: True, {"nodes": 1, "workers_per_node": 1, "seed": 0}),
        (strategies.params(), lambda params: True, Params()),
        (strategies.chaos_schedules(), lambda faults: faults.rates["lost"], Faults(0, lost=0.1)),
        (strategies.chaos_schedules(), lambda faults: True, Faults(0, slow=0.0)),
    ],
)
def test_it_shrinks_to_what_is_simplest(strategy: Any, condition: Any, minimal: Any) -> None:
    assert simplest(strategy, condition) == minimal


@QUICK
@given(st.data())
def test_splits_lose_and_double_nothing(data: st.DataObject) -> None:
    elements = data.draw(st.lists(st.integers(0, 3), max_size=30))
    inputs = data.draw(strategies.splits(elements, max_inputs=4))
    assert 1 <= len(inputs) <= 4
    assert Counter(element for part in inputs for element in part) == Counter(elements)
    data.draw(strategies.splits(tuple(elements)))


def test_splits_of_a_large_data_set_deal_out_and_cut() -> None:
    data = list(range(20_000))
    seen = []

    @settings(QUICK, max_examples=30)
    @given(strategies.splits(data))
    def draw(inputs: list[list[int]]) -> None:
        assert sorted(element for part in inputs for element in part) == data
        seen.append(inputs)

    draw()
    several = [inputs for inputs in seen if len([part for part in inputs if part]) > 1]
    in_order = [inputs for inputs in several if [element for part in inputs for element in part] == data]
    assert several and in_order and len(in_order) < len(several)


def test_lines_are_of_many_kinds() -> None:
    lines: list[str] = []
    searching.search(lines.extend, st.lists(strategies.text_lines(), min_size=5, max_size=8), examples=100, seed=1)
    kinds = {
        "tabs": lambda line: line.count("\t") == 2,
        "commas": lambda line: "," in line,
        "a number": lambda line: line.strip().lstrip("-").isdigit(),
        "a key and a value": lambda line: len(line.split()) == 2 and line.split()[1].lstrip("-").isdigit(),
        "empty": lambda line: line == "\n",
        "not of ASCII": lambda line: "é" in line,
        "a word twice": lambda line: len(line.split()) > len(set(line.split())),
        "capitals": lambda line: "The" in line.split(),
        "no newline": lambda line: not line.endswith("\n"),
    }
    counts = {name: sum(map(kind, lines)) for name, kind in kinds.items()}
    assert min(counts.values()) > 1, counts
    assert counts["no newline"] < len(lines) / 3
    assert len(set(lines)) < len(lines)


@QUICK
@given(strategies.text_lines())
def test_a_line_is_one_line(line: str) -> None:
    assert "\n" not in line[:-1]


@QUICK
@given(strategies.records(max_size=3), strategies.partition_counts(4), strategies.flush_points(5))
def test_sizes_are_kept(records: Any, count: int, points: list[int]) -> None:
    assert len(records) <= 3
    assert 1 <= count <= 4
    assert points == sorted(set(points)) and all(1 <= point <= 5 for point in points)


@QUICK
@given(strategies.cluster_shapes(max_nodes=2), strategies.chaos_schedules())
def test_a_cluster_takes_them(shape: dict[str, Any], faults: Faults) -> None:
    from discolocal import LocalCluster

    assert eval(repr(faults)) == faults
    faults.check(3)
    LocalCluster(start="inline", faults=faults, **shape).close()


# Registered types


def test_the_entry_point_of_hypothesis_is_our_hook() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    line = config["options.entry_points"]["hypothesis"].strip()
    module, _, name = line.partition("=")[2].strip().partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory for PYTHONPATH that announces the entry point as an installed package does."""
    info = tmp_path / "discolocal_hooks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: discolocal-hooks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hypothesis]\ndiscolocal = discolocal.testing.hooks:register\n")
    return tmp_path


def python(installed: Path, code: str) -> str:
    """Run code in another interpreter: in this one Hypothesis is imported already."""
    import os

    path = os.pathsep.join([str(installed), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hypothesis_knows_our_types_whichever_is_imported_first(installed: Path) -> None:
    show = (
        "print(find(st.from_type(Params), lambda params: len(vars(params)) == 1),"
        " type(find(st.from_type(Faults), lambda faults: True)).__name__)"
    )
    ours = "from discolocal import Params; from discolocal.cluster.faults import Faults"
    theirs = "from hypothesis import find, strategies as st"
    for first, second in ((ours, theirs), (theirs, ours)):
        assert re.fullmatch(r"Params\(_=(None|0)\) Faults\n", python(installed, f"{first}\n{second}\n{show}"))


def test_importing_hypothesis_imports_next_to_nothing_of_ours(installed: Path) -> None:
    code = "import sys, hypothesis; print(*sorted(name for name in sys.modules if name.startswith('discolocal')))"
    assert python(installed, code).split() == ["discolocal", "discolocal.testing", "discolocal.testing.hooks"]


def test_the_watcher_leaves_when_it_has_seen_everything(installed: Path) -> None:
    code = (
        "import hypothesis, sys\nfrom discolocal.testing.hooks import _Watcher\n"
        "def count(): return sum(isinstance(finder, _Watcher) for finder in sys.meta_path)\n"
        "print(count())\nimport discolocal.worker.params, discolocal.cluster.faults\nprint(count())\n"
    )
    assert python(installed, code).split() == ["1", "0"]


def test_a_loader_of_many_modules_is_left_as_it_is(installed: Path) -> None:
    """pytest has one loader for all modules whose asserts it rewrites."""
    code = (
        "import hypothesis, sys\n"
        "from importlib.machinery import PathFinder, SourceFileLoader\n"
        "class One:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        spec = PathFinder.find_spec(name, path)\n"
        "        if spec is not None and isinstance(spec.loader, SourceFileLoader):\n"
        "            self.file = spec.origin\n"
        "            spec.loader = self\n"
        "        return spec\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): exec(open(module.__file__).read(), vars(module))\n"
        "one = One()\n"
        "sys.meta_path.insert(0, one)\n"
        "hook = next(finder for finder in sys.meta_path if type(finder).__name__ == '_Watcher')\n"
        "sys.meta_path.remove(hook)\n"
        "sys.meta_path.insert(0, hook)\n"
        "import discolocal.worker.params, discolocal.cluster.faults, wave\n"
        "print(wave.__name__, 'exec_module' in vars(one), hook in sys.meta_path)\n"
    )
    assert python(installed, code) == "wave False False\n"
