"""Programs in the style of each of Disco's generations, and those of its documentation, against plain Python.

They import `disco`, name masters that do not exist, and have their job functions in the script itself.
"""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.compat.conftest import LINES, Run, counts, printed

OF_0_2 = """
import sys
from disco.core import Disco, Params, result_iterator

def fun_map(e, params):
    return [(w, params.one) for w in e.split(params.blank)]

def fun_combiner(key, value, comb_buffer, flush, params):
    if flush:
        return list(comb_buffer.items())
    comb_buffer[key] = comb_buffer.get(key, 0) + int(value)

def fun_reduce(iter, out, params):
    s = {}
    for k, v in iter:
        s[k] = s.get(k, 0) + int(v)
    for k, v in s.items():
        out.add(k, v)

results = Disco(sys.argv[1]).new_job(
    name="wordcount",
    input=sys.argv[2:],
    fun_map=fun_map,
    combiner=fun_combiner,
    reduce=fun_reduce,
    nr_reduces=3,
    mem_sort_limit=1024,
    sort=False,
    params=Params(one=1, blank=" ")).wait()

print(dict((k, v) for k, v in result_iterator(results)))
"""


OF_0_5_AND_PYTHON_3 = """
import sys
from disco.core import Job, result_iterator

class Words(Job):
    @staticmethod
    def map(line, params):
        for word in line.decode().split():
            yield word, 1

    @staticmethod
    def reduce(iter, params):
        from disco.util import kvgroup
        for word, ones in kvgroup(sorted(iter)):
            yield word, sum(ones)

found = dict(result_iterator(Words().run(input=sys.argv[1:]).wait()))
text = Job().run(input=sys.argv[1:], map=lambda line, params: [(type(line).__name__, 1)], encoding="utf-8").wait()
assert {kind for kind, one in result_iterator(text)} == {"str"}, "what a job says itself counts"
print(found)
"""


def test_a_script_of_0_5_for_python_3_gets_bytes(script: Run, texts: list[str]) -> None:
    done = script(OF_0_5_AND_PYTHON_3, *texts, options=("--start", "inline", "--era", "0.5"))
    assert printed(done) == counts()
    assert "has no attribute 'decode'" in script(OF_0_5_AND_PYTHON_3, *texts, options=("--start", "inline")).stderr


def test_new_job_of_0_2(script: Run, texts: list[str], start: str) -> None:
    done = script(OF_0_2, "disco://nowhere", *texts, options=("--start", start, "--era", "0.2"))
    assert printed(done) == {word: str(count) for word, count in counts().items()}
    told = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    for old, today in (
        ("Params", "Params of discolocal.worker"),
        ("fun_map", "use map"),
        ("nr_reduces", "use partitions"),
        ("mem_sort_limit", "sort_buffer_size"),
    ):
        assert [line for line in told if f"{old} " in line and today in line and "program.py:" in line], (old, told)
    assert len(told) == 4


OF_0_4 = """
import sys
from disco.job import Job
from disco.core import result_iterator
from disco.worker.classic.func import chain_reader

class WordCount(Job):
    partitions = 2
    params = {"shortest": 3}

    @staticmethod
    def map(line, params):
        for word in line.split():
            if len(word) >= params["shortest"]:
                yield word, 1

    @staticmethod
    def reduce(iter, params):
        from disco.util import kvgroup
        for word, ones in kvgroup(sorted(iter)):
            yield word, sum(ones)

class Frequencies(Job):
    map_reader = staticmethod(chain_reader)

    @staticmethod
    def map(entry, params):
        word, count = entry
        yield count, word

    @staticmethod
    def reduce(iter, out, params):
        found = {}
        for count, word in iter:
            found.setdefault(count, []).append(word)
        for count, words in found.items():
            out.add(count, sorted(words))

    @staticmethod
    def partition(key, nr, params):
        return key % nr

if __name__ == '__main__':
    words = WordCount().run(input=sys.argv[1:])
    jobs = Frequencies().run(input=words.wait())
    print(dict(result_iterator(jobs.wait())))
    words.purge()
"""


def test_classes_of_0_4_in_the_script_itself(script: Run, texts: list[str], start: str) -> None:
    by_count: dict[int, list[str]] = defaultdict(list)
    for word, count in sorted(counts().items()):
        if len(word) >= 3:
            by_count[count].append(word)
    assert printed(script(OF_0_4, *texts, options=("--start", start))) == by_count


OF_0_5 = """
from disco.core import Job, result_iterator

def map(line, params):
    for word in line.split():
        yield word, 1

def reduce(iter, params):
    from disco.util import kvgroup
    for word, counts in kvgroup(sorted(iter)):
        yield word, sum(counts)

if __name__ == '__main__':
    import sys
    job = Job().run(input=sys.argv[1:], map=map, reduce=reduce)
    for word, count in result_iterator(job.wait(show=True)):
        print((word, count))
"""


def test_the_tutorial_of_0_5(script: Run, texts: list[str], start: str) -> None:
    done = script(OF_0_5, *texts, options=("--start", start))
    assert done.returncode == 0, done.stderr
    pairs = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("('")]
    assert dict(pairs) == counts() and len(pairs) == len(counts())


# The examples of Disco's own documentation, in the syntax of Python 3

GREP = '''
"""
An example using Job classes to implement grep.
"""
from disco.job import Job
from disco.worker.classic.func import nop_map

class Grep(Job):
    map = staticmethod(nop_map)
    params = r''

    @staticmethod
    def map_reader(fd, size, url, params):
        import re
        pattern = re.compile(params)
        for line in fd:
            if pattern.match(line):
                yield url, line

if __name__ == "__main__":
    import sys
    from disco.core import result_iterator
    print(sorted(line for url, line in result_iterator(Grep().run(input=sys.argv[2:], params=sys.argv[1]).wait())))
'''

DOCUMENTED_FUNCTIONS = """
import sys
from disco.job import Job
from disco.core import result_iterator
from disco.worker.classic.worker import Worker

def fun_map(e, params):
    return [(w, 1) for w in e.split()]

def fun_reduce(iter, out, params):
    d = {}
    for k, v in iter:
        d[k] = d.get(k, 0) + 1
    for k, c in d.items():
        out.add(k, c)

def fun_reduce2(iter, params):
    from disco.util import kvgroup
    for k, vs in kvgroup(sorted(iter)):
        yield k, sum(1 for v in vs)

found = []
for reduce in (fun_reduce, fun_reduce2):
    jobargs = dict(input=sys.argv[1:], map=fun_map, reduce=reduce)
    results = Job("name").run(**jobargs).wait()
    found.append(dict(result_iterator(results)))
print(found)
"""


def test_the_documented_grep(script: Run, texts: list[str], start: str) -> None:
    found = printed(script(GREP, "a.*", *texts, options=("--start", start)))
    assert found == sorted(line + "\n" for line in LINES if line.startswith("a"))


def test_the_documented_functions(script: Run, texts: list[str], start: str) -> None:
    assert printed(script(DOCUMENTED_FUNCTIONS, *texts, options=("--start", start))) == [counts()] * 2
