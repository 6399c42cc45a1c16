"""The `discolocal` command."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from discolocal import __version__

F = TypeVar("F", bound=Callable[..., Any])


def _cluster_options(function: F) -> F:
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
            type=click.Choice(["fork", "inline"]),
            default="fork",
            show_default=True,
            help="How a worker starts.",
        ),
        click.option("--seed", type=int, help="Repeat the order of reduce inputs and the placement of an earlier run."),
        click.option(
            "--max-failures", type=click.IntRange(0), default=3, show_default=True, help="How often a task may fail."
        ),
        click.option("--strict", is_flag=True, help="Make portability warnings errors."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="discolocal")
def main() -> None:
    """Run Disco map/reduce jobs on this machine."""


@main.command()
@_cluster_options
def demo(**cluster: Any) -> None:
    """Count the words of the Python standard library's own sources."""
    from discolocal.demo import main as run_demo

    with _errors_shown():
        status = run_demo(**cluster)
    raise SystemExit(status)


@main.command()
@click.argument("job_class", metavar="MODULE.CLASS")
@click.argument("inputs", nargs=-1)
@click.option("-n", "--name", help="The job's name (default: the name of the class).")
@click.option("--partitions", type=int, help="Number of partitions.")
@click.option(
    "-P",
    "--param",
    "parameters",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="A job parameter. VALUE is a Python literal such as 3, True or ['a'], or else text.",
)
@_cluster_options
def run(
    job_class: str,
    inputs: tuple[str, ...],
    name: str | None,
    partitions: int | None,
    parameters: tuple[tuple[str, str], ...],
    **cluster: Any,
) -> None:
    """Run a job class on INPUTS and print the records of its results, one a line, as KEY TAB VALUE.

    Modules of the working directory are found. Without INPUTS the urls are read from standard input, if the class
    does not name them itself.
    """
    from discolocal import LocalCluster

    job = _job_class(job_class)
    arguments: dict[str, Any] = {key: _value(text) for key, text in parameters}
    if inputs:
        arguments["input"] = list(inputs)
    elif getattr(job, "input", None) is None:
        arguments["input"] = [line.strip() for line in sys.stdin if line.strip()]
    if name is not None:
        arguments["name"] = name
    if partitions is not None:
        arguments["partitions"] = partitions
    with _errors_shown(), LocalCluster(**cluster) as local:
        _print_records(local.run(job, **arguments))


@contextmanager
def _errors_shown() -> Iterator[None]:
    """Show what can go wrong with a job as an error of the command, with the traceback of the task that failed."""
    from discolocal.error import DiscoError, PortabilityWarning, RemoteTraceback

    try:
        yield
    except (DiscoError, PortabilityWarning, OSError, TypeError, ValueError) as error:
        cause = error.__cause__
        text = str(error) or type(error).__name__
        raise click.ClickException(f"{text}{cause}" if isinstance(cause, RemoteTraceback) else text) from error


def _value(text: str) -> Any:
    """The value of a Python literal; any other text as it is."""
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return text


def _print_records(records: Any) -> None:
    """Print records; a reader that stops early (`| head`) ends it quietly."""
    write = sys.stdout.write
    try:
        for record in records:
            is_pair = isinstance(record, tuple) and len(record) == 2
            write("\t".join(map(_text, record)) + "\n" if is_pair else _text(record) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _job_class(path: str) -> Any:
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
