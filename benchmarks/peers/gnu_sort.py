"""GNU sort of the same records into one file, on two threads."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import result
from benchmarks.jobs import PROCESSES, option

if __name__ == "__main__":
    arguments = sys.argv[1:]
    option("--default", arguments)
    with TemporaryDirectory() as directory:
        out = Path(directory, "sorted")
        command = ["sort", "-t", "\t", "-k", "1,1", f"--parallel={PROCESSES}", "-T", directory, "-o", str(out)]
        subprocess.run([*command, *arguments], check=True, env={**os.environ, "LC_ALL": "C"})
        result.sorted_file(out)
