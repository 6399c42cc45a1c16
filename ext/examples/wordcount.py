#!/usr/bin/env python3
"""Word count as one external program: `map` cuts values into words, `reduce` adds up the numbers of each word.

It needs Python alone. The parameter "at least" leaves out words with a smaller sum.
"""

import struct
import sys


def message(kind, text):
    """Write a line for the user; with the kind ERR it is the reason why the job ends."""
    print(f"**<{kind}> {text}", file=sys.stderr, flush=True)


def read(size, may_end=False):
    """Return so many bytes of the input, or none at its end if it may end here."""
    data = sys.stdin.buffer.read(size)
    if len(data) < size and (data or not may_end):
        message("ERR", f"the input ends after {len(data)} of {size} bytes")
        sys.exit(1)
    return data


def read_item(size):
    """Return the key or the value behind its size."""
    return read(*struct.unpack("<I", size))


def read_pairs():
    """Yield the pairs of the input."""
    while size := read(4, may_end=True):
        key = read_item(size)
        yield key, read_item(read(4))


def read_parameters():
    """Return the parameters as a dict of bytes."""
    rest = read(int(sys.stdin.buffer.readline()))
    items = []
    while rest:
        size, _, rest = rest.partition(b" ")
        items.append(rest[: int(size)])
        rest = rest[int(size) + 1 :]
    return dict(zip(items[::2], items[1::2]))


def write_list(pairs):
    """Write a list of pairs, and send it."""
    out = [struct.pack("<I", len(pairs))]
    for pair in pairs:
        for item in pair:
            out += struct.pack("<I", len(item)), item
    sys.stdout.buffer.write(b"".join(out))
    sys.stdout.buffer.flush()


parameters = read_parameters()
if sys.argv[1] == "map":
    for _key, text in read_pairs():
        write_list([(word, b"1") for word in text.split()])
else:
    sums = {}
    for word, number in read_pairs():
        sums[word] = sums.get(word, 0) + int(number)
    least = int(parameters.get(b"at least", 0))
    write_list([(word, b"%d" % total) for word, total in sums.items() if total >= least])
    message("MSG", f"{len(sums)} different words")
