"""Helpers that job code imports (reference 8.13), and the external sort (reference 8.6)."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from discolocal import active
from discolocal.error import DataError, DiscoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.wire.index import Line
    from discolocal.wire.sortfile import Encoder

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_READ = 1 << 18


def __getattr__(name: str) -> Any:
    """Names of Disco before 0.5 (reference 11.2)."""
    if name.startswith("__"):  # Python asks for some of these at every import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discolocal.worker.old.names import old_name

    return old_name(__name__, name)


# Iterables


def kvgroup(kviter: Iterable[tuple[K, V]]) -> Iterator[tuple[K, Iterator[V]]]:
    """Group consecutive pairs with equal keys: yields (key, iterator over the values) (reference 8.5).

    Each group's iterator ends when the next group is asked for.
    """
    second = itemgetter(1)
    for key, pairs in groupby(kviter, key=itemgetter(0)):
        yield key, map(second, pairs)


def isiterable(object: object) -> bool:
    """Whether `object` can be iterated and is neither text nor bytes."""
    return hasattr(object, "__iter__") and not isinstance(object, (str, bytes))


def iterify(object: Any) -> Iterable[Any]:
    """`object` itself if it can be iterated, else a tuple of it."""
    return object if isiterable(object) else (object,)


def listify(object: Any) -> list[Any]:
    """The elements of `object` as a list; a list of it when it cannot be iterated, an empty one for None."""
    return [] if object is None else list(iterify(object))


def flatten(iterable: Iterable[Any]) -> Iterator[Any]:
    """The elements of an iterable and of all iterables in it, at any depth."""
    for item in iterable:
        if isiterable(item):
            yield from flatten(item)
        else:
            yield item


def chainify(iterable: Iterable[Iterable[T]]) -> list[T]:
    """The elements of the elements, as one list."""
    return list(chain.from_iterable(iterable))


def ilen(iter: Iterable[Any]) -> int:
    """The number of elements; consumes the iterable."""
    return sum(1 for _ in iter)


def shuffled(object: Iterable[T]) -> list[T]:
    """The elements in random order, as a list."""
    import random

    items = list(object)
    random.shuffle(items)
    return items


def partition(iterable: Iterable[T], fn: Callable[[T], Any]) -> tuple[list[T], list[T]]:
    """Split an iterable: (elements for which `fn` is true, the others)."""
    parts: tuple[list[T], list[T]] = ([], [])
    for item in iterable:
        parts[0 if fn(item) else 1].append(item)
    return parts


def key(kv: tuple[K, Any]) -> K:
    """The key of a pair."""
    return kv[0]


def iskv(object: object) -> bool:
    """Whether `object` is a (key, value) tuple."""
    return isinstance(object, tuple) and len(object) == 2


# Urls


def schemesplit(url: str) -> tuple[str, str]:
    """Split a url into (scheme, rest); the scheme of a plain path is empty."""
    scheme, found, rest = url.partition("://")
    return (scheme, rest) if found else ("", url)


def urlsplit(url: str) -> tuple[str, tuple[str, str], str]:
    """Split a url into (scheme, (host, port), path); host and port are empty where the url has none."""
    scheme, rest = schemesplit(url)
    if scheme in ("", "file", "raw") or (scheme == "tag" and "/" not in rest):
        return scheme, ("", ""), rest
    location, _slash, path = rest.partition("/")
    host, _colon, port = location.rpartition("@")[2].partition(":")
    return scheme, (host, port), path


def urljoin(parts: tuple[str, Any, str]) -> str:
    """The inverse of `urlsplit`; the middle part may be (host, port) or a text."""
    scheme, netloc, path = parts
    if not isinstance(netloc, str):
        netloc = ":".join(str(part) for part in netloc if part)
    return f"{scheme}://{netloc}{'/' if netloc else ''}{path}" if scheme else f"{netloc}{path}"


def urlresolve(url: str, master: str | None = None) -> str:
    """The http url of a ``disco://`` or ``dir://`` url at its node, of a tag at its master; other urls as they are.

    `master` is the url of the master of tags that do not name one, by default that of the task that asks, else
    DISCO_MASTER of the environment. Raises DiscoError when that is a cluster of this machine, which has no address.
    """
    scheme = schemesplit(url)[0]
    if scheme == "tag":
        return _tag_at_master(url, master or active.master() or os.environ.get("DISCO_MASTER", ""))
    if scheme in ("disco", "dir"):
        from discolocal.schemes.scheme_disco import http_url

        return http_url(url, active.current())
    return url


def _tag_at_master(url: str, master: str) -> str:
    from discolocal.schemes.scheme_disco import default_port
    from discolocal.wire import names

    tag = names.parse_tag(url)
    place = tag.host or master
    if not place or place.startswith("local://"):
        why = f"{place} has no address; DDFS({place!r}) reads its tags" if place else "no master is known"
        raise DiscoError(f"Cannot resolve {url}: {why}")
    scheme, rest = schemesplit(place.rstrip("/"))
    if scheme not in ("http", "https"):
        place = f"http://{rest}" if ":" in rest else f"http://{rest}:{default_port()}"
    return f"{place.rstrip('/')}/ddfs/tag/{tag.name}"


def jobname(url: str | Iterable[Any]) -> str:
    """The name of the job that wrote the file behind a ``disco://`` or ``dir://`` url, in its directory or below.

    Results are lists of urls since Disco 0.5: of a list the first url counts. Raises DiscoError for any other url.
    """
    from discolocal.wire import names

    url = next(flatten([url]), "")
    parts = names.local_path(url).split("/")
    if len(parts) < 3:
        raise DiscoError(f"Not the url of a job's file: {url}")
    return parts[2]


def read_index(dir: str) -> list[Line]:
    """The (label, url, size) lines of the index behind a ``dir://`` url (reference 2.8). Raises DataError."""
    from discolocal.schemes.scheme_dir import read_index as read

    return read(dir, active.current())


