"""Records cut into blobs: what `DDFS.chunk` stores (reference 7.4, 8.7).

    records -> hunks -> a temporary file -> the next one when the hunks written are larger than a chunk

One chunk is held at a time, in memory while it is small.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.wire.hunk import HunkWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_SIZE = 64 << 20
"""Bytes of a chunk, as it is stored, after which the next one begins."""
MAX_RECORD_SIZE = 1 << 20
"""Bytes of a pickled record that a chunk takes."""
IN_MEMORY = 4 << 20
"""Bytes of a chunk that are kept in memory; a larger one goes to a temporary file."""


def chunks(
    records: Iterable[Any], chunk_size: int = CHUNK_SIZE, max_record_size: int = MAX_RECORD_SIZE
) -> Iterator[IO[bytes]]:
    """Yield files of hunks with all the records, in their order; each is closed when the next one is asked for.

    Parameters: `chunk_size` is looked at before each record, and compared with the hunks that are written by then,
    one for each MiB of records; so a chunk may be larger. Without records there is no chunk.
    Raises ValueError for a record that is pickled to more than `max_record_size` bytes.
    """
    check_sizes(chunk_size, max_record_size)
    left = iter(records)
    for first in left:
        with SpooledTemporaryFile(IN_MEMORY, prefix="discolocal-chunk-") as file:
            _fill(file, first, left, chunk_size, max_record_size)
            file.seek(0)
            yield file


def _fill(file: IO[bytes], first: Any, left: Iterator[Any], chunk_size: int, max_record_size: int) -> None:
    written = 0

    def write(data: bytes) -> None:
        nonlocal written
        written += len(data)
        file.write(data)

    writer = HunkWriter(write, max_record_size=max_record_size)
    append = writer.append
    append(first)
    if written <= chunk_size:
        for record in left:
            append(record)
            if written > chunk_size:
                break
    writer.close()


def check_sizes(chunk_size: int, max_record_size: int) -> None:
    """Raises DiscoError for sizes that are none."""
    for name, size in (("chunk_size", chunk_size), ("max_record_size", max_record_size)):
        if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
            raise DiscoError(f"{name}={size!r}: must be a number of bytes, greater than 0")
