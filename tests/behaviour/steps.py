"""What the stages of random pipelines do, played and for real. Travels to nodes: standard library alone."""

from __future__ import annotations

import re
import zlib
from typing import Any

Task = tuple[int, "str | None", tuple[int, ...]]
"""A task as the model knows it: label and host of its group, its records in order of their size."""


def digest(*what: Any) -> int:
    return zlib.crc32(repr(what).encode())


def work(level: int, labels: int, task: Task) -> dict[int, list[int]]:
    """What a task writes: by label, a record for each of its own but some, and one for all of them."""
    label, host, records = task
    made = [digest(level, label, host, record) for record in records]
    made = [record for record in made if record % 7]
    if made:
        made.append(digest(level, task))
    out: dict[int, list[int]] = {}
    for record in made:
        out.setdefault(record % labels, []).append(record)
    return out


# The same as functions of a stage; `params` are {name of the stage: (level, labels)}.


def begin(interface: Any, params: Any) -> Any:
    level, labels = params[interface.taskinfo.stage]
    return level, labels, []


def gather(interface: Any, state: Any, label: int, inp: Any) -> None:
    """Take records: the numbers of a line, or keys of records of the stage before."""
    for record in inp:
        found = [int(number) for number in re.findall(r"\d+", record)] if isinstance(record, str) else [record[0]]
        state[2].extend(found)


def finish(interface: Any, state: Any) -> None:
    level, labels, records = state
    label, _, host = interface.taskinfo.group.partition("-")
    task = (int(label), host or None, tuple(sorted(records)))
    print(f"did {level} {task!r} on {interface.taskinfo.host}")
    for number, some in work(level, labels, task).items():
        for record in some:
            interface.output(number).add(record, number)
