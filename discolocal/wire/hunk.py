"""Disco's internal record format: a stream of checksummed, compressed hunks of pickles (reference 8.7).

    hunk = 0x81 | is_compressed (1 byte) | crc32 of the plain hunk | stored length (8 bytes) | body

All numbers are little-endian. The plain body is a row of pickles, one per record, in protocol 1. A stream ends with
an empty hunk; compressed streams may be joined end to end. Streams whose first byte is below 0x80 are netstrings.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from io import BufferedReader, BytesIO
from itertools import repeat, starmap
from typing import IO, Any

from discolocal.error import DataError
from discolocal.wire import byvalue, netstring

STORED = -1  # compression level: zlib's container without compression, read by everybody at memory speed
DEFAULT_LEVEL = 2
MIN_HUNK_SIZE = 1 << 20

_HEADER = struct.Struct("<BBIQ")
_FIRST = 0x81  # 128 + version 1
_PROTOCOL = 1
_LOOSE_PROTOCOL = 3  # seven times as fast for bytes; any Python 3 reads it
_CHECK_EVERY = 64  # records between two looks at the size of a loose hunk
_DIRECT = 1 << 16  # bytes of one string from which on pickle writes past its own buffer
_READ = 1 << 24
_STORED = b"\x78\x01\x01"  # the head of a zlib container that holds one block, not compressed
_ONE_BLOCK = 65_531  # bytes; zlib makes two blocks of more
_LOAD_BUFFER = 1 << 14


def encode_hunk(data: bytes, level: int = DEFAULT_LEVEL) -> bytes:
    """Return the hunk that holds `data`.

    `level`: 1 to 9 for zlib, 0 for no compression at all, STORED for a zlib container without compression.
    """
    crc = zlib.crc32(data)
    if level == 0:
        return _HEADER.pack(_FIRST, 0, crc, len(data)) + data
    if level != STORED:
        body = zlib.compress(data, level)
    elif len(data) <= _ONE_BLOCK:
        body = _stored(data)  # as zlib makes it, which clears 64 KiB of memory for that
    else:
        body = zlib.compress(data, 0)
    return _HEADER.pack(_FIRST, 1, crc, len(body)) + body


def _stored(data: bytes) -> bytes:
    """A zlib container that holds at most 65,535 bytes in one block, not compressed."""
    size = len(data)
    sizes = size.to_bytes(2, "little"), (0xFFFF - size).to_bytes(2, "little")
    return b"".join((_STORED, *sizes, data, zlib.adler32(data).to_bytes(4, "big")))


@cache
def end_hunk(level: int = DEFAULT_LEVEL) -> bytes:
    """Return the empty hunk that ends a stream."""
    return encode_hunk(b"", level)


def is_stream(head: bytes) -> bool:
    """Tell from its first two bytes whether a file may be a hunk stream; no text in UTF-8 begins like one."""
    return head[:2] in (b"\x81\x00", b"\x81\x01")


def joinable(head: bytes) -> bool:
    """Tell whether a real reader goes on behind a stream that begins with `head` (2 bytes or more).

    It stops at the end of an uncompressed stream; what was appended to one is lost on a real cluster.
    """
    return head[:1] < b"\x80" or head[1:2] != b"\0"


class HunkWriter:
    """Writes records as a stream.

    `write` takes bytes. `version` 1 is the hunk format, 0 the old netstrings. A hunk is written once it holds more
    than `min_hunk_size` bytes. With `loose` that is looked at every 64 records only, and pickles are of protocol 3:
    faster, and as good for files that no one compares with those of a cluster byte for byte. With `relaxing` the first
    hunk is exact and the others are written like that: small streams are those of a cluster, large ones are quick.
    `close` must be called; it does not close what `write` writes to.

    With `max_record_size` a record of a hunk that is pickled to more bytes is refused (ValueError) and left out; such a
    stream is never `loose`.

    `add(key, value)`, `append(record)` and `add_all(pairs)` are functions made for this writer: one call each.
    `by_value` becomes True when a record was pickled together with classes that no module defines.
    Raises ValueError for a bad parameter, PicklingError (naming the record) for what cannot be pickled.
    """

    add: Callable[[Any, Any], None]
    append: Callable[[Any], None]
    add_all: Callable[[Iterable[Any]], None]

    def __init__(
        self,
        write: Callable[[bytes], Any],
        version: int = 1,
        compression_level: int = DEFAULT_LEVEL,
        min_hunk_size: int = MIN_HUNK_SIZE,
        loose: bool = False,
        relaxing: bool = False,
        max_record_size: int | None = None,
    ) -> None:
        if version not in (0, 1):
            raise ValueError(f"version of a record stream must be 0 or 1, not {version!r}")
        if compression_level not in range(-1, 10):
            raise ValueError(f"compression_level must be 0 to 9, not {compression_level!r}")
        loose = loose and max_record_size is None
        self.by_value = False
        self._write = write
        self._level = compression_level
        self._limit = min_hunk_size
        self._version = version
        self._closed = False
        self._buffer = BytesIO()
        self._pickler = pickle.Pickler(self._buffer, _LOOSE_PROTOCOL if loose else _PROTOCOL)
        if version == 0:

            def add(key: Any, value: Any) -> None:
                write(netstring.encode(key, value))

            self.add = add
            self.append = lambda record: self.add(*record)
            self.add_all = self.extend
        elif max_record_size is not None:
            self._make_limited(max_record_size)
        elif loose:
            self._make_loose()
        else:
            self._make_exact(relaxing)
        self._made_add = self.add

    @property
    def adds_itself(self) -> bool:
        """Whether `add_all` does what `add` does: nobody has put an `add` of their own in its place."""
        return self.add is self._made_add

    def _make_exact(self, relaxing: bool) -> None:
        """Make `add` and `append` look at the size of the hunk after every record, as the real writer does."""
        dump, clear, tell = self._pickler.dump, self._pickler.clear_memo, self._buffer.tell
        recover, limit = self._recover, self._limit
        end = 0  # of the last complete record

        def flush() -> None:
            nonlocal dump, clear, end
            self._flush()
            end = 0
            if relaxing:
                self._level = STORED
                self._pickler = pickle.Pickler(self._buffer, _LOOSE_PROTOCOL)
                dump, clear = self._pickler.dump, self._pickler.clear_memo

        def append(record: Any) -> None:
            nonlocal end
            try:
                dump(record)
            except Exception as error:
                recover(record, error, end)
            clear()
            end = tell()
            if end > limit:
                flush()

        def add_all(pairs: Iterable[Any]) -> None:
            nonlocal end
            for pair in pairs:
                if pair.__class__ is not tuple or len(pair) != 2:
                    key, value = pair
                    pair = (key, value)
                try:
                    dump(pair)
                except Exception as error:
                    recover(pair, error, end)
                clear()
                end = tell()
                if end > limit:
                    flush()

        def add(key: Any, value: Any) -> None:
            append((key, value))

        self.add, self.append, self.add_all = add, append, add_all

    def _make_limited(self, largest: int) -> None:
        """Make `add` and `append` look at the size of the hunk and of the record after every record."""
        dump, clear, tell = self._pickler.dump, self._pickler.clear_memo, self._buffer.tell
        recover, flush, limit = self._recover, self._flush, self._limit
        end = 0  # of the last complete record

        def append(record: Any) -> None:
            nonlocal end
            try:
                dump(record)
            except Exception as error:
                recover(record, error, end)
            clear()
            size = tell() - end
            if size > largest:
                self._buffer.seek(end)
                self._buffer.truncate()
                raise ValueError(f"Record of size {size} is larger than max_record_size: {largest}")
            end += size
            if end > limit:
                flush()
                end = 0

        def add(key: Any, value: Any) -> None:
            append((key, value))

        self.add, self.append, self.add_all = add, append, self.extend

    def _make_loose(self) -> None:
        """Make `add` and `append` look at the size of the hunk now and then."""
        dump, clear, tell = self._pickler.dump, self._pickler.clear_memo, self._buffer.tell
        recover, flush, limit = self._recover, self._flush, self._limit
        end = 0  # of the last complete record, as of the last look
        left = _CHECK_EVERY

        def look() -> None:
            nonlocal end, left
            left = _CHECK_EVERY
            end = tell()
            if end > limit:
                flush()
                end = 0

        def append(record: Any) -> None:
            nonlocal left
            try:
                dump(record)
            except Exception as error:
                recover(record, error, end)
                left = 1
            clear()
            left -= 1
            if not left:
                look()

        def add(key: Any, value: Any) -> None:
            nonlocal left
            try:
                dump((key, value))
            except Exception as error:
                recover((key, value), error, end)
                left = 1
            clear()
            left -= 1
            if not left:
                look()

        def add_all(pairs: Iterable[Any]) -> None:
            nonlocal left
            for pair in pairs:
                if pair.__class__ is not tuple or len(pair) != 2:
                    key, value = pair
                    pair = (key, value)
                try:
                    dump(pair)
                except Exception as error:
                    recover(pair, error, end)
                    left = 1
                clear()
                left -= 1
                if not left:
                    look()

        self.add, self.append, self.add_all = add, append, add_all

    def extend(self, records: Iterable[Any]) -> None:
        """Append many records."""
        append = self.append
        for record in records:
            append(record)

    def _recover(self, record: Any, error: Exception, end: int) -> None:
        """Write a record that ordinary pickle refused; `end` is where a complete record ended in the buffer."""
        self._pickler.clear_memo()
        _rewind(self._buffer, end)
        if not isinstance(error, byvalue.UNNAMEABLE):
            if isinstance(error, (OSError, MemoryError)):
                raise error
            raise pickle.PicklingError(
                f"Cannot pickle the record {byvalue.show(record)}: {type(error).__name__}: {error}"
            ) from error
        self._buffer.write(byvalue.dumps(record, error))
        self.by_value = self.by_value or byvalue.nameless(error)

    def _flush(self) -> None:
        self._write(encode_hunk(self._buffer.getvalue(), self._level))
        self._buffer.seek(0)
        self._buffer.truncate()

    def close(self) -> None:
        """Write what is left and the end of the stream. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._version == 1:
            if self._buffer.tell():
                self._flush()
            self._write(end_hunk(self._level))
        # The functions refer to the writer and the writer to them: without this the buffers would stay for a while.
        self.add = self.append = self.add_all = self._made_add = _closed
        del self._pickler, self._buffer


