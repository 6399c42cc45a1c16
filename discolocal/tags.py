"""Tags as the user sees them: their urls and tokens, what they hold, tags inside tags (reference 7.1 to 7.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from discolocal.error import CommError, DataError, DiscoError
from discolocal.schemes import scheme_of
from discolocal.settings import LOCAL
from discolocal.util import iterify
from discolocal.wire import names
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from discolocal.tagservice import TagService

Urls = list[list[str]]
"""What a tag holds: lists of replicas."""
Names = list[str]
Node = tuple[Any, Sequence[str], Sequence[list[str]]]
"""(tag or the path to it, the tags in it, the blobs in it)."""


class InvalidTag(DiscoError):
    """It cannot be the name or the url of a tag (reference 7.1)."""


def canonizetag(tag: Any) -> str:
    """Return the ``tag://`` url of a tag, given as that or as its name; of several the first (reference 7.1).

    Raises InvalidTag.
    """
    url = names.canonize_tag(tag)
    if url is None or not names.parse_tag(url).name:
        raise InvalidTag(
            f"Invalid tag: {short_repr(tag)}: a tag is a name of letters, digits, _, -, @ and :, or tag:// and a name"
        )
    return url


def canonizetags(tags: Any) -> Names:
    """The ``tag://`` urls of one tag or of several."""
    return [canonizetag(tag) for tag in iterify(tags)]


def istag(tag: Any) -> str | None:
    """The ``tag://`` url of a tag, None when it is none."""
    try:
        return canonizetag(tag)
    except InvalidTag:
        return None


def tagname(tag: Any) -> str:
    """The name in the url of a tag."""
    return names.parse_tag(canonizetag(tag)).name


def relativizetag(tag: Any, parent: Any) -> str:
    """The url of a tag that is named inside another one: on the host of that one, unless it has its own."""
    found = names.parse_tag(canonizetag(tag))
    host = found.host or names.parse_tag(canonizetag(parent)).host
    token = "" if found.token is None else f"token:{found.token}@"
    return f"tag://{token}{host}/{found.name}" if host or token else f"tag://{found.name}"


