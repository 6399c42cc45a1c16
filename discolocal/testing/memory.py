"""A task without a node: its inputs and outputs are in memory (see `memory_streams`), its messages in a list.

Files are made where code asks for them alone: out-of-band results, `required_files`, streams of the user's own that
open their urls themselves. They are in a directory that is removed with the task or the job.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
import weakref
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from discolocal import active
from discolocal.jobdata import PLAIN
from discolocal.task import Task
from discolocal.wire import names
from discolocal.worker import oob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from discolocal.testing.parts import Parts


class Scratch:
    """A directory that is made when somebody asks for its `path`, and removed with this object."""

    def __init__(self) -> None:
        self.made = ""

    @property
    def path(self) -> str:
        """The path of the directory; `made` is the same, "" while there is none."""
        if not self.made:
            self.made = tempfile.mkdtemp(prefix="discolocal-")
            self._end = weakref.finalize(self, shutil.rmtree, self.made, ignore_errors=True)
        return self.made

    def remove(self) -> None:
        """Remove the directory, if there is one."""
        if self.made:
            self._end()
            self.made = ""


class Home(Scratch):
    """The job home of a job with `required_files`: these and no more, where functions find them on a node."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        named = [item[1] for item in parts["required_modules"] or () if not isinstance(item, str)]
        self.files = bool(parts["required_files"] or named)
        if not self.files:
            return
        from zipfile import ZipFile

        from discolocal.fileutils import DiscoZipFile
        from discolocal.worker.jobhome import add_required_files

        archive = DiscoZipFile()
        add_required_files(archive, parts["required_files"])
        for path in named:
            archive.write(path, f"lib/{os.path.basename(path)}")
        with ZipFile(BytesIO(archive.dumps())) as files:
            files.extractall(self.path)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Context manager: it is the working directory, if it has any files."""
        if not self.files:
            yield
            return
        before, found = os.open(".", os.O_RDONLY), list(sys.path)
        os.chdir(self.path)
        sys.path[:0] = [self.path, os.path.join(self.path, "lib")]
        try:
            yield
        finally:
            sys.path[:] = found
            os.fchdir(before)
            os.close(before)
            # What was imported from here is not there for anybody else.
            for name, module in list(sys.modules.items()):
                if (getattr(module, "__file__", None) or "").startswith(self.path + os.sep):
                    del sys.modules[name]


class MemoryTask(Task):
    """A task of a job that runs here and now.

    Parameters: `parts` of the job; `stage`, `taskid`, `label`, `host` and `group_host` as a master tells them; `inputs`
    (label, url) pairs; `files` what is behind these urls, lists of entries or bytes, and where outputs are kept; `seed`
    for the order in which a reduce reads; `scratch` the directory of the job, by default one of the task's own.
    `messages` are what it has said.
    """

    in_memory = True

    def __init__(
        self,
        parts: Parts,
        stage: str,
        inputs: Sequence[tuple[int, str]],
        files: dict[str, Any],
        *,
        taskid: int = 0,
        label: int = 0,
        host: str = "node1",
        group_host: str | None = None,
        seed: int | None = 0,
        scratch: Scratch | None = None,
    ) -> None:
        self.scratch = scratch or Scratch()
        self.alone = scratch is None
        super().__init__(
            taskid=taskid,
            stage=stage,
            group=[label, host if group_host is None else group_host],
            jobname=f"{parts.job.name}@memory",
            host=host,
            jobfile="",
            discolocal={"start": "inline", "seed": seed},
        )
        self.parts = parts
        self.inputs_given = inputs
        self.files = files
        self.messages: list[str] = []
        self.pairs: dict[str, list[Any]] = {}  # of outputs in a format of their own, by url
        self.opening = ""  # the url of the output whose streams are opened
        self._jobobjs = parts.job, parts.jobargs

    def like(self, stage: str, label: int = 0) -> MemoryTask:
        """A task of another stage or label of the same job."""
        task = MemoryTask(self.parts, stage, [], self.files, label=label, scratch=self.scratch)
        task.pairs = self.pairs
        return task

    def request(self, name: str, payload: object) -> Any:
        """Answer what a master would (reference 2.6): all inputs are there."""
        if name != "INPUT":
            return "ok"
        asked: Any = payload
        kind, ids = asked
        rows = [
            [number, "ok", label, [[0, url]]]
            for number, (label, url) in enumerate(self.inputs_given)
            if (number in ids) == (kind == "include")
        ]
        return ["done", rows]

    def post(self, name: str, payload: object, later: bool = False) -> None:
        """Keep a message; nobody waits for anything else."""
        if name == "MSG":
            self.messages.append(str(payload))

    def notice(self, code: str, text: str) -> None:
        """Nobody looks at what is told of clusters."""

    def warn(self, code: str, text: str) -> None:
        """Nobody looks at what is told of clusters."""

    def _make_directory(self) -> None:
        uid = f"{self.stage}:{self._safe_group()}-{self.taskid}-00-0"
        self._directory = f"{names.hex2(uid)}/{uid}"

    def file(self, location: str) -> str:
        """A path for a file that somebody writes nevertheless."""
        path = os.path.join(self.scratch.path, location)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    @property
    def ddfs_data(self) -> str:
        """The directory of out-of-band results."""
        return self.scratch.path

    @ddfs_data.setter
    def ddfs_data(self, path: str) -> None:
        """A master's is not the one."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context manager: code inside of the block runs in this task.

        An exception passes, with the headline of the failure as a note.
        """
        try:
            with active.activated(self), self.parts.home.entered():
                yield
            if self.scratch.made:  # otherwise nothing was put there
                oob.commit(self.scratch.path, self.jobname, self.taskid, 0)
        except Exception as error:
            if self.failure is not None and self.failure[0] is error and hasattr(error, "add_note"):
                note = self.failure[1]
                if note not in getattr(error, "__notes__", ()):
                    error.add_note(note)
            raise
        finally:
            self.failure = None  # it holds frames that hold the task
            if self.alone:
                self.scratch.remove()


def copied(value: Any) -> Any:
    """A copy, such as a reader would have made; what cannot be copied is passed on."""
    if type(value) in PLAIN:
        return value
    try:
        return pickle.loads(pickle.dumps(value, 4))
    except Exception:  # of any kind: a function may be among the entries
        return value
