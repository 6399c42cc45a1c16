"""What a cluster tells of its nodes, and which of them get tasks (reference 4.3, 5.1)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from typing import Any

from discolocal.cluster.holding import Holding
from discolocal.error import DiscoError


class Nodes:
    """The part of a `LocalCluster` that looks after nodes."""

    root: str
    nodes: list[str]
    _slots: dict[str, int]
    _blacklist: set[str]
    _holding: Holding
    _lock: threading.Lock

    def nodeinfo(self) -> dict[str, dict[str, Any]]:
        """Return for each node what a master tells of it (reference 5.1), and the `pid` of its process.

        `tasks`: the names of the jobs of its running tasks, left out when there are none; `job_ok`, `data_error`,
        `error`: how many tasks were done, failed and were tried again, and failed for good; `max_workers`,
        `connected`, `blacklisted`; `diskfree`, `diskused` in KiB.
        Raises DiscoError when the cluster is closed: its nodes are gone.
        """
        self._check_open()
        executor = self._holding.executor
        tasks, ended, pids = executor.tasks, executor.ended, executor.pids()
        disk = shutil.disk_usage(self.root)
        found = {}
        for node in self.nodes:
            found[node] = {"tasks": tasks[node]} if tasks[node] else {}
            found[node] |= {
                "job_ok": ended[node, "done"],
                "data_error": ended[node, "error"],
                "error": ended[node, "fatal"] + ended[node, "killed"],
                "max_workers": self._slots[node],
                "connected": True,
                "blacklisted": node in self._blacklist,
                "diskfree": disk.free >> 10,
                "diskused": disk.used >> 10,
                "pid": pids[node],
            }
        return found

    def worker_pids(self) -> list[int]:
        """Return the pids of the processes that run tasks now (none inline)."""
        return list(self._holding.executor.worker_pids())

    def blacklist(self, node: str) -> None:
        """Give `node` no tasks any more; those that it runs go on (reference 4.3).

        Raises DiscoError for an unknown node, and for the last that gets tasks: every job would wait, as it does on a
        cluster.
        """
        with self._lock:
            self._check_node(node)
            self._set(self._slots, self._blacklist | {node})

    def whitelist(self, node: str) -> None:
        """Give `node` tasks again. Raises DiscoError for an unknown node."""
        with self._lock:
            self._check_node(node)
            self._set(self._slots, self._blacklist - {node})

    def get_blacklist(self) -> list[str]:
        """Return the nodes that get no tasks."""
        return sorted(self._blacklist, key=self.nodes.index)

    def get_config(self) -> list[list[str]]:
        """Return the table of nodes, rows [node, how many tasks it runs at once] of strings."""
        return [[node, str(self._slots[node])] for node in self.nodes]

    def set_config(self, config: Iterable[tuple[str, str | int]]) -> None:
        """Set how many tasks nodes run at once, rows (node, number); a node that is left out gets none.

        Raises DiscoError for a table that a master would refuse, unknown nodes, and one without any slot.
        """
        slots = dict.fromkeys(self.nodes, 0)
        given: set[str] = set()
        for row in config:
            try:
                node, number = row
                count = int(number)
            except (TypeError, ValueError):
                count = -1
            if count < 0:
                raise DiscoError(f"invalid config: {row!r} is not a node and a number of tasks")
            if node in given:
                raise DiscoError(f"duplicate nodes: {node!r} is there twice")
            self._check_node(node)
            given.add(node)
            slots[node] = count
        with self._lock:
            self._set(slots, self._blacklist)

    config = property(get_config, set_config, doc="The table of nodes; see `get_config` and `set_config`.")

    def _set(self, slots: dict[str, int], blacklist: set[str]) -> None:
        self._check_open()
        usable = {node: 0 if node in blacklist else slots[node] for node in self.nodes}
        if not any(usable.values()):
            raise DiscoError(
                "No node would get tasks any more, and every job would wait for one:"
                f" let one of {', '.join(self.nodes)} be neither on the blacklist nor without slots"
            )
        self._slots, self._blacklist = slots, blacklist
        self._holding.executor.set_slots(usable)

    def _check_node(self, node: str) -> None:
        if node not in self.nodes:
            raise DiscoError(f"{node!r} is no node of this cluster, which has {', '.join(self.nodes)}")

    def _check_open(self) -> None:
        if self._holding.closed:
            raise DiscoError("This cluster is closed: it has no nodes any more")
