"""Messages that are too long: for the protocol, and for an event."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal.error import DiscoError
from discolocal.job import Job
from discolocal.wire import event, protocol
from discolocal.worker import DirectChannel, PipeChannel
from discolocal.worker.channel import Channel
from tests.worker.harness import Node


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_LENGTH", 1000)


@pytest.fixture(params=["pipe", "direct"])
def channel(request: pytest.FixtureRequest) -> Iterator[tuple[Channel, list[bytes]]]:
    sent: list[bytes] = []
    if request.param == "direct":
        yield DirectChannel(lambda frame: sent.append(frame)), sent  # type: ignore[func-returns-value]
        return
    read, write = os.pipe()
    os.set_blocking(read, False)

    class Recording(list[bytes]):
        def __eq__(self, other: object) -> bool:
            try:
                return [os.read(read, 1 << 16)] == other
            except BlockingIOError:
                return other == []

    yield PipeChannel(read, write), Recording()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("method", ["request", "post", "send"])
def test_a_frame_that_a_master_does_not_read_is_not_sent(
    small: None, channel: tuple[Channel, list[bytes]], method: str
) -> None:
    ours, sent = channel
    with pytest.raises(DiscoError, match=r"A message MSG of 1,\d\d\d bytes is too big"):
        getattr(ours, method)("MSG", "x" * 1000)
    assert sent == []
    ours.send("DONE", "")  # the conversation can go on
    assert sent == [b'DONE 2 ""\n']


def test_the_limit_is_that_of_the_protocol() -> None:
    assert protocol.MAX_LENGTH == 100 << 20


def test_a_message_that_is_too_big_is_fatal_and_says_so(tmp_path: Path) -> None:
    def tells(line: str, params: Any) -> Any:
        from discolocal.worker import current

        current().msg("y" * (101 << 20))  # type: ignore[union-attr]
        return []

    result = Node(tmp_path, Job(map=tells)).map("raw://x")
    assert result.kind == "fatal"
    assert "A message MSG of 105,90" in result.headline and "too big" in result.headline


def printed(tmp_path: Path, text: str) -> str:
    def prints(line: str, params: Any) -> Any:
        print(params)
        return []

    result = Node(tmp_path, Job(map=prints, params=text)).map("raw://x")
    assert result.kind == "done", result.text
    return result.messages[0]


@pytest.mark.parametrize("size", [8000, 8150, 8160, 8170, 8180, 8192, 8200, 10_000, 1_000_000])
def test_a_long_line_fits_an_event_and_says_what_is_missing(tmp_path: Path, size: int) -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(size))
    shown = printed(tmp_path, text)
    line = event.task_event("MSG", "map", 0, shown)
    assert line.endswith(shown)  # nothing is cut off any more
    assert len(line) <= 8192
    if shown != text:
        kept, _dots, note = shown.rpartition("... (")
        assert text.startswith(kept) and len(kept) > 8000
        assert note == f"{size - len(kept):,} characters more)"
    else:
        assert size < 8192


def test_half_characters_in_a_long_line(tmp_path: Path) -> None:
    shown = printed(tmp_path, "\udc80" * 5000 + "end")
    assert shown == "\\udc80" * 5000 + "end" or shown.endswith("characters more)")
    assert len(printed(tmp_path / "2", "\udc80" * 10_000)) < 8192
