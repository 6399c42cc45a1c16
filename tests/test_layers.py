"""The rule of the house: a module imports only from its own layer or one below.

The table is the one of docs/architecture.md. Imports are read from the source, so those inside functions and under
TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "discolocal"

LAYERS = (
    ("wire", "error"),
    ("worker", "schemes", "task", "jobdata", "util", "func", "fileutils", "active", "modutil", "netstring", "node")
    + ("threads",),
    ("settings", "job", "chain", "core", "reading", "profiles", "monitor", "compat")
    + ("ddfs", "tags", "tagservice", "pushing", "chunks"),
    ("cluster",),
    ("cli", "demo", "report", "testing", "__init__", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NODE_SIDE = {name for rank in (0, 1) for name in LAYERS[rank]}
"""What travels to a node in a job home, and has nothing there but Python and cloudpickle."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(name: str) -> str:
    """The part of the package, as the table names it, to which a dotted module name belongs."""
    return name.split(".")[1] if "." in name else "__init__"


def imports(path: Path, for_types: bool = True) -> Iterator[tuple[int, str]]:
    """(line, dotted module name) of every import in a module; `from x import y` gives x.y where y is a module.

    With `for_types` false those under TYPE_CHECKING are left out: they do not happen.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            for alias in node.names:
                name = [*base, alias.name]
                yield node.lineno, ".".join(name if is_module(name) else base)


def is_module(name: list[str]) -> bool:
    """Whether a dotted name, as a list, is a module or package of ours."""
    path = PACKAGE.parent.joinpath(*name)
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts <= set(RANK), f"not in the table of layers: {sorted(parts - set(RANK))}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    own = part(module_name(path)) if path.parent != PACKAGE else path.stem
    against = []
    for line, name in imports(path):
        if name.split(".")[0] == PACKAGE.name and RANK[part(name)] > RANK[own]:
            against.append(f"line {line}: {name} (layer {RANK[part(name)]}) from {own} (layer {RANK[own]})")
    assert not against, "\n".join(against)


@pytest.mark.parametrize("path", [p for p in MODULES if part(module_name(p)) in NODE_SIDE], ids=module_name)
def test_a_node_needs_only_python_and_cloudpickle(path: Path) -> None:
    allowed = {PACKAGE.name, "cloudpickle", *sys.stdlib_module_names}
    found = imports(path, for_types=False)
    foreign = [f"line {line}: {name}" for line, name in found if name.split(".")[0] not in allowed]
    assert not foreign, "\n".join(foreign)


def between_parts() -> dict[str, set[str]]:
    """For each part of the package the other parts whose modules it imports, the package itself left out."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        own = part(module_name(path)) if path.parent != PACKAGE else path.stem
        names = {part(name) for _, name in imports(path) if name.startswith(f"{PACKAGE.name}.")}
        found.setdefault(own, set()).update(names - {own})
    return found


def test_the_architecture_page_says_who_imports_whom() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(\w+) +-> (.*)$", text, re.MULTILINE)
    said = {name: set(others.split(", ")) for name, others in lines}
    actual = {name: others for name, others in between_parts().items() if others}
    table = "\n".join(f"{name:11}-> {', '.join(sorted(actual[name], key=rank_then_name))}" for name in by_layer(actual))
    assert said == actual, f"docs/architecture.md should say:\n{table}"


def by_layer(parts: Iterable[str]) -> list[str]:
    return sorted(parts, key=rank_then_name)


def rank_then_name(name: str) -> tuple[int, str]:
    return RANK[name], name


def test_the_architecture_page_names_every_module() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {module_name(path).removeprefix(f"{PACKAGE.name}.") for path in MODULES if path.stem[:2] != "__"}
    named = set(re.findall(r"`([a-z_.]+)`", "\n".join(re.findall(r"^\|.*|^And `cli`.*", text, re.MULTILINE))))
    assert modules - named == set()
    assert {name for name in named if name.partition(".")[0] in {"wire", "worker", "cluster"}} - modules == set()


def test_only_testing_imports_hypothesis() -> None:
    users = {module_name(path) for path in MODULES for _, name in imports(path) if name.split(".")[0] == "hypothesis"}
    assert all(part(name) == "testing" for name in users), users


def test_wire_opens_no_file_and_starts_no_process() -> None:
    banned = {"os", "subprocess", "socket", "multiprocess", "multiprocessing", "threading", "tempfile", "shutil"}
    found = [
        f"{module_name(path)}:{line} imports {name}"
        for path in sorted((PACKAGE / "wire").glob("*.py"))
        for line, name in imports(path)
        if name.split(".")[0] in banned
    ]
    found += [
        f"{module_name(path)}:{node.lineno} opens a file"
        for path in sorted((PACKAGE / "wire").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert not found, "\n".join(found)


def loaded_by(modules: str) -> set[str]:
    """The modules that a fresh Python has when it has imported these."""
    program = [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"]
    done = subprocess.run(program, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    """`import discolocal` loads nothing of the cluster and nothing heavy: names are found when asked for."""
    heavy = {"discolocal.cluster", "multiprocess", "cloudpickle", "click", "tqdm", "asyncio", "zipfile", "http.client"}
    assert not heavy & loaded_by("discolocal")


def test_what_tasks_need_is_imported_without_anything_of_the_node() -> None:
    loaded = loaded_by("discolocal.cluster.preloaded")
    assert {name for name in loaded if name.startswith("discolocal.cluster")} == {
        "discolocal.cluster",
        "discolocal.cluster.preloaded",
    }
    assert {"cloudpickle", "discolocal.schemes.scheme_disco", "discolocal.worker.classic.worker"} <= loaded


def test_a_node_is_small_as_each_of_its_forks_pays_for_its_memory() -> None:
    loaded = loaded_by("discolocal.cluster.preloaded, discolocal.cluster.node")
    assert not loaded & {"socket", "multiprocess", "tqdm", "click", "tempfile", "hashlib", "random", "urllib.request"}
