"""The job that a command line asks for: its class, its inputs and its parameters (reference 8.15).

    grep.Grep -P params x a.txt      -> the class, {"params": "x", "input": ["a.txt"]}

Modules are looked for in the working directory first, and find discolocal under the name `disco`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Any

import click

_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_EVALUATED = {
    "map": "map",
    "reduce": "reduce",
    "save": "save_results",
    "profile": "profile",
    "partitions": "partitions",
}
"""Options that are Python values, and the job parameters they stand for."""
_NOT_TEXT = frozenset(("input", "save", "scheduler"))
_TEXT = frozenset(("params",))


class Asked:
    """What a command line says of a job.

    Parameters: `path` the dotted name of the job class, None if there is none; `inputs` the urls and files; `pack` the
    path of a job pack in their place, or None; `options` those of a job by their names, None or empty if not given.
    """

    def __init__(self, path: str | None, inputs: tuple[str, ...], pack: str | None, options: dict[str, Any]) -> None:
        self._path = path
        self._inputs = inputs
        self._pack = pack
        self._options = {name: value for name, value in options.items() if value not in (None, ())}

    def pack(self) -> str | None:
        """The path of the job pack, None if a job class is asked for.

        Raises UsageError for a pack and anything of a job class beside it, and for neither of them.
        """
        if self._pack is None and self._path is None:
            raise click.UsageError("Missing argument 'MODULE.CLASS' (or --pack FILE)")
        if self._pack is not None and (self._path is not None or self._inputs or self._options):
            raise click.UsageError("--pack takes no job class, no inputs and no parameters: the pack has them")
        return self._pack

    def job(self, stdin: bool = False) -> tuple[Any, dict[str, Any]]:
        """The job class and the arguments of its `run`.

        With `stdin` the inputs come from standard input, one a line, where neither the command line nor the class has
        any. Raises BadParameter for what cannot be imported, is no job class or no value.
        """
        from discolocal.job import Job

        path = str(self._path)
        if "." not in path:
            raise click.BadParameter(f"{path!r} is not of the form module.Class")
        found = _imported(path)
        if not (isinstance(found, type) and issubclass(found, Job)):
            raise click.BadParameter(f"{path} is not a Job class")
        arguments = self._arguments()
        if self._inputs:
            arguments["input"] = list(self._inputs)
        elif stdin and "input" not in arguments and getattr(found, "input", None) is None:
            arguments["input"] = [_input(line.strip()) for line in sys.stdin if line.strip()]
        return found, arguments

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        not_text = _parameters_that_are_no_text()
        arguments: dict[str, Any] = {}
        for name, text in options.get("parameters", ()):
            arguments[name] = evaluated(f"-P {name}", text) if name in not_text else text
        if "scheduler" in options:
            arguments["scheduler"] = {key: evaluated(f"-S {key}", text) for key, text in options["scheduler"]}
        for option, name in _EVALUATED.items():
            if option in options:
                arguments[name] = evaluated(f"--{option}", options[option])
        if "name" in options:
            arguments["name"] = options["name"]
        return arguments


def _parameters_that_are_no_text() -> frozenset[str]:
    """The parameters of the worker for which a text makes no sense: Disco's command cannot set them by ``-P``."""
    from discolocal.worker.classic.worker import Worker

    return _NOT_TEXT.union(name for name, value in Worker().items() if not isinstance(value, str)) - _TEXT


def evaluated(option: str, text: str) -> Any:
    """The value of an option that is no text: something in a module by its dotted name, else a Python expression.

    It is the user's own command line, as that of `python -c`. Raises BadParameter.
    """
    if _DOTTED.fullmatch(text):
        return _imported(text)
    try:
        return eval(text, {"__name__": "__main__"})
    except Exception as error:
        raise click.BadParameter(
            f"{option} takes a Python value, such as 4, True, None, a lambda or"
            f" disco.worker.classic.func.nop_reduce; {text!r} is none ({type(error).__name__}: {error})"
        ) from error


def _imported(path: str) -> Any:
    """What has a dotted name, found from the working directory first. Raises BadParameter."""
    from discolocal.compat import install_as_disco
    from discolocal.error import DiscoError
    from discolocal.worker.client import ignore_unknown_arguments

    here = os.getcwd()
    if sys.path[0] != here:
        sys.path.insert(0, here)
    module_name, _, name = path.rpartition(".")
    try:
        install_as_disco(force=True)
        ignore_unknown_arguments(False)  # they come from the command line, not from a program for Disco
        return getattr(importlib.import_module(module_name), name)
    except (AttributeError, DiscoError, ImportError, ValueError) as error:
        raise click.BadParameter(f"cannot find {path}: {error}") from error


def _input(line: str) -> str | list[str]:
    """One line of standard input: a url, or several between blanks, which are replicas of the same data."""
    urls = line.split()
    return line if len(urls) == 1 or os.path.exists(line) else urls