def parse_dir(
    dir: str, label: int | None = None, partition: int | str | None = None, partid: int | str | None = None
) -> list[str]:
    """The urls that the index behind a ``dir://`` url lists, of one label or of all. Raises DataError.

    `partition` and `partid` are the names that the label had in Disco 0.4 and before.
    """
    label = _label(label, partition=partition, partid=partid)
    return [line.url for line in read_index(dir) if label is None or line.label == label]


def ispartitioned(input: Any) -> bool:
    """Whether all inputs are ``dir://`` urls, whose records have labels already."""
    inputs = listify(input)
    return bool(inputs) and all(str(next(iter(iterify(url)), "")).startswith("dir://") for url in inputs)


def _label(label: Any, **old: Any) -> Any:
    """The label, which may have been given by one of its names of old. Raises TypeError when it was given twice."""
    given = {name: value for name, value in old.items() if value is not None}
    for name, value in given.items():
        from discolocal.worker.old.warning import deprecated

        if label is not None or len(given) > 1:
            raise TypeError(f"{name} and label mean the same: give label alone")
        deprecated(f"{name} is an old name: use label")
        return int(value) if isinstance(value, str) else value
    return label


def inputlist(
    inputs: Iterable[Any],
    label: int | bool | None = None,
    partition: int | str | bool | None = None,
    ddfs: Any = None,
) -> list[Any]:
    """Inputs as a job dict has them: urls, and lists of replicas (reference 1.5).

    `label`: None expands ``dir://`` urls to all their files, a number to those of that label, False keeps them;
    `partition` is the name it had in Disco 0.4. `ddfs` looks up tags: a `DDFS` or the master of one, by default that of
    `result_iterator`.
    """
    label = _label(label, partition=partition)
    from discolocal.schemes import scheme_tag
    from discolocal.worker.expanding import expand_inputs

    expanded = expand_inputs(inputs, label is not None, lambda tag: scheme_tag.client(ddfs or active.master(), tag))
    if label is None or label is False:
        return expanded
    result: list[Any] = []
    for entry in expanded:
        if ispartitioned([entry]):  # the files of an index, each with its replicas in the indexes that are replicas
            result += [list(urls) for urls in zip(*(parse_dir(url, int(label)) for url in iterify(entry)))]
        else:
            result.append(entry)
    return result


