"""`disco.compat` of Disco 0.5: what its examples import to run under Python 2 and 3, as it is under Python 3.

`discolocal.compat` hands these names on; functions of jobs refer to them here, where every node has them.
"""

from __future__ import annotations

import pickle
from importlib import import_module
from io import BytesIO, StringIO
from io import FileIO as file
from itertools import zip_longest
from typing import Any

__all__ = [
    "BytesIO", "StringIO", "UnpicklingError", "basestring", "bytes_of_int", "bytes_to_str", "file", "force_ascii",
    "force_utf8", "int_of_byte", "integer_types", "pickle_dump", "pickle_dumps", "pickle_load", "pickle_loads",
    "str_to_bytes", "zip_longest",
]  # fmt: skip

basestring = str
integer_types = int
UnpicklingError = pickle.UnpicklingError
pickle_dump = pickle.dump
pickle_dumps = pickle.dumps
pickle_load = pickle.load
pickle_loads = pickle.loads

# Imported when they are asked for: network code takes its time.
_ELSEWHERE = {
    "http_server": ("http.server", None),
    "httplib": ("http.client", None),
    "socket_server": ("socketserver", None),
    "urlencode": ("urllib.parse", "urlencode"),
}
NAMES = frozenset((*__all__, *_ELSEWHERE))
"""All that Disco's module has but for the command line of its sort."""


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _ELSEWHERE[name]
    return import_module(module) if own is None else getattr(import_module(module), own)


def str_to_bytes(text: str | bytes) -> bytes:
    """`text` in UTF-8; bytes as they are."""
    return text if isinstance(text, bytes) else text.encode("utf-8")


def bytes_to_str(data: str | bytes) -> str:
    """The text of UTF-8 `data`; a str as it is. Raises UnicodeDecodeError for other bytes."""
    return data if isinstance(data, str) else data.decode("utf-8")


def bytes_of_int(number: int) -> bytes:
    """The byte of this number. Raises ValueError for one that no byte has."""
    return bytes([number])


def int_of_byte(item: int) -> int:
    """An item of bytes as a number, which it is already."""
    return item


def force_utf8(text: Any) -> Any:
    """`text` as it is: only Python 2 had anything to change."""
    return text


def force_ascii(text: Any) -> Any:
    """`text` as it is, as `force_utf8`."""
    return text
