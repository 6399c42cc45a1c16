"""What external programs read and write, put together from the description (reference 8.12) alone; and running one."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Pairs = Sequence[tuple[bytes, bytes]]

SOME: Pairs = [
    (b"", b""),
    (b"key", b"value"),
    (b"", b"no key"),
    (b"no value", b""),
    (b"\0\0\0", b"\1\0\0\0"),
    (bytes(range(256)), bytes(range(255, -1, -1))),
    (b"k" * 4096, b"v" * 70000),
    (b"small again", b"x"),
]
"""Pairs of all kinds."""


def item(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def pairs(*entries: tuple[bytes, bytes]) -> bytes:
    return b"".join(item(key) + item(value) for key, value in entries)


def listed(*entries: tuple[bytes, bytes]) -> bytes:
    """The pairs as one list."""
    return struct.pack("<I", len(entries)) + pairs(*entries)


def lists(*entries: tuple[bytes, bytes]) -> bytes:
    """Each pair as a list of its own."""
    return b"".join(map(listed, entries))


def netstrings(params: Mapping[bytes, bytes]) -> bytes:
    entries = b"".join(b"%d %b %d %b\n" % (len(k), k, len(v), v) for k, v in params.items())
    return b"%d\n%b" % (len(entries), entries)


def parsed(data: bytes) -> list[list[tuple[bytes, bytes]]]:
    """The lists that a program wrote."""
    found = []
    at = 0

    def number() -> int:
        nonlocal at
        (value,) = struct.unpack_from("<I", data, at)
        at += 4
        return int(value)

    def text() -> bytes:
        nonlocal at
        size = number()
        at += size
        assert at <= len(data)
        return data[at - size : at]

    while at < len(data):
        found.append([(text(), text()) for _ in range(number())])
    return found


class Done(NamedTuple):
    """How a program ended: exit code, output, and the lines of its standard error."""

    code: int
    output: bytes
    lines: list[str]


def error(done: Done) -> str:
    """The reason that a program ended with, which is its last line."""
    assert done.code == 1
    assert done.lines and done.lines[-1].startswith("**<ERR> "), done.lines
    return done.lines[-1].removeprefix("**<ERR> ")


def run(program: Path, *arguments: str, data: bytes = b"", leaks: bool = False) -> Done:
    """Run a program with bytes as its input; what a sanitizer finds is an error."""
    done = subprocess.run(
        [str(program), *arguments],
        input=data,
        capture_output=True,
        timeout=60,
        env=os.environ | {"ASAN_OPTIONS": f"detect_leaks={leaks:d}"},
    )
    text = done.stderr.decode("utf-8", "backslashreplace")
    assert "Sanitizer" not in text and "runtime error" not in text, text
    assert text == "" or text.endswith("\n")
    return Done(done.returncode, done.stdout, text.splitlines())
