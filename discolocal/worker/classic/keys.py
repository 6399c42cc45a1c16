"""A form of plain keys that is the same in every process, for the default partition function."""

from __future__ import annotations

from typing import Any


def text_bytes(text: str) -> bytes:
    """Return `text` as UTF-8; of a line decoded with surrogateescape these are the bytes of the file."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def stable_bytes(key: Any) -> bytes:
    """Return bytes that equal keys share and that do not depend on the process.

    `key` may be None, a number, str, bytes, or a tuple or frozenset of such. Numbers count by their value:
    ``1``, ``1.0`` and ``True`` are equal. Raises TypeError, naming the key, for anything else.
    """
    form = _form(key)
    if form is None:
        text = repr(key)
        raise TypeError(
            f"A key of type {type(key).__name__} has no partition, as nothing of it is the same in every process:"
            f" {text[:200]}; use str, bytes, a number or a tuple of such as key, or give a partition function"
        )
    return form


def _form(key: Any) -> bytes | None:
    if key is None:
        return b"N"
    if isinstance(key, str):
        return _sized(b"s", text_bytes(key))
    if isinstance(key, bytes):
        return _sized(b"b", key)
    if isinstance(key, (tuple, frozenset)):
        return _collection(key)
    return _number(key)


def _collection(key: tuple[Any, ...] | frozenset[Any]) -> bytes | None:
    forms = [_form(item) for item in key]
    if isinstance(key, tuple):
        known = [form for form in forms if form is not None]
        return None if len(known) < len(forms) else _sized(b"t", b"".join(known))
    known = sorted(form for form in forms if form is not None)
    return None if len(known) < len(forms) else _sized(b"f", b"".join(known))


def _number(key: Any) -> bytes | None:
    """A number as a fraction in lowest terms, which is the same whatever the type of the number."""
    if isinstance(key, complex):
        imaginary = _number(key.imag)
        real = _number(key.real)
        return real if key.imag == 0 else b"c" + (real or b"") + (imaginary or b"")
    ratio = getattr(key, "as_integer_ratio", None)
    try:
        if ratio is not None:
            numerator, denominator = ratio()
        else:
            numerator, denominator = key.__index__(), 1
    except (ValueError, OverflowError):  # infinities and what is not a number
        return f"i{float(key)!r}".encode()
    except (AttributeError, TypeError):
        return None
    return f"n{int(numerator)}/{int(denominator)};".encode()


def _sized(kind: bytes, data: bytes) -> bytes:
    return b"%s%d:%s" % (kind, len(data), data)
