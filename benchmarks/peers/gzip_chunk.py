"""gzip of the same files at the level of a chunk, one after the other: the compression without the records."""

import gzip
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import result

with TemporaryDirectory() as directory:
    packed = [Path(directory, f"{number}.gz") for number, _ in enumerate(sys.argv[1:])]
    for path, out in zip(sys.argv[1:], packed, strict=True):
        with out.open("wb") as file:
            subprocess.run(["gzip", "-2", "-c", path], stdout=file, check=True)
    result.content(gzip.decompress(path.read_bytes()) for path in packed)
