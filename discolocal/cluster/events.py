"""The event log of a job: lines in memory and in the `events` file (reference section 6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from discolocal.wire import event as texts
from discolocal.wire import names

_BATCH = 1000


class EventLog:
    """Appends event lines and gives them back; the file at `path` gets them in batches.

    After `close` the lines are in the file alone, unless it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._written = 0
        self._closed = False
        self._lock = threading.Lock()

    def add(self, host: str, text: str) -> None:
        """Append an event of `host` ("master" or a node) that happens now."""
        line = texts.encode(names.event_time(time.time()), host, text)
        with self._lock:
            self._lines.append(line)
            if self._closed or len(self._lines) - self._written >= _BATCH:
                self._flush()

    def close(self) -> None:
        """Bring the file up to date and keep no lines in memory; the job has ended."""
        with self._lock:
            self._flush()
            if self._written == len(self._lines):
                self._closed = True
                self._lines.clear()
                self._written = 0

    def _flush(self) -> None:
        try:
            with open(self._path, "ab") as out:
                out.writelines(self._lines[self._written :])
        except OSError:
            return  # the job was cleaned, or the disk is full: what is in memory stays there
        self._written = len(self._lines)
        if self._closed:
            self._lines.clear()
            self._written = 0

    def since(self, offset: int = 0) -> Iterator[tuple[int, tuple[str, str, str]]]:
        """Yield (offset after the line, (time, host, text)) of the events from byte `offset` of the log on."""
        with self._lock:
            lines = [*self._file_lines(), *self._lines] if self._closed else list(self._lines)
        position = 0
        for line in lines:
            position += len(line)
            if position > offset:
                found = texts.decode(line)
                yield position, (found.time, found.host, found.text)

    def _file_lines(self) -> list[bytes]:
        try:
            with open(self._path, "rb") as file:
                return file.readlines()
        except OSError:
            return []