def inputexpand(input: Any, label: int | bool | None = None, partition: int | str | bool | None = None) -> list[Any]:
    """What one input of a job stands for, as a list of inputs; see `inputlist`."""
    return inputlist([input], _label(label, partition=partition))


def deref(inputs: Iterable[Any], resolve: bool = False, ddfs: Any = None) -> Iterator[list[str]]:
    """The replicas of each input, with ``dir://`` urls and tags expanded; as http urls when `resolve`.

    `ddfs` looks up tags, as for `inputlist`.
    """
    for entry in inputlist(inputs, ddfs=ddfs):
        urls = list(iterify(entry))
        yield [urlresolve(url) for url in urls] if resolve else urls


def external(files: Iterable[str]) -> dict[str, bytes]:
    """Return an external program as the parameter `map` or `reduce` has it (reference 8.12).

    Parameters: `files` paths, the program first; see `discolocal.worker.classic.external.package`.
    """
    from discolocal.worker.classic.external import package

    return package(files)


_CLIENT = "discolocal.core"
"""The module of the client, by name: a task has none, and nothing else here needs one."""


def _client(host: Any) -> Any:
    return host if hasattr(host, "oob_get") else import_module(_CLIENT).Disco(host)


def save_oob(host: Any, name: str, key: str, value: bytes | str, ddfs_token: str | None = None) -> None:
    """Store an out-of-band result of a job (reference 7.5).

    Parameters: `host` a master as `Disco` takes it, or a client of one; in a task its own master counts. `name` of the
    job, `key` and `value` as those of `Task.put`; `ddfs_token` must be None, as the tag is that of the job. Raises
    DiscoError for a key that cannot be.
    """
    from discolocal.worker import oob

    _refuse_token("save_oob", ddfs_token)
    task = active.current()
    if task is not None and task.jobname == name:
        task.put(key, value)
        return
    data = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    oob.check_key(key)
    if task is None:
        _client(host).save_oob(name, key, data)
    elif task.local:
        oob.store(task.ddfs_data, name, key, data)
    else:
        oob.push(task.master, name, key, data)


def load_oob(host: Any, name: str, key: str, ddfs_token: str | None = None) -> bytes | None:
    """Read an out-of-band result of a job: None when it has others but not this one (reference 7.5).

    Parameters as those of `save_oob`. Raises DiscoError when the job has none, or is unknown.
    """
    _refuse_token("load_oob", ddfs_token)
    task = active.current()
    found: bytes | None = _client(host).oob_get(name, key) if task is None else task.get(key, name)
    return found


def _refuse_token(function: str, token: str | None) -> None:
    if token is not None:
        raise DiscoError(
            f"{function}(ddfs_token=...): the results of a job are read and written with the job's own token"
        )


# Warnings


