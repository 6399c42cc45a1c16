"""What a spare worker does while it waits: touch what a task will touch.

A fork shares its parent's memory until it writes to it, and Python writes to whatever it looks at. The first
pass through the code of a task therefore costs a worker milliseconds of page faults. A spare worker goes through
that code once with values of no meaning; no file is opened and nothing of the rehearsal is kept.
"""

from __future__ import annotations

import io
import json
import pickle

from discolocal.job import Job
from discolocal.schemes import open_url
from discolocal.task import Task, jobdata
from discolocal.wire import hunk, names, protocol
from discolocal.worker.classic import func, mapping
from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.names import inject
from discolocal.worker.classic.worker import Worker
from discolocal.worker.inputs import SerialInput
from discolocal.worker.task_io import DiscoOutputStream, StreamCombiner, task_input_stream

_TASK = {
    "taskid": 0,
    "master": "",
    "disco_port": 0,
    "put_port": 0,
    "ddfs_data": "",
    "disco_data": "",
    "stage": "map",
    "grouping": "split",
    "group": [0, ""],
    "jobfile": "",
    "jobname": "rehearsal",
    "host": "",
}


def script() -> bytes:
    """Return the job that is rehearsed; made once by the node."""
    return jobdata(Job(worker=Worker(map=func.nop_map, reduce=func.nop_reduce)), {})


def rehearse(job_bytes: bytes) -> None:
    """Go through a map task and the reading side of a reduce task in memory."""
    parser = protocol.FrameParser()
    parser.feed(protocol.encode("TASK", _TASK))
    frame = parser.next()
    assert frame is not None
    task = Task(None, **json.loads(frame[1]))
    names.hex2("rehearsal")
    job, jobargs = pickle.loads(job_bytes)
    worker = job.worker
    for key in list(worker):
        worker[key] = worker.getitem(key, job, jobargs)
    inject(worker.values(), {})
    source = SerialInput(["raw://a"], open=lambda url: StreamCombiner(url, [task_input_stream]))
    file = io.BytesIO()
    out = DiscoOutputStream(file, compression_level=hunk.STORED)
    router = mapping.Router(lambda _: out.add, func.default_partition, 1, None, Blame(task, source))
    mapping.run_map(iter([("a", 1) for _ in source]), func.nop_map, None, router)
    out.close()
    list(hunk.records(io.BytesIO(file.getvalue()), len(file.getvalue()), ""))
    open_url("raw://a")[0].close()
