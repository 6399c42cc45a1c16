"""The commands that run jobs for their results: `run` and `demo`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from discolocal.cli.options import cluster_options, errors_shown, strict_option, takes_job

if TYPE_CHECKING:
    from discolocal.cli.asked import Asked


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
@takes_job(pack="Run this job pack instead. A job pack is a program: run only what you trust.")
@cluster_options
@strict_option
def run(asked: Asked, **cluster: Any) -> None:
    """Run a job class on INPUTS and print the records of its results, one a line, as KEY TAB VALUE.

    Modules of the working directory are found, also such that import `disco`. Without INPUTS the urls are read from
    standard input, a line for each, if the class does not name them itself. With --profile True the profile goes to
    standard error, with --root the job's name.

    With --pack FILE a job pack runs as it is. Results that are no records of Disco are printed line by line.
    """
    from discolocal import LocalCluster
    from discolocal.cli.printing import print_records, records_or_lines
    from discolocal.core import result_iterator

    pack = asked.pack()
    if pack is not None:
        click.echo(f"Running the programs in {pack} and reading its results as this user.", err=True)
        with errors_shown(), LocalCluster(**cluster) as local:
            results = local.run(pack)
            _tell_name(results.job.name, cluster)
            print_records(result_iterator(results.urls, reader=records_or_lines))
        return
    job, arguments = asked.job(stdin=True)
    with errors_shown(), LocalCluster(**cluster) as local:
        results = local.run(job, **arguments)
        _tell_name(results.job.name, cluster)
        print_records(results)
        if arguments.get("profile"):
            stats = local.profile_stats(results.job)
            stats.stream = sys.stderr  # type: ignore[attr-defined]
            stats.print_stats()


def _tell_name(name: str, cluster: dict[str, Any]) -> None:
    """Print the name of a job whose files are kept, by which they can be found."""
    if cluster["root"] is not None:
        click.echo(name, err=True)
