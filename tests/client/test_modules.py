"""Which modules travel with a job, and which are said to be missing on a node."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job
from discolocal.error import DiscoError, PortabilityWarning
from discolocal.worker.travel.sources import source
from tests.client.modules import Modules, home_files, missing, sent

F = "def f(line, params):\n    "


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    directory = tmp_path / "own"
    directory.mkdir()
    modules = Modules(directory, monkeypatch)
    yield modules
    modules.forget()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    """Modules that count as an installed package's."""
    directory = tmp_path / "site-packages"
    directory.mkdir()
    modules = Modules(directory, monkeypatch)
    modules.write(dx_third="X = 1\n", dx_big__="from . import inner\n", dx_big__inner="Y = 2\n")
    yield modules
    modules.forget()


# What is sent


IMPORTS = {
    "import dx_a": ["dx_a.py"],
    "import dx_a as other": ["dx_a.py"],
    "from dx_a import X": ["dx_a.py"],
    "import dx_p.m": ["dx_p/__init__.py", "dx_p/m.py"],
    "from dx_p import m": ["dx_p/__init__.py", "dx_p/m.py"],
    "from dx_p.m import X": ["dx_p/__init__.py", "dx_p/m.py"],
    "import dx_p": ["dx_p/__init__.py"],
    "from dx_p.rel import X": ["dx_p/__init__.py", "dx_p/m.py", "dx_p/rel.py"],
    "from dx_p.deep.up import X": ["dx_p/__init__.py", "dx_p/deep/__init__.py", "dx_p/deep/up.py", "dx_p/m.py"],
    "import dx_ns.m": ["dx_ns/m.py"],
    "from dx_ns.inner.n import X": ["dx_ns/inner/n.py"],
    "from dx_ns import m": ["dx_ns/m.py"],
    "try:\n    import dx_a\nexcept ImportError:\n    dx_a = None": ["dx_a.py"],
    "import importlib\nimportlib.import_module('dx_p.m')": ["dx_p/__init__.py", "dx_p/m.py"],
    "import dx_ring_a": ["dx_ring_a.py", "dx_ring_b.py"],
    "import json, os.path, _thread, xml.dom": [],
    "import dx_none": [],
    "from dx_a import *": ["dx_a.py"],
}


def tree(own: Modules) -> None:
    own.write(
        dx_a="X = 1\n",
        dx_p__="",
        dx_p__m="X = 1\n",
        dx_p__rel="from . import m\nfrom .m import X\n",
        dx_p__unused="X = 1\n",
        dx_p__deep__="",
        dx_p__deep__up="from ..m import X\n",
        dx_ns__m="X = 1\n",
        dx_ns__inner__n="X = 1\n",
        dx_ring_a="import dx_ring_b\n",
        dx_ring_b="import dx_ring_a\n",
    )


@pytest.mark.parametrize("statement", IMPORTS)
@pytest.mark.parametrize("where", ["function", "untouched", "helper"])
def test_what_is_imported_comes_along(own: Modules, statement: str, where: str) -> None:
    """Inside of a function that travels; inside of one that does not; in a module that one refers to."""
    tree(own)
    inside = statement.replace("\n", "\n    ")
    expected = ["dx_jobs.py", *IMPORTS[statement]]
    if where == "function" and not statement.endswith("*"):
        own.write(dx_jobs=f"{F}{inside}\n    return []\n")
    elif where == "untouched" and not statement.endswith("*"):
        own.write(dx_jobs=f"{F}return []\ndef g():\n    {inside}\n")
    else:
        if "dx_none" in statement:
            statement = f"def g():\n    {inside}"
        own.write(dx_jobs=f"import dx_help\n{F}return dx_help.X\n", dx_help=f"X = []\n{statement}\n")
        expected.append("dx_help.py")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sent(Job(map=own.load("dx_jobs").f)) == sorted(expected)


def test_a_function_of_a_script_takes_the_modules_it_refers_to(own: Modules) -> None:
    own.write(dx_a="import dx_b\ndef g():\n    return dx_b.Y\n", dx_b="Y = 1\n")
    dx_a = own.load("dx_a")
    space: dict[str, Any] = {"__name__": "__main__", "dx_a": dx_a, "g": dx_a.g}
    exec("def by_module(e, p):\n    return dx_a.g()\ndef by_name(e, p):\n    return g()\n", space)
    for name in ("by_module", "by_name"):
        assert sent(Job(map=space[name])) == ["dx_a.py", "dx_b.py"]


