"""A task as the code that runs it sees it, and the job's own data in a job pack.

`Task` holds what the master said in its TASK reply (reference 2.4) and the names and files of the task;
`jobdata` and `Task.jobobjs` are the two ends by which the job's Python objects travel (reference 1.8).
Nothing here reads inputs or calls user functions.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError, PortabilityWarning
from discolocal.jobdata import jobdata
from discolocal.wire import event, names

if TYPE_CHECKING:
    from discolocal.worker.channel import Channel
    from discolocal.worker.faults import Injector

__all__ = ["Task", "jobdata"]

_UNSAFE = re.compile(r"[^!$&'()*+,\-.0-9:;<=>@A-Z\[\]^_`a-z{|}~]")


class Task:
    """One task (reference 2.4, 2.8, 8.7).

    Parameters: `channel` the connection to the node or master, None for a task that only names files;
    the others are the keys of the TASK reply. `discolocal` is what our own cluster adds: ``seed`` for the
    order of reduce inputs, ``strict`` and ``start`` (fork, exec or inline); a real master adds nothing.

    Attributes of the same names, and `group_label`, `group_host`, `uid` (the task's name among the
    files of the job), `local` (the cluster's extras, a dict), `home` (the job home; "" when it is the
    working directory) and `encoding` (how input lines are decoded, None for bytes).
    """

    #: The faults that the cluster was asked for and that hit this task, nearly always None.
    faults: Injector | None = None

    #: Whether nothing of the task is in files: it is one of `discolocal.testing`.
    in_memory = False

    def __init__(
        self,
        channel: Channel | None = None,
        *,
        taskid: int,
        stage: str,
        group: Any,
        jobname: str,
        host: str,
        jobfile: str,
        grouping: str = "split",
        master: str = "",
        disco_port: int = 8989,
        put_port: int = 8990,
        ddfs_data: str = "",
        disco_data: str = "",
        discolocal: dict[str, Any] | None = None,
        **_more: object,
    ) -> None:
        self.channel = channel
        self.taskid = taskid
        self.stage = stage
        self.grouping = grouping
        self.group = group
        self.group_label: int = group[0]
        self.group_host: str = group[1]
        self.jobname = jobname
        self.host = host
        self.jobfile = jobfile
        self.master = master
        self.disco_port = disco_port
        self.put_port = put_port
        self.ddfs_data = ddfs_data
        self.disco_data = disco_data
        self.local: dict[str, Any] = discolocal or {}
        self.inline = False
        self.home = ""
        self.encoding: str | None = "utf-8"
        self.failure: tuple[BaseException, str] | None = None
        self._jobobjs: tuple[Any, dict[str, Any]] | None = None
        self._warned: set[str] = set()
        self._directory = ""
        self._group = ""
        self._puts = 0
        if self.local.get("start") == "inline":
            self.make_inline()

    def make_inline(self) -> None:
        """Note that the task shares the process with its caller, whose working directory stays what it is."""
        self.inline = True
        self.home = os.path.dirname(self.jobfile)

    def __getattr__(self, name: str) -> Any:
        if name in ("mode", "partition", "id", "name", "inputs"):
            raise AttributeError(
                f"Task.{name} does not exist: use taskid, stage, group_label, jobname or this_inputs() (reference 11.3)"
            )
        raise AttributeError(f"'Task' object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<Task {self.stage}:{self.taskid} of {self.jobname}>"

    # What travels in the job pack

    @property
    def jobobjs(self) -> tuple[Any, dict[str, Any]]:
        """The job and the keyword arguments of `run`, as they were when the job was submitted (reference 1.8)."""
        objects = self._load()
        if self.inline:
            from discolocal.worker.apart import Unread

            inputs = objects[1].get("input")
            if isinstance(inputs, Unread):
                objects[1]["input"] = inputs.read()
        return objects

    @property
    def job_to_run(self) -> tuple[Any, dict[str, Any]]:
        """The same, without the inputs where they were not loaded and the worker, the library's own, does not look."""
        job, jobargs = self._load()
        if self.inline and type(job.worker).__module__.startswith("discolocal."):
            from discolocal.worker.apart import Unread

            if isinstance(jobargs.get("input"), Unread):
                return job, {name: value for name, value in jobargs.items() if name != "input"}
        return self.jobobjs

    def take(self, objects: tuple[Any, dict[str, Any]] | None) -> None:
        """Have these as `jobobjs`, if there are any: they were loaded for this process."""
        if objects is not None and not self.inline:
            self._jobobjs = objects

    def _load(self) -> tuple[Any, dict[str, Any]]:
        if self._jobobjs is None:
            import pickle

            from discolocal.fileutils import read_jobdata

            data = read_jobdata(self.jobfile)
            try:
                if self.inline:
                    from discolocal.worker import apart

                    self._jobobjs = apart.loads(data)
                else:
                    self._jobobjs = pickle.loads(data)
            except TypeError as error:
                if not str(error).startswith(("code", "an integer is required")):
                    raise
                # Functions travel as code, which every version of Python has in a form of its own.
                raise AssertionError(
                    "Python version mismatch: the job was not made by"
                    f" {sys.version_info[0]}.{sys.version_info[1]}, which this is ({error})"
                ) from error
        return self._jobobjs

    def drop_job(self) -> None:
        """Let go of the job; it is loaded anew for whoever still asks.

        A task is part of cycles, and the arguments of the job name all of its inputs: thousands of objects for each
        task, which would wait for the collector of a process that does not end with the task.
        """
        self._jobobjs = None

    # Names and files

    @property
    def uid(self) -> str:
        """``<stage>:<group>-<taskid>-<two hex digits>-<pid>``; the directory of that name is made on first use."""
        return self.directory.partition("/")[2]

    @property
    def directory(self) -> str:
        """The task's directory, relative to the job home: ``<hh of uid>/<uid>`` (reference 8.7)."""
        if not self._directory:
            self._make_directory()
        return self._directory

    def _make_directory(self) -> None:
        start = int(time.time() * 1000)
        for offset in range(256):
            byte = (start + offset) % 256
            uid = f"{self.stage}:{names.safe_name(self._safe_group())}-{self.taskid}-{byte:02x}-{os.getpid()}"
            digits = names.hex2(uid)
            parent = self.file(digits)
            try:
                try:
                    os.mkdir(f"{parent}/{uid}")
                except FileNotFoundError:  # the first task of these digits
                    os.makedirs(parent, exist_ok=True)
                    os.mkdir(f"{parent}/{uid}")
            except FileExistsError:
                continue
            self._directory = f"{digits}/{uid}"
            return
        raise DiscoError(f"No free name for the directory of {self.stage}:{self.taskid} in {os.path.abspath(parent)}")

    def _safe_group(self) -> str:
        """``<label>-<host>``; a raw:// url makes its text the host, which may be anything (reference 9.1, trap 10)."""
        if self._group:
            return self._group
        host = self.group_host
        safe = _UNSAFE.sub("_", host)[: names.MAX_HOST]
        if names.breaks_paths(host):
            self.warn(
                "raw-host",
                f"the text of a raw:// input becomes part of file names on a cluster, where {host[:60]!r} makes the job"
                " fail: blanks, other than ASCII characters and long texts do; put such data into a file",
            )
        self._group = f"{self.group_label}-{safe}"
        return self._group

    def path(self, name: str) -> str:
        """The path of a file of this task, relative to the job home."""
        return f"{self.directory}/{name}"

    def file(self, location: str) -> str:
        """The path by which this process opens the file at `location`, a path relative to the job home."""
        return f"{self.home}/{location}" if self.home and not location.startswith("/") else location

    def url(self, location: str) -> str:
        """The ``disco://`` url of a file of this job on this host (reference 2.8)."""
        return names.disco_url(self.host, self.jobname, location)

    def output(self, label: int | None = None, typ: str = "disco") -> tuple[str, str, int]:
        """Return (location, type, label) of an output file (reference 8.7).

        Without a label the file has the name of the task's directory and label 0.
        """
        name = self.uid if label is None else f"{self.stage}-{self._safe_group()}-{label}"
        return self.path(name), typ, label or 0

    # Conversation

    def request(self, name: str, payload: object) -> Any:
        """Send a message to the master; returns the payload of its reply (reference 2.3)."""
        if self.channel is None:
            raise DiscoError("This task has no connection to a master")
        return self.channel.request(name, payload)[1]

    def post(self, name: str, payload: object, later: bool = False) -> None:
        """Send a message whose reply says nothing; see `Channel.post`."""
        if self.channel is None:
            raise DiscoError("This task has no connection to a master")
        self.channel.post(name, payload, later)

    def msg(self, text: str) -> None:
        """Send a message for the job's events (reference 2.5)."""
        self.post("MSG", text.encode("utf-8", "backslashreplace").decode("utf-8"))

    def warn(self, code: str, text: str) -> None:
        """Report that a real cluster would behave differently: once for each `code`, and not on a real cluster.

        Raises PortabilityWarning when the cluster is strict.
        """
        if code in self._warned or not self.local:
            return
        self._warned.add(code)
        if self.local.get("strict"):
            raise PortabilityWarning(code, text)
        if self.channel is not None:
            self.msg(event.portability(code, text))

    def notice(self, code: str, text: str) -> None:
        """Like `warn`, where raising would be lost or hide another error: the master ends a strict job."""
        if code not in self._warned and self.local and self.channel is not None:
            self._warned.add(code)
            self.msg(event.portability(code, text))

    def put(self, key: str, value: bytes | str) -> None:
        """Store an out-of-band result of the job (reference 7.5).

        Parameters: `key` at most 256 letters, digits, _, -, @ and :, the last value of a key counts; `value` bytes, or
        a str, which a cluster takes only from Python 2. It counts when the task is done; a later `get` of the same task
        sees it before. Raises DiscoError: another key, the 1001st value of a task; TypeError: another value.
        """
        from discolocal.worker import oob

        oob.check_key(key)
        if isinstance(value, str):
            self.warn(
                "oob-text",
                f"the value of put({key!r}, ...) is a str, which becomes UTF-8; on a cluster put takes bytes alone:"
                " encode it",
            )
            value = value.encode("utf-8")
        elif not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"put({key!r}, ...): an out-of-band result must be bytes, not {type(value).__name__}")
        if self._puts >= oob.MAX_PUTS:
            raise DiscoError(
                f"put({key!r}, ...): a task may store {oob.MAX_PUTS} out-of-band results; write more of them as records"
            )
        self._puts += 1
        oob.put(self, key, bytes(value))

    def get(self, key: str, job: Any = None) -> bytes | None:
        """Read an out-of-band result of this job, or of `job`, a name or a Job (reference 7.5).

        Those of tasks that are done are found, so a reduce sees what the maps have put. Returns None when the job has
        others but not this one. Raises CommError (`code` 404) when it has none, or is unknown.
        """
        from discolocal.worker import oob

        return oob.get(self, key, getattr(job, "name", job) or self.jobname)
