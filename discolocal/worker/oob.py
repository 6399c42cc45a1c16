"""Out-of-band results: values that tasks store by key, beside their records (reference 7.5).

    on a cluster of this machine          <ddfs>/oob/<jobname>/<key>        files, after the task is done
                                          <ddfs>/oob/.<jobname>/<task>-<run>/<key>    until then
    on a real one                         the tag disco:job:oob:<jobname>, a blob for each value

A value of a task that fails is not kept, so an attempt that is repeated counts once; a real cluster rolls nothing back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discolocal.error import CommError, DiscoError
from discolocal.wire import names
from discolocal.wire.digest import md5

if TYPE_CHECKING:
    from discolocal.task import Task

MAX_PUTS = 1000
"""Values that one task may store."""
MAX_KEY = 256
"""Characters of a key."""
_NO_TASK = -1
_LONGEST_NAME = 200  # characters, of a file that has the key itself as its name
_AUTHORIZATION = {"Authorization": "Basic dG9rZW46am9i"}
"""The token with which the tag of a job's results is made and has to be read: ``token:job`` (reference 7.3)."""


def _usable(key: object) -> bool:
    return isinstance(key, str) and key != "" and names.safe_name(key) == key


def check_key(key: str) -> str:
    """Return `key` if values can be stored by it. Raises DiscoError: other characters than a tag may have, too long."""
    if not _usable(key):
        raise DiscoError(
            f"OOB key contains invalid characters ({key}): a key is a str of letters, digits, _, -, @ and :"
        )
    if len(key) > MAX_KEY:
        raise DiscoError(f"OOB key is too long ({key[:40]}...): it has {len(key)} characters, {MAX_KEY} are allowed")
    return key


def tag(jobname: str) -> str:
    """The name of the tag of a job's out-of-band results."""
    return f"disco:job:oob:{jobname}"


# On a cluster of this machine


def save(ddfs: str, jobname: str, taskid: int, run: int, key: str, value: bytes) -> None:
    """Store a value of a running attempt; nobody else sees it until `commit`."""
    directory = _pending(ddfs, jobname, taskid, run)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, _file_name(key)), "wb") as out:
        out.write(b"%s %d\n%s" % (key.encode("ascii"), taskid, value))


def commit(ddfs: str, jobname: str, taskid: int, run: int) -> list[tuple[str, int]]:
    """The task is done: what this attempt has stored counts. Raises OSError.

    Returns the keys whose values replace those of other tasks, each with the number of that task.
    """
    pending = _pending(ddfs, jobname, taskid, run)
    try:
        found = os.listdir(pending)
    except FileNotFoundError:
        return []
    target = _directory(ddfs, jobname)
    os.makedirs(target, exist_ok=True)
    replaced: list[tuple[str, int]] = []
    for name in sorted(found):
        source, place = os.path.join(pending, name), os.path.join(target, name)
        try:
            # Unlike a look before, this notices a task that another node ends at the same moment.
            os.link(source, place)
            os.unlink(source)
        except FileExistsError:
            key, owner = _owner(place)
            if owner not in (taskid, _NO_TASK):
                replaced.append((key, owner))
            os.replace(source, place)
        except OSError:  # not every file system has links
            os.replace(source, place)
    os.rmdir(pending)
    return replaced


def store(ddfs: str, jobname: str, key: str, value: bytes) -> None:
    """Store a value that belongs to no attempt of a task, at once. Raises CommError (404) for no name of a job."""
    _directory(ddfs, jobname)
    run = int.from_bytes(os.urandom(6), "big")  # nobody else writes into that directory
    save(ddfs, jobname, _NO_TASK, run, key, value)
    commit(ddfs, jobname, _NO_TASK, run)


def discard(ddfs: str, jobname: str, taskid: int, run: int) -> None:
    """The attempt has failed: forget what it has stored."""
    pending = _pending(ddfs, jobname, taskid, run)
    if os.path.isdir(pending):
        import shutil

        shutil.rmtree(pending, ignore_errors=True)


def remove(ddfs: str, jobname: str) -> None:
    """Delete all values of a job."""
    import shutil

    for directory in (_directory(ddfs, jobname), os.path.dirname(_pending(ddfs, jobname, 0, 0))):
        shutil.rmtree(directory, ignore_errors=True)


def load(ddfs: str, jobname: str, key: str) -> bytes | None:
    """Return a value of the tasks that are done, None when there are others but not this one.

    Raises CommError (404) when the job has none, or is unknown.
    """
    directory = _known(ddfs, jobname)
    return _read(os.path.join(directory, _file_name(key))) if _usable(key) else None


def keys(ddfs: str, jobname: str) -> list[str]:
    """Return the keys of the values of the tasks that are done, in no order. Raises CommError (404) as `load`."""
    directory = _known(ddfs, jobname)
    found = []
    for name in os.listdir(directory):
        found.append(_owner(os.path.join(directory, name))[0])
    return found


