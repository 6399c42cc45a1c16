"""The commands for tags and blobs, `discolocal ddfs`: those that look at tags or change them (reference 8.15).

`cli.blobs` has those that move data. All are told where the tags are: --root, --master, or DISCO_MASTER.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from discolocal.cli.options import errors_shown

if TYPE_CHECKING:
    from discolocal.ddfs import DDFS

_PLACE = (
    click.option("--root", type=click.Path(file_okay=False), help="The root directory of a local cluster."),
    click.option("-M", "--master", help="The url of a master, http://host:8989 (default: DISCO_MASTER)."),
    click.option("-t", "--token", help="The token of the tags (default: DDFS_READ_TOKEN, DDFS_WRITE_TOKEN)."),
)
ignore_missing = click.option("-i", "--ignore-missing", is_flag=True, help="Leave out tags that are not there.")
prefix_mode = click.option("-p", "--prefix", is_flag=True, help="The arguments are beginnings of the names of tags.")
job_mode = click.option("-j", "--job", "jobs", is_flag=True, help="The arguments are names of jobs that saved results.")
tag_arguments = click.argument("tags", nargs=-1, metavar="[TAG]...")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@_PLACE[0]
@_PLACE[1]
@_PLACE[2]
def ddfs(**place: str | None) -> None:
    """Tags and blobs: of a local cluster (--root DIR) or of a real one (--master URL).

    A TAG is a name, or tag:// and a name. A file of the working directory is given as ./name where tags can stand, too.
    The options of this group may stand behind its commands as well.
    """
    click.get_current_context().obj = place


def command(*options: Callable[[Any], Any]) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function of (ddfs, token, ...) a command of the group: it is given the `DDFS` that the options mean."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(root: str | None, master: str | None, token: str | None, **arguments: Any) -> None:
            from discolocal.cli.printing import until_the_reader_stops

            given = click.get_current_context().obj or {}
            with errors_shown(), until_the_reader_stops():
                opened = _opened(root or given.get("root"), master or given.get("master"))
                function(opened, given.get("token") if token is None else token, **arguments)

        found: Callable[..., Any] = run
        for option in reversed((*options, *_PLACE)):
            found = option(found)
        one: click.Command = ddfs.command(function.__name__.rstrip("_"))(found)
        return one

    return decorate


def _opened(root: str | None, master: str | None) -> DDFS:
    """The client of what the options name. Raises UsageError."""
    from discolocal.ddfs import DDFS

    if root is not None and master is not None:
        raise click.UsageError("--root and --master are two places: give one of them")
    place = f"local://{os.path.abspath(root)}" if root is not None else master or os.environ.get("DISCO_MASTER")
    if not place:
        raise click.UsageError("Whose tags? Give --root DIR or --master URL, or set DISCO_MASTER")
    if place == "local://":
        raise click.UsageError("local:// is the cluster of a program that runs; give --root DIR for one that is kept")
    return DDFS(place)


def show(*cells: object) -> None:
    """Print a line, cells with tabs between them, without anything that a terminal could take for a command."""
    from discolocal.cli.printing import printable

    click.echo("\t".join(printable(str(cell)) for cell in cells))


def named(client: DDFS, tags: Iterable[str], prefix: bool) -> list[str]:
    """The tags that arguments name, or whose names begin with them."""
    return [tag for given in tags for tag in client.list(given.removeprefix("tag://"))] if prefix else list(tags)


def blobs_of(client: DDFS, tags: Iterable[str], ignore: bool, token: str | None) -> Iterator[list[str]]:
    """The lists of replicas in tags and in the tags below them."""
    for tag in tags:
        yield from client.blobs(tag, ignore_missing=ignore, token=token)


def job_tags(client: DDFS, names: Iterable[str]) -> list[str]:
    """The tags of the saved results of jobs, by a master's name or by that of an older library (reference 7.4)."""
    return [
        next((tag for tag in (f"disco:results:{name}", client.job_tag(name)) if client.exists(tag)), name)
        for name in names
    ]


# What there is


@command(
    click.argument("prefixes", nargs=-1, metavar="[PREFIX]..."),
    click.option("-r", "--recursive", is_flag=True, help="List the blobs that can be reached from each tag, too."),
    ignore_missing,
)
def ls(client: DDFS, token: str | None, prefixes: tuple[str, ...], recursive: bool, ignore_missing: bool) -> None:
    """List the tags whose names begin with PREFIX, or all."""
    from discolocal.error import DataError

    for tag in named(client, prefixes or ("",), True):
        show(tag)
        if recursive:
            try:
                for replicas in client.blobs(tag, ignore_missing, token):
                    show(*replicas)
            except DataError as error:  # of one tag; the others are listed all the same
                show(error)
            show("")


@command(
    tag_arguments,
    click.option("-w", "--warn-missing", is_flag=True, help="Tell of tags that are named but not there, and go on."),
    ignore_missing,
    prefix_mode,
)
def find(
    client: DDFS, token: str | None, tags: tuple[str, ...], warn_missing: bool, ignore_missing: bool, prefix: bool
) -> None:
    """Walk from the TAGs through the tags in them; each line is the path to a tag."""
    for tag in named(client, tags, prefix):
        for path, below, blobs in client.walk(tag, ignore_missing or warn_missing, token=token):
            gone = warn_missing and not (below or blobs) and not client.exists(path[-1], token)
            show(*(("Tag not found:",) if gone else ()), *path)


