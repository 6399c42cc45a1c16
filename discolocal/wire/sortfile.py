"""The records that go through the external sort: ``key FF escaped(pickle(value, 0)) 00`` (reference 8.6).

`sort -z -t FF -k 1,1` orders them by the bytes of their keys. What a real worker refuses works here, without
changing the line of anything it accepts:

- 00, 01, FE and FF in a key become two bytes each, in an order that keeps the order of whole keys;
- a `str` key is stored as UTF-8, with a mark in front of its value; the marks are no first bytes of a pickle.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discolocal.error import DataError
from discolocal.wire import byvalue

MAX_RECORD = 16384  # bytes of key and value that a real worker reads back (reference 9, item 13)

_TEXT = b"\x03"  # str key, surrogateescape
_ODD_TEXT = b"\x04"  # str key with surrogates that surrogateescape does not know
_KEY_SPECIAL = b"\x00\x01\xfe\xff"
# The pickle (protocol 0) of bytes that need no escape; made and read without pickle, five times as fast.
_BYTES_HEAD, _BYTES_TAIL = b"c_codecs\nencode\np0\n(V", b"\np1\nVlatin1\np2\ntp3\nRp4\n."
_NEEDS_ESCAPE = b"\x00\x01\x02\n\r\x1a\\"
_PLAIN_TYPES = frozenset((int, float, bool, str, bytes, type(None)))  # values that may be shared between records
_BATCH = 512
_NOTHING: dict[int, bytes] = {}
_CACHED = 1 << 14
_CACHED_LENGTH = 64


def _escape_key(key: bytes) -> bytes:
    key = key.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
    return key.replace(b"\xfe", b"\xfe\x01").replace(b"\xff", b"\xfe\x02")


def _unescape_key(key: bytes) -> bytes:
    key = key.replace(b"\xfe\x02", b"\xff").replace(b"\xfe\x01", b"\xfe")
    return key.replace(b"\x01\x01", b"\x00").replace(b"\x01\x02", b"\x01")


def _escape_value(value: bytes) -> bytes:
    value = value.replace(b"\x01", b"\x01\x01").replace(b"\x02", b"\x02\x02")
    return value.replace(b"\x00", b"\x02\x01\x02")


def _has(data: bytes, special: bytes) -> bool:
    return len(data.translate(None, special)) != len(data)


def _escape_field(field: bytes) -> bytes:
    """Escape a value between its FF (and mark) and its 00; the marks are no special bytes."""
    return b"\xff%b\x00" % _escape_value(field[1:-1])


def _unescape_value(value: bytes) -> bytes:
    value = value.replace(b"\x02\x01\x02", b"\x00").replace(b"\x02\x02", b"\x02")
    return value.replace(b"\x01\x01", b"\x01")


class Encoder:
    """Turns records into lines, and notes what a real worker would have refused (reference 9, items 13, 14 and 17).

    `text_keys`: there were str keys. `special_keys`: keys with 00 or FF. `long_records`: records beyond 16384 bytes.
    `high_values`: values whose pickles hold FF. `by_value`: values pickled with classes that no module defines.
    """

    def __init__(self) -> None:
        self.text_keys = False
        self.special_keys = False
        self.long_records = False
        self.high_values = False
        self.by_value = False
        # Small ints are the values of most jobs: their fields by value, for bytes keys and for str keys.
        self._fields: dict[int, bytes] = {}
        self._text_fields: dict[int, bytes] = {}

    def encode(self, key: Any, value: Any) -> bytes:
        """Return the line of a record. Raises ValueError for a key that is neither bytes nor str."""
        parts: list[bytes] = []
        self.encode_all([(key, value)], parts.append)
        return parts[0]

    def encode_all(self, records: Iterable[tuple[Any, Any]], write: Callable[[bytes], Any]) -> int:
        """Pass the lines of many records to `write`, in blocks; returns how many records there were.

        Every record is pickled before the next is asked for, so an iterator may use its objects again.
        """
        fields, text_fields, no_fields = self._fields.get, self._text_fields.get, _NOTHING.get
        dumps, needs_escape = pickle.dumps, _NEEDS_ESCAPE
        parts: list[bytes] = []  # keys and what follows them, alternating
        append = parts.append
        text = False
        count = 0
        left = _BATCH
        for key, value in records:
            if type(key) is bytes:
                append(key)
                known, head = fields, b"\xff"
            elif type(key) is str and key.isascii():
                append(key.encode())
                text, known, head = True, text_fields, b"\xff\x03"
            else:
                raw, mark = self._raw_key(key)
                append(raw)
                known, head = no_fields, b"\xff" + mark
            if type(value) is int:
                append(known(value) or self._int_field(head, value))
            elif type(value) is bytes and value and len(value.translate(None, needs_escape)) == len(value):
                append(b"%b%b%b%b\x00" % (head, _BYTES_HEAD, value, _BYTES_TAIL))
            else:
                try:
                    append(b"%b%b\x00" % (head, dumps(value, 0)))
                except byvalue.UNNAMEABLE as error:
                    append(b"%b%b\x00" % (head, byvalue.dumps(value, error)))
                    self.by_value = self.by_value or byvalue.nameless(error)
            left -= 1
            if not left:
                write(self._lines(parts))
                parts.clear()
                count += _BATCH
                left = _BATCH
        if parts:
            write(self._lines(parts))
        self.text_keys = self.text_keys or text
        return count + _BATCH - left

    def _raw_key(self, key: Any) -> tuple[bytes, bytes]:
        """Return the bytes of a key and the mark for its value."""
        if isinstance(key, bytes):
            return bytes(key), b""
        if not isinstance(key, str):
            raise ValueError("Keys must be bytes for external sort", key)
        self.text_keys = True
        try:
            return key.encode("utf-8", "surrogateescape"), _TEXT
        except UnicodeEncodeError:
            return key.encode("utf-8", "surrogatepass"), _ODD_TEXT

    def _int_field(self, head: bytes, value: int) -> bytes:
        """Return what follows the key in a line, and remember it."""
        field = b"%b%b\x00" % (head, pickle.dumps(value, 0))
        cache = {b"\xff": self._fields, b"\xff\x03": self._text_fields}.get(head)
        if cache is not None and len(cache) < _CACHED and len(field) < _CACHED_LENGTH:
            cache[value] = field
        return field

    def _lines(self, parts: list[bytes]) -> bytes:
        """Return keys and fields as lines. What needs escapes is looked for here, in many records at once."""
        keys = b"".join(parts[::2])
        if _has(keys, _KEY_SPECIAL):
            self.special_keys = self.special_keys or b"\x00" in keys or b"\xff" in keys
            parts[::2] = map(_escape_key, parts[::2])
        fields = b"".join(parts[1::2])
        if _has(fields, b"\x01\x02") or fields.count(b"\x00") * 2 != len(parts):
            parts[1::2] = map(_escape_field, parts[1::2])
        if fields.count(b"\xff") * 2 != len(parts):
            self.high_values = True
        lines = b"".join(parts)
        if len(lines) > MAX_RECORD and not self.long_records:
            pairs = zip(map(len, parts[::2]), map(len, parts[1::2]))
            self.long_records = any(left + right > MAX_RECORD for left, right in pairs)
        return lines


def encode(key: Any, value: Any) -> bytes:
    """Return the line of one record; see `Encoder` for many."""
    return Encoder().encode(key, value)


def decode(chunks: Iterable[bytes], name: object = "sort file") -> Iterator[tuple[Any, Any]]:
    """Yield the (key, value) pairs of a file of lines that comes in chunks of any size.

    Equal values of plain types may come back as one object. Raises DataError, naming `name`, for a damaged file.
    """
    cache: dict[bytes, tuple[bytes, Any]] = {}
    known, room, loads = cache.get, _CACHED, pickle.loads
    head, tail, begin, tail_length = _BYTES_HEAD, _BYTES_TAIL, len(_BYTES_HEAD), len(_BYTES_TAIL)
    last_raw, last_mark, key = None, b"", None
    for block in _whole_lines(chunks, name):
        plain = not _has(block, b"\x01\x02\xfe")
        lines = block.split(b"\x00")
        lines.pop()
        for line in lines:
            raw, _, field = line.partition(b"\xff")
            if plain and field.startswith(head):  # bytes, most often of one line: no pickle machine needed
                end = len(field) - tail_length
                if field.find(b"\n", begin) == end and field.endswith(tail) and field.find(b"\\", begin) < 0:
                    yield raw, field[begin:end]
                    continue
            entry = known(field)
            if entry is None:
                try:
                    # str values are by far the most frequent that no cache knows
                    if plain and field[:1] == b"V":
                        entry = (b"", loads(field))
                    elif plain and field[:2] == b"\x03V":
                        entry = (_TEXT, loads(field[1:]))
                    else:
                        entry = _load(field, plain)
                except Exception as error:
                    raise _unreadable(error, name) from error
                if room and len(field) < _CACHED_LENGTH and type(entry[1]) in _PLAIN_TYPES:
                    cache[field] = entry
                    room -= 1
            mark, value = entry
            if raw != last_raw or mark != last_mark:
                last_raw, last_mark = raw, mark
                if not plain:
                    raw = _unescape_key(raw)
                key = raw if not mark else _text(raw, mark, name)
            yield key, value


def sorted_pairs(records: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Sort pairs in memory, into the order that `sort -z -t FF -k 1,1` gives. Raises ValueError for other keys."""
    blocks: list[bytes] = []
    Encoder().encode_all(records, blocks.append)
    lines = b"".join(blocks).split(b"\x00")
    lines.pop()
    lines.sort(key=lambda line: (line.partition(b"\xff")[0], line))
    return decode([b"\x00".join((*lines, b""))])


