"""Faults of a cluster, drawn from a seed: what may happen to any job, and must not change its result.

    Faults.schedule(stage, number, attempt, grouping, most) -> [Fault, ...]       pure: the same for the same arguments
      deaths, failing and damaged inputs, full disks, slow tasks --TaskOrder--> the worker does it (`worker.faults`)
      lost outputs, duplicate execution --> the job does it at the end of the attempt (`injecting`)

The cluster tells what has happened in the events of the job and in `Faults.done`; each line can be given to
`Faults.replay`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from discolocal.worker.faults import MANNERS, POINTS

KINDS = ("deaths", "lost", "corrupt", "failing", "full_disk", "duplicate", "slow")
MIX = {"deaths": 0.15, "lost": 0.06, "corrupt": 0.08, "failing": 0.06, "full_disk": 0.06, "duplicate": 0.1, "slow": 0.1}
AFTERWARDS = ("lost", "duplicate")
"""What happens to an attempt when it is done; the rest happens in the task."""
_DEEDS = {"lost": "", "corrupt": "byte", "failing": "record", "full_disk": "write", "duplicate": "", "slow": "init"}
_SHUFFLES = ("map_shuffle", "reduce_shuffle")
_READING = ("first-read", "mid-map", "combiner", "sort", "mid-reduce")
_LONGEST = 20  # milliseconds
_LIMIT = 2
_LINE = re.compile(
    r"(?P<stage>.+)/(?P<number>\d+) attempt (?P<attempt>\d+): (?P<deed>[\w-]+)"
    r"(?: at (?P<point>[\w-]+)(?: (?P<count>\d+))?)?"
)


class Fault(NamedTuple):
    """One fault: it hits attempt `attempt` (from 0) of the task that is number `number` (from 0) of its stage.

    `deed` is a manner of dying or "lost", "corrupt", "failing", "full-disk", "duplicate" or "slow". `point` says where
    in the task, `nth` at which of several such places: the record, the write, the byte of a file; of "slow" it is
    how many milliseconds. The text of a fault is a line that `parse` reads.
    """

    stage: str
    number: int
    attempt: int
    deed: str
    point: str = ""
    nth: int = 0

    def __str__(self) -> str:
        where = f" at {self.point}" if self.point else ""
        return f"{self.stage}/{self.number} attempt {self.attempt}: {self.deed}{where}" + (
            f" {self.nth}" if self.nth else ""
        )

    @classmethod
    def parse(cls, line: str) -> Fault:
        """The fault that a line names. Raises ValueError for a line that names none."""
        match = _LINE.fullmatch(line) if isinstance(line, str) else None
        if match is not None:
            fault = cls(
                match["stage"],
                int(match["number"]),
                int(match["attempt"]),
                match["deed"],
                match["point"] or "",
                int(match["count"] or 0),
            )
            points = POINTS if fault.deed in MANNERS else _DEEDS.get(fault.deed.replace("-", "_"), "?")
            if (fault.point in points) if isinstance(points, tuple) else (fault.point == points):
                return fault
        raise ValueError(
            f"{line!r} is no fault: it looks like 'map/0 attempt 0: kill at mid-map 3' or 'reduce/1 attempt 0: lost',"
            f" with one of {', '.join(MANNERS)} at one of {', '.join(POINTS)}; each is an argument of its own, as in"
            " Faults.replay(*faults.done)"
        )


class Faults:
    """A schedule of faults for ``LocalCluster(faults=...)``, drawn from a seed (section 4 of the reference).

    ``Faults()`` and ``Faults(seed)`` are a mix of everything that a cluster may do to a correct job, which survives it
    with the result that it has without. Each kind alone: ``Faults(seed, deaths=0.5)``. Parameters:

    - `seed`: an int; the same one means the same faults for the same job. None: drawn, see `seed`.
    - `deaths`: how likely an attempt of a task ends in the middle: its worker dies, or an error is raised that allows
      another attempt. `points` says where, `manners` how: see below.
    - `lost`: the files of an attempt that was done are deleted, and the task runs again.
    - `duplicate`: an attempt that was done does not count, and the task runs again, as when its node is lost; the files
      of both are there, those of one count.
    - `corrupt`: one bit of a file in Disco's own format is another one when the task reads it.
    - `failing`: an input cannot be read any more after some records; another replica takes its place, or the attempt
      fails.
    - `full_disk`: no space is left in the middle of an output.
    - `slow`: a task takes up to 20 ms longer, so that tasks end in another order.
    - `limit`: how many attempts of a task may fail by this (default 2, and never more than `max_failures`
      of the cluster, so that jobs succeed).

    Each is a number from 0 to 1, or False or True; those not given are 0 if another one is. It counts for every attempt
    below the limit; an attempt has at most one fault by which it fails.

    `points`, where a worker dies (default: all): "import" before the job's code is loaded, "init" before it is called,
    "first-read" before an input is opened, "mid-map" and "mid-reduce" in the middle of a file (of a stage that takes
    every input for itself, and of the others), "combiner" at one of its calls, "partition-write" with half of a block
    written, "sort" before the external sort, "after-output" when the outputs are reported, "done" in the middle of the
    last message. A task that does not come to the point goes on.

    `manners` (default: all): "exit" (status 1), "kill", "term" and "segv" (signals), "OSError", "DataError" and
    "MemoryError". With ``start="inline"`` there is no process to die: SystemExit is raised in place of a signal, and
    tasks, which run one after another, are never slow.

    Programs that are no workers of this library know only `lost` and `duplicate`. `done` lists what has happened, of
    all jobs of all clusters with this object, one line each; `replay` makes a schedule of such lines. The repr is a
    call that makes the same schedule. Raises ValueError for values that cannot be, TypeError for unknown
    arguments.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        deaths: float | None = None,
        points: str | Sequence[str] | None = None,
        manners: str | Sequence[str] | None = None,
        lost: float | None = None,
        duplicate: float | None = None,
        corrupt: float | None = None,
        failing: float | None = None,
        full_disk: float | None = None,
        slow: float | None = None,
        limit: int | None = None,
    ) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"seed={seed!r}: must be an int")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit={limit!r}: must be an int of at least 1")
        given = {
            "deaths": deaths, "lost": lost, "duplicate": duplicate, "corrupt": corrupt, "failing": failing,
            "full_disk": full_disk, "slow": slow,
        }  # fmt: skip
        self._given = {kind: _rate(kind, rate) for kind, rate in given.items() if rate is not None}
        self.rates = {kind: (self._given or MIX).get(kind, 0.0) for kind in KINDS}
        if (points is not None or manners is not None) and not self.rates["deaths"]:
            raise ValueError("points and manners are those of deaths, which were not asked for: give deaths=... too")
        self._points = None if points is None else _names("points", points, POINTS)
        self._manners = None if manners is None else _names("manners", manners, MANNERS)
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self.limit = limit
        self.done: list[str] = []
        self._lines: tuple[Fault, ...] | None = None

    @classmethod
    def replay(cls, *lines: str) -> Faults:
        """The schedule with exactly these faults, lines as in `done`. Raises ValueError for a line that is none."""
        faults = cls(0, slow=False)
        faults._lines = tuple(map(Fault.parse, lines))
        failing = [fault.attempt + 1 for fault in faults._lines if fault.deed != "slow"]
        faults.limit = max(failing) if failing else None
        return faults

    def __repr__(self) -> str:
        if self._lines is not None:
            return f"Faults.replay({', '.join(repr(str(fault)) for fault in self._lines)})"
        options: dict[str, object] = {**self._given}
        if self._points is not None:
            options["points"] = self._points
        if self._manners is not None:
            options["manners"] = self._manners
        if self.limit is not None:
            options["limit"] = self.limit
        return f"Faults({', '.join([str(self.seed), *(f'{name}={value!r}' for name, value in options.items())])})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Faults) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def check(self, max_failures: int) -> None:
        """Raise ValueError when a cluster that survives `max_failures` of a task cannot have these faults."""
        if self.limit is not None and self.limit > max_failures:
            raise ValueError(
                f"faults={self!r} lets {self.limit} attempts of a task fail, and max_failures={max_failures} is what a"
                " job survives: no job could be expected to succeed; raise max_failures"
            )

    def schedule(
        self, stage: str, number: int, attempt: int, grouping: str = "split", max_failures: int = 3
    ) -> list[Fault]:
        """The faults of an attempt: the same list for the same arguments.

        Parameters: `stage` its name, `number` of the task in its stage and `attempt`, both from 0; `grouping` of the
        stage and `max_failures` of the cluster.
        """
        if self._lines is not None:
            return [fault for fault in self._lines if fault[:3] == (stage, number, attempt)]
        draw = random.Random(f"{self.seed}:{stage}:{number}:{attempt}")
        wanted = [kind for kind in KINDS if draw.random() < self.rates[kind]]
        faults = []
        if "slow" in wanted:
            wanted.remove("slow")
            faults.append(Fault(stage, number, attempt, "slow", "init", draw.randint(1, _LONGEST)))
        limit = min(_LIMIT if self.limit is None else self.limit, max_failures)
        if wanted and attempt < limit:
            kind = draw.choice(wanted)
            faults += (
                self._death(stage, number, attempt, grouping, draw)
                if kind == "deaths"
                else [Fault(stage, number, attempt, kind.replace("_", "-"), _DEEDS[kind], _count(kind, draw))]
            )
        return faults

    def _death(self, stage: str, number: int, attempt: int, grouping: str, draw: random.Random) -> list[Fault]:
        unlikely = _READING if stage in _SHUFFLES else ("sort", "mid-reduce") if grouping == "split" else (
            "mid-map", "combiner"
        )  # fmt: skip
        points = [point for point in self._points or POINTS if point not in unlikely]
        if not points:
            return []
        point = draw.choice(points)
        count = (
            draw.choice((1, 1, 2, 3, 5, 20)) if point in ("mid-map", "mid-reduce", "combiner", "partition-write") else 0
        )
        return [Fault(stage, number, attempt, draw.choice(self._manners or MANNERS), point, count)]


def _count(kind: str, draw: random.Random) -> int:
    """Where in its input or output a fault of this kind happens."""
    if kind == "corrupt":
        return draw.randint(14, 200)
    if kind in ("failing", "full_disk"):
        return draw.choice((1, 1, 2, 3))
    return 0


def _rate(name: str, rate: object) -> float:
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise ValueError(f"{name}={rate!r}: must be a number from 0 to 1, True or False")
    return rate


def _names(parameter: str, given: str | Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(given, (str, Iterable)):
        raise ValueError(f"{parameter}={given!r}: must be a name, or several, of {', '.join(known)}")
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in known:
            raise ValueError(f"{parameter}: {name!r} is none of {', '.join(known)}")
    if not names:
        raise ValueError(f"{parameter}={given!r}: name at least one of {', '.join(known)}")
    return names
