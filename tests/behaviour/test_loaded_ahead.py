"""Jobs of so many tasks that their node loads them before it forks: nobody can tell, and nothing stays behind."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job, JobError, LocalCluster
from discolocal.core import result_iterator
from discolocal.worker import Params
from discolocal.worker.pipeline.worker import Stage
from discolocal.worker.pipeline.worker import Worker as PipelineWorker

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")

TASKS = 80
INPUTS = [f"raw://{number}" for number in range(TASKS)]


@pytest.fixture(scope="module")
def node() -> Iterator[LocalCluster]:
    """One node: all tasks are its own."""
    with LocalCluster(nodes=1, start="fork", seed=3) as started:
        yield started


def was_ahead() -> bool:
    """Whether the worker of the task that runs was forked with its job."""
    from discolocal.active import this_task
    from discolocal.worker import ahead

    return ahead._kept is not None and ahead._kept.jobfile == this_task().jobfile


def both(found: list[Any]) -> list[Any]:
    """Check that tasks ran both ways, and return what they said without that."""
    ways = Counter(ahead for _, (ahead, *_) in found)
    assert set(ways) == {True, False}, ways
    return [(key, rest[0] if len(rest) == 1 else tuple(rest)) for key, (_, *rest) in found]


class Shared:
    counted: list[str] = []

    def __init__(self, value: int) -> None:
        self.value = value


class Changing(Job):
    """Its tasks change all that they get."""

    params = Params(seen=[], nested={"a": [1]}, helper=Shared(5), function=lambda x: x + 1)
    own: list[str] = []

    @staticmethod
    def map(line: str, params: Any, default: list[str] = [], *, named: dict[str, int] = {}) -> Any:  # noqa: B006
        import sys

        from discolocal.active import this_task

        job, jobargs = this_task().jobobjs
        facts = (
            repr(params.seen),
            repr(params.nested),
            params.helper.value,
            params.function(1),
            type(params.helper).__module__,
            type(params.helper).__qualname__,
            repr(Shared.counted),
            type(params.helper) is Shared,
            repr(default),
            repr(named),
            type(job).__mro__[0].__module__,
            type(job).own,
            job.params is params,
            sorted(jobargs),
            sorted(vars(job)),
            sorted(sys.modules),
            [cls.__name__ for cls in Job.__subclasses__()],
            sorted(Changing.map.__globals__),
            sys.path,
            sys.getrecursionlimit(),
            threading.active_count(),
        )
        text = repr(facts)
        params.seen.append(line)
        params.nested["a"] = line
        params.helper.value = line
        Shared.counted.append(line)
        Shared.more = line  # type: ignore[attr-defined]
        type(job).own = [line]
        default.append(line)
        named[line] = 1
        yield line, (was_ahead(), text)


def test_tasks_before_and_after_the_loading_find_the_same(node: LocalCluster) -> None:
    # Whatever modules a node imports for its own sake, it has imported after as many tasks.
    list(node.run(Job(map=tell), input=INPUTS))
    found = both(list(node.run(Changing(), input=INPUTS)))
    assert sorted(int(line) for line, _ in found) == list(range(TASKS))
    assert len({text for _, text in found}) == 1, "what one task changes is fresh in the next one"


def test_results_are_those_of_plain_python(node: LocalCluster) -> None:
    lines = [f"raw://{'a' * (n % 3)}-b-{n}" for n in range(TASKS)]

    def words(line: str, params: Any) -> Any:
        for word in line.split("-"):
            yield word, (was_ahead(), 1)

    def count(entries: Any, params: Any) -> Any:
        from collections import Counter

        counts: Counter[str] = Counter()
        ways = set()
        for word, (ahead, number) in entries:
            counts[word] += number
            ways.add(ahead)
        yield from counts.items()
        yield "ways", sorted(ways)

    found = list(node.run(Job(map=words, reduce=count, sort=False), input=lines))
    assert found.count(("ways", [False, True])) == 1
    expected = Counter(word for line in lines for word in line.removeprefix("raw://").split("-"))
    assert dict(item for item in found if item[0] != "ways") == dict(expected)


def test_pipelines(node: LocalCluster) -> None:
    def read(interface: Any, state: Any, label: int, lines: Any) -> None:
        for line in lines:
            state.append(line)
            interface.output(0).add(line, (was_ahead(), state.params.base + int(line), len(state)))

    def init(interface: Any, params: Any) -> Any:
        class State(list):  # type: ignore[type-arg]
            pass

        made = State()
        made.params = params  # type: ignore[attr-defined]
        params.base += 1
        return made

    job = Job("Pipeline", worker=PipelineWorker())
    found = list(
        node.run(
            job,
            pipeline=[("split", Stage("read", init=init, process=read))],
            params=Params(base=10),
            input=[[url] for url in INPUTS],
        )
    )
    assert sorted(both(found)) == sorted((str(n), (n + 11, 1)) for n in range(TASKS))


class Versioned:
    name = "first"


def tell(line: str, params: Any) -> Any:
    """What a task of a job finds of the class that several jobs have."""
    yield line, (was_ahead(), Versioned.name, getattr(Versioned, "early", None), params)


def test_jobs_after_one_another_have_what_was_there_when_each_was_submitted(node: LocalCluster) -> None:
    try:
        for turn in range(3):
            Versioned.name = f"turn{turn}"
            if turn == 0:
                Versioned.early = True  # type: ignore[attr-defined]
            elif turn == 1:
                del Versioned.early  # type: ignore[attr-defined]
            found = both(list(node.run(Job(map=tell, params=turn), input=INPUTS)))
            assert {facts for _, facts in found} == {(f"turn{turn}", True if turn == 0 else None, turn)}
            assert len(found) == TASKS
    finally:
        vars(Versioned).get("early") and delattr(Versioned, "early")


def test_a_job_that_changes_nothing_but_its_data(node: LocalCluster) -> None:
    job_class = type("Plain", (Job,), {"map": staticmethod(tell)})
    for turn in range(2):
        inputs = [f"raw://{turn}-{n}" for n in range(TASKS)]
        found = list(node.run(job_class(), params=[turn], input=inputs))
        assert sorted(line for line, _ in found) == sorted(url.removeprefix("raw://") for url in inputs)
        assert {repr(params) for _, (*_, params) in found} == {f"[{turn}]"}


def test_two_jobs_at_the_same_time(node: LocalCluster) -> None:
    jobs = [node.submit(Job(map=tell, params=number), input=INPUTS) for number in range(2)]
    for number, job in enumerate(jobs):
        found = list(result_iterator(job.wait()))
        assert sorted(int(line) for line, _ in found) == list(range(TASKS))
        assert {params for _, (*_, params) in found} == {number}


def test_a_module_of_the_user_is_imported_by_each_task(
    node: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "imports"
    (tmp_path / "side_effect.py").write_text(
        f"import os\nwith open({str(log)!r}, 'a') as log:\n    log.write(f'{{os.getpid()}}\\n')\npid = os.getpid()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    side_effect = importlib.import_module("side_effect")
    try:
        log.unlink()

        def ask(line: str, params: Any) -> Any:
            import os

            yield line, (side_effect.pid == os.getpid(), os.getpid())

        found = list(node.run(Job(map=ask), input=INPUTS))
        assert [own for _, (own, _) in found] == [True] * TASKS
        assert_each_once(log, [pid for _, (_, pid) in found])
    finally:
        del sys.modules["side_effect"]


def assert_each_once(log: Path, pids: list[int]) -> None:
    """Check that each task has written its process to the log once; there is one more, which joins their outputs."""
    logged = Counter(map(int, log.read_text().split()))
    assert set(logged.values()) == {1}
    assert len(set(pids)) == TASKS == len(logged) - 1 and set(pids) < set(logged)


class Announced:
    """Says to which processes its instances come."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, Any]) -> None:
        import os

        vars(self).update(state)
        self.pid = os.getpid()
        with open(self.path, "a") as file:
            file.write(f"{self.pid}\n")


