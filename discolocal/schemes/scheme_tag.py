"""``tag://`` urls: data in DDFS that stands under a name (reference 7).

    tag://name --the client of a master--> blobs, each a list of the urls of its replicas --> inputs of a job

Tags are looked up where a job is packed and where results are read. A task gets the blobs, never the tag: there is no
module for this scheme on the nodes of a cluster either.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from discolocal import schemes
from discolocal.error import CommError, DiscoError
from discolocal.wire import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from discolocal.schemes import Source
    from discolocal.task import Task

_DDFS = "discolocal.ddfs"
"""The module of the client of DDFS, by name: this layer knows that there may be one, not what it is."""


def client(ddfs: Any = None, tag: str = "") -> Any:
    """Return the client that looks tags up.

    Parameters: `ddfs` a `DDFS`, what its parameter `master` takes, or None for DISCO_MASTER of the environment; where
    that is not set, for the one of the clusters of this process that has the tag `tag`, the latest first.
    Raises DiscoError on a node, which has no client, and when there is no master to ask.
    """
    if hasattr(ddfs, "blobs"):
        return ddfs
    try:
        new = import_module(_DDFS).DDFS
    except ModuleNotFoundError as error:
        raise DiscoError(f"There is no client of DDFS here ({error}): a node reads blobs, not tags") from error
    master = os.environ.get("DISCO_MASTER") if ddfs is None else ddfs
    if master:
        return new(master)
    roots = filter(os.path.isdir, map(os.path.dirname, reversed(schemes.data_roots)))
    local = [new(f"local://{root}") for root in roots]
    if not local:
        raise DiscoError(
            f"Cannot look up {tag or 'tags'}: no master is known; give ddfs=, a cluster or the url of a master, or set"
            " DISCO_MASTER in the environment"
        )
    return next((one for one in local if tag and one.exists(tag)), local[0])


def blobs(tag: str, ddfs: Any) -> list[list[str]]:
    """The blobs of a tag and of the tags in it, each as the list of the urls of its replicas (reference 7.4).

    Parameters: `tag` with ``tag://`` and, where it is needed, its token; `ddfs` the client that looks it up.
    Raises DiscoError that names a tag which is missing, and those of similar names; CommError when it may not be read.
    """
    _find_blobs_of(ddfs.master)
    try:
        return [list(replicas) for replicas in ddfs.blobs(tag, ignore_missing=False)]
    except CommError as error:
        if error.code != 404:
            raise
        raise missing(tag, ddfs, error) from error


def _find_blobs_of(master: str) -> None:
    """Have the blobs of a store on this machine found, also when no cluster of this process has it."""
    root = os.path.join(master.removeprefix("local://"), "data")
    if master.startswith("local://") and root not in schemes.data_roots:
        schemes.data_roots.append(root)


def missing(tag: str, ddfs: Any, error: CommError) -> DiscoError:
    """The error for a tag that is not there, or one in it, as `error` says."""
    from difflib import get_close_matches

    outer = names.parse_tag(tag).name
    wanted = str(error.url).partition("?")[0].rpartition("/")[2] or outer
    inner = f", which is in {tag}" if wanted != outer else ""
    near = get_close_matches(wanted, ddfs.list(), 3)
    hint = f"; tags of similar names are {', '.join(near)}" if near else "; `discolocal ddfs ls` lists those there are"
    return DiscoError(f"There is no tag {wanted}{inner} ({error.msg}){hint}")


def is_tag(url: object) -> bool:
    """Whether a url is that of a tag."""
    return isinstance(url, str) and schemes.scheme_of(url) == "tag"


def expand(urls: Iterable[str], ddfs: Any) -> list[list[str]]:
    """A list of replicas with tags in it, as inputs: lists of replicas without tags.

    A tag alone stands for all of its blobs. One beside other replicas has to be one blob, or it is no replica of them:
    DiscoError. Other errors as `blobs`.
    """
    urls = list(urls)
    if len(urls) == 1 and is_tag(urls[0]):
        return blobs(urls[0], ddfs)
    replicas: list[str] = []
    for url in urls:
        found = blobs(url, ddfs) if is_tag(url) else [[url]]
        if len(found) != 1:
            raise DiscoError(
                f"The tag {url} in a list of replicas holds {len(found)} blobs: urls in a list inside the list of"
                " inputs stand for the same data; take the brackets around it away"
            )
        replicas += found[0]
    return [replicas]


class Blobs:
    """The lines of all blobs of a tag, one after the other; of a blob whose first replica is gone, from the next."""

    def __init__(self, found: list[list[str]], encoding: str | None) -> None:
        self._blobs = found
        self._encoding = encoding

    def __iter__(self) -> Iterator[Any]:
        from discolocal.worker.inputs import Input

        yield from Input(self._blobs, open=lambda url: schemes.open_url(url, encoding=self._encoding)[0])

    def close(self) -> None:
        """Nothing stays open between two blobs."""


def open_source(url: str, task: Task | None, encoding: str | None) -> Source:
    """Open all blobs of a tag, as `schemes.open_url`. Raises DiscoError in a task."""
    if task is not None:
        raise DiscoError(
            f"Cannot read {url} in a task: tags are replaced by their blobs when a job is packed; give it as an input"
        )
    return Blobs(blobs(url, client(tag=url)), encoding), None, url


def input_stream(stream: Any, size: int | None, url: str, params: object) -> Source:
    """Disco's name for the same thing, in a chain of streams (reference 8.8)."""
    return schemes.open_url(url, params=params)
