"""The command `script`, which runs a Disco script as it is."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Any

import click

from discolocal.cli.options import cluster_options, errors_shown, strict_option


@click.command(context_settings={"allow_interspersed_args": False})
@cluster_options
@strict_option
@click.option(
    "--era",
    type=click.Choice(["0.2", "0.5"]),
    help="Records as in that version of Disco: 0.2 lines without ends, texts; 0.5 (Python 3) lines of bytes.",
)
@click.argument("file", type=click.Path(exists=True))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def script(file: str, arguments: tuple[str, ...], era: str | None, **cluster: Any) -> None:
    """Run the Python program FILE, a script for Disco, with ARGS as its arguments.

    `import disco` finds discolocal there, and all jobs run on one local cluster, whichever master the script names. The
    options of this command stand before FILE. The exit status is that of the program.
    """
    from discolocal.cluster import default
    from discolocal.compat import install_as_disco

    if not os.path.isdir(file) and not os.path.isfile(file):  # Python would read it twice, and run what is left
        raise click.BadParameter(f"{file} is a pipe or device: save the program in a file", param_hint="'FILE'")
    with errors_shown():
        install_as_disco(force=True, local=True, era=era)
        default.configure(**cluster)
    os.environ["DISCO_MASTER"] = "local://"
    sys.argv[:] = [file, *arguments]
    if not os.path.isdir(file):  # of a directory, Python finds modules in itself
        sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    _run(file)


def _run(file: str) -> None:
    """Run a program as Python does: what it raises is shown from its own lines on."""
    import runpy

    try:
        runpy.run_path(file, run_name="__main__")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        frames = error.__traceback__
        here = os.path.abspath(file)
        while frames is not None and not os.path.abspath(frames.tb_frame.f_code.co_filename).startswith(here):
            frames = frames.tb_next
        with contextlib.suppress(OSError):  # nobody may read it any more, which is what the program failed at then
            sys.stdout.flush()
        traceback.print_exception(error.with_traceback(frames))
        raise SystemExit(1) from None
