"""Write a job pack that counts words with a worker of any language.

    python examples/workers/make_pack.py WORKER -o PACK [--partitions N] INPUT...

WORKER is an executable that speaks the worker protocol, such as wordcount.py, wordcount.sh or build/wordcount-c. It
becomes the only file of the job home. PACK is a path, or - for standard output; INPUTs are urls or paths.
"""

from __future__ import annotations

import argparse
import getpass
import io
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from discolocal import JobPack

PIPELINE = [["map", "split", False], ["reduce", "group_label", False]]


def make_pack(worker: Path, inputs: Sequence[str], partitions: int = 4) -> JobPack:
    """Return the pack. Each of `inputs` is a url, or a path, which is made absolute: a task runs elsewhere."""
    home = io.BytesIO()
    with zipfile.ZipFile(home, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(worker, worker.name)
    urls = [url if "://" in url else os.path.abspath(url) for url in inputs]
    jobdict = {
        "prefix": "wordcount",
        "worker": worker.name,
        "owner": getpass.getuser(),
        "scheduler": {},
        "save_results": False,
        "pipeline": PIPELINE,
        "inputs": [[0, 0, [url]] for url in urls],  # label, size (0: unknown), urls of the same data
    }
    return JobPack(2, jobdict, {}, home.getvalue(), str(partitions).encode())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write a job pack that counts words with a worker of any language.")
    parser.add_argument("worker", type=Path)
    parser.add_argument("inputs", nargs="+", metavar="input")
    parser.add_argument("-o", "--output", required=True, metavar="PACK")
    parser.add_argument("--partitions", type=int, default=4)
    arguments = parser.parse_args()
    data = make_pack(arguments.worker, arguments.inputs, arguments.partitions).dumps()
    if arguments.output == "-":
        sys.stdout.buffer.write(data)
    else:
        Path(arguments.output).write_bytes(data)


if __name__ == "__main__":
    main()
