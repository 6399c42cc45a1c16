"""A node runs tasks of its own making, so that the workers that are forked from it later are faster.

Python puts faster instructions into a function after some calls, where it has seen what the function works on, and
remembers where names were found. A worker runs one task: it has nearly all calls before that, and what it learns is
lost with it. What its node has learned is there in every fork. No code of the user is part of it.

    rehearse --> serve (worker) --pipe--> TaskRun (node) --pipe--> serve ..., all in the node's one thread
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from discolocal.cluster import store
from discolocal.cluster.execution import TaskRun
from discolocal.cluster.feeding import output_urls
from discolocal.cluster.orders import Inputs, JobOrder, TaskOrder
from discolocal.error import DiscoError
from discolocal.job import Job
from discolocal.wire.jobpack import JobPack
from discolocal.worker import serve
from discolocal.worker.channel import PipeChannel

_ROUNDS = 8  # calls after which Python looks at a function
_JOBNAME = "Rehearsal@0"
_HOST = "node1"
_LINES = "1 2 3\n4 5 6\n"
_CHUNK = 1 << 16


class _Stage(NamedTuple):
    """A stage of a job: its name, its grouping."""

    name: str
    grouping: str


_PIPELINE = "discolocal/worker/pipeline/worker.py"
_STAGES = {
    "discolocal/worker/classic/worker.py": (_Stage("map", "split"), _Stage("reduce", "group_label")),
    _PIPELINE: (_Stage("first", "split"), _Stage("second", "split")),
}
"""The stages that are rehearsed, by the worker's program."""


def rehearse(worker: str, root: str) -> None:
    """Run tasks as those of `worker` do, the path of a program of this library in a job home.

    Their files are below a directory of their own in `root`, and are deleted. Nothing else of the process changes but
    what Python knows of its functions. What cannot be rehearsed now, for a disk that is full, is not.
    """
    if worker not in _STAGES:
        return
    directory = os.path.join(root, f"rehearsal-{os.getpid()}")
    try:
        os.mkdir(directory)
        with contextlib.suppress(OSError, DiscoError):
            _play(worker, directory)
    except OSError:
        return
    finally:
        _remove(directory)
    gc.collect()
    gc.freeze()  # as at the start of the node


def _remove(directory: str) -> None:
    """Delete a directory, as far as that can be done. Not by `shutil`, whose libraries every fork would pay for."""
    for path, directories, files in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            for name in files:
                os.unlink(os.path.join(path, name))
            for name in directories:
                os.rmdir(os.path.join(path, name))
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def _play(worker: str, directory: str) -> None:
    """Run the stages of the job again and again. Raises OSError, DiscoError when a task fails."""
    data = store.data_dir(directory)
    home = store.job_home(data, _HOST, _JOBNAME)
    os.makedirs(home)
    with open(os.path.join(home, "jobfile"), "wb") as file:
        file.write(JobPack(2, {}, {}, b"", _jobdata(worker)).dumps())
    source = os.path.join(directory, "input")
    with open(source, "w", encoding="utf-8") as text:
        text.write(_LINES)
    job = JobOrder(
        _JOBNAME, "", data, (data,), "", worker, {}, {}, (), (), seed=0, strict=False, start="fork", timeouts=1.0,
        nodes=(_HOST,),
    )  # fmt: skip
    for number in range(_ROUNDS):
        inputs: Inputs = ((0, (source,)),)
        for place, stage in enumerate(_STAGES[worker]):
            order = TaskOrder(job, 2 * number + place, 0, _HOST, stage.name, stage.grouping, (0, ""), inputs)
            inputs = ((0, (_run(order, home),)),)


def _run(order: TaskOrder, home: str) -> str:
    """Run a task in this thread and return the url of its output. Raises DiscoError when it fails."""
    run = TaskRun(order, home, lambda event: None)
    # As inline tasks do it, which may share their process: a worker's own would change its node for good.
    with _channel(run) as channel:
        serve(channel, local=True)
    if run.end is None or run.end.kind != "done":
        raise DiscoError(f"the rehearsal has failed: {run.end}")
    # Once more with a channel as workers have it: what Python knows of a class does not hold for its subclasses.
    with contextlib.ExitStack() as stack:
        _, write_fd = _pipe(stack)
        read_fd, answers = _pipe(stack)
        os.write(answers, channel.answered)
        serve(PipeChannel(read_fd, write_fd), local=True)
    return output_urls(run.end.outputs[0])[0]


class _Looped(PipeChannel):
    """A worker's channel whose node answers whenever something was said, in the same thread.

    Parameters: `read_fd` and `write_fd` as those of `PipeChannel`; `said` is where the node reads, `answers` where it
    writes; `run` is the node's part. Attributes: `answered` all that it has answered.
    """

    def __init__(self, run: TaskRun, read_fd: int, write_fd: int, said: int, answers: int) -> None:
        super().__init__(read_fd, write_fd)
        self._run = run
        self._said = said
        self._answers = answers
        self.answered = b""

    def _deliver(self, frame: bytes) -> None:
        super()._deliver(frame)
        answer = self._run.feed(os.read(self._said, _CHUNK))
        if not answer and self._run.end is None:
            raise DiscoError("the rehearsal has no answer")  # waiting for one would stop the node
        os.write(self._answers, answer)
        self.answered += answer


@contextlib.contextmanager
def _channel(run: TaskRun) -> Iterator[_Looped]:
    with contextlib.ExitStack() as stack:
        said, write_fd = _pipe(stack)
        read_fd, answers = _pipe(stack)
        os.set_blocking(read_fd, False)
        yield _Looped(run, read_fd, write_fd, said, answers)


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for fd in ends:
        stack.callback(os.close, fd)
    return ends


def _jobdata(worker: str) -> bytes:
    """The data of a job of that worker. Its class and functions go by value, as those of most jobs do."""
    import cloudpickle

    job = _pipeline() if worker == _PIPELINE else _classic()
    vars(job)["worker"] = job.Worker()
    data: bytes = cloudpickle.dumps((job, {}), 5)
    return data


def _classic() -> Job:
    class Rehearsal(Job):
        @staticmethod
        def map(line: str, params: object) -> Iterator[tuple[str, int]]:
            for word in line.split():
                yield word, 1

        @staticmethod
        def reduce(entries: Iterable[tuple[str, int]], params: object) -> Iterator[tuple[str, int]]:
            yield from entries

    return Rehearsal()


def _pipeline() -> Job:
    from discolocal.worker.pipeline.worker import Stage, Worker

    def read(interface: Any, state: Any, label: int, lines: Any) -> None:
        out = interface.output(0)
        for line in lines:
            out.add(line, 1)

    def count(interface: Any, state: Any, label: int, entries: Any) -> None:
        out = interface.output(0)
        for key, value in entries:
            out.add(key, value)

    processes: tuple[Callable[[Any, Any, int, Any], object], ...] = (read, count)

    class Rehearsal(Job):
        pipeline = [
            (stage.grouping, Stage(stage.name, process=process))
            for stage, process in zip(_STAGES[_PIPELINE], processes)
        ]

    Rehearsal.Worker = Worker
    return Rehearsal()
