"""Fresh interpreters: what they have of this one and what not, and that nothing of them is left.

Each test starts interpreters, which is what it is about.
"""

from __future__ import annotations

import datetime
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discolocal import DiscoError, Job
from discolocal.jobdata import jobdata
from discolocal.testing import check_map, check_reduce, fresh
from discolocal.testing.fresh import Interpreters, Outcome, hash_seeds, how_many

HERE = os.getpid()
STATE: list[str] = []


class Key:
    def __init__(self, name: str) -> None:
        self.name = name


class Asked(Job):
    """Its map stands for any function of the user's."""

    @staticmethod
    def map(entry: Any, params: Any) -> Any:
        if entry == "process":
            return os.getpid(), hash("text"), os.listdir(), sys.flags.hash_randomization
        if entry == "time":
            return time.time(), datetime.datetime.now(), datetime.date.today()
        if entry == "state":
            STATE.append(entry)
            return len(STATE)
        if entry == "print":
            print("printed")
            return sys.stdin.read()
        if entry == "die":
            print("the last words", flush=True)
            os._exit(7)
        if entry == "hang":
            time.sleep(600)
        if entry == "lambda":
            return lambda: 3
        if entry == "generator":
            return (number for number in ())
        if isinstance(entry, Key):
            return Key, entry
        raise KeyError(entry)


@pytest.fixture
def ask() -> Any:
    """A function that asks two interpreters for what map makes of each of its arguments."""
    data = jobdata(Asked(), {})
    with Interpreters(data, [1, 2], owner=(Asked(), {})) as interpreters:
        yield lambda *entries: interpreters.ask(_by_value(), entries)


def _by_value() -> Callable[..., Any]:
    return lambda load, entry: load()[0].map(entry, None)


def test_each_is_a_process_with_a_hash_seed_and_an_empty_directory_of_its_own(ask: Any) -> None:
    [[one], [other]] = ask("process")
    assert len({HERE, one.value[0], other.value[0]}) == 3
    assert len({hash("text"), one.value[1], other.value[1]}) == 3
    assert one.value[2] == other.value[2] == []


def test_their_clocks_are_wrong_and_each_by_another_time(ask: Any) -> None:
    now = time.time()
    for [answer] in ask("time"):
        stamp, moment, day = answer.value
        assert stamp > now + 80_000
        assert type(moment) is datetime.datetime and abs(moment.timestamp() - stamp) < 60
        assert type(day) is datetime.date and day == moment.date()
    [[one], [other]] = ask("time")
    assert abs(one.value[0] - other.value[0]) > 10_000


def test_a_job_is_loaded_anew_each_time(ask: Any) -> None:
    STATE.append("here")
    assert [[outcome.value for outcome in outcomes] for outcomes in ask("state", "state")] == [[1, 1], [1, 1]]


def test_what_functions_print_and_read_is_not_in_the_way(ask: Any) -> None:
    assert ask("print", "print") == [[Outcome(""), Outcome("")]] * 2


def test_exceptions_come_as_text(ask: Any) -> None:
    assert ask("no", "print") == [[Outcome(None, "KeyError: 'no'"), Outcome("")]] * 2


def test_classes_and_functions_of_the_job_come_and_go(ask: Any) -> None:
    for [answer, function] in ask(Key("a"), "lambda"):
        cls, key = answer.value
        assert cls is Key and type(key) is Key and key.name == "a"
        assert function.value() == 3


def test_a_result_that_cannot_be_pickled_is_an_error(ask: Any) -> None:
    for [answer] in ask("generator"):
        assert "generator" in answer.error


def test_one_that_dies_is_told_with_its_last_words(ask: Any) -> None:
    with pytest.raises(DiscoError, match="(?s)hash seed 1 ended with the exit code 7 .*the last words"):
        ask("die")


def test_one_that_hangs_is_killed(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_PATIENCE", 0.5)
    with pytest.raises(DiscoError, match="exit code -9"):
        ask("hang")


def test_what_cannot_be_loaded_is_told() -> None:
    with Interpreters(b"no pickle", [1]) as interpreters, pytest.raises(DiscoError, match="cannot load the job"):
        interpreters.ask(_by_value(), ["process"])
    data = jobdata(Asked(), {})
    with Interpreters(data, [1]) as interpreters:
        with pytest.raises(DiscoError, match="cannot load the data for it: ZeroDivisionError"):
            interpreters.ask(_by_value(), [Fails()])
        assert interpreters.ask(_by_value(), ["print"]) == [[Outcome("")]]


class Fails:
    def __reduce__(self) -> Any:
        return eval, ("1 // 0",)


def test_nothing_is_left_when_the_block_ends_by_an_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh.tempfile, "tempdir", str(tmp_path))
    started: list[subprocess.Popen[bytes]] = []
    with pytest.raises(ZeroDivisionError), Interpreters(jobdata(Asked(), {}), [1, 2]) as interpreters:
        started += [interpreter.process for interpreter in interpreters._running]
        assert list(tmp_path.iterdir())
        raise ZeroDivisionError
    assert [process.poll() for process in started] == [-9, -9]
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, tempfile, time
from discolocal import Job
from discolocal.jobdata import jobdata
from discolocal.testing.fresh import Interpreters

