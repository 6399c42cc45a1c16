"""What several commands have in common: their options, how a job is named, and how errors are shown."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(function: F) -> F:
    """The options that make a LocalCluster, for every command that runs a job."""
    options = (
        click.option("--nodes", type=click.IntRange(1), help="How many nodes (default: CPUs, at least 2)."),
        click.option(
            "--workers",
            "workers_per_node",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Tasks at once on a node.",
        ),
        click.option("--root", type=click.Path(file_okay=False), help="Keep all files in this directory."),
        click.option(
            "--start",
            type=click.Choice(["fork", "exec", "inline"]),
            default="fork",
            show_default=True,
            help="How a worker starts.",
        ),
        click.option("--seed", type=int, help="Repeat the order of reduce inputs and the placement of an earlier run."),
        click.option(
            "--max-failures", type=click.IntRange(0), default=3, show_default=True, help="How often a task may fail."
        ),
        click.option(
            "--timeouts",
            type=click.FloatRange(0, min_open=True),
            default=0.25,
            show_default=True,
            help="Factor on a master's time-outs for silent workers.",
        ),
        click.option(
            "--python",
            metavar="PROGRAM",
            help="What executed workers find as python3 and python (default: this Python, bare).",
        ),
    )
    return _all(function, options)


def strict_option(function: F) -> F:
    """The option of commands that run a job for its results."""
    return _all(function, (click.option("--strict", is_flag=True, help="Make portability warnings errors."),))


def job_options(function: F) -> F:
    """The options that are parameters of a job."""
    options = (
        click.option("-n", "--name", help="The job's name (default: the name of the class)."),
        click.option("--partitions", type=int, help="Number of partitions."),
        click.option(
            "-P",
            "--param",
            "parameters",
            type=(str, str),
            multiple=True,
            metavar="NAME VALUE",
            help="A job parameter. VALUE is a Python literal such as 3, True or ['a'], or else text.",
        ),
    )
    return _all(function, options)


def _all(function: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def job_arguments(
    name: str | None, partitions: int | None, parameters: tuple[tuple[str, str], ...], inputs: tuple[str, ...]
) -> dict[str, Any]:
    """The arguments of `run` that the options of `job_options` stand for."""
    arguments: dict[str, Any] = {key: _value(text) for key, text in parameters}
    if inputs:
        arguments["input"] = list(inputs)
    if name is not None:
        arguments["name"] = name
    if partitions is not None:
        arguments["partitions"] = partitions
    return arguments


def with_urls_of_stdin(job: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the lines of standard input as inputs, if neither they nor the class have any."""
    if "input" in arguments or getattr(job, "input", None) is not None:
        return arguments
    return {**arguments, "input": [line.strip() for line in sys.stdin if line.strip()]}


def _value(text: str) -> Any:
    """The value of a Python literal; any other text as it is."""
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return text


def pack_alone(path: str | None, arguments: dict[str, Any]) -> None:
    """Refuse, beside a pack, what would belong to a job class. Raises UsageError."""
    if path is not None or arguments:
        raise click.UsageError("--pack takes no job class, no inputs and no parameters: the pack has them")


def job_class(path: str) -> Any:
    """Import `module.Class`, looking in the working directory first."""
    from discolocal.job import Job

    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        raise click.BadParameter(f"{path!r} is not of the form module.Class")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise click.BadParameter(f"cannot find {path}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Job)):
        raise click.BadParameter(f"{path} is not a Job class")
    return found


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what can go wrong with a job as an error of the command, with the traceback of the task that failed."""
    from discolocal.error import DiscoError, PortabilityWarning, RemoteTraceback

    try:
        yield
    except (DiscoError, PortabilityWarning, OSError, TypeError, ValueError) as error:
        cause = error.__cause__
        text = str(error) or type(error).__name__
        raise click.ClickException(f"{text}{cause}" if isinstance(cause, RemoteTraceback) else text) from error