def _closed(*record: Any) -> None:
    raise ValueError("The record stream is closed")


def _rewind(buffer: BytesIO, end: int) -> None:
    """Cut off what a failed dump left behind the last complete record; one ended at `end`, maybe some later."""
    if buffer.tell() - end < _DIRECT:
        return  # pickle passes on nothing of a failed record, but for its long strings
    import pickletools

    buffer.seek(end)
    try:
        while True:
            for _ in pickletools.genops(buffer):
                pass
            end = buffer.tell()
    except ValueError:
        buffer.seek(end)
        buffer.truncate()


def records(fd: IO[bytes], size: int | None, url: object, ignore_corrupt: bool = False) -> Iterator[Any]:
    """Yield the records of a stream, hunks or old netstrings.

    `size` is its length in bytes if known; a stream that is shorter or longer is an error. `url` is what errors name.
    With `ignore_corrupt` hunks that cannot be read are left out. Raises DataError: ``Truncated data at <n> bytes``,
    ``Corrupted data between bytes <a>-<b>: <why>``.
    """
    first = fd.read(1)
    if first and first < b"\x80":
        yield from netstring.decode(fd, size, url, first)
        return
    for start, stop, hunk in _hunks(fd, size, url, ignore_corrupt, first):
        loaded: deque[Any] = deque()
        error: Exception | None = None
        try:
            # Until the hunk is used up, in C: what was loaded before an error stays in the deque.
            loaded.extend(starmap(_loader(hunk), repeat(())))
        except EOFError:
            pass
        except Exception as found:
            error = found
        yield from loaded
        if isinstance(error, (AttributeError, ImportError)):
            raise type(error)(f"A record of {url} cannot be loaded here: {error}") from error
        if error is not None and not ignore_corrupt:
            raise _corrupted(start, stop, f"{type(error).__name__}: {error}", url) from error
        if error is None and hunk and hunk[-1] != 0x2E and not ignore_corrupt:  # a pickle ends with a full stop
            raise _corrupted(start, stop, "the last record has no end", url)


