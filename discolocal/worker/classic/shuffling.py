"""The shuffle stages: all files of a label on this node become one file (reference 3.3)."""

from __future__ import annotations

import errno
import os
from typing import IO, TYPE_CHECKING, Any

from discolocal.error import DataError
from discolocal.schemes import open_url
from discolocal.schemes.scheme_disco import find_local
from discolocal.wire.hunk import joinable
from discolocal.worker.classic.reducing import index_lines
from discolocal.worker.inputs import TaskInput, task_inputs

if TYPE_CHECKING:
    from discolocal.task import Task
    from discolocal.worker.base import Worker

END_MARK = b"\x81" + bytes(13)  # the empty hunk at the end of an uncompressed stream
BLOCK = 1 << 20


def run_shuffle(worker: Worker, task: Task) -> None:
    """Join the outputs of earlier tasks by label; the order of labels is the one in which they occur."""
    labels: dict[int, list[tuple[str, int]]] = {}
    count = 0
    for source in task_inputs(task):
        count += 1
        for label, url, size in _outputs(source):
            labels.setdefault(label, []).append((url, size))
    for label, sources in labels.items():
        output = worker.output(task, label, open=lambda path: _Joined(task, path))
        for number, (url, size) in enumerate(sources, 1):
            output.file.append(url, size, number == len(sources), len(sources) == 1)
    task.msg(f"Shuffled {count} inputs into {len(labels)} label(s)")


def _outputs(source: TaskInput) -> list[tuple[int, str, int]]:
    if source.isindex:
        return [(line.label, line.url, line.size) for line in index_lines(source)]
    replicas = source.ask()
    return [(source.label if isinstance(source.label, int) else 0, url, -1) for _rid, url in replicas[:1]]


class _Joined:
    """A file made of other files; appears when it is closed."""

    def __init__(self, task: Task, path: str) -> None:
        self.task = task
        self.path = task.file(path)
        self.partial = f"{self.path}.partial"
        self._file: IO[bytes] | None = None

    def append(self, url: str, size: int, last: bool, alone: bool) -> None:
        """Append a file.

        Parameters: `size` what its index says, -1 if nothing; `last` it is the last one, `alone` the only one.
        """
        if self.task.faults is not None:
            self.task.faults.write()
        path = find_local(url, self.task) if url.startswith("disco://") else None
        if path is None:
            self._copy_stream(url, size)
            return
        actual = os.stat(path).st_size
        if size not in (-1, actual):
            raise DataError(f"The file has {actual} bytes instead of the {size} of its index ({path})", url)
        if alone and self._file is None and _link(path, self.partial):
            return
        self._copy_file(path, actual if last else self._joinable_size(path, actual))

    def _joinable_size(self, path: str, size: int) -> int:
        """How much of a file may stand before other files: an end mark in the middle would hide what follows."""
        with open(path, "rb") as file:
            if joinable(file.read(2)) or size < len(END_MARK):
                return size
            file.seek(size - len(END_MARK))
            if file.read() != END_MARK:
                return size
        self.task.warn(
            "uncompressed-shuffle",
            "uncompressed record files are joined by the shuffle, and a cluster's reader stops at the end of the first"
            " one: records are lost there; use compression_level 1 or higher",
        )
        return size - len(END_MARK)

    def _target(self) -> IO[bytes]:
        if self._file is None:
            self._file = open(self.partial, "wb", buffering=0)
        return self._file

    def _copy_file(self, path: str, size: int) -> None:
        with open(path, "rb", buffering=0) as source:
            _copy(source.fileno(), self._target().fileno(), size)

    def _copy_stream(self, url: str, size: int) -> None:
        source, length, _url = open_url(url, self.task, encoding=None)
        expected = size if size >= 0 else length
        copied = 0
        with source:
            while data := source.read(BLOCK):
                copied += len(data)
                _write_all(self._target().fileno(), data)
        if expected is not None and copied != expected:
            raise DataError(f"Got {copied} bytes instead of {expected}", url)

    def discard(self) -> None:
        """Remove what was written; the file never appears."""
        if self._file is not None:
            self._file.close()
        if os.path.exists(self.partial):
            os.unlink(self.partial)

    def close(self) -> None:
        """Give the file its name."""
        if self._file is not None:
            self._file.close()
        elif not os.path.exists(self.partial):
            self._target().close()
        os.rename(self.partial, self.path)


def _link(source: str, target: str) -> bool:
    """Make `target` another name of `source`; False where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _copy(source: int, target: int, size: int) -> None:
    """Copy `size` bytes inside of the system where it can, through this process where it cannot."""
    left = size
    copy: Any = getattr(os, "copy_file_range", None)
    while left and copy is not None:
        try:
            done = copy(source, target, left)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF):
                raise
            break
        if not done:
            break
        left -= done
    while left:
        data = os.read(source, min(left, BLOCK))
        if not data:
            raise DataError(f"{left} bytes are missing at the end of a file", "shuffle")
        _write_all(target, data)
        left -= len(data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
