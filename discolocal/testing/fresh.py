"""Fresh interpreters: what other nodes make of a job, with a hash seed, a clock, a directory and globals of their own.

    a law ──(work, arguments)──> python, PYTHONHASHSEED=a ──outcomes──> the law
          └─(work, arguments)──> python, PYTHONHASHSEED=b ──outcomes──┘

Starting them is what costs; that happens while the law tries its examples, and then all that it wants to know goes in
one batch. Messages are pickles, on pipes of their own: what user code prints or reads is not in the way. When this
process is killed, the watcher of the clusters ends them and removes their directories.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any, NamedTuple

from discolocal.cluster.watcher import watcher
from discolocal.error import DiscoError
from discolocal.jobdata import dumped
from discolocal.testing.clock import put_forward

# Its own standard input and output are taken from user code before anything else happens.
_START = """
import os, pickle, sys
channel = os.fdopen(os.dup(0), "rb")
out = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
sys.path[:] = pickle.load(channel)
from discolocal.testing.fresh import serve
serve(channel, out)
"""
_PATIENCE = 60.0  # seconds until an interpreter that does not answer is killed

Work = Callable[[Callable[[], Any], Any], Any]
"""A function of (load, argument), where `load()` gives (job, jobargs)."""


class Outcome(NamedTuple):
    """What a piece of work gave in another interpreter: its `value`, or the `error` it raised as text."""

    value: Any
    error: str | None = None


class Interpreters:
    """A context manager over fresh interpreters that know a job.

    Parameters: `data` the pickle of (job, jobargs) as `discolocal.jobdata.jobdata` makes it; `seeds` a hash seed for
    each interpreter, none that of this process (default: two, from `seed` if that is not None); `owner` (job, jobargs)
    when classes of their modules may be among the arguments of work. They start when the block is entered and end with
    it.
    """

    def __init__(
        self,
        data: bytes,
        seeds: Sequence[int] | None = None,
        *,
        seed: int | None = None,
        owner: tuple[Any, dict[str, Any]] | None = None,
    ) -> None:
        self.data = data
        self.seeds = hash_seeds(2, seed) if seeds is None else list(seeds)
        self._owner = owner
        self._running: list[_Interpreter] = []
        self._directory = ""

    def __enter__(self) -> Interpreters:
        self._directory = tempfile.mkdtemp(prefix="discolocal-fresh-")
        watcher.add_root(self._directory)
        try:
            for number, seed in enumerate(self.seeds):
                self._running.append(_Interpreter(seed, os.path.join(self._directory, str(number)), self.data))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for interpreter in self._running:
            interpreter.close()
        self._running.clear()
        shutil.rmtree(self._directory, ignore_errors=True)
        watcher.forget_root(self._directory)

    def ask(self, work: Work, arguments: Iterable[Any]) -> list[list[Outcome]]:
        """Return for each interpreter the outcomes of ``work(load, argument)``, in the order of the arguments.

        `work` is a function of a module of this library; `load()` gives it (job, jobargs), each time new ones. Raises
        DiscoError when an interpreter cannot load the job, cannot be asked or dies.
        """
        message = (work, list(arguments))
        if self._owner is None:
            text = dumps(message)
        else:
            text = dumped(*self._owner, dump=lambda _: dumps(message))
        for interpreter in self._running:
            interpreter.send(text)
        return [interpreter.answer() for interpreter in self._running]


class _Interpreter:
    """One fresh interpreter: its process, and the file with what it printed."""

    def __init__(self, seed: int, directory: str, data: bytes) -> None:
        os.mkdir(directory)
        self.seed = seed
        self.printed = tempfile.TemporaryFile()
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        environment["TMPDIR"] = os.path.dirname(directory)  # removed with everything in it when the process was killed
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.printed,
            cwd=directory,
            env=environment,
            start_new_session=True,  # so that the watcher can end it with all that the job's functions have started
        )
        watcher.add_node(self.process.pid)
        self.send([os.path.abspath(path) for path in sys.path])
        # Each has a clock that is wrong by days, and by another time of the day.
        self.send((data, seed % 300 * 86400 + seed % 86399 + 86400))

    def send(self, message: object) -> None:
        """Write a message of plain data. An interpreter that is gone is noticed when its answer is read."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def answer(self) -> list[Outcome]:
        """Read the answer to a message."""
        assert self.process.stdout is not None
        timer = threading.Timer(_PATIENCE, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            cannot_load, answers = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            code = self.process.wait()
            raise DiscoError(
                f"A fresh interpreter with the hash seed {self.seed} ended with the exit code {code} in the job's"
                f" functions. Its last words: {self._last_words() or 'none'}"
            ) from None
        finally:
            timer.cancel()
        if cannot_load:
            raise DiscoError(f"A fresh interpreter cannot load {cannot_load}: {answers}")
        return [Outcome(None if text is None else pickle.loads(text), error) for text, error in answers]

    def _last_words(self) -> str:
        size = self.printed.seek(0, os.SEEK_END)
        self.printed.seek(max(0, size - 500))
        lines = self.printed.read().decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-5:])

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()
        watcher.forget_node(self.process.pid)
        self.printed.close()


def how_many(examples: int | None) -> int:
    """How many interpreters are to be asked about so many examples that a user gave; None: there are plenty.

    One of two words that comes first in a set is the same one under every other hash seed: a single example needs more
    interpreters than many do.
    """
    return 2 if examples is None else min(6, max(2, -(-12 // max(1, examples))))


def hash_seeds(count: int, seed: int | None = None) -> list[int]:
    """Return hash seeds that differ from each other and from this process's, the same each time for a `seed`."""
    own = os.environ.get("PYTHONHASHSEED", "")
    chance = random.Random(seed) if seed is not None else random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        number = chance.randrange(1, 2**32)
        if number not in found and str(number) != own:
            found.append(number)
    return found


def dumps(message: object) -> bytes:
    """The pickle of a message, functions and classes of the user's own by value where they have to be."""
    from io import BytesIO

    from discolocal.worker.travel.pickler import JobPickler

    file = BytesIO()
    JobPickler(file).dump(message)
    return file.getvalue()


def serve(channel: IO[bytes], out: IO[bytes]) -> None:
    """What a fresh interpreter does: load a job's data from `channel`, then do the work that comes on it to its end."""
    data, seconds = pickle.load(channel)
    put_forward(seconds)
    while True:
        try:
            text = pickle.load(channel)
        except EOFError:
            return
        pickle.dump(_answers(data, text), out)
        out.flush()


def _answers(data: bytes, text: bytes) -> tuple[str, Any]:
    def load() -> Any:
        return pickle.loads(data)

    loading = "the job"
    try:
        load()
        loading = "the data for it"
        work, arguments = pickle.loads(text)
    except Exception as error:
        return loading, f"{type(error).__name__}: {error}"
    return "", [_outcome(work, load, argument) for argument in arguments]


def _outcome(work: Work, load: Callable[[], Any], argument: Any) -> tuple[bytes | None, str | None]:
    try:
        return dumps(work(load, argument)), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
