"""Test data: Zipf text and key/value records, equal for equal arguments on every machine.

Text: words drawn with a probability of 1/rank from a vocabulary of made-up words of 4 to 9 letters, 12 words a line.
Every word of the vocabulary occurs at least once, so the number of distinct words does not depend on luck.
Records: lines of a unique key of 10 characters, a tab, and a value of 90 characters of such text (102 bytes).

Besides: many files of one number, and the few short lines of trivial jobs.

`python -m benchmarks.gen KIND DIR --size N` writes one set.
"""

from __future__ import annotations

import argparse
import random
import sys
from array import array
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

FILES = 4
WORDS_PER_LINE = 12
VOCABULARY_WORDS_PER_LINE = 2  # until the vocabulary is used up
WORD_LENGTHS = (6, 7, 5, 8, 4, 9)  # by rank in turn: 7.5 bytes a word with its blank
LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEY_SIZE, VALUE_SIZE = 10, 90
KEY_ALPHABET = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # 64, in the order of bytes
BLOCK_LINES = 4096


def distinct_words(megabytes: int) -> int:
    """Size of the vocabulary for a text of this size: 200,000 words from 10 MB on, fewer below."""
    return min(200_000, 20_000 * megabytes)


def vocabulary(count: int, seed: int) -> list[str]:
    """`count` different made-up words, the most frequent first."""
    rng = random.Random(f"vocabulary:{seed}")
    words: dict[str, None] = {}
    while len(words) < count:
        length = WORD_LENGTHS[len(words) % len(WORD_LENGTHS)]
        words.setdefault("".join(rng.choices(LETTERS, k=length)))
    return list(words)


def urn(words: list[str]) -> list[str]:
    """A list in which a word stands as often as Zipf's law says; its length is a power of two for quick draws."""
    size = 1 << (20 * len(words)).bit_length()
    ranks = range(1, len(words) + 1)
    share = size / sum(1 / rank for rank in ranks)
    ends = [round(end) for end in accumulate(share / rank for rank in ranks)]
    return [word for word, start, end in zip(words, [0, *ends], ends, strict=False) for _ in range(end - start)]


def draws(balls: list[str], seed: str) -> Iterator[list[str]]:
    """Endless blocks of BLOCK_LINES * WORDS_PER_LINE words drawn from the urn."""
    rng = random.Random(seed)
    mask = len(balls) - 1
    while True:
        numbers = array("I", rng.randbytes(4 * BLOCK_LINES * WORDS_PER_LINE))
        if sys.byteorder == "big":
            numbers.byteswap()
        yield [balls[number & mask] for number in numbers]


def text_lines(balls: list[str], sure: list[str], seed: str) -> Iterator[str]:
    """Endless lines of text; the words of `sure` are strewn over the first lines, so each occurs at least once."""
    start = 0
    for block in draws(balls, seed):
        for offset in range(0, len(block), WORDS_PER_LINE):
            line = block[offset : offset + WORDS_PER_LINE]
            if start < len(sure):
                some = sure[start : start + VOCABULARY_WORDS_PER_LINE]
                line[: len(some)] = some
                start += VOCABULARY_WORDS_PER_LINE
            yield " ".join(line) + "\n"


def write_text(directory: Path, megabytes: int, seed: int = 1) -> list[Path]:
    """Write about `megabytes` million bytes of text into FILES files of `directory`; returns their paths."""
    words = vocabulary(distinct_words(megabytes), seed)
    balls = urn(words)
    mixed = random.Random(f"mixed:{seed}").sample(words, len(words))
    paths = []
    for number in range(FILES):
        path = directory / f"text-{number}.txt"
        left = megabytes * 1_000_000 // FILES
        with path.open("w", encoding="ascii", newline="\n", buffering=1 << 20) as out:
            for line in text_lines(balls, mixed[number::FILES], f"text:{seed}:{number}"):
                out.write(line)
                left -= len(line)
                if left <= 0:
                    break
        paths.append(path)
    return paths


def keys(count: int, seed: int) -> list[bytes]:
    """`count` different random keys of KEY_SIZE bytes of KEY_ALPHABET, in random order."""
    rng = random.Random(f"keys:{seed}")
    table = KEY_ALPHABET * 4
    found: dict[bytes, None] = {}
    while len(found) < count:
        block = rng.randbytes(KEY_SIZE * (count - len(found))).translate(table)
        found.update((block[at : at + KEY_SIZE], None) for at in range(0, len(block), KEY_SIZE))
    return list(found)


def values(seed: str) -> Iterator[bytes]:
    """Endless values of VALUE_SIZE bytes of text."""
    for block in draws(urn(vocabulary(20_000, 1)), seed):
        text = " ".join(block).encode("ascii")
        for at in range(0, len(text) - VALUE_SIZE, VALUE_SIZE):
            yield text[at : at + VALUE_SIZE]


def write_records(directory: Path, count: int, seed: int = 1) -> list[Path]:
    """Write `count` records into FILES files of `directory`; returns their paths."""
    paths = []
    all_keys = keys(count, seed)
    for number in range(FILES):
        path = directory / f"records-{number}.tsv"
        with path.open("wb", buffering=1 << 20) as out:
            for key, value in zip(all_keys[number::FILES], values(f"values:{seed}:{number}"), strict=False):
                out.write(b"%s\t%s\n" % (key, value))
        paths.append(path)
    return paths


def write_singles(directory: Path, count: int, seed: int = 1) -> list[Path]:
    """Write `count` files of one line, a number; returns their paths."""
    paths = [directory / f"one-{number:04}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(f"{number + seed}\n", encoding="ascii")
    return paths


def write_small(directory: Path, size: int = 1, seed: int = 1) -> list[Path]:
    """Write two files of two lines each, the input of a trivial job (of any `size`); returns their paths."""
    paths = [directory / "small-0.txt", directory / "small-1.txt"]
    paths[0].write_text("to be or not to be\nthat is the question\n", encoding="ascii")
    paths[1].write_text("the rest is silence\nto sleep to dream\n", encoding="ascii")
    return paths


def write_warm(directory: Path, jobs: int, seed: int = 1) -> list[Path]:
    """Write two files of one short line for each of `jobs` jobs; returns their paths."""
    paths = [directory / f"warm-{job:03}-{part}.txt" for job in range(jobs) for part in range(2)]
    for number, path in enumerate(paths):
        path.write_text(
            f"job {number // 2} asks and file {number} answers {number % 7 + seed} times\n", encoding="ascii"
        )
    return paths


WRITERS = {
    "text": write_text,
    "records": write_records,
    "singles": write_singles,
    "small": write_small,
    "warm": write_warm,
}


def main() -> None:
    """Write one set of data, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gen", description="Write test data.")
    parser.add_argument("kind", choices=sorted(WRITERS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size", type=int, default=1, help="megabytes of text, records, files or jobs (1)")
    parser.add_argument("--seed", type=int, default=1, help="other numbers give other data (1)")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    for path in WRITERS[args.kind](args.directory, args.size, args.seed):
        print(path)


if __name__ == "__main__":
    main()
