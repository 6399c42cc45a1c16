"""The `discolocal` command.

One module for each group of commands; nothing of the library is imported before a command needs it.
"""

from __future__ import annotations

import click

from discolocal import __version__
from discolocal.cli.blobs import ddfs
from discolocal.cli.checking import check
from discolocal.cli.packs import inspect, jobpack, submit
from discolocal.cli.running import demo, run
from discolocal.cli.scripts import script

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="discolocal")
def main() -> None:
    """Run Disco map/reduce jobs on this machine, check them, and send them to a Disco cluster."""


for _command in (run, script, check, jobpack, inspect, submit, ddfs, demo):
    main.add_command(_command)
