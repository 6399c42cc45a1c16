"""The inputs of a job as its job dict has them: what stands for many is taken apart (reference 1.5).

Paths and patterns become absolute paths of files, ``dir://`` urls the files that the index lists, unless the job only
reduces, ``tag://`` urls the blobs that the tag and the tags in it hold. A list inside of the list has replicas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from discolocal.error import DataError, DiscoError
from discolocal.schemes import scheme_of, scheme_tag
from discolocal.schemes.scheme_file import local_file
from discolocal.wire import names
from discolocal.worker.client import is_iterable, is_path, refusal, thorough, warn
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from discolocal.wire.index import Line

NOT_A_LIST = "Job 'input' is not a list of input locations,or a list of such lists: "

Tags = Callable[[str], Any]
"""Returns the client of DDFS that looks up the tag it is called with; nobody calls it where there are no tags."""


def _default(tag: str) -> Any:
    return scheme_tag.client(None, tag)


def expand_inputs(value: Any, keep_dirs: bool = False, ddfs: Tags = _default) -> list[Any]:
    """The `input` parameter as the job dict has it: urls, and lists of urls that are replicas (reference 1.5).

    Paths become absolute, patterns such as ``*.txt`` the files that match; ``dir://`` urls become the files they
    list, unless `keep_dirs`; tags become the blobs they hold, as `ddfs` tells them. Raises DiscoError for anything that
    is no list, and for local files and tags that are missing.
    """
    inputs: list[Any] = []
    for item in listed(value):
        if not is_path(item) and not item:
            continue
        if is_iterable(item):
            inputs += _expand_list(list(listed(item)), keep_dirs, ddfs)
        else:
            inputs += _expand(item, keep_dirs, ddfs)
    return inputs


def listed(value: Any) -> Iterable[Any]:
    """A list of inputs, as it is. Raises DiscoError for what is none, and for results of a job, which are records."""
    if hasattr(value, "urls") and hasattr(value, "stages"):
        raise DiscoError(f"{NOT_A_LIST}{short_repr(value)} has the records of a job; give its urls, which are inputs")
    if not is_iterable(value):
        raise DiscoError(f"{NOT_A_LIST}{short_repr(value)}")
    return value  # type: ignore[no-any-return]


def _expand_list(items: list[Any], keep_dirs: bool, ddfs: Tags) -> list[Any]:
    """A list inside the list of inputs: the replicas of one input, of an index, or a tag with brackets around it."""
    if tag := next(filter(scheme_tag.is_tag, items), ""):
        if thorough():
            warn(
                "tag-in-list",
                f"{short_repr(items)}: Disco's client makes a list of lists of a tag inside another list, which is no"
                " input; take the brackets around it away",
            )
        return _blobs(scheme_tag.expand(items, ddfs(tag)), keep_dirs, ddfs)
    if indexes := _indexes(items):
        return _replicated_index(indexes, keep_dirs)
    return [_replicas(items, keep_dirs, ddfs)]


def _blobs(found: list[list[str]], keep_dirs: bool, ddfs: Tags) -> list[Any]:
    """The content of tags as inputs: whatever has a url can be tagged, results of jobs too."""
    inputs: list[Any] = []
    for replicas in filter(None, found):
        inputs += _expand_list(replicas, keep_dirs, ddfs)
    return inputs


def _indexes(items: Iterable[Any]) -> list[str]:
    """The ``dir://`` urls in a list of replicas, at any depth; none if there is anything else in it."""
    from discolocal.util import flatten

    urls = list(flatten(items))
    return urls if all(isinstance(url, str) and scheme_of(url) == "dir" for url in urls) else []


def _replicated_index(urls: list[str], keep_dirs: bool) -> list[Any]:
    """An index of which there are replicas, as inputs: each of its files with its replicas, or the list of indexes.

    Indexes that list something else than the first one are no replicas of it. They are left out, as a cluster does it,
    with a warning.
    """
    if keep_dirs and len(urls) == 1:
        return [urls]
    from discolocal.schemes.scheme_dir import check_size

    same = same_as_first(_readable(urls))
    if keep_dirs:
        return [[url for url, _lines in same]]
    for line in same[0][1]:
        check_size(line)  # a map gets the file's url alone: a later look would not know its size
    return [[line.url for line in replicas] for replicas in zip(*(more for _url, more in same))]


