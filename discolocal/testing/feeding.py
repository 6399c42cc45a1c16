"""Inputs that a test has at hand, as the inputs of a job on a cluster.

    entries --pickled--> a file of records --the reader of Disco's own results, in place of the job's--> map
    text or bytes -----> a file -----------------------------------the job's own reader----------------> map

Nothing is started here, and no input is read.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from discolocal.job import Job
from discolocal.wire.hunk import HunkWriter
from discolocal.worker.pipeline.worker import Worker as PipelineWorker
from discolocal.worker.serving import short_repr
from discolocal.worker.task_io import chain_reader, chain_stream, task_input_stream

if TYPE_CHECKING:
    from discolocal.worker.base import Worker


def feed(directory: str, job: Job | type[Job], inputs: Iterable[Any], jobargs: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters for a run of a job on these inputs: `jobargs`, and what the inputs need.

    Parameters: `directory` is made for the files that are written. Each of `inputs` is a list or a tuple of entries as
    the first function of the job gets them (map, the first stage of a pipeline, or reduce where there is no map); a str
    with a newline or bytes, the content of a file; or another str or path, which is used as it is. In the last two
    cases the job's own readers read. Raises TypeError for other inputs, and for entries beside files.
    """
    given = _listed(inputs)
    if "input" in jobargs:
        raise TypeError("inputs were given twice, also as input=")
    entries = [isinstance(one, (list, tuple)) for one in given]
    if any(entries) and not all(entries):
        raise TypeError(
            "inputs must be lists of entries, which no reader reads, or texts and paths: not both in one run"
        )
    os.makedirs(directory, exist_ok=True)
    worker = job._worker() if isinstance(job, Job) else job()._worker()
    urls: list[Any] = []
    for one in given:
        if isinstance(one, str) and "\n" not in one:
            urls.append(one)
        else:
            path = os.fspath(one) if isinstance(one, os.PathLike) else _written(one, directory)
            # Disco's own client wants lists of replicas for pipelines.
            urls.append([path] if isinstance(worker, PipelineWorker) else path)
    return {**jobargs, **(_readers(worker, job, jobargs) if any(entries) else {}), "input": urls}


def _listed(inputs: Iterable[Any]) -> list[Any]:
    if isinstance(inputs, (str, bytes, os.PathLike)):
        raise TypeError(f"inputs must be a list of inputs, not one: [{short_repr(inputs)}]")
    given = list(inputs)
    for one in given:
        if not isinstance(one, (str, bytes, os.PathLike, list, tuple)):
            raise TypeError(
                f"{short_repr(one)} is no input: it must be a list of entries, a text with a newline, bytes, a path or"
                " a url (a single input is given as a list as well)"
            )
    return given


def _written(one: Any, directory: str) -> str:
    """The path of a new file with entries or a text."""
    path = os.path.join(directory, f"{len(os.listdir(directory)):04}")
    with open(path, "wb") as file:
        if isinstance(one, (list, tuple)):
            writer = HunkWriter(file.write)
            for entry in one:
                writer.append(entry)
            writer.close()
        else:
            file.write(one.encode() if isinstance(one, str) else one)
    return path


def _readers(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """The parameters by which a job reads records where it reads something else by itself."""
    if isinstance(worker, PipelineWorker):
        (grouping, first), *others = worker.getitem("pipeline", job, jobargs)
        first = copy.copy(first)
        first.input_chain = list(chain_stream)
        return {"pipeline": [(grouping, first), *others]}
    stage = "map" if worker.getitem("map", job, jobargs) else "reduce"
    return {f"{stage}_reader": chain_reader, f"{stage}_input_stream": (task_input_stream,)}
