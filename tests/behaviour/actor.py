"""Programs for the tests of external programs: one in C that does what it is told, and a few in other languages.

What `actor` does is the parameter "do", letter by letter: p read a pair, e answer with it, E do both to the end of the
input, B the same without flushing, R read the rest, w<hex> write bytes, t<text>; write to standard error with ~ for a
newline, x<n> exit, k<n> die by a signal, c close standard output, s sleep for ever, g leave a child that does.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from discolocal import Job
from tests.conftest import REQUIRED

HERE = Path(__file__).parent


@functools.cache
def compiled(source: str) -> bytes:
    """The program made from a C file of this directory."""
    if shutil.which("cc") is None:
        (pytest.fail if REQUIRED else pytest.skip)("there is no C compiler (Debian: apt-get install gcc libc6-dev)")
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["cc", "-O1", "-Wall", "-o", f"{place}/op", str(HERE / source)], check=True)
        return Path(place, "op").read_bytes()


def actor() -> dict[str, bytes]:
    """The program that does what it is told, as a job takes it."""
    return {"op": compiled("actor.c")}


def acting(do: str, stage: str = "map", **more: Any) -> Job:
    """A job whose map, or reduce, is `actor` with these orders."""
    return Job(**{stage: actor(), "ext_params": {"do": do}, **more})


LIBRARY = """
import os, struct, sys

inp, out = sys.stdin.buffer, sys.stdout.buffer


def item():
    head = inp.read(4)
    return inp.read(struct.unpack("<I", head)[0]) if head else None


def pairs():
    while (key := item()) is not None:
        yield key, item()


def answer(*pairs):
    data = [struct.pack("<I", len(pairs))]
    for pair in pairs:
        for one in pair:
            data += struct.pack("<I", len(one)), one
    out.write(b"".join(data))
    out.flush()


def msg(text):
    sys.stderr.write("**<MSG> %s\\n" % text)
    sys.stderr.flush()


params = inp.read(int(inp.readline()))
"""
"""The beginning of a program in Python that knows nothing of this package."""


def script(source: str) -> dict[str, bytes]:
    """An external program in Python, with `LIBRARY` in front."""
    return {"op": f"#!{sys.executable} -IS\n{LIBRARY}\n{source}".encode()}