def test_closures_defaults_params_and_classes_take_their_modules(own: Modules) -> None:
    own.write(dx_a="class A:\n    pass\nclass B(A):\n    pass\n")
    dx_a = own.load("dx_a")
    cases = {
        "closure": "def make():\n    from dx_a import A\n    return lambda e, p: A()\nf = make()\n",
        "default": "import dx_a\ndef f(e, p, a=dx_a):\n    return []\n",
        "base": "import dx_a\nclass C(dx_a.B):\n    pass\ndef f(e, p):\n    return C()\n",
    }
    for name, text in cases.items():
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(text, space)
        assert sent(Job(map=space["f"])) == ["dx_a.py"], name
    assert sent(Job(params=dx_a.B())) == ["dx_a.py"]


def test_a_package_that_imports_by_computed_names_comes_whole(own: Modules) -> None:
    tree(own)
    lists = "import importlib, os\ndef load(n):\n    return importlib.import_module('dx_p.' + n)\n"
    own.write(dx_p__load=lists, dx_jobs=f"from dx_p import load\n{F}return load.load('m')\n")
    whole = ["__init__", "deep/__init__", "deep/up", "load", "m", "rel", "unused"]
    assert sent(Job(map=own.load("dx_jobs").f)) == ["dx_jobs.py", *(f"dx_p/{name}.py" for name in whole)]


def test_a_package_whose_loading_function_is_not_used_does_not(own: Modules) -> None:
    tree(own)
    own.write(
        dx_p__load="import importlib\ndef load(n):\n    return importlib.import_module(n)\ndef other():\n    pass\n"
    )
    own.write(dx_jobs=f"from dx_p.load import other\n{F}return other()\n")
    assert sent(Job(map=own.load("dx_jobs").f)) == ["dx_jobs.py", "dx_p/__init__.py", "dx_p/load.py"]


def test_the_library_never_comes_twice_and_python_never_at_all(own: Modules) -> None:
    own.write(
        dx_jobs="import json, discolocal, cloudpickle, discolocal.util\nfrom discolocal.worker.classic import func\n"
        f"{F}import csv, discolocal.task\n    return [discolocal.util, json, func]\n"
    )
    assert missing(Job(map=own.load("dx_jobs").f)) == {}
    names = home_files(Job(map=own.load("dx_jobs").f))
    assert [name for name in names if not name.startswith(("discolocal/", "cloudpickle/"))] == ["lib/dx_jobs.py"]


