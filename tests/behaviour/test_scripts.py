"""Programs as users start them: script, `-c`, stdin, IPython, pytest, spawn, fork."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.behaviour.programs import Program

# No `if __name__` guard, functions and classes in the main module, prints at its top level.
SOURCE = '''
with open("imports.log", "a") as log:
    log.write(__name__ + "\\n")

from discolocal import Job, LocalCluster, result_iterator
from discolocal.worker.classic.func import sum_combiner, sum_reduce

PREFIX = "w:"

def helper(word):
    return PREFIX + word

class Count:
    """A record of a class of the main module."""
    def __init__(self, n):
        self.n = n
    def __repr__(self):
        return f"Count({self.n})"

class WordCount(Job):
    partitions = 2
    @staticmethod
    def map(line, params):
        for word in line.split():
            yield helper(word), 1
    combiner = staticmethod(sum_combiner)
    @staticmethod
    def reduce(iter, params):
        for word, n in sum_reduce(iter, params):
            yield word, Count(n)

with LocalCluster(start=START) as cluster:
    results = cluster.run(WordCount(), input=["raw://a b a"])
    print(sorted((word, repr(count), count.__class__ is Count) for word, count in results))
    job = WordCount(master=cluster).run(input=["raw://b"])
    print([(word, count.n) for word, count in result_iterator(job.wait())])
print(list(LocalCluster(start=START).run(Job(map=lambda e, p: [(e.strip(), 1)], reduce=sum_reduce), input=["raw://hello"])))
'''

EXPECTED = "[('w:a', 'Count(2)', True), ('w:b', 'Count(1)', True)]\n[('w:b', 1)]\n[('hello', 1)]\n"

START = pytest.mark.parametrize("start", ["fork", "inline"])


def source(start: str) -> str:
    return f"START = {start!r}\n{SOURCE}"


def check(program: Program, printed: str, start: str, main: str = "__main__") -> None:
    assert printed == EXPECTED
    assert (program.cwd / "imports.log").read_text() == main + "\n", "no node imports the main module"
    assert program.gone_within(5) == []
    assert "Traceback" not in program.stderr and "Exception" not in program.stderr


@START
def test_a_script(program: Program, start: str) -> None:
    check(program, program.run(program.write("script.py", source(start))), start)


@START
def test_a_script_in_another_directory(program: Program, start: str) -> None:
    path = Path(program.write("sub/script.py", source(start))).relative_to(program.cwd)
    check(program, program.run(str(path)), start)


@START
def test_the_option_c(program: Program, start: str) -> None:
    check(program, program.run("-c", source(start)), start)


@START
def test_standard_input(program: Program, start: str) -> None:
    check(program, program.run("-", stdin=source(start)), start)


@START
def test_a_module_with_the_option_m(program: Program, start: str) -> None:
    program.write("package/__init__.py", "")
    program.write("package/program.py", source(start))
    check(program, program.run("-m", "package.program"), start)


@START
def test_ipython(program: Program, start: str) -> None:
    if importlib.util.find_spec("IPython") is None:
        pytest.skip("IPython is not installed")
    program.env["IPYTHONDIR"] = str(program.place / "ipython")
    path = program.write("cell.py", source(start))
    check(program, program.run("-m", "IPython", "--no-banner", "--colors=NoColor", path), start)


@START
def test_pytest(program: Program, start: str) -> None:
    body = "".join("    " + line + "\n" for line in source(start).replace("PREFIX + word", "'w:' + word").splitlines())
    program.write("test_it.py", "def test_it():\n" + body.replace("cluster.run", "cluster.run"))
    program.write("conftest.py", "")
    printed = program.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert "1 passed" in printed
    assert program.gone_within(5) == []


@START
def test_spawn_from_the_main_module(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
import multiprocessing
from discolocal import Job, LocalCluster
from discolocal.worker.classic.func import sum_reduce

class Value:
    def __init__(self, n):
        self.n = n

def map(entry, params):
    for word in entry.split():
        yield word, 1

def reduce(iter, params):
    for word, n in sum_reduce(iter, params):
        yield word, Value(n)

def work(queue):
    with LocalCluster(start={start!r}) as cluster:
        queue.put(sorted((w, v.n) for w, v in cluster.run(Job(map=map, reduce=reduce), input=["raw://a b a"])))

if __name__ == "__main__":
    with LocalCluster(start={start!r}) as mine:
        for method in ("spawn", "fork"):
            context = multiprocessing.get_context(method)
            queue = context.Queue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            print(queue.get(timeout=20))
            process.join()
            print(process.exitcode)
            print(sorted((w, v.n) for w, v in mine.run(Job(map=map, reduce=reduce), input=["raw://c"])))
""",
    )
    printed = program.run(path)
    assert printed == "[('a', 2), ('b', 1)]\n0\n[('c', 1)]\n" * 2
    assert program.gone_within(5) == []


