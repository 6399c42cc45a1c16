"""The command that tells what a job would meet on a real cluster: `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from discolocal.cli.options import cluster_options, errors_shown, takes_job

if TYPE_CHECKING:
    from discolocal.cli.asked import Asked


@click.command()
@takes_job(pack="Look at this job pack instead, without running it.")
@cluster_options
def check(asked: Asked, **cluster: Any) -> None:
    """Tell what a job class would meet on a Disco cluster: code, what was seen, what happens there, what to change.

    The job is packed; with INPUTS, or a class that has some, it also runs here. Nothing of a pack given by --pack is
    run. The exit status is 0 if nothing has to be changed (notes do not count), 1 if something has, 2 for a usage
    error.
    """
    from discolocal.cli.printing import printable, until_the_reader_stops
    from discolocal.report import check as check_job
    from discolocal.report import check_pack

    pack = asked.pack()
    if pack is not None:
        from discolocal.fileutils import read_pack

        with errors_shown(), open(pack, "rb") as file:
            report = check_pack(read_pack(file))
    else:
        from discolocal import LocalCluster

        job, arguments = asked.job()
        with errors_shown(), LocalCluster(**cluster) as local:
            report = check_job(job, local, **arguments)
    with until_the_reader_stops():
        for line in str(report).split("\n"):
            click.echo(printable(line))
    raise SystemExit(0 if report.ok else 1)