def forever(load, argument):
    while True:
        time.sleep(1)

tempfile.tempdir = os.environ["HERE"]
with Interpreters(jobdata(Job(), {}), [1]) as interpreters:
    interpreters._running[0].send(__import__("discolocal.testing.fresh", fromlist=["dumps"]).dumps((forever, [1])))
    print(interpreters._running[0].process.pid, len(os.listdir(tempfile.tempdir)), flush=True)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_when_this_process_is_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HERE": str(tmp_path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pid, directories = map(int, done.stdout.split())
    assert directories == 1
    until = time.monotonic() + 10
    while (list(tmp_path.iterdir()) or Path(f"/proc/{pid}").exists()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not list(tmp_path.iterdir())
    assert not Path(f"/proc/{pid}").exists()


def test_few_examples_are_taken_to_more_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [how_many(examples) for examples in (None, 0, 1, 2, 3, 4, 6, 7, 500)] == [2, 6, 6, 6, 4, 3, 2, 2, 2]
    started: list[int] = []
    start = fresh._Interpreter.__init__

    def counted(self: Any, seed: int, *arguments: Any) -> None:
        started.append(seed)
        start(self, seed, *arguments)

    monkeypatch.setattr(fresh._Interpreter, "__init__", counted)
    check_map(lambda line, params: [(line, 1)], entries=["a", "b", "c"], examples=5)
    assert len(set(started)) == 4
    check_reduce(lambda iter, params: [(key, 1) for key, _ in iter], pairs=[("a", 1)] * 8, examples=5)
    assert len(started) == 7


def test_hash_seeds_differ_and_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hash_seeds(3, 5) == hash_seeds(3, 5)
    assert len(set(hash_seeds(20))) == 20
    monkeypatch.setenv("PYTHONHASHSEED", str(hash_seeds(1, 5)[0]))
    assert str(hash_seeds(1, 5)[0]) != os.environ["PYTHONHASHSEED"]


CLOCK = """
import datetime, pickle, sys, time
before, moment = datetime.datetime, datetime.datetime.now()
stamp = time.time()
from discolocal.testing.clock import put_forward
put_forward(864000)
from datetime import date, datetime as later
class Mine(later):
    pass
assert 864000 <= time.time() - stamp < 864060
assert 864000 <= time.time_ns() / 1e9 - stamp < 864060
assert (later.now() - moment).days == 10
assert (later.utcnow() - before.utcfromtimestamp(stamp)).days == 10
assert (later.now(datetime.timezone.utc) - before.fromtimestamp(stamp, datetime.timezone.utc)).days == 10
assert date.today() == later.today().date() == later.fromtimestamp(time.time()).date()
assert time.strftime("%j") == time.strftime("%j", time.localtime(time.time())) == f"{time.localtime().tm_yday:03}"
assert time.ctime(0) != time.ctime() and time.gmtime(0).tm_year == 1970 and time.asctime() == time.ctime()
assert isinstance(moment, later) and isinstance(moment, date)
assert not isinstance(moment, Mine) and not isinstance(3, date)
assert isinstance(Mine.now(), Mine) and isinstance(Mine.now(), later) and isinstance(later.now(), before)
assert issubclass(later, date) and issubclass(before, later) and not issubclass(date, later)
assert type(later.now() + datetime.timedelta(1)) is later and later.strptime("2020", "%Y").year == 2020
for value in (moment, later.now(), date.today(), later.min, later.now(datetime.timezone.utc)):
    again = pickle.loads(pickle.dumps(value))
    assert again == value and hash(again) == hash(value)
sys.stdout.buffer.write(pickle.dumps((moment, later(2020, 1, 2), date(2020, 1, 2))))
"""


def test_a_clock_that_is_put_forward_changes_only_the_present() -> None:
    # Another process: the classes of this one stay as they are.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLOCK],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    moment, noon, day = pickle.loads(done.stdout)
    assert type(moment) is datetime.datetime
    assert (noon, day) == (datetime.datetime(2020, 1, 2), datetime.date(2020, 1, 2))
