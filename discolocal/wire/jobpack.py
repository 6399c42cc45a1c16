"""The job pack: the one file a job is submitted as (reference 1.1).

    header (128 bytes) | jobdict (JSON) | jobenvs (JSON) | jobhome (zip) | jobdata (opaque)

The header has five big-endian words: ``magic << 16 | version`` and the offsets of the four parts.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

from discolocal.error import DiscoError

MAGIC = 0xD5C0
HEADER_SIZE = 128
MAX_SIZE = 1 << 30  # bytes a master takes
_MAX_VERSION = 0xFFFF  # what follows the magic number in its word
HEADER = struct.Struct(">5I")


class JobPack:
    """The parts of a job pack.

    Parameters, all attributes: `version` 1 or 2 (a pack may have others, up to 65535, which no master takes), `jobdict`
    and `jobenvs` (dicts that JSON can hold), `jobhome` (bytes of a zip) and `jobdata` (bytes). A pack that was loaded
    is written byte for byte as it was, unless it was changed.
    """

    __slots__ = ("_header", "_texts", "jobdata", "jobdict", "jobenvs", "jobhome", "version")

    def __init__(
        self, version: int, jobdict: dict[str, Any], jobenvs: dict[str, str], jobhome: bytes, jobdata: bytes
    ) -> None:
        self.version = version
        self.jobdict = jobdict
        self.jobenvs = jobenvs
        self.jobhome = jobhome
        self.jobdata = jobdata
        self._header = b""  # as it was loaded
        self._texts: tuple[bytes, ...] = (b"", b"")  # of jobdict and jobenvs as they were loaded

    @property
    def offsets(self) -> tuple[int, int, int, int]:
        """Where jobdict, jobenvs, jobhome and jobdata begin in the pack, in bytes."""
        jobdict, jobenvs = self._json()
        first = HEADER_SIZE
        second = first + len(jobdict)
        third = second + len(jobenvs)
        return first, second, third, third + len(self.jobhome)

    @property
    def header(self) -> bytes:
        """The 128 bytes in front of the parts. Raises ValueError for a version that they cannot hold."""
        if type(self.version) is not int or not 0 <= self.version <= _MAX_VERSION:
            raise ValueError(f"The version of a job pack must be an int from 0 to {_MAX_VERSION}, not {self.version!r}")
        words = HEADER.pack(MAGIC << 16 | self.version, *self.offsets)
        return words + self._header[len(words) :].ljust(HEADER_SIZE - len(words), b"\0")

    def dumps(self) -> bytes:
        """Return the whole pack.

        Raises TypeError or ValueError when jobdict or jobenvs hold what JSON cannot, or the version is none.
        """
        return b"".join((self.header, *self._json(), self.jobhome, self.jobdata))

    def _json(self) -> tuple[bytes, bytes]:
        """Return jobdict and jobenvs as JSON: the text that was loaded while it still says the same."""
        values = (self.jobdict, self.jobenvs)
        texts = [
            text if text and _same(_parse(text), value) else json.dumps(value, allow_nan=False).encode("ascii")
            for text, value in zip(self._texts, values)
        ]
        return texts[0], texts[1]

    @classmethod
    def load(cls, file: IO[bytes]) -> JobPack:
        """Return the pack that a binary file holds; see `loads`."""
        return cls.loads(file.read())

    @classmethod
    def loads(cls, data: bytes) -> JobPack:
        """Return the pack in `data`.

        Raises DiscoError: ``Invalid jobpack magic.``, ``Invalid jobpack header.``, ``Invalid jobpack offsets.``,
        ``Invalid jobpack jobdict: <why>``, ``Invalid jobpack jobenvs: <why>``. The version is not looked at.
        """
        if len(data) < HEADER.size:
            raise DiscoError("Invalid jobpack header.")
        first, *offsets = HEADER.unpack_from(data)
        if first >> 16 != MAGIC:
            raise DiscoError("Invalid jobpack magic.")
        if offsets[0] != HEADER_SIZE:
            raise DiscoError("Invalid jobpack header.")
        if sorted(offsets) != offsets or offsets[-1] > len(data):
            raise DiscoError("Invalid jobpack offsets.")
        jobdict, jobenvs, jobhome, jobdata = (
            data[start:stop] for start, stop in zip(offsets, [*offsets[1:], len(data)])
        )
        pack = cls(first & 0xFFFF, _object(jobdict, "jobdict"), _object(jobenvs, "jobenvs"), jobhome, jobdata)
        pack._header = data[:HEADER_SIZE]
        pack._texts = (jobdict, jobenvs)
        return pack


def data_offset(header: bytes) -> int:
    """Return where the jobdata begins, from the header of a pack that was checked. Raises DiscoError for another."""
    if len(header) < HEADER.size or header[:2] != MAGIC.to_bytes(2, "big"):
        raise DiscoError("Invalid jobpack magic.")
    return int(HEADER.unpack_from(header)[4])


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same in JSON, where False is not 0 and 1 is not 1.0."""
    return json.dumps(one) == json.dumps(other)


def _parse(text: bytes) -> Any:
    return json.loads(text.decode("utf-8"))


def _object(text: bytes, part: str) -> dict[str, Any]:
    try:
        value = _parse(text)
    except (ValueError, RecursionError) as error:
        raise DiscoError(f"Invalid jobpack {part}: {error}") from None
    if not isinstance(value, dict):
        raise DiscoError(f"Invalid jobpack {part}: it is not a JSON object")
    return value