class Tags:
    """The part of `DDFS` that knows tags; see there."""

    def __init__(self, master: Any = None, proxy: str | None = None, settings: Any = None) -> None:
        from discolocal.settings import from_settings
        from discolocal.tagservice import service_of

        self.settings = settings
        master, self.proxy = from_settings(settings, master, proxy)
        self.service = service_of(master, self.proxy)
        self._others: dict[str, TagService] = {}

    @property
    def master(self) -> str:
        """The url of the master, or ``local://`` and a directory."""
        return self.service.master

    def __repr__(self) -> str:
        return f"<DDFS master at {self.master}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.master, self.proxy, self.settings)  # functions of jobs may have one in their params

    def _at(self, tag: Any, token: str | None, writes: bool = False) -> tuple[TagService, str, str | None]:
        """Who keeps a tag, its name there and the token to use (reference 7.3)."""
        found = names.parse_tag(canonizetag(tag))
        if token is None:
            token = found.token
        if token is None:
            key = "DDFS_WRITE_TOKEN" if writes else "DDFS_READ_TOKEN"
            token = os.environ.get(key, None if self.settings is None else self.settings.get(key))
        return self._of_host(found.host), found.name, token

    def _of_host(self, host: str) -> TagService:
        if not host:
            return self.service
        if host not in self._others:
            from discolocal.settings import master_url
            from discolocal.tagservice import service_of

            url = master_url(f"disco://{host}")
            self._others[host] = self.service if url == self.master else service_of(url, self.proxy)
        return self._others[host]

    # Tags

    def list(self, prefix: str = "") -> Names:
        """The names of all tags that begin with `prefix`."""
        return self.service.names(prefix)

    def get(self, tag: Any, token: str | None = None) -> dict[str, Any]:
        """The object of a tag: ``version``, ``id``, ``last-modified``, ``urls`` and ``user-data`` (reference 7.2)."""
        service, name, token = self._at(tag, token)
        return service.tag(name, token)

    def urls(self, tag: Any, token: str | None = None) -> Urls:
        """The lists of replicas in a tag, the newest first; tags inside it are not followed."""
        urls: Urls = self.get(tag, token)["urls"]
        return urls

    def exists(self, tag: Any, token: str | None = None) -> bool:
        """Whether there is such a tag, also when the token is not the right one for it."""
        try:
            self.get(tag, token)
        except CommError as error:
            if error.code not in (401, 403, 404):
                raise
            return error.code == 401
        return True

    def tag(
        self, tag: Any, urls: Iterable[Any], token: str | None = None, delayed: bool = False, update: bool = False
    ) -> Names:
        """Put `urls`, lists of replicas, in front of those of a tag, which is made if there is none (reference 7.2).

        `update` leaves out blobs of a name that the tag has; `delayed` lets the master collect changes for a moment.
        Returns the urls of the tag itself.
        """
        service, name, token = self._at(tag, token, writes=True)
        return service.post(name, _lists(urls), token, update, delayed)

    def put(self, tag: Any, urls: Iterable[Any], token: str | None = None) -> Names:
        """Replace what a tag holds by `urls`, lists of replicas. Where others write, too, `tag` loses nothing."""
        service, name, token = self._at(tag, token, writes=True)
        return service.put(name, _lists(urls), token)

    def delete(self, tag: Any, token: str | None = None) -> None:
        """Delete a tag. One that is not there is no error. Its blobs are removed by garbage collection."""
        service, name, token = self._at(tag, token, writes=True)
        service.delete(name, token)

    # Attributes

    def attrs(self, tag: Any, token: str | None = None) -> dict[str, str]:
        """All attributes of a tag."""
        attributes: dict[str, str] = self.get(tag, token).get("user-data", {})
        return attributes

    def getattr(self, tag: Any, attr: str, token: str | None = None) -> Any:
        """The value of an attribute; ``ddfs:urls``, ``ddfs:read-token`` and ``ddfs:write-token`` are special."""
        service, name, token = self._at(tag, token)
        return service.attribute(name, attr, token)

    def setattr(self, tag: Any, attr: str, val: str, token: str | None = None) -> Names:
        """Set an attribute, or a token of the tag (reference 7.2). Returns the urls of the tag itself."""
        service, name, token = self._at(tag, token, writes=True)
        return service.set_attribute(name, attr, val, token)

    def delattr(self, tag: Any, attr: str, token: str | None = None) -> None:
        """Delete an attribute. One that is not there is no error."""
        service, name, token = self._at(tag, token, writes=True)
        service.delete_attribute(name, attr, token)

    # Tags inside tags

    def walk(
        self, tag: Any, ignore_missing: bool = True, tagpath: tuple[str, ...] = (), token: str | None = None
    ) -> Iterator[Node]:
        """Yield (path, tags, blobs) of a tag and of all below it; the path has the urls of the tags down to this one.

        A tag that is reached on several ways comes as often; one that holds itself is not entered again. With
        `ignore_missing` a tag that is not there is shown empty, as ((path), (), ()).
        """
        waiting = [(canonizetag(tag), tagpath)]
        while waiting:
            url, above = waiting.pop()
            path = (*above, url)
            tags, blobs = self._inside(url, ignore_missing, token) or ((), ())
            yield path, tags, blobs
            seen = {names.parse_tag(one)[:2] for one in path}
            below = [relativizetag(one, url) for one in tags]
            waiting += [(one, path) for one in reversed(below) if names.parse_tag(one)[:2] not in seen]

    def findtags(self, tags: Any = (), ignore_missing: bool = True, token: str | None = None) -> Iterator[Node]:
        """Yield (tag, tags, blobs) of these tags and of all below them, each once.

        With `ignore_missing` a tag that is not there is left out.
        """
        waiting = canonizetags(tags)
        seen = set()
        for url in waiting:
            key = names.parse_tag(url)[:2]
            if key in seen:
                continue
            seen.add(key)
            found = self._inside(url, ignore_missing, token)
            if found is not None:
                yield url, *found
                waiting += [relativizetag(one, url) for one in found[0]]

    find = findtags

    def blobs(self, tag: Any, ignore_missing: bool = True, token: str | None = None) -> Iterator[Names]:
        """Yield the lists of replicas in a tag and in all tags below it.

        They are there to be read, so a file of this machine that a tag of a master names is refused with a DataError:
        that is nothing which somebody else may name. `urls` and `walk` show what there is.
        """
        for path, _tags, blobs in self.walk(tag, ignore_missing, token=token):
            if not self._at(path[-1], None)[0].master.startswith(LOCAL):
                _check_remote(path[-1], blobs)
            yield from blobs

    def _inside(self, url: str, ignore_missing: bool, token: str | None) -> tuple[Names, Urls] | None:
        """The tags and blobs in a tag, None when it is not there and need not be."""
        try:
            urls = self.urls(url, token)
        except CommError as error:
            if ignore_missing and error.code == 404:
                return None
            raise
        tags = [one for one in map(istag, urls) if one is not None]
        return tags, [replicas for replicas in urls if istag(replicas) is None]


def _check_remote(tag: str, blobs: Iterable[Sequence[str]]) -> None:
    """Raise DataError when a tag of another machine holds the path of a file."""
    for url in (url for replicas in blobs for url in replicas):
        if scheme_of(url) in ("", "file"):
            raise DataError(f"Refused: it names a file, which nobody but its own machine may do, {url[:200]!r}", tag)


def _lists(urls: Any) -> Any:
    """Lists of replicas as JSON has them; what they hold is for the master to judge."""
    if not hasattr(urls, "__iter__") or isinstance(urls, (str, bytes)):
        return urls
    return [list(one) if hasattr(one, "__iter__") and not isinstance(one, (str, bytes)) else one for one in urls]
