"""docs/reference/names.md agrees with the code, the tests that it names, and the documents of Disco where they are."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from discolocal.wire.jobpack import JobPack
from discolocal.worker import Output
from discolocal.worker.classic.worker import Worker
from tests.conftest import REQUIRED, golden_root

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference" / "names.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
SAMPLES: dict[str, Any] = {
    "Output": lambda: Output(("path", "disco", 0), open=lambda path: None),
    "JobPack": lambda: JobPack(1, {}, {}, b"", b""),
}
"""Classes whose attributes are those of their objects, and how to make one."""


def table(title: str) -> list[list[str]]:
    """The rows of the table below a heading, without the code marks around cells."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip("`") for cell in row] for row in rows[1:]]


OBJECTS = table("Modules, classes and functions")
PARAMETERS = table("Parameters of a job")
SCHEMES = table("Schemes of urls")
OTHERS = table("Keys of the job dict, and settings")
LIBRARY = table("The C library")
TESTS = sorted({row[-1] for rows in (OBJECTS, PARAMETERS, SCHEMES, OTHERS, LIBRARY) for row in rows})


def found(path: str) -> Any:
    """What a dotted path stands for: the longest module in front, then attributes."""
    parts = path.split(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        thing: Any = None
        for number in range(1, len(parts) + 1):
            try:
                thing = importlib.import_module(".".join(parts[:number]))
            except ModuleNotFoundError:
                break
        else:
            return thing
        for before, name in zip(parts[number - 2 :], parts[number - 1 :]):
            if not hasattr(thing, name) and before in SAMPLES:
                thing = SAMPLES[before]()
            thing = getattr(thing, name)
    return thing


def is_proxied(path: str) -> bool:
    """Whether a job passes the question on to its master."""
    from discolocal import Job

    return path.startswith("discolocal.job.Job.") and path.rpartition(".")[2] in Job.proxy_functions


@pytest.mark.parametrize(("name", "here"), [row[:2] for row in OBJECTS])
def test_a_name_is_where_the_table_says_and_is_documented(name: str, here: str) -> None:
    assert here == f"discolocal.{name.removeprefix('disco.')}", "the module path is Disco's own"
    if is_proxied(here):
        here = f"discolocal.core.Disco.{here.rpartition('.')[2]}"
    thing = found(here)
    if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, property):
        assert inspect.getdoc(thing), f"{here} has no docstring"


def test_a_wrong_path_is_noticed() -> None:
    for path in ("discolocal.worker.Nothing", "discolocal.nothing.Worker", "discolocal.worker.Output.nothing"):
        with pytest.raises((AttributeError, IndexError)):
            found(path)


@pytest.mark.parametrize("name", [row[0] for row in PARAMETERS])
def test_a_parameter_is_one_of_the_worker_and_in_the_reference(name: str) -> None:
    worker = Worker()
    assert name in worker or name in worker.job_parameters
    assert re.search(rf"^\| `{name}` \|", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize(("scheme", "here"), [row[:2] for row in SCHEMES])
def test_a_scheme_has_a_module(scheme: str, here: str) -> None:
    from discolocal.schemes import import_scheme

    assert import_scheme(f"{scheme}x/y") is found(here)


@pytest.mark.parametrize(("name", "declaration"), [row[:2] for row in LIBRARY])
def test_a_name_of_the_c_library_is_declared(name: str, declaration: str) -> None:
    assert re.search(rf"\b{name.rpartition('.')[2]}\b", declaration)
    assert declaration in (ROOT / "ext" / "disco.h").read_text(encoding="utf-8")


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_the_table_names_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^def {re.escape(name)}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def test_no_name_is_in_the_table_twice() -> None:
    for rows in (OBJECTS, PARAMETERS, SCHEMES, OTHERS, LIBRARY):
        names = [row[0] for row in rows]
        assert len(set(names)) == len(names)


# Against the documents themselves


@pytest.fixture(scope="module")
def documents() -> str:
    """The documents of Disco; skips where there are none."""
    golden = golden_root()
    place = golden.parent / "reference" / "seeds" if golden is not None else None
    if place is None or not place.is_dir():
        (pytest.fail if REQUIRED else pytest.skip)("the documents of Disco are not here: set DISCOLOCAL_GOLDEN")
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(place.glob("*.txt")))


CLASSES = ("disco.worker.Worker", "disco.worker.classic.worker.Worker", "disco.job.Job", "disco.job.JobPack")
"""Classes whose methods the documents list without the name of the class."""

SIGNATURE = re.compile(r"^(?:class |classmethod )?([\w.]+)\((.*)\)$", re.MULTILINE)


def owned(name: str, known: set[str]) -> list[str]:
    """The full names that a name in the documents may stand for."""
    return [full for full in (name, *(f"{cls}.{name}" for cls in CLASSES)) if full in known]


def test_every_dotted_name_is_in_a_table(documents: str) -> None:
    named = set(re.findall(r"\bdisco\.[A-Za-z_][\w.]*\w", documents))
    assert len(named) > 60
    calls_of_examples = {"disco.new_job", "disco.wait", "disco.job", "disco.external"}
    known = {row[0] for row in OBJECTS}
    assert named - known - calls_of_examples == set()


def test_every_signature_is_in_the_table_and_can_be_called_like_that(documents: str) -> None:
    known = {row[0]: row[1] for row in OBJECTS}
    signatures = set(SIGNATURE.findall(documents))
    assert len(signatures) > 40
    for name, arguments in sorted(signatures):
        if "://" in arguments:
            continue
        things = [thing for place in owned(name, set(known)) if callable(thing := found(known[place]))]
        assert any(takes(thing, arguments) for thing in things), f"{name}({arguments}) is in no table, or not like that"


def takes(thing: Any, arguments: str) -> bool:
    """Whether a function or class can be called as a signature in the documents says."""
    given = [part.strip() for part in arguments.split(",") if part.strip() and not part.strip().startswith("*")]
    positional = [part for part in given if "=" not in part]
    signature = inspect.signature(thing)
    if inspect.isfunction(thing) and "self" in signature.parameters:
        positional.insert(0, "self")
    try:
        signature.bind(*positional, **{part.partition("=")[0]: None for part in given if "=" in part})
    except TypeError:
        return False
    return True


def test_every_parameter_attribute_scheme_and_setting_is_in_a_table(documents: str) -> None:
    known = {row[0] for rows in (OBJECTS, PARAMETERS, SCHEMES, OTHERS, LIBRARY) for row in rows}
    parameters = set(re.findall(r"•\s*(\w+) \((?!function)", documents))
    arguments = {name for _, signature in SIGNATURE.findall(documents) for name in re.findall(r"\w+", signature)}
    classic = documents.split("class disco.worker.classic.worker.Worker(**kwargs)")[1].split("jobdict(job, **jobargs)")[
        0
    ]
    of_worker = set(re.findall(r"^\s*• (\w+)(?: \(| –|$)", classic, re.MULTILINE))
    assert {"map_init", "partitions", "ext_params", "params", "sort"} <= of_worker
    assert of_worker - known == set()
    named_alone = {"jobargs", "worker", "master", "urls", "files", "input_iter", "open", "merged", "kwds"}
    assert parameters - known - arguments - named_alone == set()
    assert {f"{scheme}://" for scheme in re.findall(r"\b([a-z]+)://", documents)} - known == set()
    assert set(re.findall(r"\bDISCO_[A-Z_]+|jobdict\.\w+", documents)) - known == set()
    attributes = set(
        re.findall(r"^(jobdict|jobenvs|jobhome|jobdata|Worker|p_entry(?:\.\w+)?)$", documents, re.MULTILINE)
    )
    assert {name for name in attributes if name not in known and not owned(name, known)} == set()
