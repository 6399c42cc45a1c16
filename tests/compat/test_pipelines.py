"""A program with a pipeline, as it is written for Disco 0.5."""

from __future__ import annotations

from tests.compat.conftest import Run, counts, printed

PIPELINE = """
import sys
from disco.core import Job, Disco, result_iterator
from disco.util import kvgroup
from disco.worker.pipeline.worker import Worker, Stage, TaskInfo
from disco.worker.task_io import chain_reader, task_input_stream

def Map(interface, state, label, inp):
    for line in inp:
        for word in line.split():
            interface.output(len(word) % 3).add(word.encode(), 1)

def Init(interface, params):
    return {'seen': 0}

def Hook(state, labels):
    return sorted(labels)

def Reduce(interface, state, label, inp):
    out = interface.output(label)
    for word, ones in kvgroup(inp):
        state['seen'] += 1
        out.add(word.decode(), sum(ones))

def Done(interface, state):
    assert state['seen'] and isinstance(interface, object)

class WordCount(Job):
    Worker = Worker
    pipeline = [
        ("split", Stage("map", process=Map)),
        ("group_label", Stage("reduce", init=Init, process=Reduce, done=Done, input_hook=Hook,
                              input_chain=[task_input_stream, chain_reader], combine=True, sort=True)),
    ]

if __name__ == '__main__':
    job = WordCount().run(input=[[path] for path in sys.argv[1:]])
    print(dict(result_iterator(job.wait(show=False))))
"""


def test_a_pipeline_written_for_disco(script: Run, texts: list[str], start: str) -> None:
    done = script(PIPELINE, *texts, options=("--start", start))
    assert printed(done) == counts()
    assert "PortabilityWarning" not in done.stderr
