"""The stages of a job as the job dict has them, from which a master makes a pipeline (reference 1.3 to 1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.schemes import scheme_of
from discolocal.worker import client
from discolocal.worker.expanding import expand_inputs
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from discolocal.worker.base import Worker


def stage_dict(worker: Worker, job: Any, jobargs: dict[str, Any], has_map: bool | None = None) -> dict[str, Any]:
    """The keys of the job dict that say what runs over which inputs.

    Parameters: `worker`, `job`, `jobargs` as `Worker.jobdict` has them; `has_map` whether there is a map, by default
    whether the parameter `map` is set. Raises DiscoError for inputs and partitions that cannot be.
    """

    def item(name: str) -> Any:
        return worker.getitem(name, job, jobargs)

    if has_map is None:
        has_map = bool(item("map"))
    if not has_map and not item("reduce"):
        remedy = "give one"
        if getattr(job, "pipeline", None):
            remedy = "its pipeline needs the worker of pipelines: Worker = discolocal.worker.pipeline.worker.Worker"
        client.warn(
            "no-stages",
            f"the job has neither map nor reduce: a master accepts it and returns its inputs as the results; {remedy}",
        )
    wanted = partitions(item("partitions"))
    inputs = expand_inputs(item("input"), not has_map, lambda _tag: job.disco.ddfs)
    return {
        "input": inputs,
        "worker": worker.bin,
        "map?": has_map,
        "reduce?": bool(item("reduce")),
        "reduce_shuffle?": bool(item("reduce_shuffle")),
        "nr_reduces": wanted or 1 if has_map else _labels(inputs),
    }


def partitions(value: Any) -> int | None:
    """The parameter `partitions`. Raises DiscoError when it is neither a number nor None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DiscoError(f"partitions must be a number of partitions or None, not {short_repr(value)}")
    return value


def _labels(inputs: list[Any]) -> int:
    """The number of reduces of a job without map: one for each label, when all inputs are indexes (reference 1.5)."""
    from discolocal.schemes.scheme_dir import read_index

    firsts = [entry if isinstance(entry, str) else entry[0] for entry in inputs if entry]
    if not firsts or not all(scheme_of(first) == "dir" for first in firsts):
        return 1
    return 1 + max((line.label for first in firsts for line in read_index(first)), default=0)
