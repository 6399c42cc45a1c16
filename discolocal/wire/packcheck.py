"""What a master checks before it accepts a job pack, in its order and with its words (reference 1.2 to 1.4)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from discolocal.error import DiscoError
from discolocal.wire import jobpack
from discolocal.wire.term import binary_term, quoted

GROUPINGS = ("split", "group_label", "group_node", "group_node_label", "group_all")
NO_LIMIT = 1 << 31  # cores of a job that asks for no limit
# Bytes of names, where a file name has 255: to the prefix are added the rest of the job's name and, for a log, its task
# and run; to a stage what else is in the name of an index file (reference 1.3, 2.8).
MAX_PREFIX = 220
MAX_STAGE = 200
MAX_PART = 255
# Bytes that Linux hands to a program it starts: of one variable, "NAME=value" and a zero byte (MAX_ARG_STRLEN); of all
# of them, each with a pointer, a quarter of a stack of the usual size.
MAX_VARIABLE = 128 * 1024
MAX_ENVIRONMENT = 2 * 1024 * 1024
_POINTER = 8
INPUT = "input"  # the stage that a master says the inputs of a job come from

Pipeline = list[tuple[str, str, bool]]


class InvalidPack(DiscoError):
    """A master refuses the pack; `reply` is what it says after ``Job failed to start: `` (reference 1.2)."""

    def __init__(self, reply: str) -> None:
        super().__init__(f"Job failed to start: {reply}")
        self.reply = reply


class JobInput(NamedTuple):
    """An input of a job: `label`, `size` in bytes, `urls` of its replicas; `isdir` when its labels are in an index."""

    label: int
    size: int
    urls: list[str]
    isdir: bool


class JobInfo(NamedTuple):
    """What a master reads from a pack.

    `pipeline` has (stage, grouping, concurrent) rows; `inputs` are in the order of the pack, without those that have
    no url; `worker` and `owner` are JSON texts where the pack has no strings.
    """

    prefix: str
    worker: str
    owner: str
    save_results: bool
    save_info: str
    scheduler: dict[str, Any]
    max_cores: int
    pipeline: Pipeline
    inputs: list[JobInput]
    jobenvs: dict[str, str]
    version: int


def check(data: bytes, master_rules: bool = True) -> JobInfo:
    """Return what a pack says. Raises InvalidPack for the first thing that a master would refuse.

    With `master_rules=False` also what a master accepts is refused when no task of the job could ever run or end, or
    files outside the job home would be touched: a worker that is no path inside the job home, a prefix or a stage that
    spoils the names of files and urls, a stage that a master takes for the inputs, variables that no environment can
    hold.
    """
    try:
        return _check(data, master_rules)
    except RecursionError:
        _payload("it is nested too deeply")


def _check(data: bytes, master_rules: bool) -> JobInfo:
    if len(data) > jobpack.MAX_SIZE:
        raise InvalidPack("Job packet too large")
    version, offsets = _header(data)
    jobdict = _object(data[offsets[0] : offsets[1]], "jobdict")
    prefix = _need(jobdict, "prefix")
    save_results, save_info = jobdict.get("save_results", False), jobdict.get("save_info", "ddfs")
    jobenvs = _envs(data[offsets[1] : offsets[2]])
    worker, owner = _need(jobdict, "worker"), _need(jobdict, "owner")
    if not isinstance(save_info, str) or save_info[:4] not in ("ddfs", "hdfs"):
        raise InvalidPack("invalid_job_save_info")
    if not isinstance(save_results, bool):
        raise InvalidPack("invalid_job_save_results")
    prefix = _prefix(prefix)
    read = _VERSIONS.get(version)
    if read is None:
        raise InvalidPack(quoted(f"unsupported version '{version}'"))
    pipeline, inputs, scheduler = read(jobdict)
    if not master_rules:
        _check_names(prefix, worker, pipeline)
        _check_environment(jobenvs)
    return JobInfo(
        prefix=prefix,
        worker=_show(worker),
        owner=_show(owner),
        save_results=save_results,
        save_info=save_info,
        scheduler=scheduler,
        max_cores=_max_cores(scheduler),
        pipeline=pipeline,
        inputs=[item for item in inputs if item.urls],
        jobenvs=jobenvs,
        version=version,
    )


def _header(data: bytes) -> tuple[int, list[int]]:
    """Return the version and the four offsets of a pack."""
    if len(data) >= jobpack.HEADER.size:
        first, *offsets = jobpack.HEADER.unpack_from(data)
        jobdict, jobenvs, jobhome, jobdata = offsets
        in_order = jobpack.HEADER_SIZE == jobdict < jobenvs <= jobhome <= jobdata <= len(data)
        if first >> 16 == jobpack.MAGIC and in_order:
            return first & 0xFFFF, offsets
    raise InvalidPack(quoted("invalid header"))


def _payload(why: str) -> NoReturn:
    """Refuse a part of the pack; where a master quotes its own program, these are plain words."""
    raise InvalidPack(quoted(f"invalid payload: {why}"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(text: bytes, part: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        _payload(f"the {part} is not UTF-8")
    except (ValueError, RecursionError) as error:
        _payload(f"the {part} is not JSON ({error})")
    if not isinstance(value, dict):
        _payload(f"the {part} is not a JSON object")
    return value


def _envs(text: bytes) -> dict[str, str]:
    envs = _object(text, "jobenvs")
    for name, value in envs.items():
        if not isinstance(value, str):
            _payload(f"the value of {name!r} in jobenvs is not a string")
    return envs


def _need(jobdict: dict[str, Any], key: str) -> Any:
    if key not in jobdict:
        raise InvalidPack(quoted(f"jobpack missing key '{key}'"))
    return jobdict[key]


def _prefix(value: Any) -> str:
    """Return the prefix of the job's name; a master takes nested lists of strings as well."""
    if not isinstance(value, (str, list)):
        _payload("the prefix is not a string")
    prefix = _flat(value)
    if "/" in prefix or "." in prefix:
        raise InvalidPack(quoted("invalid prefix"))
    return prefix


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        _payload("the prefix is not a string")
    return "".join(map(_flat, value))


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _check_names(prefix: str, worker: Any, pipeline: Pipeline) -> None:
    """Refuse what would leave the job's directory, could never be started or not be read back from an index."""
    if unfit := _unfit(prefix, MAX_PREFIX):
        raise InvalidPack(quoted(f"invalid prefix: {prefix[:60]!r} {unfit}"))
    parts = worker.split("/") if isinstance(worker, str) else []
    outside = any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > MAX_PART for part in parts)
    if not parts or outside or not _is_system_text(worker):
        raise InvalidPack(quoted(f"the worker {_show(worker)[:100]!r} is not the path of a file in the job home"))
    for stage, _, _ in pipeline:
        if stage == INPUT:
            raise InvalidPack(quoted(f"invalid name of a stage: {stage!r} is what a master calls the job's inputs"))
        if unfit := "has a slash in it" if "/" in stage else _unfit(stage, MAX_STAGE):
            raise InvalidPack(quoted(f"invalid name of a stage: {stage[:60]!r} {unfit}"))


