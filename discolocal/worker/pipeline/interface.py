"""What the functions of a stage are given to work with (reference 8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class TaskInfo(NamedTuple):
    """What a task knows of itself.

    `jobname` the unique name of the job, `host` the name of the node, `stage` the name of the stage, `group` the
    task's group as text, ``<label>-<host>``, `label` the label of the group.
    """

    jobname: str
    host: str
    stage: str
    group: str
    label: int


class Interface:
    """The first argument of the functions of a stage: opens outputs.

    Parameters: `taskinfo` the `TaskInfo` of the task, an attribute as well; `open` opens the output of a label.
    """

    def __init__(self, taskinfo: TaskInfo, open: Callable[[int | None], Any]) -> None:
        self.taskinfo = taskinfo
        self._open = open
        self._streams: dict[int | None, Any] = {}

    def output(self, label: int | None) -> Any:
        """The output of a label: the last object of the stage's output chain, by default with ``add(key, value)``.

        The same label gives the same object; None is an output of its own that has the label 0. Raises ValueError for
        a label that is neither an int nor None.
        """
        try:
            return self._streams[label]
        except KeyError:
            stream = self._streams[label] = self._open(label)
            return stream
        except TypeError:  # it cannot be hashed, so it is no int
            raise ValueError(f"Output label ({label!r} : {type(label)}) must be an integer or None") from None
