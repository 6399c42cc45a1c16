"""The command that tells what a job would meet on a real cluster: `check`."""

from __future__ import annotations

from typing import Any

import click

from discolocal.cli.options import cluster_options, errors_shown, job_arguments, job_class, job_options, pack_alone


@click.command()
@click.argument("path", metavar="[MODULE.CLASS]", required=False)
@click.argument("inputs", nargs=-1)
@click.option(
    "--pack", type=click.Path(exists=True, dir_okay=False), help="Look at this job pack instead, without running it."
)
@job_options
@cluster_options
def check(
    path: str | None,
    inputs: tuple[str, ...],
    pack: str | None,
    name: str | None,
    partitions: int | None,
    parameters: tuple[tuple[str, str], ...],
    **cluster: Any,
) -> None:
    """Tell what a job class would meet on a Disco cluster: code, what was seen, what happens there, what to change.

    The job is packed; with INPUTS, or a class that has some, it also runs here. Nothing of a pack given by --pack is
    run. The exit status is 0 if nothing has to be changed (notes do not count), 1 if something has, 2 for a usage
    error.
    """
    from discolocal.cli.printing import printable, until_the_reader_stops
    from discolocal.report import check as check_job
    from discolocal.report import check_pack

    arguments = job_arguments(name, partitions, parameters, inputs)
    if pack is not None:
        pack_alone(path, arguments)
        from discolocal.fileutils import read_pack

        with errors_shown(), open(pack, "rb") as file:
            report = check_pack(read_pack(file))
    elif path is None:
        raise click.UsageError("Missing argument 'MODULE.CLASS' (or --pack FILE)")
    else:
        from discolocal import LocalCluster

        job = job_class(path)
        with errors_shown(), LocalCluster(**cluster) as local:
            report = check_job(job, local, **arguments)
    with until_the_reader_stops():
        for line in str(report).split("\n"):
            click.echo(printable(line))
    raise SystemExit(0 if report.ok else 1)
