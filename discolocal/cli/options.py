"""What several commands have in common: their options, and how errors are shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from discolocal.cli.asked import Asked

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


_JOB_OPTIONS = (
    click.option("-n", "--name", help="The job's name (default: the name of the class)."),
    click.option("-m", "--map", metavar="VALUE", help="The map function, such as module.function or a lambda."),
    click.option("-r", "--reduce", metavar="VALUE", help="The reduce function."),
    click.option("--partitions", metavar="VALUE", help="Number of partitions, or None."),
    click.option("--save", metavar="VALUE", help="True to save the results in DDFS."),
    click.option("--profile", metavar="VALUE", help="True to profile the tasks."),
    click.option(
        "-S",
        "--scheduler",
        type=(str, str),
        multiple=True,
        metavar="NAME VALUE",
        help="A parameter of the scheduler, such as max_cores 4.",
    ),
    click.option(
        "-P",
        "--param",
        "parameters",
        type=(str, str),
        multiple=True,
        metavar="NAME VALUE",
        help="A job parameter, as text; those of Disco's own that are no text, as a Python value.",
    ),
)
_NAMES = ("name", "map", "reduce", "partitions", "save", "profile", "scheduler", "parameters")


def takes_job(pack: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The job that a command is about, class, inputs and parameters, as its argument `asked`, an `Asked`.

    Parameters: `pack` the help of an option --pack, by which a job pack can take their place.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(path: str | None, inputs: tuple[str, ...], pack: str | None = None, **others: Any) -> Any:
            options = {name: others.pop(name) for name in _NAMES}
            return function(asked=Asked(path, inputs, pack, options), **others)

        alone = (click.option("--pack", type=click.Path(exists=True, dir_okay=False), help=pack),) if pack else ()
        path = click.argument("path", metavar="[MODULE.CLASS]" if pack else "MODULE.CLASS", required=not pack)
        inputs = click.argument("inputs", nargs=-1, metavar="[INPUT]...")
        return _all(command, (path, inputs, *alone, *_JOB_OPTIONS))

    return decorate


def _all(function: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


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