def _owner(path: str) -> tuple[str, int]:
    """The key of a value that was stored, and the number of the task that has stored it."""
    with open(path, "rb") as file:
        key, taskid = file.readline().split()
    return key.decode("ascii"), int(taskid)


def _known(ddfs: str, jobname: str) -> str:
    """The directory of a job's values. Raises CommError when there is none."""
    directory = _directory(ddfs, jobname)
    if not os.path.isdir(directory):
        raise CommError("The job has no out-of-band results, or is unknown", f"tag://{tag(jobname)}", 404)
    return directory


def _directory(ddfs: str, jobname: str) -> str:
    if not jobname or "/" in jobname or "\0" in jobname or jobname.startswith("."):
        raise CommError("Not the name of a job", f"tag://{tag(jobname)}", 404)
    return os.path.join(ddfs, "oob", jobname)


def _pending(ddfs: str, jobname: str, taskid: int, run: int) -> str:
    return os.path.join(ddfs, "oob", f".{jobname}", f"{taskid}-{run}")


def _file_name(key: str) -> str:
    """The key, or its beginning and digest where it is too long for the name of a file."""
    if len(key) <= _LONGEST_NAME:
        return key
    return f"{key[:_LONGEST_NAME]}.{md5(key.encode('ascii'), usedforsecurity=False).hexdigest()}"


def _read(path: str) -> bytes | None:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read().partition(b"\n")[2]
    return None


# In a task


def put(task: Task, key: str, value: bytes) -> None:
    """Store a value of a task, wherever it runs; see `Task.put`."""
    if not task.local:
        push(task.master, task.jobname, key, value)
        return
    save(task.ddfs_data, task.jobname, task.taskid, task.local.get("run", 0), key, value)


def get(task: Task, key: str, jobname: str) -> bytes | None:
    """Read a value for a task; see `Task.get`."""
    if not task.local:
        return find(ask_master(task.master), jobname, key)
    if jobname == task.jobname and _usable(key):
        own = _pending(task.ddfs_data, jobname, task.taskid, task.local.get("run", 0))
        value = _read(os.path.join(own, _file_name(key)))
        if value is not None:
            return value
    return load(task.ddfs_data, jobname, key)


# On a real cluster

Ask = Callable[[str, dict[str, str]], Any]
"""Ask a master: path and headers of a GET; returns what the answer's JSON says."""


def ask_master(master: str) -> Ask:
    """An `Ask` for the master at this url."""

    def ask(path: str, headers: dict[str, str]) -> Any:
        return _json(f"{master}{path}", "GET", None, headers)

    return ask


def blobs(ask: Ask, jobname: str) -> list[tuple[str, list[str]]]:
    """The values of a job as (key, urls of the replicas), the latest first. Raises CommError, 404 without a tag."""
    from urllib.parse import quote

    path = f"/ddfs/tag/disco:job:oob:{quote(jobname, safe='')}"
    found = ask(path, _AUTHORIZATION)
    try:
        return [(_blob_name(urls[0]), list(urls)) for urls in found["urls"]]
    except (TypeError, KeyError, IndexError, AttributeError):
        raise CommError(f"Not what a tag looks like: {str(found)[:200]}", path) from None


def find(ask: Ask, jobname: str, key: str) -> bytes | None:
    """Read the latest value of a key, None if the job has others but not this one. Raises CommError, DataError."""
    return next((read_blob(urls) for name, urls in blobs(ask, jobname) if name == key), None)


def read_blob(urls: list[str]) -> bytes:
    """Read a blob from the first of its replicas that can be read. Raises DataError."""
    from discolocal.error import DataError
    from discolocal.schemes import open_url

    failure: DataError | None = None
    for url in urls:
        try:
            file, _size, _url = open_url(url)
            with file:
                data: bytes = file.read()
            return data
        except DataError as error:
            failure = error
    raise failure or DataError("A blob without a url", urls)


def _blob_name(url: str) -> str:
    return url.rpartition("/")[2].partition("$")[0]


def push(master: str, jobname: str, key: str, value: bytes) -> None:
    """Store a value as a blob and add it to the job's tag at the master of this url. Raises CommError."""
    from urllib.parse import quote

    targets = _json(f"{master}/ddfs/new_blob/{quote(key, safe=':')}", "GET", None, {})
    stored = [_json(url, "PUT", value, {}) for url in targets]
    import json

    where = f"{master}/ddfs/tag/disco:job:oob:{quote(jobname, safe='')}?delayed=1"
    _json(where, "POST", json.dumps([stored]).encode("ascii"), _AUTHORIZATION)


def _json(url: str, method: str, body: bytes | None, headers: dict[str, str]) -> Any:
    import json

    from discolocal.schemes import transport

    answer = transport.fetch(method, url, body, headers).body
    try:
        return json.loads(answer)
    except ValueError:
        raise CommError(f"Not what a Disco master answers: {answer[:200]!r}", url) from None
