"""Which queued task goes to which free slot; pure (reference 4.3).

Between jobs the one with the fewest running tasks comes first. A task whose group belongs to a node waits for that
node; one whose first input is on a node goes there if it is free; the others go to a node with the fewest running
tasks, drawn from the seed where several are equal, and never to one they failed on while there is another. A node
without slots gets none; what would have to wait for it goes elsewhere.

Tasks of a concurrent stage come before those of the stages that feed it, while more than twice as many of these
run (3.2); so those that wait for inputs, and hold their slots all the while, never have all the slots. They leave the
last one of a node to tasks that wait for that node; a node all of whose slots they hold counts as one without slots.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from discolocal.cluster.transitions import Launch

Key = tuple[int, int]
"""An attempt of a job: (task, run)."""


class Placement(NamedTuple):
    """Start `launch` of `job` on `host` now; its slot is taken."""

    job: str
    launch: Launch
    host: str


class _Places(NamedTuple):
    """Where a task may go, which is the same for all tasks of a bucket."""

    host: str | None
    avoid: frozenset[str]


class _StageQueue:
    """The waiting tasks of one stage, by where they may go and in order of their arrival, and how many of it run."""

    def __init__(self) -> None:
        self.buckets: dict[_Places, dict[Key, tuple[int, Launch]]] = {}
        self.running = 0

    def first(self) -> Launch:
        """Any of the waiting tasks."""
        return next(iter(next(iter(self.buckets.values())).values()))[1]


class _JobQueue:
    """The stages of one job, by their level in the pipeline, and how many of its tasks run, or run and wait."""

    def __init__(self, max_cores: int) -> None:
        self.stages: dict[int, _StageQueue] = {}
        self.waiting: dict[Key, Launch] = {}
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
        self._incomplete: list[Placement] = []  # what runs and waited for inputs when it started
        self._arrived = 0
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
        queue = self._jobs[job]
        key = launch.task.id, launch.run
        queue.waiting[key] = launch
        stage = queue.stages.setdefault(launch.task.level, _StageQueue())
        self._arrived += 1
        stage.buckets.setdefault(_Places(launch.host, launch.avoid), {})[key] = self._arrived, launch

    def cancel(self, job: str, task: int, run: int) -> bool:
        """Take an attempt out of the queue; False if it does not wait there."""
        queue = self._jobs.get(job)
        return queue is not None and self._take(queue, (task, run)) is not None

    def release(self, placement: Placement) -> None:
        """What was placed does not run any more: its slot is free again."""
        self._free[placement.host] += 1
        if placement in self._incomplete:
            self._incomplete.remove(placement)
        queue = self._jobs.get(placement.job)
        if queue is not None:
            queue.running -= 1
            queue.stages[placement.launch.task.level].running -= 1

    def pick(self) -> Placement | None:
        """Return the next placement and take its slot, or None if nothing can start now."""
        self._incomplete = [placement for placement in self._incomplete if not placement.launch.task.complete]
        room = self._room()
        if not room:
            return None
        for name in sorted(self._jobs, key=lambda job: self._jobs[job].running):
            queue = self._jobs[name]
            if queue.running >= queue.max_cores:
                continue
            for level in sorted(queue.stages, reverse=True):
                placement = self._place(name, queue, level, room)
                if placement is not None:
                    return placement
        return None

    def _take(self, queue: _JobQueue, key: Key) -> Launch | None:
        launch = queue.waiting.pop(key, None)
        if launch is not None:
            buckets = queue.stages[launch.task.level].buckets
            places = _Places(launch.host, launch.avoid)
            del buckets[places][key]
            if not buckets[places]:
                del buckets[places]
        return launch

    def _room(self) -> dict[str, int]:
        """Free slots of the nodes that have any."""
        room = {host: free for host, free in self._free.items() if free > 0}
        if room or not self._incomplete or self._open():
            return room
        # Slots were taken away until waiting tasks held the rest: without one more they would wait for ever.
        idle = (p.host for p in self._incomplete if self._slots[p.host] and self._left(p.host) <= self._free[p.host])
        return dict.fromkeys(idle, 1)

    def _left(self, host: str) -> int:
        """How many slots of the node are not held by tasks that wait for inputs."""
        return self._slots[host] - sum(placement.host == host for placement in self._incomplete)

    def _open(self) -> list[str]:
        """The nodes that have such slots."""
        return [host for host in self._slots if self._left(host) > 0]

    def _place(self, name: str, queue: _JobQueue, level: int, room: dict[str, int]) -> Placement | None:
        """Place the task of a stage that has waited longest of those that can start now."""
        stage = queue.stages[level]
        if not stage.buckets:
            return None
        task = stage.first().task
        if task.early and 2 * stage.running >= sum(s.running for other, s in queue.stages.items() if other < level):
            return None
        if not task.complete:
            wanted = set(self._wanted(queue, level))
            room = {host: free for host, free in room.items() if host not in wanted or self._left(host) > 1}
        found = None
        for places, bucket in stage.buckets.items():
            (key, (arrived, _)) = next(iter(bucket.items()))
            if (found is None or arrived < found[0]) and (hosts := self._hosts(places, room)):
                found = arrived, key, hosts
        if found is None:
            return None
        launch = self._take(queue, found[1])
        assert launch is not None
        placement = Placement(name, launch, self._host(launch, found[2], room))
        queue.running += 1
        stage.running += 1
        self._free[placement.host] -= 1
        if not launch.task.complete:
            self._incomplete.append(placement)
        return placement

    def _wanted(self, queue: _JobQueue, level: int) -> Iterator[str]:
        """The nodes that tasks of other jobs and of earlier stages wait for."""
        for job in self._jobs.values():
            for other, stage in job.stages.items():
                if job is not queue or other < level:
                    yield from (places.host for places in stage.buckets if places.host is not None)

    def _hosts(self, places: _Places, room: dict[str, int]) -> list[str]:
        """The nodes that such a task can go to now."""
        usable = self._open() or [host for host, slots in self._slots.items() if slots]
        if places.host in usable:
            return [places.host] if places.host in room else []
        allowed = [host for host in usable if host not in places.avoid] or usable
        return [host for host in allowed if host in room]

    def _host(self, launch: Launch, hosts: list[str], room: dict[str, int]) -> str:
        if launch.near in hosts:
            return launch.near
        if len(hosts) == 1 and launch.host == hosts[0]:
            return hosts[0]
        most = max(room[host] for host in hosts)
        return self._random.choice([host for host in hosts if room[host] == most])
