"""check_portable: what a cluster would not do as it is done here is flagged, what it does is not."""

from __future__ import annotations

import gzip
import io
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, Params
from discolocal.testing import LawBroken, check_portable

STOP = "stop.txt"
URL = "http://localhost/stop.txt"
HERE = Path(__file__).parent
OPEN: list[Any] = []


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory has a file stop.txt."""
    monkeypatch.chdir(tmp_path)
    Path("stop.txt").write_text("the\n")


def helper() -> str:
    with open(STOP) as file:
        return file.read()


def opens_constant(entry: Any, params: Any) -> Iterator[Any]:
    yield open("stop.txt").read(), 1


def opens_global(entry: Any, params: Any) -> Iterator[Any]:
    yield open(STOP, encoding="ascii").read(), 1


def opens_in_helper(entry: Any, params: Any) -> Iterator[Any]:
    yield helper(), 1


def opens_below_the_module(entry: Any, params: Any) -> Iterator[Any]:
    yield (HERE / "data.txt").read_text(), 1


def opens_beside_the_module(entry: Any, params: Any) -> Iterator[Any]:
    yield open(os.path.join(os.path.dirname(__file__), "x.txt")).read(), 1


def opens_what_is_not_there(entry: Any, params: Any) -> Iterator[Any]:
    yield open("missing.txt").read(), 1


def opens_params(entry: Any, params: Any) -> Iterator[Any]:
    with open(params.path) as file:
        yield file.read(), 1


def opens_params_item(entry: Any, params: Any) -> Iterator[Any]:
    with open(params["path"]) as file:
        yield file.read(), 1


def opens_path(entry: Any, params: Any) -> Iterator[Any]:
    yield Path("stop.txt").read_text(), 1


def opens_zipped(entry: Any, params: Any) -> Iterator[Any]:
    yield gzip.open("other.gz").read(), 1


def opens_one_of(entry: Any, params: Any) -> Iterator[Any]:
    for name in ("stop.txt", "go.txt"):
        yield open(name).read(), 1


def opens_by_default(entry: Any, params: Any, name: str = "stop.txt") -> Iterator[Any]:
    yield open(name).read(), 1


def opens_in_lambda(entry: Any, params: Any) -> Iterator[Any]:
    yield (lambda: open("stop.txt").read())(), 1


def opens_in_lib(entry: Any, params: Any) -> Iterator[Any]:
    yield open("lib/stop.txt").read(), 1


def makes_its_file(entry: Any, params: Any) -> Iterator[Any]:
    with open("out.txt", "w") as file:
        file.write(entry)
    yield open("out.txt").read(), 1


def lets_others_make_it(entry: Any, params: Any) -> Iterator[Any]:
    os.link("/etc/hostname", "linked.txt")
    yield open("linked.txt").read(), 1


def does_without(entry: Any, params: Any) -> Iterator[Any]:
    try:
        text = open("cache.txt").read()
    except OSError:
        text = ""
    yield text, 1


def compares(entry: Any, params: Any) -> Iterator[Any]:
    yield entry == "stop.txt", 1


def opens_its_entry(entry: Any, params: Any) -> Iterator[Any]:
    yield open(entry).read(), 1


def opens_a_browser(entry: Any, params: Any) -> Iterator[Any]:
    yield webbrowser.open(URL), webbrowser.open("http://localhost")


def opens_memory(entry: Any, params: Any) -> Iterator[Any]:
    yield io.StringIO("stop.txtx").read(), open("/etc/hostname").read()


def prints(entry: Any, params: Any) -> Iterator[Any]:
    print(entry, file=sys.stderr)
    yield entry, 1


def holding(file: Any) -> Callable[..., Any]:
    return lambda entry, params: [(file.readline(), 1)]


def holds_global(entry: Any, params: Any) -> Any:
    return [(OPEN[0], OPEN_FILE.read())]  # noqa: F821


class WithMethod(Job):
    @staticmethod
    def map(entry: Any, params: Any) -> Iterator[Any]:
        yield entry, 1

    @staticmethod
    def reduce(pairs: Any, params: Any) -> Iterator[Any]:
        yield open("stop.txt").read(), 1


def codes(error: pytest.ExceptionInfo[LawBroken]) -> str:
    return error.value.law


USES_FILES = [
    opens_constant, opens_global, opens_in_helper, opens_below_the_module, opens_beside_the_module,
    opens_what_is_not_there, opens_path, opens_zipped, opens_one_of, opens_by_default, opens_in_lambda, opens_in_lib,
]  # fmt: skip


@pytest.mark.parametrize("function", USES_FILES, ids=lambda function: function.__name__)
def test_a_local_path_is_found(function: Any) -> None:
    with pytest.raises(LawBroken, match="local-path") as broken:
        check_portable(Job(map=function))
    assert function.__name__ in str(broken.value) or "helper" in str(broken.value)
    assert "required_files" in broken.value.mend


def test_a_path_of_a_class_an_absolute_one_and_one_in_params_are_found(tmp_path: Path) -> None:
    with pytest.raises(LawBroken, match=r"WithMethod.reduce opens 'stop.txt'"):
        check_portable(WithMethod)
    with pytest.raises(LawBroken, match="uses the path 'stop.txt'"):
        check_portable(Job(map=opens_params, params=Params(path="stop.txt")))
    with pytest.raises(LawBroken, match="uses the path 'stop.txt'"):
        check_portable(Job(map=opens_params_item), params={"path": "stop.txt"})
    path = str(tmp_path / "stop.txt")
    with pytest.raises(LawBroken, match="uses the path '/"):
        check_portable(Job(map=opens_params, params=Params(path=path)))


NO_LOCAL_FILES = [
    makes_its_file, lets_others_make_it, does_without, compares, opens_its_entry, opens_a_browser, opens_memory, prints,
]  # fmt: skip


@pytest.mark.parametrize("function", NO_LOCAL_FILES, ids=lambda function: function.__name__)
def test_other_texts_and_files_are_not_flagged(function: Any) -> None:
    assert check_portable(Job(map=function)).examples == 0


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (opens_constant, {"required_files": {"stop.txt": b"the"}}),
        (opens_global, {"required_files": {"./stop.txt": b"the"}}),
        (opens_path, {"required_files": {"stop.txt": "the"}}),
        (opens_in_lib, {"required_files": ["stop.txt"]}),
        (opens_params, {"required_files": {"stop.txt": b"the"}, "params": Params(path="stop.txt")}),
        (opens_params, {"params": Params(path="nowhere.txt", other="stop.txt")}),
    ],
)
def test_a_file_that_is_sent_is_not_flagged(function: Any, options: dict[str, Any]) -> None:
    check_portable(Job(map=function), **options)


def test_a_file_of_a_list_is_looked_for_where_it_is_sent_to() -> None:
    with pytest.raises(LawBroken) as broken:
        check_portable(Job(map=opens_constant), required_files=["stop.txt"])
    assert broken.value.mend.startswith("open 'lib/stop.txt'")


def test_where_the_job_finds_its_files_is_as_this_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not flagged works on a node, what is flagged fails: executed, so that there is a job home."""
    from discolocal import JobError, LocalCluster

    job = Job(map=opens_constant)
    with LocalCluster(nodes=1, start="exec") as cluster:
        good = cluster.run(job, input=["raw://a"], required_files={"stop.txt": b"sent"})
        assert list(good) == [("sent", 1)]
        with pytest.raises(JobError, match=r"stop\.txt"):
            list(cluster.run(job, input=["raw://a"], required_files=["stop.txt"]))


