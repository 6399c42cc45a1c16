"""Inputs as they were listed before 0.4 (reference 11.2)."""

from __future__ import annotations

from typing import Any

from discolocal import util
from discolocal.error import DiscoError
from discolocal.schemes import scheme_of
from discolocal.worker.client import is_iterable


def urllist(url: Any, partid: int | str | None = None, listdirs: bool = True, ddfs: Any = None) -> list[Any]:
    """The urls that an input stands for, as a list.

    Parameters: `url` a url or a list of replicas, which stays together; `partid` the label of which the files of a
    ``dir://`` url are listed, None for all; `listdirs` False leaves such a url as it is; `ddfs` another master, of
    which nobody is asked here: must be None, else DiscoError. Raises DataError for an index that cannot be read.
    """
    if ddfs is not None:
        raise DiscoError(f"urllist(ddfs={ddfs!r}): another master is not asked")
    if is_iterable(url):
        return [list(url)]
    if scheme_of(str(url)) == "dir" and listdirs:
        return util.parse_dir(url, None if partid is None else int(partid))
    return [url]
