"""Job parameters of older generations, turned into those of today (reference 11.1).

Only arguments of `run`, `new_job` and `Job` are looked at: as attributes of a class, which came with 0.3, these names
never had a meaning. The one that had, as an item of a worker too, is merge_partitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.util import ispartitioned
from discolocal.worker.classic.func import default_partition
from discolocal.worker.old import records, uses
from discolocal.worker.old.era import mark
from discolocal.worker.old.warning import deprecated
from discolocal.worker.task_io import task_output_stream

if TYPE_CHECKING:
    from discolocal.worker.base import Worker

_RENAMED = {"fun_map": "map", "input_files": "input", "nr_reduces": "partitions"}
_WITHOUT_EFFECT = {
    "nr_maps": "there is one map task for each input",
    "chunked": "inputs are read by map_reader and map_input_stream",
    "mem_sort_limit": "sort_buffer_size limits the memory of a sort",
}
_WRITERS = {"map_writer": "map_output_stream", "reduce_writer": "reduce_output_stream"}
_MERGE = "merge_partitions"
_NAMES = frozenset((*_RENAMED, *_WITHOUT_EFFECT, *_WRITERS))

ERAS = ("0.2", "0.5")
"""Generations whose records differ so much from today's that a script of theirs has to be run as one."""

_era: list[str] = []


def set_era(era: str | None) -> None:
    """From now on submit jobs with the defaults of `era`, one of `ERAS`, or None for those of today.

    0.2: lines come without their ends; keys and values become texts between map and reduce and in the results.
    0.5, under Python 3: lines are bytes. Raises ValueError for any other.
    """
    if era is not None and era not in ERAS:
        raise ValueError(f"era={era!r}: must be one of {', '.join(ERAS)}, or None")
    _era[:] = [] if era is None else [era]


def of_today(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` with the parameters of today in the place of old ones, each told with a DeprecationWarning.

    Names that the worker or the job has a meaning for are left as they are, and so is merge_partitions, which says
    something about others: see `with_defaults`. Raises DiscoError where an old parameter and the one of today are both
    given.
    """
    old = [name for name in jobargs if name in _NAMES and name not in worker and not hasattr(job, name)]
    if not old:
        return jobargs
    mark(job)
    found = dict(jobargs)
    for name in old:
        value = found.pop(name)
        if name in _RENAMED:
            _replace(found, name, _RENAMED[name], value)
        elif name in _WRITERS:
            if value is not None:
                _replace(found, name, _WRITERS[name], (task_output_stream, records.stream_of(value)))
        else:
            deprecated(f"{name} has no effect: {_WITHOUT_EFFECT[name]}")
    return found


def _replace(found: dict[str, Any], old: str, new: str, value: Any) -> None:
    if new in found:
        raise DiscoError(f"Both {old} and {new} are given, which mean the same: leave {old} out")
    deprecated(f"{old} is an old name: use {new}")
    found[new] = value


def without_merge(jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` but for merge_partitions."""
    return {name: value for name, value in jobargs.items() if name != _MERGE}


def _merged(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` with one reduce for all partitions if merge_partitions says so, as it did from 0.3 to 0.5.1.

    The partitions are those of the map or, in a job without one, those that the inputs have. Raises DiscoError when
    there are none.
    """

    def item(name: str) -> Any:
        return worker.getitem(name, job, jobargs)

    merge = item(_MERGE)
    if merge or _MERGE in jobargs:
        mark(job)
        deprecated("merge_partitions is gone: use partitions=1")
    found = without_merge(jobargs)
    if not merge:
        return found
    if not item("partitions") and (item("map") or not ispartitioned(item("input"))):
        raise DiscoError("Can't merge partitions without partitions")
    if item("map") and item("reduce"):
        found["partitions"] = 1
        if item("partition") not in (None, default_partition):
            found["partition"] = records.one_partition  # whatever the job's own function says of more of them
    elif item("reduce"):
        from discolocal.worker.expanding import expand_inputs

        found["input"] = expand_inputs(item("input"), ddfs=lambda _tag: job.disco.ddfs)
    return found


def with_defaults(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` as a job is submitted with, in the era that was set; tells of old names in the job's functions.

    Raises DiscoError as `of_today`, and for merge_partitions without partitions.
    """
    found = _merged(worker, job, of_today(worker, job, jobargs))
    if "map" not in worker:
        return found  # not a classic job
    if uses.tell_uses(worker.getitem(name, job, found) for name in worker):
        mark(job)
    if "0.5" in _era and "encoding" not in found and not hasattr(job, "encoding"):
        found = {**found, "encoding": None}
    if "0.2" in _era:
        streams = (task_output_stream, records.text_output_stream)
        defaults = {
            "map_reader": records.map_line_reader,
            "partition": records.text_partition,
            "map_output_stream": streams,
            "reduce_output_stream": streams,
        }
        given = {name for name in defaults if name in found or hasattr(job, name)}
        found = {**found, **{name: value for name, value in defaults.items() if name not in given}}
        mark(job)
    return found