def test_a_source_behind_a_link_is_sent_as_a_file(own: Modules, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("X = 'linked'\n")
    (own.directory / "dx_link.py").symlink_to(tmp_path / "elsewhere.py")
    own.write(dx_jobs=f"import dx_link\n{F}return dx_link.X\n")
    assert home_files(Job(map=own.load("dx_jobs").f))["lib/dx_link.py"] == b"X = 'linked'\n"


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(own: Modules, monkeypatch: Any) -> None:
    from discolocal.worker.travel import parsing

    parsed = []
    parse = parsing.ast.parse
    monkeypatch.setattr(parsing.ast, "parse", lambda data: parsed.append(data) or parse(data))
    own.write(dx_jobs=f"import dx_a\n{F}return dx_a.X\n", dx_a="X = 1\n", dx_b="")
    job = Job(map=own.load("dx_jobs").f)
    sent(job)
    assert len(parsed) == 2
    sent(job)
    assert len(parsed) == 2
    own.write(dx_a="X = 1\nimport dx_b\n")
    assert "dx_b.py" in sent(job)
    assert len(parsed) == 4


def test_a_source_that_python_cannot_parse_is_sent_as_it_is(own: Modules) -> None:
    own.write(dx_old="print 'of Python 2'\n", dx_jobs=f"{F}return []\ndef g():\n    import dx_old\n")
    assert sent(Job(map=own.load("dx_jobs").f)) == ["dx_jobs.py", "dx_old.py"]
    assert source(str(own.directory / "dx_old.py")).units == ()


def test_reading_a_source_does_not_warn(own: Modules) -> None:
    own.write(dx_jobs=f"{F}return []\ndef g():\n    import dx_odd\n", dx_odd="X = '\\d' is 'x'\nimport dx_a\n", dx_a="")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sent(Job(map=own.load("dx_jobs").f)) == ["dx_a.py", "dx_jobs.py", "dx_odd.py"]


# What a node would miss

NEEDS = {
    "a global of a function": f"import dx_third\n{F}return dx_third.X\n",
    "a part of it": f"import dx_big.inner\n{F}return dx_big.inner.Y\n",
    "a name from it": f"from dx_big import inner\n{F}return inner.Y\n",
    "an import in a function": f"{F}import dx_third\n    return []\n",
    "an import in a function inside of it": f"{F}def g():\n        from dx_third import X\n    return g()\n",
    "an import at the top of a helper": f"import dx_help\n{F}return dx_help\n|import dx_third\n",
    "an import in a helper's function": f"import dx_help\n{F}return dx_help.g()\n|def g():\n    import dx_third\n",
    "an import in a helper's method": (
        f"import dx_help\n{F}return dx_help.C().m()\n|class C:\n    def m(self):\n        import dx_third\n"
    ),
    "an import two functions away": (
        f"from dx_help import g\n{F}return g()\n|def g():\n    return h()\ndef h():\n    import dx_third\n"
    ),
    "the constructor of a helper's class": (
        f"import dx_help\n{F}return dx_help.C()\n|class C:\n    def __init__(self):\n        import dx_third\n"
    ),
    "the other branch of a guard": (
        f"{F}try:\n        import dx_none\n    except ImportError:\n        import dx_third\n    return []\n"
    ),
    "an import by a function": f"import importlib\n{F}return importlib.import_module('dx_third')\n",
    "a guarded import whose module goes along as a global": (
        f"try:\n    import dx_third\nexcept ImportError:\n    dx_third = None\n{F}return dx_third\n"
    ),
}


@pytest.mark.parametrize("case", NEEDS)
def test_an_installed_module_that_is_needed_is_named(own: Modules, installed: Modules, case: str) -> None:
    text, _, helper = NEEDS[case].partition("|")
    own.write(dx_jobs=text, dx_help=helper)
    found = missing(Job(map=own.load("dx_jobs").f))
    (name,) = found
    assert name in ("dx_third", "dx_big")
    assert "it is an installed package; install it on every node or" in found[name]
    assert "required_modules" in found[name]
    assert "dx_help" in found[name] or "dx_jobs.py" in found[name] and "line " in found[name]


NEEDS_NOTHING = {
    "an import that no function uses": f"import dx_third\n{F}return []\n",
    "an import of a function that does not travel": f"{F}return []\ndef g():\n    import dx_third\n",
    "a guarded import": f"{F}try:\n        import dx_third\n    except ImportError:\n        pass\n    return []\n",
    "a guarded import that is absent": f"{F}try:\n        import dx_none\n    except ImportError:\n        return []\n",
    "a suppressed import": (
        f"import contextlib\n{F}with contextlib.suppress(ImportError):\n        import dx_none\n    return []\n"
    ),
    "an import for types": (
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import dx_none\n{F}x: dx_none.T = 1\n    return []\n"
    ),
    "an import for types in a helper": (
        f"import dx_help\n{F}return dx_help\n|import typing\nif typing.TYPE_CHECKING:\n    import dx_none\n"
    ),
    "an import for types inside of a function": (
        f"from typing import TYPE_CHECKING\n{F}if TYPE_CHECKING:\n        import dx_none\n    return []\n"
    ),
    "the main program of a helper": (
        f"import dx_help\n{F}return dx_help\n"
        "|def main():\n    import dx_third\nif __name__ == '__main__':\n    main()\n"
    ),
    "another function of a helper": (
        f"import dx_help\n{F}return dx_help.g\n|def g():\n    pass\ndef h():\n    import dx_third\n"
    ),
    "a choice by the version of Python": (
        f"{F}import sys\n    if sys.version_info < (3, 0):\n        import dx_none\n    return []\n"
    ),
    "a fallback that is not needed": (
        f"{F}try:\n        import json\n    except ImportError:\n        import dx_third\n    return []\n"
    ),
    "a relative import": f"{F}return []\n",
}


def test_what_is_replaced_when_it_is_pickled_is_not_needed(own: Modules, installed: Modules) -> None:
    installed.write(dx_list="class L(list):\n    def __reduce__(self):\n        return list, (list(self),)\n")
    assert missing(Job(params=installed.load("dx_list").L("ab"))) == {}


def test_functions_with_a_cache_travel_like_others(own: Modules, installed: Modules) -> None:
    cached = "import functools\n@functools.cache\ndef g():\n    import dx_third\n"
    own.write(dx_jobs=f"import dx_none_here\n{F}return g()\n{cached}", dx_none_here="")
    job = Job(map=own.load("dx_jobs").f)
    (text,) = missing(job).values()
    assert "dx_third, which the function g (" in text  # the function's own import, not its module's
    own.write(dx_more=f"import dx_help\n{F}return dx_help.g()\n", dx_help=cached)
    (text,) = missing(Job(map=own.load("dx_more").f)).values()
    assert "dx_third, which the module dx_help in g() (" in text
    assert missing(Job(params=own.load("dx_help").g)).keys() == {"dx_third"}


def test_an_assert_that_pytest_has_rewritten_needs_no_pytest() -> None:
    def map(line: str, params: Any) -> Any:
        assert line
        return []

    assert "@pytest_ar" in map.__code__.co_names, "pytest does rewrite asserts"
    assert missing(Job(map=map)) == {}


@pytest.mark.parametrize("case", NEEDS_NOTHING)
def test_there_is_no_false_alarm(own: Modules, installed: Modules, case: str) -> None:
    text, _, helper = NEEDS_NOTHING[case].partition("|")
    own.write(dx_jobs=text, dx_help=helper)
    assert missing(Job(map=own.load("dx_jobs").f)) == {}


def test_a_module_of_tests_need_not_be_importable_on_a_node() -> None:
    """This very module imports pytest, which no node has: its functions travel without it."""

    class Here(Job):
        @staticmethod
        def map(line: str, params: Any) -> Any:
            return [(len(F), EXTENSION_SUFFIXES)]

    assert missing(Here()) == {}


def test_a_function_that_does_use_pytest_needs_it() -> None:
    assert set(missing(Job(map=lambda line, params: [pytest.approx(1)]))) == {"pytest"}


def test_the_clients_side_of_the_library_is_not_on_nodes(own: Modules) -> None:
    own.write(
        dx_help="from discolocal import Job, LocalCluster\nX = 1\n", dx_jobs=f"import dx_help\n{F}return dx_help.X\n"
    )
    (text,) = missing(Job(map=own.load("dx_jobs").f)).values()
    assert "discolocal.cluster, which the module dx_help" in text and "line 1)" in text
    assert "nodes do not have this part of discolocal" in text


def test_a_module_that_does_not_exist_is_named(own: Modules) -> None:
    own.write(dx_jobs=f"{F}import dx_p.none\n    return []\n", dx_p__="")
    (text,) = missing(Job(map=own.load("dx_jobs").f)).values()
    assert "dx_p.none, which the function f (" in text and "line 2 needs: there is no such module here" in text


def test_all_that_is_missing_is_named_by_a_run(own: Modules, installed: Modules) -> None:
    own.write(dx_jobs=f"import dx_third, dx_big\n{F}import dx_none\n    return [dx_third, dx_big]\n")
    with pytest.warns(PortabilityWarning) as caught:
        Job(map=own.load("dx_jobs").f).pack(input=["raw://x"])
    (text,) = [str(warning.message) for warning in caught if "missing-module" in str(warning.message)]
    assert all(f"the module {name}, which the function f (" in text for name in ("dx_third", "dx_big", "dx_none"))


def test_with_strict_a_missing_module_is_an_error(own: Modules, installed: Modules) -> None:
    own.write(dx_jobs=NEEDS["a global of a function"])
    with pytest.raises(PortabilityWarning) as caught:
        Job(map=own.load("dx_jobs").f)._pack({"input": ["raw://x"]}, strict=True)
    assert caught.value.code == "missing-module"


def test_what_cannot_be_sent_says_why(own: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write(dx_bytes="X = 1\n")
    py_compile.compile(str(own.directory / "dx_bytes.py"), cfile=str(own.directory / "dx_bytes.pyc"))
    (own.directory / "dx_bytes.py").unlink()
    (own.directory / f"dx_bin{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF")
    with zipfile.ZipFile(tmp_path / "dx.zip", "w") as archive:
        archive.writestr("dx_zipped.py", "X = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "dx.zip"))
    monkeypatch.setitem(sys.modules, "dx_made", type(sys)("dx_made"))
    own.write(dx_jobs=f"{F}import dx_bytes, dx_bin, dx_zipped, dx_made\n    return []\n")
    found = missing(Job(map=own.load("dx_jobs").f))
    assert set(found) == {"dx_bytes", "dx_bin", "dx_zipped", "dx_made"}
    assert "its source is not there, only" in found["dx_bytes"] and "dx_bytes.pyc" in found["dx_bytes"]
    assert "it is compiled code" in found["dx_bin"] and "dx_bin" in found["dx_bin"]
    assert "it is in an archive" in found["dx_zipped"] and "dx.zip" in found["dx_zipped"]
    assert "it was made by a program" in found["dx_made"]


def test_a_source_that_cannot_be_read_is_named_if_it_is_needed(own: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write(dx_jobs=f"import dx_gone, dx_lost\n{F}return dx_gone.X\n", dx_gone="X = 1\n", dx_lost="")
    job = Job(map=own.load("dx_jobs").f)
    (own.directory / "dx_gone.py").unlink()
    (own.directory / "dx_lost.py").unlink()
    found = missing(job)
    assert set(found) == {"dx_gone"}
    assert "it cannot be read" in found["dx_gone"] and "No such file" in found["dx_gone"]


def test_a_module_hidden_by_one_of_python_is_named(own: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked in a program of its own: modules of this one may have been imported already."""
    (own.directory / "cmd.py").write_text("X = 1\n")
    own.write(
        dx_main="import warnings; warnings.simplefilter('error')\nimport cmd\nfrom discolocal import Job\n"
        "Job(map=lambda e, p: [cmd.X]).pack(input=['raw://x'])\n"
    )
    done = subprocess.run(
        [sys.executable, str(own.directory / "dx_main.py")],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert "[missing-module]" in done.stderr and "that name is a module of Python" in done.stderr, done.stderr


# What is asked for


def test_required_packages_come_whole(own: Modules) -> None:
    tree(own)
    names = ["__init__", "deep/__init__", "deep/up", "m", "rel", "unused"]
    for required in (["dx_p"], [("dx_p", own.directory / "dx_p")]):
        assert sent(Job(), required_modules=required) == [f"dx_p/{name}.py" for name in names]
    assert sent(Job(), required_modules=["dx_p.m"]) == ["dx_p/__init__.py", "dx_p/m.py"]


def test_a_required_file_is_sent_under_the_name_of_its_module(own: Modules, tmp_path: Path) -> None:
    (tmp_path / "version2.py").write_text("import dx_a\n")
    own.write(dx_a="X = 1\n")
    found = sent(Job(), required_modules=[("dx_x.y", tmp_path / "version2.py")])
    assert found == ["dx_a.py", "dx_x/y.py", "version2.py"]
    assert sent(Job(), required_modules=[("json", tmp_path / "version2.py")]) == ["version2.py"]


def test_an_installed_package_is_sent_if_it_is_asked_for(own: Modules, installed: Modules) -> None:
    installed.write(dx_big__other="import dx_third\n", dx_big__uses="from . import other\n")
    assert sent(Job(), required_modules=["dx_big"]) == [
        f"dx_big/{n}.py" for n in ("__init__", "inner", "other", "uses")
    ]
    assert sent(Job(), required_modules=["dx_big.inner"]) == sent(Job(), required_modules=["dx_big"])
    assert sent(Job(), required_modules=["dx_third", "json", "discolocal.util"]) == ["dx_third.py"]
    own.write(dx_jobs=NEEDS["a global of a function"])
    assert missing(Job(map=own.load("dx_jobs").f), required_modules=["dx_third"]) == {}
    installed.write(dx_big__="import dx_third\n")
    (text,) = missing(Job(), required_modules=["dx_big"]).values()
    assert "dx_third, which the module dx_big (" in text


def test_required_modules_that_cannot_be_sent(own: Modules, installed: Modules, tmp_path: Path) -> None:
    (installed.directory / "dx_big" / f"fast{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF")
    (own.directory / f"dx_bin{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF")
    (tmp_path / "x.txt").write_text("")
    refused = {
        "dx_big cannot be sent, as it has compiled code, .*fast": ["dx_big"],
        "dx_bin cannot be sent: it is compiled code": ["dx_bin"],
        "there is no module 'dx_none'": ["dx_none"],
        "there is no module 'dx_third.none'": ["dx_third.none"],
        "there is no file .*none.py for the module x": [("x", tmp_path / "none.py")],
        ".*x.txt is no Python source": [("x", tmp_path / "x.txt")],
        "'no name' is no name of a module": [("no name", tmp_path / "x.py")],
        "discolocal.cluster cannot be sent: nodes do not have": ["discolocal.cluster.local"],
    }
    for text, required in refused.items():
        with pytest.raises(DiscoError, match=f"required_modules: {text}"):
            home_files(Job(), required_modules=required)