def callers_level() -> int:
    """The `stacklevel` with which `warnings.warn`, in the function that asks, points into the user's own code.

    That is the first frame outside of this package, or the outermost one where there is none.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith("discolocal."):
        frame, level = frame.f_back, level + 1
    return level


# Sorting


def format_size(size: float) -> str:
    """A number of bytes with one decimal and a unit, as in the messages of a sort: ``53.0 bytes``, ``1.2 MB``."""
    for unit in (" bytes", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            break
        size /= 1024
    return f"{size:.1f}{unit if unit.startswith(' ') else ' ' + unit}"


def disk_sort(
    worker: Any, input: Iterable[tuple[Any, Any]], filename: str, sort_buffer_size: str = "10%"
) -> Iterator[tuple[Any, Any]]:
    """Sort pairs by the bytes of their keys with Unix `sort` (reference 8.6).

    Parameters: `worker` the worker, None for no messages; `input` pairs with `bytes` or `str` keys; `filename` the
    scratch file, relative to the job home in a task; `sort_buffer_size` for ``sort -S``. Returns an
    iterator over the sorted pairs. Raises ValueError for other keys, DataError when sorting fails.
    """
    from discolocal.wire import sortfile

    task = active.current()
    if task is not None and task.in_memory:
        return sortfile.sorted_pairs(input)
    path = task.file(filename) if task is not None else filename

    def tell(text: str) -> None:
        if worker is not None and task is not None:
            task.msg(text)

    tell(f"Downloading {filename}")
    encoder = sortfile.Encoder()
    with open(path, "wb", buffering=1 << 18) as file:
        encoder.encode_all(input, file.write)
        size = file.tell()
    if task is not None:
        _warn_sort(encoder, task)
    tell(f"Downloaded {format_size(size)} OK")
    tell(f"Sorting {filename}...")
    if task is not None and task.faults is not None:
        task.faults.at("sort")
    unix_sort(path, sort_buffer_size)
    tell("Finished sorting")
    return sortfile.decode(_chunks(path, size), path)


def _chunks(path: str, size: int) -> Iterator[bytes]:
    """The content of the sorted file. Raises DataError when its size is not the one from before sorting."""
    with open(path, "rb", buffering=0) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual != size:
            raise DataError(f"The sorted file has {actual} bytes instead of {size}", path)
        while data := file.read(_READ):
            yield data


def _warn_sort(encoder: Encoder, task: Any) -> None:
    """Report what the sort of a real worker refuses (reference 9.13, 9.14, 9.17)."""
    refusals = (
        (
            encoder.text_keys,
            "sort-text-keys",
            "sort=True takes bytes keys only, str keys make the job fail: encode them",
        ),
        (
            encoder.special_keys,
            "sort-special-bytes",
            "sort=True refuses keys with the bytes 0x00 and 0xFF: encode them",
        ),
        (
            encoder.long_records,
            "sort-long-records",
            "sort=True fails on records of more than 16384 bytes: keep them short",
        ),
        (
            encoder.high_values,
            "sort-high-bytes",
            "sort=True fails on values whose pickles hold the byte 0xFF, e.g. ÿ in text: encode them",
        ),
    )
    for seen, code, text in refusals:
        if seen:
            task.warn(code, f"on a cluster {text}")


def unix_sort(filename: str, sort_buffer_size: str = "10%") -> None:
    """Sort a file of records of the external sort in place (reference 8.6).

    Temporary files go into the file's directory. Raises DataError when `sort` fails, DiscoError when there
    is no `sort` or it refuses `sort_buffer_size`.
    """
    import subprocess

    directory = os.path.dirname(filename) or "."
    command: list[str | bytes] = ["sort", "-z", "-t", b"\xff", "-k", "1,1", "-T", directory]
    command += ["-S", str(sort_buffer_size), "-o", filename, filename]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except FileNotFoundError as error:
        raise DiscoError(f"sort=True needs the program `sort`, which is not in PATH: {error}") from error
    if done.returncode == 0:
        return
    why = done.stderr.decode("utf-8", "replace").strip()
    if " -S " in f" {why} " or "-S argument" in why or "buffer-size" in why:
        raise DiscoError(f"`sort` refuses sort_buffer_size={sort_buffer_size!r}: {why}")
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise DataError(f"Sorting {filename} failed: {why or how}", filename)


def dsorted(iterable: Iterable[T], buffer_size: int = 1_000_000, tempdir: str | None = None) -> Iterator[T]:
    """Sort any comparable records with little memory: sorted runs of `buffer_size` records on disk, merged.

    The runs are unnamed files in `tempdir` (default: the system's) and vanish with the iterator.
    """
    import pickle
    from heapq import merge
    from itertools import islice
    from tempfile import TemporaryFile

    def run(records: list[Any]) -> Iterator[Any]:
        file = TemporaryFile(dir=tempdir)
        for record in records:
            pickle.dump(record, file, 4)
        file.seek(0)

        def read() -> Iterator[Any]:
            with file:
                while True:
                    try:
                        yield pickle.load(file)
                    except EOFError:
                        return

        return read()

    source: Iterator[Any] = iter(iterable)
    runs: list[Iterator[Any]] = []
    while records := sorted(islice(source, buffer_size)):
        if len(records) < buffer_size and not runs:
            return iter(records)
        runs.append(run(records))
    return merge(*runs)
