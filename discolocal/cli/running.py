"""The commands that run jobs for their results: `run` and `demo`."""

from __future__ import annotations

from typing import Any

import click

from discolocal.cli.options import (
    cluster_options,
    errors_shown,
    job_arguments,
    job_class,
    job_options,
    pack_alone,
    strict_option,
    with_urls_of_stdin,
)


@click.command()
@cluster_options
@strict_option
def demo(**cluster: Any) -> None:
    """Count the words of the Python standard library's own sources."""
    from discolocal.cli.printing import until_the_reader_stops
    from discolocal.demo import main as run_demo

    with errors_shown(), until_the_reader_stops():
        run_demo(**cluster)


@click.command()
@click.argument("path", metavar="[MODULE.CLASS]", required=False)
@click.argument("inputs", nargs=-1)
@click.option(
    "--pack",
    type=click.Path(exists=True, dir_okay=False),
    help="Run this job pack instead. A job pack is a program: run only what you trust.",
)
@job_options
@cluster_options
@strict_option
def run(
    path: str | None,
    inputs: tuple[str, ...],
    pack: str | None,
    name: str | None,
    partitions: int | None,
    parameters: tuple[tuple[str, str], ...],
    **cluster: Any,
) -> None:
    """Run a job class on INPUTS and print the records of its results, one a line, as KEY TAB VALUE.

    Modules of the working directory are found. Without INPUTS the urls are read from standard input, if the class
    does not name them itself.

    With --pack FILE a job pack runs as it is. Results that are no records of Disco are printed line by line.
    """
    from discolocal import LocalCluster
    from discolocal.cli.printing import print_records, records_or_lines
    from discolocal.core import result_iterator

    arguments = job_arguments(name, partitions, parameters, inputs)
    if pack is not None:
        pack_alone(path, arguments)
        click.echo(f"Running the programs in {pack} and reading its results as this user.", err=True)
        with errors_shown(), LocalCluster(**cluster) as local:
            print_records(result_iterator(local.run(pack).urls, reader=records_or_lines))
        return
    if path is None:
        raise click.UsageError("Missing argument 'MODULE.CLASS' (or --pack FILE)")
    job = job_class(path)
    arguments = with_urls_of_stdin(job, arguments)
    with errors_shown(), LocalCluster(**cluster) as local:
        print_records(local.run(job, **arguments))
