"""JSON values in the notation in which an Erlang master quotes them in its messages."""

from __future__ import annotations

from typing import Any


def term(value: Any) -> str:
    """Return a JSON value the way an Erlang master prints it, on one line."""
    if value is True or value is False or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return binary_term(value)
    if isinstance(value, list):
        return "[" + ",".join(map(term, value)) + "]"
    if isinstance(value, dict):
        return "{struct," + pairs_term(value) + "}"
    return repr(value)


def binary_term(text: str) -> str:
    """Return a string: quoted if it is printable ASCII, else as a row of bytes."""
    raw = text.encode("utf-8", "surrogatepass")
    if all(32 <= byte < 127 for byte in raw):
        return '<<"' + text.replace("\\", "\\\\").replace('"', '\\"') + '">>' if text else "<<>>"
    return "<<" + ",".join(map(str, raw)) + ">>"


def pairs_term(value: dict[str, Any]) -> str:
    """Return the members of a JSON object as a list of pairs."""
    return "[" + ",".join(f"{{{binary_term(key)},{term(item)}}}" for key, item in value.items()) + "]"


def quoted(text: str) -> str:
    """Return a text in double quotes, with a backslash before each quote and backslash in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
