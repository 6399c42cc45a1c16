"""Tags of DDFS: what a version of a tag says, its bytes, and the rules by which it changes (reference 7.2, 7.3).

Values in, values out: who stores tags, and where, is no matter here. A request that a master would refuse raises
`TagError` with the master's status and words (reference 5.3).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from discolocal.error import DataError, DiscoError
from discolocal.wire import names
from discolocal.wire.protocol import compact_json

MAX_ATTRIBUTE = 1024
"""Bytes of the name of an attribute."""
MAX_VALUE = 4096
"""Bytes of the value of an attribute, as JSON."""
MAX_ATTRIBUTES = 1000
MAX_BODY = 512 << 20
"""Bytes of the urls of one request, as JSON."""
READ_TOKEN, WRITE_TOKEN, URLS = "ddfs:read-token", "ddfs:write-token", "ddfs:urls"
"""Attributes that are not user data but parts of the tag."""

_VERSION = 1
_OBJECT = re.compile(r"[a-z]+://[^/]+/ddfs/vol[0-9]+/(?:blob|tag)/[0-9a-f]{2}/([^/$]+)\$[0-9a-f-]+")

Urls = list[list[str]]
"""A list of replica lists: each has the urls of one blob or tag."""


class TagError(DiscoError):
    """A request about a tag that a master refuses: `code` is its HTTP status, `text` what it says (reference 5.3)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.text} ({self.code})"


def not_found() -> TagError:
    """The error about a tag that there is not."""
    return TagError(404, "Tag not found.")


@dataclass(frozen=True)
class Tag:
    """One version of a tag (reference 7.2); never changed, only replaced by the next one.

    Parameters: `name`; `micros`, the time of this version in microseconds since the epoch, and `modified`, the same for
    people, both given when it is stored; `urls`, replica lists, the newest first; `attributes`, the user data;
    `read_token` and `write_token`, None where everybody may.
    """

    name: str
    micros: int = 0
    modified: str = ""
    urls: Urls = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    read_token: str | None = None
    write_token: str | None = None

    @property
    def id(self) -> str:
        """The name with the time, which is the name of the stored object."""
        return str(names.Object(self.name, self.micros))

    def public(self) -> dict[str, Any]:
        """The tag as everybody sees it who may read it: without the tokens."""
        return {
            "version": _VERSION,
            "id": self.id,
            "last-modified": self.modified,
            "urls": self.urls,
            "user-data": self.attributes,
        }

    def check_read(self, token: str | None) -> None:
        """Raise TagError (401) unless `token`, None for none, allows to read the tag (reference 7.3)."""
        if self.read_token in (None, token) or (self.write_token is not None and token == self.write_token):
            return
        raise _unauthorized()

    def check_write(self, token: str | None) -> None:
        """Raise TagError (401) unless `token` allows to change the tag (reference 7.3)."""
        if self.write_token not in (None, token):
            raise _unauthorized()

    def attribute(self, name: str, token: str | None) -> Any:
        """The value of an attribute for somebody with this token: that of user data, `URLS`, or one of the tokens.

        Raises TagError: 401 without the right to see it, 404 for one that is not there, 403 for too long a name.
        """
        check_attribute(name)
        self.check_read(token)
        if name == URLS:
            return self.urls
        if name == READ_TOKEN:
            return self.read_token
        if name == WRITE_TOKEN:
            self.check_write(token)
            return self.write_token
        if name not in self.attributes:
            raise _no_attribute()
        return self.attributes[name]

    def posted(self, urls: Urls, update: bool) -> Tag | None:
        """The tag with more urls, None when they change nothing (POST, reference 7.2).

        New ones go in front of the others. With `update` a blob or tag whose name is there already is left out.
        """
        merged = _unseen(urls, self.urls) if update else [*urls, *self.urls]
        return None if len(merged) == len(self.urls) else replace(self, urls=merged)

    def with_attribute(self, name: str, value: Any) -> Tag:
        """The tag with an attribute set: a str, for `URLS` replica lists. Raises TagError for what a master refuses."""
        check_value(name, value)
        if name == URLS:
            return replace(self, urls=value)
        if name == READ_TOKEN:
            return replace(self, read_token=value)
        if name == WRITE_TOKEN:
            return replace(self, write_token=value)
        if len(self.attributes) >= MAX_ATTRIBUTES:
            raise TagError(403, "Too many attributes")
        return replace(self, attributes={**self.attributes, name: value})

    def without_attribute(self, name: str) -> Tag:
        """The tag without an attribute; one of its parts becomes empty. One that is not there is no error."""
        check_attribute(name)
        if name == URLS:
            return replace(self, urls=[])
        if name == READ_TOKEN:
            return replace(self, read_token=None)
        if name == WRITE_TOKEN:
            return replace(self, write_token=None)
        return replace(self, attributes={key: value for key, value in self.attributes.items() if key != name})

    def dumps(self) -> bytes:
        """The bytes of the stored tag, as a node writes them."""
        tokens = {"read-token": self.read_token, "write-token": self.write_token}
        public = self.public()
        head = {key: public.pop(key) for key in ("version", "id", "last-modified")}
        return compact_json({**head, **tokens, **public}).encode("ascii")


