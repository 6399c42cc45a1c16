"""The conversation of a task with its external program (reference 8.12).

    records --pairs--> program --lists of pairs--> partition, combiner, outputs as for any function

A map is fed ahead of its answers, from the second record on. The program runs in the directory of its files.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections import deque
from itertools import chain
from operator import length_hint
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.wire import external as wire
from discolocal.wire.external import encode_pair, encode_value
from discolocal.worker.classic.child import GRACE, Child, describe
from discolocal.worker.classic.external import OP, directory
from discolocal.worker.classic.failures import Blame
from discolocal.worker.serving import one_line, short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discolocal.task import Task
    from discolocal.worker.classic.failures import Place
    from discolocal.worker.inputs import Input

_AHEAD = 1 << 16  # bytes that are encoded at once
_FIRST_ANSWER = 1.0  # seconds that the second record waits for the answer to the first


def start(task: Task, required_files: Any) -> Child:
    """Start the program of the task's stage, which finds `required_files` in its working directory as well.

    Raises DiscoError when it cannot be started.
    """
    place = os.path.abspath(task.file(directory(task.stage)))
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if not os.path.islink(path) and not os.access(path, os.X_OK):
            os.chmod(path, 0o755)  # archives of job homes do not keep modes
    # On a cluster the working directory is the job home: both ways to name a file shall do.
    for name in (os.path.basename(place), *_links(os.path.dirname(place), required_files)):
        try:
            os.symlink("." if name == os.path.basename(place) else f"../{name}", os.path.join(place, name))
        except FileExistsError:
            pass
    # Otherwise the variable is in the environment of the worker already.
    environ = {**os.environ, "LD_LIBRARY_PATH": "lib"} if task.inline else None
    return Child([os.path.join(place, OP), task.stage], place, environ, print, own_session=task.inline)


def _links(home: str, required_files: Any) -> list[str]:
    """The names in a job home that a program may look for: ``lib``, and where `required_files` were put."""
    names = {"lib"}
    if isinstance(required_files, dict):
        names.update(os.path.normpath(name).partition("/")[0] for name in required_files)
    return [name for name in sorted(names) if os.path.exists(os.path.join(home, name))]


class Answers:
    """Which records a map program was sent, and which of them it answers now; a `Place` for a `Blame`.

    Attributes: `count` how many records were sent, `answered` how many of them had their whole answer before the pairs
    that are dealt with now; `pairs` the iterator over these. Its own text is the pair that was delivered last.
    """

    def __init__(self) -> None:
        self.count = 0
        self.answered = 0
        self.pairs: Iterator[wire.Pair] = iter(())
        self._given: list[wire.Pair] = []
        self._ends: list[int] = []
        self._changes: deque[tuple[int, str, int]] = deque()
        self._current = ("", 0)

    def changed(self, count: int, url: str, offset: int) -> None:
        """From record `count` on they are those of `url`, where they have a number that is `offset` greater."""
        self._changes.append((count, url, offset))

    def give(self, pairs: list[wire.Pair], ends: list[int]) -> None:
        """Deal with more pairs, where `ends` says how many of them come up to the end of each answer."""
        self._given, self._ends, self.pairs = pairs, ends, iter(pairs)

    def given(self) -> None:
        """All of them are dealt with."""
        self.answered += len(self._ends)
        self.give([], [])

    def __repr__(self) -> str:
        at = self._at()
        return f"the pair {self._given[at]!r}" if at >= 0 else "no pair"

    def _at(self) -> int:
        return len(self._given) - length_hint(self.pairs) - 1

    def _asked(self) -> int:
        """The number, from 0, of the record whose answer is dealt with; of the last one when all are."""
        number = min(self.answered + bisect_right(self._ends, self._at()), self.count - 1)
        while self._changes and self._changes[0][0] <= number:
            self._current = self._changes.popleft()[1:]
        return number

    @property
    def url(self) -> str:
        """The url of the record whose answer is dealt with, "" when there is no such record."""
        self._asked()
        return self._current[0]

    @property
    def record(self) -> int:
        """Its number in that input."""
        return self._asked() + self._current[1]


class Program:
    """The conversation of a task with its program; leaving it as a context manager ends the program.

    Parameters: `task`; `worker` whose items `ext_params` and `required_files` count; `source` the input that is read.
    Attributes: `blame` for whatever fails with what the program gives. Raises DiscoError when it cannot be started.
    """

    def __init__(self, task: Task, worker: Mapping[str, Any], source: Input) -> None:
        self._name = f"{directory(task.stage)}/{OP}"
        self._params = wire.encode_params(worker["ext_params"])
        self._sent = Answers()
        self._source = source
        self._lists = wire.Lists()
        self._is_map = task.stage == "map"
        self.blame = Blame(task, self._sent if self._is_map else source)
        try:
            self._child = start(task, worker["required_files"])
        except DiscoError as error:
            self.blame.note(error, f"external {task.stage} failed")
            raise

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self._child.close()

    def answers(self, entries: Iterator[Any]) -> Iterator[Answers]:
        """Map: send the entries; yields what holds pairs of the answers, of some records or of a part of one.

        Raises DiscoError for whatever a program can do wrong, TypeError for an entry that cannot be sent.
        """
        sent, child, lists = self._sent, self._child, self._lists
        for pairs, ends in self._talk(entries):
            if sent.answered + len(ends) + lists.inside > sent.count:
                sent.answered = sent.count
                raise self._failed(f"gave more lists than the {sent.count} records that it was sent")
            sent.give(pairs, ends)
            yield sent
            sent.given()
            if child.fed and sent.answered == sent.count:
                child.due = time.monotonic() + GRACE  # a cluster kills it now

    def results(self, entries: Iterator[Any]) -> Iterator[wire.Pair]:
        """Reduce: send the entries; yields the pairs that the program writes. Raises as `answers`."""
        return chain.from_iterable(pairs for pairs, _ends in self._talk(entries))

    def _talk(self, entries: Iterator[Any]) -> Iterator[tuple[list[wire.Pair], list[int]]]:
        child, lists = self._child, self._lists
        heard = False
        for block in child.talk(self._chunks(entries)):
            if not heard and self._is_map and child.unread == child.written:
                raise self._failed("wrote an answer before it had read anything")
            heard = True
            yield lists.feed(block)
            if lists.error is not None:
                raise self._failed(f"wrote what cannot be pairs: {lists.error}")
        self._judge()

    def _chunks(self, entries: Iterator[Any]) -> Iterator[bytes]:
        """What the program gets, in pieces. A map gets its second record after it has answered the first one."""
        sent, source = self._sent, self._source
        batch, size, count = [self._params], 0, 0
        url, offset = "", 0
        enough = 0 if self._is_map else _AHEAD
        for entry in entries:
            try:
                if entry.__class__ is str:  # what most readers give
                    data = encode_value(entry.encode("utf-8", "surrogateescape"))
                else:
                    data = _encoded(entry)
            except Exception as error:
                self._note(error, source, f"entry: {short_repr(entry)}")
                raise
            if source.record - count != offset or source.url is not url:
                url, offset = source.url, source.record - count
                sent.changed(count, url, offset)
            count += 1
            batch.append(data)
            size += len(data)
            if size > enough:
                sent.count = count
                yield b"".join(batch)
                batch, size = [], 0
                if not enough:
                    enough = _AHEAD
                    yield from self._first_answer()
        sent.count = count
        rest = b"".join(batch)
        if rest:
            yield rest

    def _first_answer(self) -> Iterator[bytes]:
        """Put the second record off until there is an answer to the first one; says so if there will be none."""
        until = time.monotonic() + _FIRST_ANSWER
        asleep = False
        while not self._sent.answered and time.monotonic() < until:
            before, asleep = asleep, self._child.wants_more
            if before and asleep:  # what it has written meanwhile would have been read
                self.blame.task.warn(
                    "external-flush",
                    f"the program {self._name} waits for its second record before it has answered the first one: on a"
                    " cluster, which sends it after that answer, both wait for ever; flush the output after each one",
                )
                return
            yield b""

    def _judge(self) -> None:
        """Look how the program has ended. Raises DiscoError unless it has done all that it was there for."""
        child, sent = self._child, self._sent
        code = None if child.fatal is not None else child.finish()
        if child.fatal is not None:
            raise self._failed(child.fatal, "ended the task: ")
        how = "has closed its standard output" if code is None else describe(code)
        if self._lists.unfinished:
            raise self._failed(f"{how} in the middle of its output, which ends with {self._lists.unfinished}")
        if self._is_map and sent.answered < sent.count:
            raise self._failed(f"{how} after {sent.answered} answers, before it had answered all records")
        if not child.fed or (sent.count and child.unread):
            raise self._failed(f"{how} before it had read all its input")
        if code:
            raise self._failed(f"{how} after it had read all its input")
        if code is None:
            print(f"The program {self._name} was still there {GRACE:g} seconds after its last output and was killed")

    def _failed(self, why: str, what: str = "") -> DiscoError:
        """The error of a program that did wrong."""
        child = self._child
        alone = child.fatal is not None and len(child.tail) == 1  # `why` says it already
        tail = "" if alone else "".join(f"\n    {line}" for line in child.tail)
        heard = f"\nThe end of its standard error:{tail}" if tail else ""
        error = DiscoError(f"the program {self._name} {what}{why}{heard}")
        self._note(error, self._sent)
        return error

    def _note(self, error: Exception, place: Place, more: str = "") -> None:
        """Make the headline of an error that concerns the record at `place`."""
        task = self.blame.task
        if not self._is_map:
            where = f" in partition {task.group_label}, after {self._sent.count} pairs"
        else:
            where = f" at record {place.record} of {one_line(place.url, 200)}" if place.url else ""
        self.blame.note(error, f"external {task.stage} failed{where}", more)


def _encoded(entry: Any) -> bytes:
    """The bytes of an entry: a pair, or a value with an empty key (reference 8.12)."""
    if not isinstance(entry, tuple):
        return encode_value(_bytes(entry))
    if len(entry) != 2:
        raise TypeError(f"an external program takes pairs of a key and a value, not tuples of {len(entry)}")
    return encode_pair(_bytes(entry[0]), _bytes(entry[1]))


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogateescape")
    if isinstance(item, (bytes, bytearray)):
        return bytes(item)
    raise TypeError(f"an external program takes keys and values that are str or bytes, not {type(item).__name__}")


def as_given(answers: Answers, params: Any) -> Iterator[wire.Pair]:
    """The map function of what a program has mapped already."""
    return answers.pairs
