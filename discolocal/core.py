"""The client of a Disco master, and reading results (reference 5, 8.13)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from discolocal.error import CommError, DiscoError, JobError
from discolocal.reading import result_iterator
from discolocal.schemes import scheme_disco
from discolocal.wire import event
from discolocal.wire.jobpack import MAX_SIZE, JobPack
from discolocal.worker import oob
from discolocal.worker.old.warning import old_jobdict
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from pstats import Stats

    from discolocal.ddfs import DDFS
    from discolocal.job import Job
    from discolocal.schemes import transport

__all__ = ["Disco", "result_iterator"]


def __getattr__(name: str) -> Any:
    """Disco has `Job` here as well, and had more names (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Job":
        from discolocal.job import Job

        return Job
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)


SUBMIT_TIMEOUT = 120.0
"""Seconds that a master may take for the verdict on a job pack; it gives up itself after 60."""

_NOTHING = object()
_Kind = TypeVar("_Kind", list[Any], dict[str, Any], str)


class Disco:
    """A client of a Disco master, which it speaks to over HTTP (reference 5.1, 8.13).

    Parameters: `master` ``http://host:8989``, ``disco://host``, ``host`` or ``host:port``; None: DISCO_MASTER of the
    environment; ``local://`` gives the local cluster of this process instead. `settings` is a `DiscoSettings` from
    which those not given are taken. `proxy` is the url of a node or master that passes requests on; None: DISCO_PROXY,
    and no other proxy of the environment is used.

    The methods have Disco's names and shapes. A `jobname` may be a `Job` too. They raise CommError when the
    master cannot be reached, is silent for a minute, answers with an error status (`code`) or with what no Disco master
    says, and JobError for a job that it does not know.
    """

    def __new__(cls, master: str | None = None, settings: Any = None, proxy: str | None = None) -> Any:
        """Return the local cluster of this process, which has these methods too, if `master` stands for it."""
        from discolocal.settings import from_settings, local_master

        local = local_master(from_settings(settings, master)[0])
        return super().__new__(cls) if local is None else local

    def __init__(self, master: str | None = None, settings: Any = None, proxy: str | None = None) -> None:
        from discolocal.settings import from_settings, master_url, proxy_url

        master, proxy = from_settings(settings, master, proxy)
        self.master = master_url(master)
        self.proxy = proxy_url(proxy)

    def __repr__(self) -> str:
        return f"<Disco master at {self.master}>"

    def __getstate__(self) -> object:
        raise TypeError("a Disco object cannot be pickled: leave it out of what a job's functions refer to")

    # Questions

    def _ask(
        self,
        path: str,
        data: bytes | None = None,
        offset: int = 0,
        timeout: float | None = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> transport.Answer:
        """Send a request, a POST where there is `data` and no other `method` is named. Raises CommError."""
        from discolocal.schemes import transport

        method = method or ("GET" if data is None else "POST")
        url = f"{self.master}{path}"
        headers = {**(headers or {}), **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            return transport.fetch(method, scheme_disco.proxied(url, method, self.proxy), data, headers, timeout)
        except CommError as error:
            through = f" through the proxy {self.proxy}" if self.proxy else ""
            hint = "" if error.code is not None else f" (is a Disco master running at {self.master}{through}?)"
            raise CommError(f"{error.msg}{hint}", url, error.code) from error

    def request(self, url: str, data: bytes | None = None, offset: int = 0) -> bytes:
        """Send a request to the path `url` of the master and return the answer's body.

        Parameters: `data` makes it a POST; from byte `offset` on, of what can be asked for in parts. Raises CommError.
        """
        answer = self._ask(url, data, offset)
        return _from_offset(answer, offset)

    def _json(self, path: str, value: object = _NOTHING, timeout: float | None = None) -> Any:
        """Ask for JSON, in a POST of `value` if there is one."""
        data = None if value is _NOTHING else json.dumps(value).encode("ascii")
        return self._parsed(path, self._ask(path, data, timeout=timeout).body)

    def _parsed(self, path: str, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self._strange(path, body) from None

    def _a(self, kind: type[_Kind], path: str, found: object) -> _Kind:
        """What was found, if it is of that kind."""
        if not isinstance(found, kind):
            raise self._strange(path, found)
        return found

    def _strange(self, path: str, said: object) -> CommError:
        return CommError(f"Not what a Disco master answers: {short_repr(said)}", f"{self.master}{path}")

    def _list(self, path: str, value: object = _NOTHING, timeout: float | None = None) -> list[Any]:
        return self._a(list, path, self._json(path, value, timeout))

    def _dict(self, path: str) -> dict[str, Any]:
        return self._a(dict, path, self._json(path))

    def _of_job(self, operation: str, jobname: str | Job, **more: object) -> str:
        """The path of a question about a job."""
        from urllib.parse import quote, urlencode

        return f"/disco/ctrl/{operation}?{urlencode({'name': _name(jobname), **more}, quote_via=quote)}"

    # Jobs

    def submit(self, jobpack: bytes | JobPack | Job, strict: bool = False, **jobargs: Any) -> str:
        """Submit a job and return the unique name that the master gave it (reference 1.2).

        Parameters: `jobpack` a job pack, its bytes, or a `Job` to pack with `jobargs`; `strict`: packing raises a
        PortabilityWarning instead of showing it. A Job is not changed: `job.run()` submits it and keeps its name.
        Raises DiscoError ``Failed to submit jobpack: <what the master says>``; a pack over 1 GiB is not even sent.
        """
        if isinstance(jobpack, (JobPack, bytes, bytearray)):
            if jobargs:
                raise TypeError(f"a job pack takes no parameters: {', '.join(jobargs)}")
            pack = jobpack.dumps() if isinstance(jobpack, JobPack) else bytes(jobpack)
        else:
            if not hasattr(jobpack, "_pack"):
                raise TypeError(f"cannot submit {short_repr(jobpack)}: a job is a Job, a JobPack or the bytes of one")
            pack = jobpack._pack(jobargs, strict, self).dumps()
        if len(pack) > MAX_SIZE:
            raise DiscoError(f"Failed to submit jobpack: it has {len(pack)} bytes, a master takes {MAX_SIZE}")
        answer = self._ask("/disco/job/new", pack, timeout=SUBMIT_TIMEOUT)
        match self._parsed("/disco/job/new", answer.body):
            case ["ok", str(name)]:
                return name
            case ["error", why]:
                raise DiscoError(f"Failed to submit jobpack: {why}")
        raise self._strange("/disco/job/new", answer.body)

    def new_job(self, name: str, **jobargs: Any) -> Job:
        """Submit a classic job called `name` with these job parameters and return the `Job` (reference 11.1)."""
        from discolocal.job import Job

        return Job(name=name, master=self).run(**jobargs)

    def results(self, jobspec: Any, timeout: int = 2000) -> Any:
        """Return how jobs stand, after at most `timeout` milliseconds, or as soon as one of them ends (reference 8.13).

        `jobspec` is a job or its name: returns (status, results), the status being "active", "ready", "dead" or
        "unknown job" and the results empty unless it is ready. Or a list of such, or of what this method returned for
        a list: returns (others, active), lists of (name, (status, results)).
        """
        from discolocal.schemes import transport

        single, names = job_names(jobspec)
        path = "/disco/ctrl/get_results"
        rows = self._list(path, [int(timeout), names], transport.TIMEOUT + timeout / 1000)
        try:
            found = [(str(name), (str(status), list(results))) for name, (status, results) in rows]
        except (TypeError, ValueError):
            raise self._strange(path, rows) from None
        if [name for name, _ in found] != names:
            raise self._strange(path, rows)
        if single:
            return found[0][1]
        return split_results(found)

    def wait(
        self,
        jobname: str | Job,
        poll_interval: float = 2,
        timeout: float | None = None,
        clean: bool = False,
        show: bool | str | None = None,
    ) -> list[Any]:
        """Wait for a job and return the urls of its results (reference 8.13).

        Parameters: `poll_interval` seconds between questions, at least 0.1, and the end is noticed at once all the
        same; `timeout` seconds to wait at most; `clean` makes the master forget the job when it is ready, never before;
        `show` shows its
        events: "json" as lines of JSON on standard output, "nocolor" as text on standard error, True in colours where
        that is a terminal.

        Raises JobError: ``Status dead`` with the cause as the job's events tell it (`__cause__` has its full text),
        ``Status unknown job``, ``Timeout``, or when the master leaves ten questions in a row without an answer.
        """
        from discolocal import monitor

        name = _name(jobname)
        urls = monitor.wait(self, name, poll_interval, timeout, show)
        if clean:
            self.clean(name)
        return urls

    def rawevents(self, jobname: str | Job, offset: int = 0) -> bytes:
        """Return the lines of a job's event file from byte `offset` on (reference 6)."""
        with _known(jobname):
            return self.request(self._of_job("rawevents", jobname), offset=offset)

    def events(self, jobname: str | Job, offset: int = 0) -> Iterator[tuple[int, tuple[str, str, str]]]:
        """Yield (offset of the next event, (time, host, text)) from byte `offset` on (reference 6).

        A master writes events to its file every two seconds and at the end of a job. Ends at a line that is no event.
        """
        return _events(self.rawevents(jobname, offset), offset)

    def jobevents(self, jobname: str | Job, num: int | None = None, filter: str | None = None) -> list[list[str]]:
        """Return the last `num` events (a master's default: 10, at most 1000), the newest first, as [time, host, text].

        `filter`: only those in which this text occurs, in upper or lower case. Empty for an unknown job.
        """
        chosen = {key: value for key, value in (("num", num), ("filter", filter)) if value is not None}
        path = self._of_job("jobevents", jobname, **chosen)
        body = self.request(path)
        return self._a(list, path, self._parsed(path, body)) if body else []

    def jobinfo(self, jobname: str | Job) -> dict[str, Any]:
        """Return what the master tells of a job (reference 5.2)."""
        with _known(jobname):
            return self._dict(self._of_job("jobinfo", jobname))

    def jobpack(self, jobname: str | Job) -> JobPack:
        """Return the pack that a job was submitted as. Raises DiscoError when it is none."""
        with _known(jobname):
            return JobPack.loads(self.request(self._of_job("parameters", jobname)))

    def joblist(self) -> list[tuple[float, str, str]]:
        """Return (submission time in seconds, status, name) of the jobs, newest first."""
        path = "/disco/ctrl/joblist"
        rows = self._list(path)
        for row in rows:
            match row:
                case [int() | float(), str(), str()]:
                    continue
            raise self._strange(path, rows)
        return [tuple(row) for row in rows]

    def stageresults(self, jobname: str | Job, stage: str = "map") -> list[Any]:
        """Return the result urls of a finished stage. Raises DiscoError while it runs, or if it is unknown."""
        try:
            return self._list(self._of_job("get_stageresults", jobname, stage=stage))
        except CommError as error:
            if error.code != 404:
                raise
            raise DiscoError(f"Stage {stage} of {_name(jobname)} is unknown or not finished") from error

    def mapresults(self, jobname: str | Job) -> list[Any]:
        """Return the result urls of the map stage, from a master of Disco 0.4."""
        with _known(jobname):
            return self._list(self._of_job("get_mapresults", jobname))

    def kill(self, jobname: str | Job) -> None:
        """End a job; no error if it has ended or is unknown (reference 4.5)."""
        self._json("/disco/ctrl/kill_job", _name(jobname))

    def clean(self, jobname: str | Job) -> None:
        """End a job and make the master forget it; the nodes keep its files until they collect them (reference 4.5)."""
        self._json("/disco/ctrl/clean_job", _name(jobname))

    def purge(self, jobname: str | Job) -> None:
        """End a job, make the master forget it and the nodes delete its files (reference 4.5)."""
        self._json("/disco/ctrl/purge_job", _name(jobname))

    def oob_get(self, jobname: str | Job, key: str) -> bytes | None:
        """Return an out-of-band result of a job, the latest of this key (reference 7.5).

        None when the job has others but not this one; raises DiscoError when it has none or is unknown.
        """
        try:
            return oob.find(self._tag, _name(jobname), key)
        except CommError as error:
            if error.code != 404:
                raise
            raise DiscoError(f"Unknown key or jobname: {key!r} of {_name(jobname)}") from error

    def oob_list(self, jobname: str | Job) -> list[str]:
        """Return the keys of a job's out-of-band results. Raises CommError (404) when it has none or is unknown."""
        return list(dict.fromkeys(key for key, _urls in oob.blobs(self._tag, _name(jobname))))

    def save_oob(self, jobname: str | Job, key: str, value: bytes) -> None:
        """Store an out-of-band result of a job, as its tasks do with `put` (reference 7.5). Raises CommError."""
        oob.push(self.master, _name(jobname), key, value)

    def jobdict(self, jobname: str | Job) -> dict[str, Any]:
        """Return the job dict of a job, as in Disco 0.3; today ``jobpack(jobname).jobdict``."""
        return old_jobdict(self, "jobdict", jobname)

    def jobspec(self, jobname: str | Job) -> dict[str, Any]:
        """Return the same, under the name of Disco 0.2."""
        return old_jobdict(self, "jobspec", jobname)

    def _tag(self, path: str, headers: dict[str, str]) -> Any:
        return self._parsed(path, self._ask(path, headers=headers).body)

    def profile_stats(self, jobname: str | Job, mode: str = "") -> Stats:
        """Return the merged profiles of a job that ran with `profile=True` (reference 8.13).

        `mode` is a stage, or how its name begins. Raises JobError when there is no profile, DataError for a damaged
        one.
        """
        from discolocal import profiles

        name = _name(jobname)
        try:
            blobs = oob.blobs(self._tag, name)
        except CommError as error:
            if error.code != 404:
                raise
            blobs = []
        found = dict(reversed(blobs))  # the latest of each key
        return profiles.profile_stats(name, found, lambda key: oob.read_blob(found[key]), mode)

    # The cluster

    @property
    def ddfs(self) -> DDFS:
        """The tags and blobs of the cluster (reference 7.4)."""
        from discolocal.ddfs import DDFS

        return DDFS(self)

    def version(self) -> str:
        """Return the version of Disco that the master runs."""
        return self._a(str, "/disco/version", self._json("/disco/version"))

    def nodeinfo(self) -> dict[str, dict[str, Any]]:
        """Return for each node its running tasks, counts, slots, state and disk space in KiB (reference 5.1)."""
        return self._dict("/disco/ctrl/nodeinfo")

    def get_blacklist(self) -> list[str]:
        """Return the nodes that get no tasks."""
        return self._list("/disco/ctrl/get_blacklist")

    def blacklist(self, node: str) -> None:
        """Give `node` no tasks any more. An unknown node is no error."""
        self._json("/disco/ctrl/blacklist", node)

    def whitelist(self, node: str) -> None:
        """Give `node` tasks again."""
        self._json("/disco/ctrl/whitelist", node)

    def get_gc_blacklist(self) -> list[str]:
        """Return the nodes that get no new data."""
        return self._list("/disco/ctrl/get_gc_blacklist")

    def gc_blacklist(self, node: str) -> None:
        """Give `node` no new data any more, so that garbage collection moves its data away."""
        self._json("/disco/ctrl/gc_blacklist", node)

    def gc_whitelist(self, node: str) -> None:
        """Give `node` data again."""
        self._json("/disco/ctrl/gc_whitelist", node)

    def get_settings(self) -> dict[str, Any]:
        """Return the master's settings, `max_failure_rate` and `accept_new_jobs`."""
        return self._dict("/disco/ctrl/get_settings")

    def save_settings(self, settings: dict[str, object]) -> None:
        """Change settings of the master; it ignores names it does not know."""
        self._json("/disco/ctrl/save_settings", {name: str(value) for name, value in settings.items()})

    def get_config(self) -> list[list[str]]:
        """Return the table of nodes, rows [hosts, slots] of strings."""
        return self._list("/disco/ctrl/load_config_table")

    def set_config(self, config: Iterable[tuple[str, str | int]]) -> None:
        """Replace the table of nodes. Raises CommError (400) when the master finds it invalid."""
        self._json("/disco/ctrl/save_config_table", [[str(hosts), str(slots)] for hosts, slots in config])

    config = property(get_config, set_config, doc="The table of nodes; see `get_config` and `set_config`.")


def _name(job: Any) -> str:
    """The name of a job, given as that or as a Job."""
    name = getattr(job, "name", job)
    if not isinstance(name, str):
        raise TypeError(f"not a job or the name of one: {short_repr(job)}")
    return name


def job_names(jobspec: Any) -> tuple[bool, list[str]]:
    """Return (whether it is one job, names) of what `results` takes: a job, or a list of jobs or (name, result)."""
    single = isinstance(jobspec, str) or hasattr(jobspec, "name")
    items = [jobspec] if single else jobspec
    return single, [_name(item[0] if isinstance(item, (tuple, list)) else item) for item in items]


Row = tuple[str, tuple[str, Any]]
"""(name, (status, results)) of a job."""


def split_results(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return (others, active) of the results of several jobs (reference 8.13)."""
    return [row for row in rows if row[1][0] != "active"], [row for row in rows if row[1][0] == "active"]


@contextmanager
def _known(jobname: str | Job) -> Iterator[None]:
    """Make "not found" say that the job is unknown."""
    try:
        yield
    except CommError as error:
        if error.code != 404:
            raise
        raise JobError(_name(jobname), "Status unknown job") from error


def _from_offset(answer: transport.Answer, offset: int) -> bytes:
    """What an answer has from `offset` on; a range that begins at the end of a file is answered with the whole file."""
    return answer.body if answer.status == 206 else answer.body[offset:]


def _events(lines: bytes, offset: int) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for line in lines.split(b"\n")[:-1]:  # what follows the last newline is still being written
        try:
            found = event.decode(line)
        except ValueError:
            return
        offset += len(line) + 1
        yield offset, (found.time, found.host, found.text)
