"""Push files into a tag of a store on disk; they are on the disk, with their tag, when it returns."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import result
from discolocal.ddfs import DDFS

with TemporaryDirectory() as root:
    DDFS(f"local://{root}").push("text", sys.argv[1:])
    blobs = Path(root).glob("ddfs/*/vol0/blob/*/*")
    result.content(path.read_bytes() for path in sorted(blobs, key=lambda path: path.name))