@START
def test_modules_beside_the_script_are_found(program: Program, start: str) -> None:
    program.write("tools/__init__.py", "LIMIT = 2\n")
    program.write("tools/words.py", "from tools import LIMIT\ndef cut(word):\n    return word[:LIMIT]\n")
    program.write(
        "helper.py",
        """
import tools.words
from tools.words import cut

class Found:
    def __init__(self, word):
        self.word = word

def map(entry, params):
    import late
    for word in entry.split():
        yield late.upper(cut(word)), Found(tools.words.cut(word))
""",
    )
    program.write("late.py", "def upper(word):\n    return word.upper()\n")
    path = program.write(
        "script.py",
        f"""
import helper
from discolocal import Job, LocalCluster
with LocalCluster(start={start!r}) as cluster:
    results = cluster.run(Job(map=helper.map), input=["raw://alpha beta"])
    print(sorted((key, found.word, isinstance(found, helper.Found)) for key, found in results))
""",
    )
    assert program.run(path) == "[('AL', 'al', True), ('BE', 'be', True)]\n"
    assert (
        program.run(
            "-I",
            "-c",
            f"import sys; sys.path[:0] = [{str(program.cwd)!r}, {program.env['PYTHONPATH']!r}]\n"
            + Path(path).read_text(),
        )
        == "[('AL', 'al', True), ('BE', 'be', True)]\n"
    )


@START
def test_the_import_path_may_grow_after_the_nodes_were_started(program: Program, start: str) -> None:
    program.write("later/extra.py", "def twice(word):\n    return word * 2\n")
    path = program.write(
        "script.py",
        f"""
import sys
from discolocal import Job, LocalCluster
def run(map):
    with LocalCluster(nodes=2, start={start!r}) as cluster:
        return list(cluster.run(Job(map=map), input=["raw://x"]))
print(run(lambda e, p: [(e, 1)]))
sys.path.insert(0, "later")
def map(entry, params):
    import extra
    yield extra.twice(entry), 1
print(run(map))
""",
    )
    assert program.run(path) == "[('x', 1)]\n[('xx', 1)]\n"


def test_nodes_have_hash_seeds_of_their_own(program: Program) -> None:
    path = program.write(
        "script.py",
        """
from discolocal import Job, LocalCluster
def map(entry, params):
    yield this_host(), hash("text")
with LocalCluster(nodes=3, start="fork") as cluster:
    seen = {}
    while len(seen) < 3:
        seen.update(cluster.run(Job(map=map), input=[f"raw://{n}" for n in range(6)]))
    print(len({hash("text"), *seen.values()}))
""",
    )
    assert program.run(path) == "4\n"


@START
def test_nothing_is_left_when_a_cluster_is_not_closed(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
from discolocal import Job, LocalCluster
clusters = [LocalCluster(nodes=2, start={start!r}) for _ in range(3)]
results = [cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://x"]) for cluster in clusters]
print([list(r) for r in results])
""",
    )
    assert program.run(path) == "[[('x', 1)], [('x', 1)], [('x', 1)]]\n"
    assert program.stderr == ""
    assert program.gone_within(5) == []


@START
def test_exit_with_a_running_job_ends_it(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
import sys, time
from discolocal import Job, LocalCluster
cluster = LocalCluster(nodes=2, start={start!r})
def map(entry, params):
    if {start!r} == "inline":
        raise SystemExit(0)
    time.sleep(60)
    yield entry, 1
if {start!r} == "fork":
    job = cluster.submit(Job(map=map), input=["raw://x"])
    time.sleep(0.2)
print("leaving")
sys.exit(3)
""",
    )
    assert program.run(path, status=3) == "leaving\n"
    assert program.gone_within(5) == []


@START
def test_an_exception_inside_with_leaves_nothing(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
import time
from discolocal import Job, LocalCluster
with LocalCluster(nodes=2, start={start!r}) as cluster:
    cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://x"])
    if {start!r} == "fork":
        cluster.submit(Job(map=lambda e, p: time.sleep(60)), input=["raw://x"])
    raise RuntimeError("mine")
""",
    )
    program.run(path, status=1)
    assert "RuntimeError: mine" in program.stderr
    assert program.gone_within(5) == []


@START
def test_os_exit_of_the_caller_leaves_nothing(program: Program, start: str) -> None:
    path = program.write(
        "script.py",
        f"""
import os
from discolocal import Job, LocalCluster
cluster = LocalCluster(nodes=2, start={start!r})
cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://x"])
os._exit(5)
""",
    )
    program.run(path, status=5)
    assert program.gone_within(10) == []


def test_warnings_as_errors_are_clean(program: Program) -> None:
    path = program.write("script.py", source("fork"))
    program.run("-W", "error", "-X", "dev", path, status=1)
    assert "PortabilityWarning" in program.stderr, "the only warning is the one the job deserves"
    program.run(
        "-W",
        "error",
        "-W",
        "default:::discolocal",
        "-X",
        "dev",
        "-c",
        """
from discolocal import Job, LocalCluster
with LocalCluster() as cluster:
    print(list(cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://x"])))
""",
    )
    assert program.stderr == ""
