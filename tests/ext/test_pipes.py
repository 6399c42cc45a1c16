"""The C library at its pipes: answers come in time, signals lose nothing, and what fails is told."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ext.wire import SOME, Done, error, lists, pairs


def test_each_pair_is_answered_before_the_next_one_has_to_be_sent(checked: Path) -> None:
    with start(checked, "echo") as (process, send, receive):
        send(b"0\n")
        for key, value in [*SOME, *((b"%d" % n, b"x" * n) for n in range(300))]:
            expected = lists((key, value))
            send(pairs((key, value)))
            assert receive(len(expected)) == expected
    assert process.returncode == 0


def test_answers_come_when_the_next_pair_is_there_in_part(checked: Path) -> None:
    one, other = pairs((b"one", b"1")), pairs((b"two", b"2"))
    for cut in range(1, len(other)):
        with start(checked, "echo") as (_process, send, receive):
            send(b"0\n" + one + other[:cut])
            assert receive(len(one) + 4) == lists((b"one", b"1"))
            send(other[cut:])
            assert receive(len(other) + 4) == lists((b"two", b"2"))


class start:
    """The driver as a process that is spoken with; in the end its input is closed and it must end well."""

    def __init__(self, build: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(build / "driver"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._watchdog = threading.Timer(60, self._process.kill)

    def __enter__(self) -> tuple[subprocess.Popen[bytes], Callable[[bytes], None], Callable[[int], bytes]]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        self._watchdog.start()
        fd_in, fd_out = process.stdin.fileno(), process.stdout.fileno()

        def send(data: bytes) -> None:
            while data:
                data = data[os.write(fd_in, data) :]

        def receive(size: int) -> bytes:
            data = b""
            while len(data) < size and (more := os.read(fd_out, size - len(data))):
                data += more
            return data

        return process, send, receive

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            assert self._process.stdout.read() == b""
        finally:
            self._process.stdout.close()
            self._process.wait()
            self._watchdog.cancel()


def test_signals_that_interrupt_reads_and_writes_lose_nothing(checked: Path) -> None:
    """A signal comes every half millisecond; pauses make the program wait for its input and for its reader."""
    entries = [(b"%d" % n, bytes([n % 251]) * (n % 7000)) for n in range(600)]
    data, expected = pairs(*entries), lists(*entries)
    with start(checked, "disturbed") as (_process, send, receive):
        few = pairs(*SOME)
        send(b"0\n")
        for cut in (1, 4, 7, 8, 9, 10, 11, 15, 16, len(few) - 1):
            send(few[:cut])
            time.sleep(0.005)
            send(few[cut:])
            assert receive(len(lists(*SOME))) == lists(*SOME)
        sender = threading.Thread(target=send, args=[data])
        sender.start()
        assert with_pauses(receive, len(expected)) == expected
        sender.join()


def with_pauses(receive: Callable[[int], bytes], size: int) -> bytes:
    """Read so slowly that the program has to wait."""
    got = b""
    while len(got) < size:
        time.sleep(0.005)
        more = receive(min(200_000, size - len(got)))
        assert more, "the program has ended"
        got += more
    return got


def test_signals_while_much_is_written_lose_nothing(checked: Path) -> None:
    expected = lists((b"key", bytes(range(100)))) * 20_000
    with start(checked, "flood") as (_process, send, receive):
        send(b"0\n" + pairs((b"key", bytes(range(100)))))
        assert with_pauses(receive, len(expected)) == expected


def ended(checked: Path, stdout: int, ignore: bool, data: bytes) -> tuple[int, str]:
    """Run the echo driver with an output that cannot be written."""
    done = subprocess.run(
        [str(checked / "driver"), "echo"],
        input=data,
        stdout=stdout,
        stderr=subprocess.PIPE,
        restore_signals=not ignore,  # Python itself ignores SIGPIPE
        timeout=60,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("size", [1, 100_000])
def test_output_that_cannot_be_written_is_an_error(checked: Path, size: int) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        code, text = ended(checked, full.fileno(), False, b"0\n" + pairs((b"key", b"x" * size)))
    assert (code, text) == (1, "**<ERR> cannot write standard output: No space left on device\n")


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_reader_that_is_gone_ends_the_program(checked: Path, size: int) -> None:
    for ignore, expected in [(True, (1, "**<ERR> cannot write standard output: Broken pipe\n")), (False, (-13, ""))]:
        end, start = os.pipe()
        os.close(end)
        try:
            assert ended(checked, start, ignore, b"0\n" + pairs((b"key", b"x" * size))) == expected
        finally:
            os.close(start)
    assert signal.SIGPIPE == 13


def test_an_input_that_cannot_be_read_is_an_error(checked: Path, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)  # reading a directory fails
    try:
        done = subprocess.run([str(checked / "driver"), "echo"], stdin=fd, capture_output=True, timeout=60)
    finally:
        os.close(fd)
    assert error(Done(done.returncode, done.stdout, done.stderr.decode().splitlines())) == (
        "cannot read standard input: Is a directory"
    )
