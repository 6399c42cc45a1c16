"""The outputs of a task (reference 2.8, 8.7)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.error import DataError
from discolocal.fileutils import AtomicFile
from discolocal.wire.hunk import HunkWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from discolocal.task import Task


class DiscoOutput(HunkWriter):
    """A file of records in Disco's internal format: `add` takes a key and a value, `append` any record (reference 8.7).

    Parameters: `url` the file's path. It appears when it is closed.
    """

    def __init__(self, url: str) -> None:
        self.stream = AtomicFile(url)
        task = active.current()
        if task is not None and task.faults is not None:
            task.faults.writing(self.stream)
        super().__init__(self.stream.write)

    def close(self) -> None:
        """Write what is left and give the file its name. A second call does nothing."""
        super().close()
        self.stream.close()

    def discard(self) -> None:
        """Remove what was written; the file never appears."""
        self.stream.discard()


class Output:
    """A file that a task writes.

    Parameters: `path_type_partition` what `Task.output` returns; `open` a function (path) -> object with `add` or
    `write` and `close`, default `DiscoOutput`. Attributes: `path` relative to the job home, `type`,
    `label` (also as `partition`), `file` the open object.
    """

    def __init__(
        self,
        path_type_partition: tuple[str, str, int],
        open: Callable[[str], Any] | None = None,
        task: Task | None = None,
    ) -> None:
        self.path, self.type, self.label = path_type_partition
        if isinstance(self.label, bool) or not isinstance(self.label, int):
            raise ValueError(f"Output label ({self.label!r} : {type(self.label)}) must be an integer or None")
        self.task = task
        self.file: Any = open(self.path) if open is not None else DiscoOutput(self._place())

    @property
    def partition(self) -> int:
        """The label, under the name it had before 0.5."""
        return self.label

    def _place(self) -> str:
        return self.path if self.task is None else self.task.file(self.path)

    def discard(self) -> None:
        """Give the file up, as far as its streams can: it never appears under its name."""
        discard = getattr(self.file, "discard", None)
        if discard is not None:
            discard()

    def close(self) -> int:
        """Close the file; returns its size in bytes. Raises DataError when the streams left no file behind."""
        self.file.close()
        try:
            return os.stat(self._place()).st_size
        except OSError as error:
            raise DataError(f"The output streams left no output file: {error.strerror}", self.path) from error
