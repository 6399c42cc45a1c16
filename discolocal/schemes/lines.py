"""File objects whose lines are text and whose `read` gives bytes, as the readers of jobs expect."""

from __future__ import annotations

import codecs
import io
from operator import methodcaller
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

# Codecs whose encoded text holds newline bytes elsewhere, or that keep state from one line to the next.
_STATEFUL = ("utf-16", "utf-32", "utf-7", "utf-8-sig", "iso2022", "hz", "utf_16", "utf_32", "idna", "punycode")


def _by_line(encoding: str) -> bool:
    """Whether lines can be cut at newline bytes before they are decoded."""
    name = codecs.lookup(encoding).name
    return not name.startswith(_STATEFUL) and "\n".encode(encoding) == b"\n"


class LineFile:
    """A binary file object that is iterated as lines of text (newline kept, cut at ``\\n`` only).

    Parameters: `binary` a buffered binary file, `encoding` the codec of its text, or None for lines of bytes.
    Undecodable bytes become surrogates (``surrogateescape``), so that nothing is lost. `read(n)` and lines
    may be mixed for codecs that extend ASCII. Whatever else a file has is passed on to `binary`.
    """

    def __init__(self, binary: Any, encoding: str | None = "utf-8") -> None:
        self.binary = binary
        self.encoding = encoding
        self.read: Callable[..., bytes] = binary.read
        self._lines: Callable[[], Iterator[Any]]
        if encoding is None:
            self._lines = lambda: iter(binary)
        elif _by_line(encoding):
            decode = methodcaller("decode", encoding, "surrogateescape")
            self._lines = lambda: map(decode, binary)
        else:
            self._lines = self._wrapped
        self._text: io.TextIOWrapper | None = None

    def _wrapped(self) -> Iterator[Any]:
        if self._text is None:
            self._text = io.TextIOWrapper(self.binary, self.encoding, "surrogateescape", newline="\n")
        return self._text

    def __iter__(self) -> Iterator[Any]:
        return self._lines()

    def __next__(self) -> Any:
        return next(self._lines())

    def readline(self) -> Any:
        """The next line, as iteration gives it; empty at the end."""
        return next(self._lines(), b"" if self.encoding is None else "")

    def readlines(self) -> list[Any]:
        """All lines that are left."""
        return list(self._lines())

    def close(self) -> None:
        """Close the file below."""
        self.binary.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name == "binary":
            raise AttributeError(name)
        return getattr(self.binary, name)