def same_as_first(found: list[tuple[str, list[Line]]]) -> list[tuple[str, list[Line]]]:
    """Those of some indexes, urls with their lines, that list what the first does; warns of the others."""
    first, lines = found[0]
    listed = [(line.label, line.size) for line in lines]
    same = [(url, more) for url, more in found if [(line.label, line.size) for line in more] == listed]
    if len(same) < len(found):
        warn(
            "index-replicas",
            f"a list in the list of inputs stands for replicas of the same data, but {len(found) - len(same)} of its"
            f" {len(found)} results differ from {first}: a cluster reads the first one alone, and so does this run; add"
            " lists of results with +, without brackets around them",
        )
    return same


def _readable(urls: list[str]) -> list[tuple[str, list[Line]]]:
    """Those of the indexes that can be read, with what they list. Raises DataError when there are none."""
    from discolocal.schemes.scheme_dir import read_index

    found: list[tuple[str, list[Line]]] = []
    for number, url in enumerate(urls, 1):
        try:
            found.append((url, read_index(url)))
        except DataError:
            if number == len(urls) and not found:
                raise
    return found


def _replicas(items: Iterable[Any], keep_dirs: bool, ddfs: Tags) -> list[Any]:
    """A list of replicas; a missing file among them is allowed as long as others are left."""
    replicas: list[Any] = []
    missing: DiscoError | None = None
    for item in items:
        if is_iterable(item):
            replicas += _replicas(listed(item), keep_dirs, ddfs)
            continue
        try:
            found = _expand(item, keep_dirs, ddfs)
        except MissingInput as error:
            missing = error
            replicas.append(error.path)
            continue
        if len(found) != 1 and scheme_of(str(item)) != "dir":
            raise DiscoError(f"The pattern {short_repr(item)} in a list of replicas stands for {len(found)} files")
        for one in found:
            replicas += one if isinstance(one, list) else [one]
    if missing is not None and all(
        isinstance(r, str) and scheme_of(r) == "" and not os.path.exists(r) for r in replicas
    ):
        raise missing
    return replicas


class MissingInput(DiscoError):
    """A local input file that is not there; `path` is its absolute path."""

    def __init__(self, path: str, given: str) -> None:
        super().__init__(f"Input file does not exist: {path}" + ("" if path == given else f" (given as {given!r})"))
        self.path = path


def _expand(item: Any, keep_dirs: bool, ddfs: Tags) -> list[Any]:
    """One entry of the inputs as a list of urls."""
    if is_path(item):
        item = os.fspath(item)
    if not isinstance(item, str):
        text = f"{NOT_A_LIST}an input may not be {short_repr(item)} of type {type(item).__name__}"
        raise refusal("bytes-input", text) if isinstance(item, (bytes, bytearray)) else DiscoError(text)
    scheme = scheme_of(item)
    if scheme in ("", "file"):
        try:
            return _local_files(local_file(item), item)
        except MissingInput:
            if not _names_a_tag(item, ddfs):
                raise
        return _expand(f"tag://{item}", keep_dirs, ddfs)
    if scheme == "tag":
        return _blobs(scheme_tag.blobs(item, ddfs(item)), keep_dirs, ddfs)
    if scheme == "dir" and not keep_dirs:
        from discolocal.schemes.scheme_dir import check_size, read_index

        lines = read_index(item)
        for line in lines:
            check_size(line)  # a map gets the file's url alone: a later look would not know its size
        return [[line.url] for line in lines]
    return [item]


def _names_a_tag(item: str, ddfs: Tags) -> bool:
    """Whether a path that leads nowhere is the name of a tag that is there. Warns, as it is a path for Disco."""
    if not names.is_name(item):
        return False
    try:
        found = bool(ddfs(item).exists(item))
    except DiscoError:  # no master to ask, or none that answers: then the file is what is missing
        return False
    if found:
        warn(
            "bare-tag",
            f"the input {item!r} is no file here and is taken for the tag of that name; on a cluster it is a path all"
            f" the same: write tag://{item}",
        )
    return found


def _local_files(path: str, given: str) -> list[Any]:
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(path):
        return [_checked(path, given)]
    if os.path.isdir(path):
        raise DiscoError(f"Input is a directory, not a file: {path} (use {path}/* for the files in it)")
    if os.path.exists(path):
        raise DiscoError(f"Input is not a regular file, which tasks could not read again: {path}")
    if any(c in path for c in "*?["):
        import glob

        found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
        if found:
            return [_checked(name, given) for name in found]
        raise DiscoError(f"No input file matches {path}" + ("" if path == given else f" (given as {given!r})"))
    raise MissingInput(path, given)


def _checked(path: str, given: str) -> str:
    if not os.access(path, os.R_OK):
        raise DiscoError(f"Input file cannot be read: {path} (given as {given!r})")
    return path
