"""What keeps tags and blobs, as the client of DDFS sees it, and the one that is a real master (reference 5.3, 7).

DDFS -> TagService <- MasterTags    asks a master over HTTP, sends blobs to its nodes
                   <- a store       on the disk of this machine; this layer knows what it can do, not what it is
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from discolocal import schemes
from discolocal.error import CommError, DiscoError
from discolocal.schemes import scheme_disco
from discolocal.schemes.lines import LineFile
from discolocal.settings import LOCAL
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from discolocal.core import Disco

_STORES = "discolocal.cluster.tags"
"""The module of the stores on this machine, by name: this layer knows that there may be one, not what it is."""

_Kind = TypeVar("_Kind", list[Any], dict[str, Any], str)


class TagService(Protocol):
    """A place where tags and blobs are kept.

    Names are those of tags, without ``tag://``; `token` is None for none. All methods raise CommError with the status
    and the words of a master (reference 5.3), for instance 404 ``Tag not found.``.
    """

    @property
    def master(self) -> str:
        """Who keeps them: the url of a master, or ``local://`` and a directory."""

    def names(self, prefix: str = "") -> list[str]:
        """The names of the tags that begin with `prefix`."""

    def tag(self, name: str, token: str | None = None) -> dict[str, Any]:
        """The tag object of reference 7.2, without tokens."""

    def attribute(self, name: str, attribute: str, token: str | None = None) -> Any:
        """The value of an attribute, or of one of the special ``ddfs:`` ones."""

    def post(
        self, name: str, urls: list[list[str]], token: str | None = None, update: bool = False, delayed: bool = False
    ) -> list[str]:
        """Put lists of replicas in front of those of a tag, which is made if there is none; the urls of the tag."""

    def put(self, name: str, urls: list[list[str]], token: str | None = None) -> list[str]:
        """Replace the lists of replicas of a tag; the urls of the tag."""

    def set_attribute(self, name: str, attribute: str, value: str, token: str | None = None) -> list[str]:
        """Set an attribute, also of a tag that is not there yet; the urls of the tag."""

    def delete(self, name: str, token: str | None = None) -> None:
        """Delete a tag. One that is not there is no error."""

    def delete_attribute(self, name: str, attribute: str, token: str | None = None) -> None:
        """Delete an attribute of a tag. One that is not there is no error."""

    def new_blob(
        self, name: str, replicas: int | None = None, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[str]:
        """Where to upload a new blob to, ``http://<host>[:port]/ddfs/<object>`` for each replica.

        `replicas` None is the default of who keeps them; `include` and `exclude` are hosts.
        """

    def upload(self, target: str, source: BinaryIO) -> str:
        """Store what is left in `source`, a file that can seek, at one target; the ``disco://`` url of the blob."""

    def open(self, url: str) -> BinaryIO:
        """Open a blob, or any other url that the schemes can read, as bytes. Raises DataError."""

    def discard(self, urls: Iterable[str]) -> None:
        """Forget replicas of blobs that were stored and will be in no tag. What fails is left to garbage collection."""


class Blob(LineFile):
    """A file of bytes with the url it was opened by (reference 7.4).

    It has what a binary file has; iterating over it gives lines, `len` its size in bytes.
    """

    def __init__(self, file: Any, url: str, size: int | None = None) -> None:
        super().__init__(file, None)
        self.url = url
        self.size = _size(file) if size is None else size

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError(f"The size of {self.url} is not known before it is read")
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty file is a file


def _size(file: Any) -> int | None:
    try:
        return os.fstat(file.fileno()).st_size
    except (AttributeError, OSError):
        return getattr(file, "size", None)


class MasterTags:
    """The tags and blobs of a real master, asked over HTTP (reference 5.3).

    Parameters: `disco` the client of that master. Besides the errors of a `TagService` there are CommErrors without a
    code, where nobody answers or with what no master says.
    """

    def __init__(self, disco: Disco) -> None:
        self._disco = disco

    @property
    def master(self) -> str:
        """The url of the master."""
        return self._disco.master

    def _ask(self, path: str, token: str | None, method: str = "GET", body: bytes | None = None) -> Any:
        headers = {} if token is None else {"Authorization": _basic(token)}
        answer = self._disco._ask(path, body, headers=headers, method=method)
        return self._disco._parsed(path, answer.body)

    def _a(self, kind: type[_Kind], path: str, found: object) -> _Kind:
        return self._disco._a(kind, path, found)

    def _change(self, path: str, token: str | None, method: str, value: object) -> list[str]:
        said = self._ask(path, token, method, json.dumps(value).encode("ascii"))
        return _texts(said) or self._refuse(path, said)

    def _refuse(self, path: str, said: object) -> Any:
        raise self._disco._strange(path, said)

    def names(self, prefix: str = "") -> list[str]:
        """See `TagService.names`; in the order in which the master tells them."""
        path = f"/ddfs/tags/{_quoted(prefix)}" if prefix else "/ddfs/tags"
        found = self._a(list, path, self._ask(path, None))
        return found if all(isinstance(name, str) for name in found) else self._refuse(path, found)

    def tag(self, name: str, token: str | None = None) -> dict[str, Any]:
        """See `TagService.tag`."""
        path = _path(name)
        found = self._a(dict, path, self._ask(path, token))
        urls, values = found.get("urls"), found.get("user-data", {})
        good = isinstance(urls, list) and all(isinstance(one, list) and _are_texts(one) for one in urls)
        return found if good and isinstance(values, dict) else self._refuse(path, found)

    def attribute(self, name: str, attribute: str, token: str | None = None) -> Any:
        """See `TagService.attribute`."""
        return self._ask(_path(name, attribute), token)

    def post(
        self, name: str, urls: list[list[str]], token: str | None = None, update: bool = False, delayed: bool = False
    ) -> list[str]:
        """See `TagService.post`."""
        query = f"?update={'1' if update else ''}&delayed={'1' if delayed else ''}" if update or delayed else ""
        return self._change(_path(name) + query, token, "POST", urls)

    def put(self, name: str, urls: list[list[str]], token: str | None = None) -> list[str]:
        """See `TagService.put`."""
        return self._change(_path(name), token, "PUT", urls)

    def set_attribute(self, name: str, attribute: str, value: str, token: str | None = None) -> list[str]:
        """See `TagService.set_attribute`."""
        return self._change(_path(name, attribute), token, "PUT", value)

    def delete(self, name: str, token: str | None = None) -> None:
        """See `TagService.delete`."""
        self._ask(_path(name), token, "DELETE")

    def delete_attribute(self, name: str, attribute: str, token: str | None = None) -> None:
        """See `TagService.delete_attribute`."""
        self._ask(_path(name, attribute), token, "DELETE")

    def new_blob(
        self, name: str, replicas: int | None = None, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[str]:
        """See `TagService.new_blob`."""
        from urllib.parse import urlencode

        given = (("replicas", replicas), ("include", ",".join(include)), ("exclude", ",".join(exclude)))
        query = urlencode([(key, value) for key, value in given if value or value == 0], safe=",")
        path = f"/ddfs/new_blob/{_quoted(name)}{'?' if query else ''}{query}"
        said = self._ask(path, None)
        return _texts(said) or self._refuse(path, said)

    def upload(self, target: str, source: BinaryIO) -> str:
        """See `TagService.upload`; the file is sent piece by piece."""
        from discolocal.schemes import transport

        answer = transport.fetch("PUT", scheme_disco.proxied(target, "PUT", self._disco.proxy), source)
        try:
            url = json.loads(answer.body)
        except ValueError:
            url = None
        if not isinstance(url, str) or not url.startswith("disco://"):
            raise CommError(f"Not what a node answers to a blob: {short_repr(answer.body)}", target)
        return url

    def open(self, url: str) -> Any:
        """See `TagService.open`: a `Blob`."""
        place = url
        if self._disco.proxy and url.startswith("disco://"):
            place = scheme_disco.proxied(f"http://{url[len('disco://') :]}", "GET", self._disco.proxy)
        file, size, _url = schemes.open_url(place, encoding=None)
        return Blob(file, url, size)

    def discard(self, urls: Iterable[str]) -> None:
        """See `TagService.discard`: a master deletes no blobs, its garbage collection does."""


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe=":@")


def _path(name: str, attribute: str | None = None) -> str:
    """The path of a question about a tag or an attribute of it."""
    return f"/ddfs/tag/{_quoted(name)}" + ("" if attribute is None else f"/{_quoted(attribute)}")


def _basic(token: str) -> str:
    """How a token is sent: as the password of the user `token` (reference 7.3)."""
    from base64 import b64encode

    return f"Basic {b64encode(f'token:{token}'.encode()).decode()}"


def _are_texts(found: Iterable[object]) -> bool:
    return all(isinstance(one, str) for one in found)


def _texts(found: object) -> list[str] | None:
    """What was found, if it is a list of texts and not an empty one."""
    return found if isinstance(found, list) and found and _are_texts(found) else None


def service_of(master: Any, proxy: str | None) -> TagService:
    """Who keeps the tags of what the parameter `master` of `DDFS` stands for."""
    from discolocal.core import Disco

    if master is None:
        master = os.environ.get("DISCO_MASTER") or None
    if isinstance(master, str) and master.startswith(LOCAL) and master != LOCAL:
        return _store(master[len(LOCAL) :])
    if master is None or isinstance(master, str):
        master = Disco(master, proxy=proxy)
    if isinstance(master, Disco):
        return MasterTags(master)
    found: TagService
    if hasattr(master, "new_blob"):
        found = master
    elif hasattr(master, "service"):
        found = master.service
    elif hasattr(master, "ddfs"):
        found = master.ddfs.service
    else:
        raise DiscoError(f"master={short_repr(master)}: DDFS needs the url of a master, a Disco or a LocalCluster")
    return found


def _store(root: str) -> TagService:
    try:
        stores = import_module(_STORES)
    except ModuleNotFoundError as error:
        raise DiscoError(
            f"master={LOCAL + root!r}: what is executed from a job home reads the blobs of a local cluster, but not its"
            f" tags ({error}): tag and push where the job is submitted, or start workers by fork or inline"
        ) from error
    found: TagService = stores.TagStore(root)
    data = os.path.join(os.path.abspath(root), "data")
    if data not in schemes.data_roots:
        schemes.data_roots.insert(0, data)  # its blobs are read by their urls, too, where there is no such cluster
    return found