def _unfit(name: str, most: int) -> str:
    """Say why a name cannot be a part of file names and of urls in an index; an empty text if it can."""
    if any(map(str.isspace, name)):
        return "has white space in it"
    if not _is_system_text(name):
        return "has a zero byte or a lone surrogate in it"
    return f"is longer than {most} bytes" if len(name.encode("utf-8")) > most else ""


def _is_system_text(text: str) -> bool:
    """Tell whether a text can be handed to the operating system."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _check_environment(jobenvs: dict[str, str]) -> None:
    for name, value in jobenvs.items():
        if not name or "=" in name or not _is_system_text(name):
            raise InvalidPack(quoted(f"invalid jobenvs: {name[:60]!r} cannot be the name of a variable"))
        if not _is_system_text(value):
            raise InvalidPack(
                quoted(f"invalid jobenvs: the value of {name[:60]!r} has a zero byte or a lone surrogate in it")
            )
    sizes = {name: len(f"{name}={value}\0".encode()) for name, value in jobenvs.items()}
    for name, size in sizes.items():
        if size > MAX_VARIABLE:
            why = f"{name[:60]!r} and its value have {size} bytes, and Linux starts no program with more than"
            raise InvalidPack(quoted(f"invalid jobenvs: {why} {MAX_VARIABLE} for a variable (MAX_ARG_STRLEN)"))
    total = sum(sizes.values()) + _POINTER * len(sizes)
    if total > MAX_ENVIRONMENT:
        why = f"all of them have {total} bytes, and Linux starts no program with more than"
        raise InvalidPack(quoted(f"invalid jobenvs: {why} {MAX_ENVIRONMENT}, a quarter of the usual stack"))


def _scheduler(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _payload("the scheduler is not a JSON object")
    return value


def _max_cores(scheduler: dict[str, Any]) -> int:
    """Return the limit of tasks at a time; what is no number is beyond every number for a master."""
    limit = scheduler.get("max_cores", NO_LIMIT)
    if type(limit) is float:
        return math.ceil(min(max(limit, -NO_LIMIT), NO_LIMIT))  # 1e400 is infinite, and has no ceiling
    return limit if type(limit) is int else NO_LIMIT


def _read_v1(jobdict: dict[str, Any]) -> tuple[Pipeline, list[JobInput], dict[str, Any]]:
    scheduler, inputs, nr_reduces = (_need(jobdict, key) for key in ("scheduler", "input", "nr_reduces"))
    flags = []
    for key in ("map?", "reduce?", "reduce_shuffle?"):
        flag = jobdict.get(key, False)
        if not isinstance(flag, bool):
            _payload(f"{key!r} is not a boolean")
        flags.append(flag)
    single = type(nr_reduces) is int and nr_reduces == 1
    pipeline = v1_pipeline(*flags, single=single)
    if not isinstance(inputs, list):
        raise InvalidPack("invalid_job_inputs")
    return pipeline, list(map(_v1_input, inputs)), _scheduler(scheduler)


def v1_pipeline(has_map: bool, has_reduce: bool, reduce_shuffle: bool, *, single: bool) -> Pipeline:
    """Return the stages of a version 1 job; `single` when it has exactly one reduce (reference 1.4)."""
    stages = []
    if has_map:
        stages += [("map", "split", False), ("map_shuffle", "group_node", False)]
    if has_reduce:
        stages.append(("reduce", "group_all" if single else "group_label", False))
        if reduce_shuffle and not single:
            stages.append(("reduce_shuffle", "group_node", False))
    return stages


def _v1_input(item: Any) -> JobInput:
    urls = [item] if isinstance(item, str) else item
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise InvalidPack("invalid_job_inputs")
    isdir = bool(urls) and urls[0].startswith("dir://")
    return JobInput(0, 0, urls[:1] if isdir else urls, isdir)


def _read_v2(jobdict: dict[str, Any]) -> tuple[Pipeline, list[JobInput], dict[str, Any]]:
    rows, inputs, scheduler = (_need(jobdict, key) for key in ("pipeline", "inputs", "scheduler"))
    pipeline = _pipeline(rows)
    if not isinstance(inputs, list):
        raise InvalidPack("invalid_job_inputs")
    return pipeline, list(map(_v2_input, inputs)), _scheduler(scheduler)


def _pipeline(rows: Any) -> Pipeline:
    if not isinstance(rows, list):
        _malformed("list", rows)
    pipeline = list(map(_stage, rows))
    if len({stage for stage, _, _ in pipeline}) != len(pipeline):
        raise InvalidPack("repeated_pipeline_stages")
    return pipeline


def _stage(row: Any) -> tuple[str, str, bool]:
    if not isinstance(row, list):
        _malformed("list", row)
    if len(row) != 3:
        _malformed("list of length 3", row)
    stage, grouping, concurrent = row
    for value in (stage, grouping):
        if not isinstance(value, str):
            _malformed("string", value)
    if not isinstance(concurrent, bool):
        _malformed("boolean", concurrent)
    if grouping not in GROUPINGS:
        raise InvalidPack(quoted(f"invalid grouping '{binary_term(grouping)}'"))
    return stage, grouping, concurrent


def _malformed(expected: str, value: Any) -> NoReturn:
    received = json.dumps(value)
    raise InvalidPack(quoted(f"FORMAT ERROR: Invalid job pipeline: {expected} expected, '{received}' received"))


def _v2_input(row: Any) -> JobInput:
    if isinstance(row, list) and len(row) == 3:
        label, size, urls = row
        numbers = type(label) is int and type(size) is int  # a bool is no number here
        if numbers and isinstance(urls, list) and all(isinstance(url, str) for url in urls):
            return JobInput(label, size, urls, False)
    raise InvalidPack("invalid_job_inputs")


_VERSIONS: dict[int, Callable[[dict[str, Any]], tuple[Pipeline, list[JobInput], dict[str, Any]]]] = {
    1: _read_v1,
    2: _read_v2,
}