@command(tag_arguments, prefix_mode)
def urls(client: DDFS, token: str | None, tags: tuple[str, ...], prefix: bool) -> None:
    """List what the TAGs hold, one list of replicas a line; tags in them are not followed."""
    for tag in named(client, tags, prefix):
        for replicas in client.urls(tag, token):
            show(*replicas)


@command(tag_arguments, prefix_mode, ignore_missing)
def blobs(client: DDFS, token: str | None, tags: tuple[str, ...], prefix: bool, ignore_missing: bool) -> None:
    """List the blobs in the TAGs and in the tags in them, one list of replicas a line."""
    for replicas in blobs_of(client, named(client, tags, prefix), ignore_missing, token):
        show(*replicas)


@command(click.argument("tag"))
def get(client: DDFS, token: str | None, tag: str) -> None:
    """Show a TAG as JSON."""
    click.echo(json.dumps(client.get(tag, token)))


@command(tag_arguments, prefix_mode)
def stat(client: DDFS, token: str | None, tags: tuple[str, ...], prefix: bool) -> None:
    """Show the TAGs without what they hold: version, id, time of the last change, attributes."""
    for tag in named(client, tags, prefix):
        show(*(value for key, value in client.get(tag, token).items() if key != "urls"))


@command(click.argument("tag"))
def exists(client: DDFS, token: str | None, tag: str) -> None:
    """Tell whether there is such a TAG: True, or False and an exit status of 1."""
    found = client.exists(tag, token)
    show(found)
    if not found:
        raise SystemExit(1)


# What holds what


@command(tag_arguments)
def touch(client: DDFS, token: str | None, tags: tuple[str, ...]) -> None:
    """Make the TAGs that are not there yet."""
    for tag in tags:
        client.tag(tag, [], token)


@command(click.argument("tag"), click.argument("urls", nargs=-1, metavar="[URL]..."))
def tag(client: DDFS, token: str | None, tag: str, urls: tuple[str, ...]) -> None:
    """Put URLs in front of what a TAG holds. Replicas of one blob stand in one argument, with blanks between them."""
    client.tag(tag, [url.split() for url in urls], token)


@command(click.argument("tag"), click.argument("urls", nargs=-1, metavar="[URL]..."))
def put(client: DDFS, token: str | None, tag: str, urls: tuple[str, ...]) -> None:
    """Replace what a TAG holds by URLs. Replicas of one blob stand in one argument, with blanks between them."""
    client.put(tag, [url.split() for url in urls], token)


@command(click.argument("source"), click.argument("target"))
def cp(client: DDFS, token: str | None, source: str, target: str) -> None:
    """Let the tag TARGET hold what the tag SOURCE holds, and nothing else."""
    client.put(target, client.urls(source, token), token)


@command(tag_arguments, prefix_mode)
def rm(client: DDFS, token: str | None, tags: tuple[str, ...], prefix: bool) -> None:
    """Delete the TAGs. Their blobs stay until `gc`."""
    for tag in named(client, tags, prefix):
        client.delete(tag, token)
        show("deleted", tag)


@command(
    click.option(
        "--age",
        type=click.FloatRange(0),
        help="Blobs without a tag that are older than so many seconds go (default: 5 days).",
    )
)
def gc(client: DDFS, token: str | None, age: float | None) -> None:
    """Collect garbage: remove blobs that no tag has, and what crashes have left.

    A real master is only asked to begin with it.
    """
    collect = getattr(client.service, "collect", None)
    if collect is not None:
        found = collect() if age is None else collect(age)
        show(*(f"{name} {number}" for name, number in found._asdict().items()))
        return
    if age is not None:
        raise click.UsageError("--age is for a local cluster: a master has an age of its own")
    from discolocal.core import Disco

    show(Disco(client.master).request("/ddfs/ctrl/gc_start").decode("utf-8", "replace"))


# Attributes and tokens


@command(click.argument("tag"))
def attrs(client: DDFS, token: str | None, tag: str) -> None:
    """List the attributes of a TAG with their values."""
    for name, value in client.attrs(tag, token).items():
        show(name, value)


@command(click.argument("tag"), click.argument("attribute"))
def getattr_(client: DDFS, token: str | None, tag: str, attribute: str) -> None:
    """Show the value of an ATTRIBUTE; what is no text as JSON."""
    value = client.getattr(tag, attribute, token)
    show(value if isinstance(value, str) else json.dumps(value))


@command(click.argument("tag"), click.argument("attribute"), click.argument("value"))
def setattr_(client: DDFS, token: str | None, tag: str, attribute: str, value: str) -> None:
    """Set an ATTRIBUTE of a TAG."""
    client.setattr(tag, attribute, value, token)


@command(click.argument("tag"), click.argument("attribute"))
def delattr_(client: DDFS, token: str | None, tag: str, attribute: str) -> None:
    """Delete an ATTRIBUTE of a TAG."""
    client.delattr(tag, attribute, token)


@command(
    click.argument("tag"),
    click.argument("new"),
    click.option("-r", "--read", is_flag=True, help="The token for reading."),
    click.option("-w", "--write", is_flag=True, help="The token for writing."),
)
def chtok(client: DDFS, token: str | None, tag: str, new: str, read: bool, write: bool) -> None:
    """Change the tokens of a TAG to NEW: with -r the one for reading, with -w the one for writing."""
    from discolocal.wire.tag import READ_TOKEN, WRITE_TOKEN

    if not (read or write):
        raise click.UsageError("Which token? Give -r, -w or both")
    for changes, attribute in ((read, READ_TOKEN), (write, WRITE_TOKEN)):
        if changes:
            client.setattr(tag, attribute, new, token)