def _loader(hunk: bytes) -> Callable[[], Any]:
    """Return a function that gives the next record of a hunk, and raises EOFError at its end."""
    # An Unpickler asks a buffer for each record; from a BytesIO alone it would copy the rest every time.
    stream = BufferedReader(BytesIO(hunk), _LOAD_BUFFER)
    if b"\x80\x04" in hunk or b"\x80\x05" in hunk:
        # Perhaps pickles whose memo entries are counted; an Unpickler goes on counting from one to the next.
        return lambda: pickle.load(stream)
    return pickle.Unpickler(stream).load


def _hunks(
    fd: IO[bytes], size: int | None, url: object, ignore_corrupt: bool, first: bytes
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (start, stop, plain body) of each hunk; `first` is what was read of the stream already."""
    start = 0
    while True:
        header = first + _read(fd, _HEADER.size - len(first))
        first = b""
        if not header:
            break
        if len(header) < _HEADER.size:
            raise DataError(f"Truncated data at {start + len(header)} bytes", url)
        magic, compressed, crc, length = _HEADER.unpack(header)
        stop = start + _HEADER.size + length
        if magic != _FIRST or compressed > 1:
            raise _corrupted(start, start + _HEADER.size, "this is no header of a hunk", url)
        body = _read(fd, length)
        if len(body) < length:
            raise DataError(f"Truncated data at {start + _HEADER.size + len(body)} bytes", url)
        try:
            hunk = _plain(body, compressed, crc)
        except (ValueError, zlib.error) as error:
            if not ignore_corrupt:
                raise _corrupted(start, stop, error, url) from None
        else:
            yield start, stop, hunk
        start = stop
    if size is not None and start != size:
        raise DataError(f"Truncated data at {start} bytes", url, f"expected {size} bytes")


def _plain(body: bytes, compressed: int, crc: int) -> bytes:
    hunk = body
    if compressed and body.startswith(_STORED) and len(body) == 11 + int.from_bytes(body[3:5], "little"):
        hunk = body[7:-4]
        if body != _stored(hunk):
            raise ValueError("wrong checksum of a stored block")
    elif compressed:
        unzip = zlib.decompressobj()
        hunk = unzip.decompress(body)
        if not unzip.eof or unzip.unused_data:
            raise ValueError("incomplete or overlong compressed data")
    if zlib.crc32(hunk) != crc:
        raise ValueError("wrong checksum")
    return hunk


def _read(fd: IO[bytes], length: int) -> bytes:
    """Read `length` bytes, fewer at the end of the stream only; a damaged length must not ask for all memory."""
    data = fd.read(min(length, _READ))
    if len(data) == length or not data:
        return data
    parts = [data]
    left = length - len(data)
    while left and (data := fd.read(min(left, _READ))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _corrupted(start: int, stop: int, why: object, url: object) -> DataError:
    return DataError(f"Corrupted data between bytes {start}-{stop}: {why}", url)
