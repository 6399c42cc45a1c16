"""Which queued task goes to which free slot; pure (reference 4.3).

Between jobs the one with the fewest running tasks comes first. A task whose group belongs to a node waits for that
node; one whose first input is on a node goes there if it is free; the others go to a node with the fewest running
tasks, drawn from the seed where several are equal, and never to one they failed on while there is another. A node
without slots gets none; what would have to wait for it goes elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from discolocal.cluster.transitions import Launch


class Placement(NamedTuple):
    """Start `launch` of `job` on `host` now; its slot is taken."""

    job: str
    launch: Launch
    host: str


class _JobQueue:
    """The waiting tasks of one job, by (task, run), and how many of its tasks run."""

    def __init__(self, max_cores: int) -> None:
        self.waiting: dict[tuple[int, int], Launch] = {}
        self.running = 0
        self.max_cores = max_cores


class Scheduler:
    """Slots of the nodes and queues of the jobs.

    Parameters: `nodes` their names, `slots` workers at once on each, `seed` what placement is drawn
    from.
    """

    def __init__(self, nodes: Sequence[str], slots: int, seed: int) -> None:
        self._slots = dict.fromkeys(nodes, slots)
        self._free = dict(self._slots)  # below 0 while a node runs more than it may by now
        self._jobs: dict[str, _JobQueue] = {}
        self._random = random.Random(seed)

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Change how many workers run at once on each node; 0 is a node that gets no tasks any more."""
        for node, number in slots.items():
            self._free[node] += number - self._slots[node]
            self._slots[node] = number

    def add_job(self, job: str, max_cores: int) -> None:
        """Make a queue for `job`, which may run at most `max_cores` tasks at once."""
        self._jobs[job] = _JobQueue(max_cores)

    def remove_job(self, job: str) -> None:
        """Forget what is queued for `job`; slots of its running tasks come back by `release`."""
        self._jobs.pop(job, None)

    def add(self, job: str, launch: Launch) -> None:
        """Queue an attempt."""
        self._jobs[job].waiting[launch.task.id, launch.run] = launch

    def cancel(self, job: str, task: int, run: int) -> bool:
        """Take an attempt out of the queue; False if it does not wait there."""
        queue = self._jobs.get(job)
        return queue is not None and queue.waiting.pop((task, run), None) is not None

    def release(self, job: str, host: str) -> None:
        """A slot on `host` is free again."""
        self._free[host] += 1
        if job in self._jobs:
            self._jobs[job].running -= 1

    def pick(self) -> Placement | None:
        """Return the next placement and take its slot, or None if nothing can start now."""
        if all(free <= 0 for free in self._free.values()):
            return None
        for name in sorted(self._jobs, key=lambda job: self._jobs[job].running):
            queue = self._jobs[name]
            if queue.running >= queue.max_cores:
                continue
            for key, launch in queue.waiting.items():
                host = self._host(launch)
                if host is not None:
                    del queue.waiting[key]
                    queue.running += 1
                    self._free[host] -= 1
                    return Placement(name, launch, host)
        return None

    def _host(self, launch: Launch) -> str | None:
        if launch.host is not None and self._slots[launch.host]:
            return launch.host if self._free[launch.host] > 0 else None
        usable = [host for host, slots in self._slots.items() if slots]
        allowed = [host for host in usable if host not in launch.avoid] or usable
        hosts = [host for host in allowed if self._free[host] > 0]
        if launch.near in hosts:
            return launch.near
        if not hosts:
            return None
        most = max(self._free[host] for host in hosts)
        return self._random.choice([host for host in hosts if self._free[host] == most])
