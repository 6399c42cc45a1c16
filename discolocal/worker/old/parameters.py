"""Job parameters of older generations, turned into those of today (reference 11.1).

Only arguments of `run`, `new_job` and `Job` are looked at: as attributes of a class, which came with 0.3, these names
never had a meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.worker.old import records, uses
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
NAMES = frozenset((*_RENAMED, *_WITHOUT_EFFECT, *_WRITERS, _MERGE))

ERAS = ("0.2",)
"""Generations whose records differ so much from today's that a script of theirs has to be run as one."""

_era: list[str] = []


def set_era(era: str | None) -> None:
    """From now on submit jobs with the defaults of `era`, one of `ERAS`, or None for those of today.

    0.2: lines come without their ends; keys and values become texts between map and reduce and in the results.
    Raises ValueError for any other.
    """
    if era is not None and era not in ERAS:
        raise ValueError(f"era={era!r}: must be one of {', '.join(ERAS)}, or None")
    _era[:] = [] if era is None else [era]


def of_today(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` with the parameters of today in the place of old ones, each told with a DeprecationWarning.

    Names that the worker or the job has a meaning for are left as they are. Raises DiscoError where an old parameter
    and the one of today are both given, and for one that cannot be had.
    """
    old = [name for name in jobargs if name in NAMES and name not in worker and not hasattr(job, name)]
    if not old:
        return jobargs
    found = dict(jobargs)
    for name in old:
        value = found.pop(name)
        if name in _RENAMED:
            _replace(found, name, _RENAMED[name], value)
        elif name in _WRITERS:
            if value is not None:
                _replace(found, name, _WRITERS[name], (task_output_stream, records.stream_of(value)))
        elif name == _MERGE:
            if value:
                _merge(worker, job, found)
            deprecated("merge_partitions is gone: use partitions=1")
        else:
            deprecated(f"{name} has no effect: {_WITHOUT_EFFECT[name]}")
    return found


def _replace(found: dict[str, Any], old: str, new: str, value: Any) -> None:
    if new in found:
        raise DiscoError(f"Both {old} and {new} are given, which mean the same: leave {old} out")
    deprecated(f"{old} is an old name: use {new}")
    found[new] = value


def _merge(worker: Worker, job: Any, found: dict[str, Any]) -> None:
    """One reduce for all partitions."""
    if not worker.getitem("map", job, found):
        raise DiscoError(
            "merge_partitions of a job without map is not supported: give it a map, such as nop_map with chain_reader"
            " as its reader, and partitions=1"
        )
    if not worker.getitem("partitions", job, found):
        raise DiscoError("Can't merge partitions without partitions")
    found["partitions"] = 1


def with_defaults(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """`jobargs` as a job is submitted with, in the era that was set; tells of old names in the job's functions."""
    found = of_today(worker, job, jobargs)
    if "map" not in worker:
        return found  # not a classic job
    if _era:
        streams = (task_output_stream, records.text_output_stream)
        defaults = {
            "map_reader": records.map_line_reader,
            "partition": records.text_partition,
            "map_output_stream": streams,
            "reduce_output_stream": streams,
        }
        given = {name for name in defaults if name in found or hasattr(job, name)}
        found = {**found, **{name: value for name, value in defaults.items() if name not in given}}
    uses.tell_uses(worker.getitem(name, job, found) for name in worker)
    return found