def test_an_open_file_is_found_wherever_a_function_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("stop.txt") as file:
        for job in (
            Job(map=holding(file)),
            Job(map=lambda entry, params, file=file: [(file.readline(), 1)]),
            Job(map=lambda entry, params: [(params.file.readline(), 1)], params=Params(file=file)),
            Job(map=lambda entry, params, files={"stop": [file]}: [(files["stop"][0].readline(), 1)]),
            Job(map=lambda entry, params: [(params.files[0].readline(), 1)], params=Params(files=(file,))),
        ):
            with pytest.raises(LawBroken, match="open-file-held") as broken:
                check_portable(job)
            assert "holds an open file, stop.txt" in str(broken.value)
        monkeypatch.setitem(globals(), "OPEN_FILE", file)
        with pytest.raises(LawBroken, match="holds_global holds an open file"):
            check_portable(Job(map=holds_global))
    with open("stop.txt", "rb") as file, pytest.raises(LawBroken, match="error"):
        check_portable(Job(map=holding(file)))


def test_what_a_cluster_fails_at_is_found_in_the_job_and_in_its_run() -> None:
    with pytest.raises(LawBroken, match="no-stages"):
        check_portable(Job())
    with pytest.raises(LawBroken, match="key-type") as broken:
        check_portable(
            Job(map=lambda entry, params: [(len(entry), 1)], reduce=lambda pairs, params: pairs, partitions=2),
            input=["raw://a"],
        )
    assert "the job fails" in broken.value.cluster
    with pytest.raises(LawBroken, match="ZeroDivisionError"):
        check_portable(Job(map=lambda entry, params: 1 // 0), input=["raw://a"])


def test_several_findings_are_told_each_with_its_code() -> None:
    with pytest.raises(LawBroken) as broken:
        check_portable(Job(map=opens_constant, scheduler={"max_cores": 0}))
    text = str(broken.value)
    assert "(max-cores, local-path)" in text or "(error, local-path)" in text
    assert "\n  found:\n    " in text
    assert "    local-path: give required_files" in text


def test_what_concerns_discos_client_alone_is_a_note_unless_strict() -> None:
    local = 3
    job = Job(map=lambda entry, params: [(entry, local)])
    report = check_portable(job)
    with pytest.raises(LawBroken) as strict:
        check_portable(job, strict=True)
    assert "function-closure" in strict.value.law
    assert [note.partition(":")[0] for note in report.notes] == ["function-closure"]


def test_a_local_input_is_a_note(tmp_path: Path) -> None:
    report = check_portable(Job(map=prints), input=[str(tmp_path / "stop.txt")])
    assert [note.partition(":")[0] for note in report.notes] == ["local-file"]


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a Job"):
        check_portable(len)