def loads(data: bytes, where: str) -> Tag:
    """Return the tag whose stored bytes these are. Raises DataError, naming `where`, when they are those of no tag."""
    try:
        found = json.loads(data)
        stored = names.parse_object(found["id"])
        tag = Tag(
            stored.name if stored else "",
            stored.micros if stored else 0,
            found["last-modified"],
            found["urls"],
            found.get("user-data", {}),
            found.get("read-token"),
            found.get("write-token"),
        )
        tokens = (tag.read_token, tag.write_token)
        whole = found["version"] == _VERSION and stored is not None and isinstance(tag.modified, str)
        whole = whole and all(token is None or isinstance(token, str) for token in tokens)
        whole = whole and _are_urls(tag.urls) and _are_attributes(tag.attributes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"This is no tag: {type(error).__name__}: {error}", where) from error
    if not whole:
        raise DataError(f"This is no tag: {data[:100]!r}", where)
    return tag


def check_name(name: str) -> None:
    """Raise TagError (403) for what cannot be the name of a tag (reference 7.1)."""
    if not names.is_name(name):
        raise TagError(403, "Invalid tag")


def check_urls(urls: object) -> Urls:
    """Return replica lists, given as lists or tuples of str, as lists. Raises TagError for anything else (7.2)."""
    found: Any = urls
    if isinstance(urls, (list, tuple)):
        found = [list(replicas) if isinstance(replicas, tuple) else replicas for replicas in urls]
    if not _are_urls(found):
        raise TagError(403, "Invalid url object")
    if sum(len(url) + 3 for replicas in found for url in replicas) > MAX_BODY:
        raise TagError(403, "Invalid request.")
    checked: Urls = found
    return checked


def check_attribute(name: str) -> None:
    """Raise TagError for what cannot be the name of an attribute: too long, or of `ddfs:` and unknown."""
    if not isinstance(name, str) or not name:
        raise TagError(403, "Invalid attribute key or value")
    if name.startswith("ddfs:") and name not in (READ_TOKEN, WRITE_TOKEN, URLS):
        raise _no_attribute()
    if len(name.encode("utf-8", "surrogatepass")) > MAX_ATTRIBUTE:
        raise TagError(403, "Attribute name too big.")


def check_value(name: str, value: object) -> None:
    """Raise TagError for an attribute's name or value that a master refuses (reference 7.2)."""
    check_attribute(name)
    if name == URLS:
        if not _are_urls(value):
            raise TagError(403, "Invalid attribute key or value")
    elif not isinstance(value, str):
        raise TagError(403, "Invalid attribute key or value")
    elif name not in (READ_TOKEN, WRITE_TOKEN) and len(json.dumps(value)) > MAX_VALUE:
        raise TagError(403, "Attribute value too big.")


def _unauthorized() -> TagError:
    return TagError(401, "Incorrect or missing token.")


def _no_attribute() -> TagError:
    return TagError(404, "Tag attribute not found.")


def _are_urls(urls: Any) -> bool:
    if not isinstance(urls, list) or not set(map(type, urls)) <= {list}:
        return False
    return set(map(type, chain.from_iterable(urls))) <= {str}  # a tag may have many


def _are_attributes(attributes: Any) -> bool:
    return isinstance(attributes, dict) and all(isinstance(value, str) for value in attributes.values())


def _unseen(urls: Urls, old: Urls) -> Urls:
    """Put in front of `old`, one after the other, the replica lists whose name is not there yet."""
    seen = set(map(_name, old))
    fresh: Urls = []
    for replicas in urls:
        name = _name(replicas)
        if name is None or name not in seen:
            fresh.append(replicas)
            seen.add(name)
    return [*reversed(fresh), *old]


def _name(replicas: list[str]) -> str | None:
    """The name of a blob or tag by its first url, None for what is not of DDFS."""
    if not replicas:
        return None
    if replicas[0].startswith("tag://"):
        return names.parse_tag(replicas[0]).name
    match = _OBJECT.fullmatch(replicas[0])
    return match[1] if match else None