def _whole_lines(chunks: Iterable[bytes], name: object) -> Iterator[bytes]:
    """Yield the same bytes cut at ends of lines."""
    rest: list[bytes] = []  # a list, so that a line of many chunks is joined once
    for chunk in chunks:
        end = chunk.rfind(b"\x00") + 1
        if end:
            yield b"".join((*rest, chunk[:end]))
            rest.clear()
        if end < len(chunk):
            rest.append(chunk[end:])
    if rest:
        raise DataError("Could not parse the sorted file.", name, "the last record has no end")


def _load(field: bytes, plain: bool) -> tuple[bytes, Any]:
    """Return (mark, value) of what follows the key in a line; `plain` when there are no escapes in it."""
    mark = field[:1] if field[:1] in (_TEXT, _ODD_TEXT) else b""
    data = field[len(mark) :]
    if not plain:
        data = _unescape_value(data)
    return mark, pickle.loads(data)


def _unreadable(error: Exception, name: object) -> Exception:
    """Return what to raise when a value could not be loaded; a missing class is no damage."""
    if isinstance(error, (AttributeError, ImportError)):
        return type(error)(f"A value of the sorted file cannot be loaded here: {error}")
    return DataError(f"Could not parse the sorted file. {type(error).__name__}: {error}", name)


def _text(raw: bytes, mark: bytes, name: object) -> str:
    try:
        return raw.decode("utf-8", "surrogateescape" if mark == _TEXT else "surrogatepass")
    except UnicodeDecodeError as error:
        raise _unreadable(error, name) from error