def test_code_of_the_user_that_loads_its_objects_runs_in_each_task(node: LocalCluster, tmp_path: Path) -> None:
    def ask(line: str, params: Any) -> Any:
        import os

        yield line, (params.pid == os.getpid(), os.getpid())

    log = tmp_path / "loaded"
    found = list(node.run(Job(map=ask, params=Announced(str(log))), input=INPUTS))
    assert [own for _, (own, _) in found] == [True] * TASKS
    assert_each_once(log, [pid for _, (_, pid) in found])


def test_a_job_that_cannot_be_loaded_fails_as_ever(node: LocalCluster) -> None:
    def fail(line: str, params: Any) -> Any:
        if int(line) == TASKS - 1:
            raise ValueError(f"of task {line}")
        yield line, was_ahead()

    with pytest.raises(JobError, match=f"of task {TASKS - 1}"):
        list(node.run(Job(map=fail), input=INPUTS))


def resident(pid: int) -> int:
    """The bytes of memory of a process that are its own or shared; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """A process and its children."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, listed.read_text().split())]


BIG = 50_000_000  # more than 32 MiB: of less, the C library may keep what is free


@pytest.mark.parametrize("refused", [False, True])
def test_nothing_of_a_job_stays_when_its_node_rests(node: LocalCluster, tmp_path: Path, refused: bool) -> None:
    class Holder:
        """A class is part of cycles: it goes when somebody looks for these."""

        data = b"x" * BIG

    def ask(line: str, params: Any) -> Any:
        yield line, (was_ahead(), len(params[0].data))

    pid = node.nodeinfo()["node1"]["pid"]
    before = max(map(resident, family(pid)))
    big = [Holder, Announced(str(tmp_path / "log")) if refused else None]
    found = list(node.run(Job(map=ask, params=big), input=INPUTS[:48]))
    assert {ahead for _, (ahead, _) in found} == ({False} if refused else {True, False})
    assert {size for _, (_, size) in found} == {BIG}
    end = time.monotonic() + 10
    while max(sizes := [resident(one) for one in family(pid)]) > before + BIG // 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(sizes) > 1, "a worker waits for the next task"
    assert max(sizes) < before + BIG // 2, (before, sizes)
    Holder.data = b"x"
    assert list(node.run(Job(map=ask, params=[Holder]), input=["raw://b"])) == [("b", (False, 1))]
