"""The event log of a job: lines in memory and in the `events` file (reference section 6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from discolocal.wire import event as texts
from discolocal.wire import names

_BATCH = 1000


class EventLog:
    """Appends event lines and gives them back; the file at `path` gets them in batches."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._written = 0
        self._lock = threading.Lock()

    def add(self, host: str, text: str) -> None:
        """Append an event of `host` ("master" or a node) that happens now."""
        line = texts.encode(names.event_time(time.time()), host, text)
        with self._lock:
            self._lines.append(line)
            if len(self._lines) - self._written >= _BATCH:
                self._flush()

    def flush(self) -> None:
        """Bring the file up to date."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        try:
            with open(self._path, "ab") as out:
                out.writelines(self._lines[self._written :])
        except FileNotFoundError:
            return  # the job was cleaned meanwhile: nobody can ask for its events any more
        self._written = len(self._lines)

    def since(self, offset: int = 0) -> Iterator[tuple[int, tuple[str, str, str]]]:
        """Yield (offset after the line, (time, host, text)) of the events from byte `offset` of the log on."""
        with self._lock:
            lines = list(self._lines)
        position = 0
        for line in lines:
            position += len(line)
            if position > offset:
                found = texts.decode(line)
                yield position, (found.time, found.host, found.text)
