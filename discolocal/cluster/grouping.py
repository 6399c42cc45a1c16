"""The five groupings: how the outputs of one stage become the tasks of the next (reference 3.1).

Pure functions on values; nothing here opens a file or knows a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

GROUPINGS = ("split", "group_label", "group_node", "group_node_label", "group_all")


class DataOutput(NamedTuple):
    """Data with one label, reachable under one of several replica urls.

    `host` is the host that counts for node groupings (None if no replica names one).
    """

    label: int
    size: int
    urls: tuple[str, ...]
    host: str | None


class DirOutput(NamedTuple):
    """An index file on `host`; `labels` are the distinct (label, summed size) it lists."""

    url: str
    host: str | None
    labels: tuple[tuple[int, int], ...]


Output = DataOutput | DirOutput


class GroupInput(NamedTuple):
    """One input of a task: its label as the worker is told (2.6) and its replica urls."""

    label: int | str
    urls: tuple[str, ...]
    host: str | None


class Group(NamedTuple):
    """What one task of the next stage gets: its (label, host) and its inputs in order."""

    label: int
    host: str | None
    inputs: tuple[GroupInput, ...]


class _Member(NamedTuple):
    """An output with its place: (id of the task that made it, its number there)."""

    place: tuple[int, int]
    output: Output


def group(grouping: str, upstream: Iterable[tuple[int, Iterable[Output]]], turned: bool = False) -> list[Group]:
    """Return the groups of `upstream` in the order of the task ids they will get.

    `upstream` is a list of (task id, outputs), ids ascending. Outputs without replicas or labels
    vanish. `group_all` makes one group as soon as there is an upstream task, even if it has no
    outputs. `turned`: they are the inputs of a job, which a master takes last to first wherever it
    does not sort them by number, in `split` and `group_all` (1.4). Raises KeyError for an unknown grouping
    (packs are checked before).
    """
    tasks = [(task, list(outputs)) for task, outputs in upstream]
    if not tasks:
        return []
    members = [
        _Member((task, number), output)
        for task, outputs in tasks
        for number, output in enumerate(outputs)
        if (output.labels if isinstance(output, DirOutput) else output.urls)
    ]
    if turned and grouping in ("split", "group_all"):
        members.reverse()
    return _GROUPERS[grouping](members)


def _data_input(output: DataOutput) -> GroupInput:
    return GroupInput(output.label, output.urls, output.host)


def _dir_input(output: DirOutput, label: int | str) -> GroupInput:
    return GroupInput(label, (output.url,), output.host)


def _dirs_first(members: list[_Member]) -> tuple[list[DirOutput], list[DataOutput]]:
    dirs = [m.output for m in members if isinstance(m.output, DirOutput)]
    data = [m.output for m in members if isinstance(m.output, DataOutput)]
    return dirs, data


def _split(members: list[_Member]) -> list[Group]:
    dirs, data = _dirs_first(members)
    groups = [Group(label, d.host, (_dir_input(d, label),)) for d in dirs for label, _ in d.labels]
    return groups + [Group(o.label, o.host, (_data_input(o),)) for o in data]


def _group_label(members: list[_Member]) -> list[Group]:
    groups: dict[int, list[GroupInput]] = {}
    for _, output in members:
        if isinstance(output, DirOutput):
            for label, _size in output.labels:
                groups.setdefault(label, []).append(_dir_input(output, label))
        else:
            groups.setdefault(output.label, []).append(_data_input(output))
    return [Group(label, None, tuple(groups[label])) for label in sorted(groups)]


def _whole(output: Output) -> GroupInput:
    """An input of a grouping that does not look at labels: a whole index counts as label "all"."""
    return _dir_input(output, "all") if isinstance(output, DirOutput) else _data_input(output)


def _group_node(members: list[_Member]) -> list[Group]:
    groups: dict[str | None, list[GroupInput]] = {}
    for _, output in members:
        groups.setdefault(output.host, []).append(_whole(output))
    hosts = sorted(groups, key=lambda host: (host is not None, host or ""))
    return [Group(0, host, tuple(groups[host])) for host in hosts]


def _group_node_label(members: list[_Member]) -> list[Group]:
    dirs, data = _dirs_first(members)
    groups: dict[tuple[int, str | None], list[GroupInput]] = {}
    for d in dirs:
        for label, _ in d.labels:
            groups.setdefault((label, d.host), []).append(_dir_input(d, label))
    with_data = {(o.label, o.host) for o in data}
    for o in data:
        groups.setdefault((o.label, o.host), []).append(_data_input(o))

    def order(key: tuple[int, str | None]) -> tuple[int, bool, str]:
        return key[0], key[1] is not None, key[1] or ""

    # A real master lists the groups made of indexes alone in the order of a hash table; any
    # order is as good, so the order in which they appeared is kept.
    only_dirs = [key for key in groups if key not in with_data]
    keys = only_dirs + sorted(with_data, key=order, reverse=True)
    return [Group(label, host, tuple(groups[label, host])) for label, host in keys]


def _group_all(members: list[_Member]) -> list[Group]:
    dirs, data = _dirs_first(members)
    return [Group(0, None, (*map(_whole, dirs), *map(_whole, data)))]


_GROUPERS: dict[str, Callable[[list[_Member]], list[Group]]] = {
    "split": _split,
    "group_label": _group_label,
    "group_node": _group_node,
    "group_node_label": _group_node_label,
    "group_all": _group_all,
}
