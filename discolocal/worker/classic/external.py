"""External programs as map and reduce functions: what a job gives and what of it is in the job home (reference 8.12).

    {"op": ..., "file": ...} --> ext.map/op, ext.map/file

How a task runs them is in `worker.classic.exchange`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.worker import client
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discolocal.fileutils import DiscoZipFile

__all__ = ["package"]

OP = "op"


def package(files: Iterable[str]) -> dict[str, bytes]:
    """Return an external program as the parameter `map` or `reduce` has it (reference 8.12).

    Parameters: `files` paths; the first file is the program, the others will be beside it under their own names.
    Raises DiscoError when there are none, or two of one name; OSError for a file that cannot be read.
    """
    result: dict[str, bytes] = {}
    for number, path in enumerate(files):
        name = os.path.basename(path) if number else OP
        if name in result:
            raise DiscoError(f"Two files of an external program would have the name {name!r}: {path} is the second one")
        with open(path, "rb") as file:
            result[name] = file.read()
    if not result:
        raise DiscoError("An external program needs at least one file")
    return result


def check(stage: str, program: dict[Any, Any]) -> None:
    """Check a program that is given as `map` or `reduce`, and warn of what a cluster does otherwise.

    Raises DiscoError naming the file that cannot be.
    """
    for name, content in program.items():
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise DiscoError(
                f"{stage}: the files of an external program are in one directory, so {short_repr(name)} cannot be the"
                " name of one"
            )
        if not isinstance(content, (str, bytes)):
            raise DiscoError(
                f"{stage}: the file {name!r} of an external program must be given by its content, bytes or str, not"
                f" {short_repr(content)}"
            )
    if not program.get(OP):
        raise DiscoError(
            f"{stage}: an external program is a dict whose {OP!r} is the content of the program, and that is"
            f" {'empty' if OP in program else 'missing'}; discolocal.util.external([path, ...]) makes one"
        )
    if program[OP][:2] in ("#!", b"#!"):
        client.warn(
            "external-program",
            f"the program of {stage} is a script: a cluster lets nobody but root read it, so that its interpreter"
            " cannot; make it a compiled program, which may start a script among its files",
        )
    others = sorted(set(program) - {OP})
    if others:
        client.warn(
            "external-files",
            f"the program of {stage} has the files {', '.join(others)} in its working directory: on a cluster they are"
            f" in {directory(stage)}/ below it; open them there, which works here too, or give them in required_files",
        )


def check_params(params: Any) -> None:
    """Check `ext_params`, and warn of what a cluster does otherwise. Raises DiscoError."""
    if isinstance(params, dict):
        for item in (*params, *params.values()):
            if not isinstance(item, (str, bytes)):
                raise DiscoError(f"ext_params must be a dict of texts, or a text; {short_repr(item)} is neither")
    elif isinstance(params, (str, bytes)):
        client.warn(
            "external-params",
            f"ext_params is the text {short_repr(params, 60)}, which the program gets as it is: on a cluster it gets 0"
            " and a newline instead; give a dict",
        )
    elif params is not None:
        raise DiscoError(f"ext_params must be a dict of texts, or a text, not {short_repr(params)}")


def add_files(home: DiscoZipFile, stage: str, program: dict[str, bytes]) -> None:
    """Put the files of the program of a stage into a job home."""
    for name, content in program.items():
        home.writestr(f"{directory(stage)}/{name}", content)


def directory(stage: str) -> str:
    """Where in a job home the files of the program of a stage are."""
    return f"ext.{stage}"
