"""The trivial job as an mrjob job, run inline."""

import sys
from collections.abc import Iterable, Iterator

from mrjob.job import MRJob


class WordCount(MRJob):  # type: ignore[misc]
    """Counts words."""

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        """One pair for each word."""
        for word in line.split():
            yield word, 1

    def reducer(self, word: str, counts: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Sum per word."""
        yield word, sum(counts)


if __name__ == "__main__":
    job = WordCount(["--no-conf", "-r", "inline", *sys.argv[1:]])
    with job.make_runner() as runner:
        runner.run()
        print(sorted(job.parse_output(runner.cat_output())))
