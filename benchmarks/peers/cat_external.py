"""The same pairs, made from the same words and taken apart again, through the program cat."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from struct import pack, unpack_from
from threading import Thread
from typing import Any

from benchmarks import result

BLOCK = 1 << 16


def chunks(paths: list[str]) -> Iterator[bytes]:
    """Lists of one pair, an empty key and a word, in blocks."""
    chunk: list[bytes] = []
    size = 0
    for path in paths:
        with open(path, "rb") as file:
            for line in file:
                for word in line.split():
                    data = pack("<III", 1, 0, len(word)) + word
                    chunk.append(data)
                    size += len(data)
                    if size > BLOCK:
                        yield b"".join(chunk)
                        chunk, size = [], 0
    yield b"".join(chunk)


def feed(pipe: Any, paths: list[str]) -> None:
    """Write everything, and close."""
    with pipe:
        for chunk in chunks(paths):
            pipe.write(chunk)


def values(pipe: Any) -> Iterator[bytes]:
    """The values of the pairs that come back."""
    rest = b""
    while block := pipe.read1(BLOCK):
        block = rest + block
        at = 0
        while at + 12 <= len(block):
            end = at + 12 + unpack_from("<I", block, at + 8)[0]
            if end > len(block):
                break
            yield block[at + 12 : end]
            at = end
        rest = block[at:]


if __name__ == "__main__":
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        feeder = Thread(target=feed, args=(cat.stdin, sys.argv[1:]))
        feeder.start()
        counts = Counter(values(cat.stdout))
        feeder.join()
    result.counts([(word.decode(), count) for word, count in counts.items()])
