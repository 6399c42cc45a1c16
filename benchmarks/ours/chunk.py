"""Chunk files of text into a tag of a store on disk: every line is a record."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

from benchmarks import result
from discolocal import result_iterator
from discolocal.ddfs import DDFS

with TemporaryDirectory() as root:
    ddfs = DDFS(f"local://{root}")
    for path in sys.argv[1:]:
        ddfs.chunk("text", [path])
    found = result_iterator(reversed(list(ddfs.blobs("text"))))  # the newest blob is the first of its tag
    result.content(line.encode("utf-8") for line in found)
