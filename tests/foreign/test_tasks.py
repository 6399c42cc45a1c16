"""Single tasks of workers in several languages: what they say, and what they make of odd replies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from discolocal.wire.protocol import FrameParser
from discolocal.wire.session import Session, TaskInput
from tests.foreign.conversation import WORKERS, Conversation, records


def test_replies_that_come_in_single_bytes(worker: Path, tmp_path: Path) -> None:
    ended = Conversation(worker, tmp_path / "home").run(TaskInput(0, ["raw://b caf\u00e9 \U0001f600 b"]), pieces=1)
    assert ended == ("done", "", {0: records({b"b": 2, "caf\u00e9".encode(): 1, "\U0001f600".encode(): 1})})


def test_the_conversation_of_a_task(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home", 3)
    kind, text, outputs = one.run(TaskInput(0, ["raw://a b c"]))
    assert (kind, text, sorted(outputs)) == ("done", "", [0, 1, 2])
    assert [name for name, _ in one.asked] == ["WORKER", "TASK", "INPUT", *["OUTPUT"] * 3, "MSG", "DONE"]
    assert one.asked[0][1]["version"] == "1.1" and isinstance(one.asked[0][1]["pid"], int)
    # ord("a") is 97: in partition 97 % 3
    assert [outputs[label] for label in (1, 2, 0)] == [records({word: 1}) for word in (b"a", b"b", b"c")]


def test_nothing_is_written_without_words(worker: Path, tmp_path: Path) -> None:
    assert Conversation(worker, tmp_path / "home").run(TaskInput(0, ["raw://"])) == ("done", "", {})
    assert Conversation(worker, tmp_path / "home").run() == ("done", "", {})


def test_it_asks_again_while_there_may_be_more(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [TaskInput(0, ["raw://a"]), TaskInput(0, ["raw://b"])], complete=False)
    ended = None
    for name, body in one.messages():
        reply = session.receive(name, body, 0.0)
        data = reply.data
        if reply.end is not None:
            ended = reply.end.kind
            one.close()
            break
        if data is None:  # it waits for inputs that are to come
            answer = session.extend([TaskInput(0, ["raw://c a"])], complete=True)
            assert answer is not None
            data = answer.data
        assert data is not None
        one.send(data)
    assert ended == "done"
    asked = [payload for name, payload in one.asked if name == "INPUT"]
    assert asked == [["exclude", []], ["exclude", [0, 1]]]
    assert (one.home / session.outputs[0][1]).read_bytes() == records({b"a": 2, b"b": 1, b"c": 1})


def test_the_master_is_told_of_every_url_that_fails(worker: Path, tmp_path: Path) -> None:
    one = Conversation(worker, tmp_path / "home")
    inputs = [TaskInput(0, ["raw://fine"]), TaskInput(0, ["/no/a", "gopher://b", "/no/c"])]
    kind, text, outputs = one.run(*inputs)
    assert (kind, outputs) == ("error", {})
    assert text.startswith("input 1 cannot be read: /no/a (") and "gopher://b (" in text and "/no/c (" in text
    told = [payload for name, payload in one.asked if name == "INPUT_ERR"]
    assert told == [[1, [0]], [1, [0, 1]], [1, [0, 1, 2]]]


def frame(name: str, body: str) -> bytes:
    return f"{name} {len(body)} {body}\n".encode()


HELLO = frame("OK", '"ok"')


@pytest.mark.parametrize(
    "replies",
    [
        [frame("FAIL", '""')],
        [frame("OK", "oops")],
        [b'OK 3 "ok"\n'],
        [b'OK four "ok"\n'],
        [HELLO, frame("TASK", '""')],
        [HELLO, frame("TASK", '{"stage": "map"}')],
        [HELLO, frame("TASK", '{"stage": ')],
        [HELLO, HELLO],
        [HELLO, None, frame("INPUT", '"no"')],
        [HELLO, None, frame("INPUT", '["maybe", []]')],
        [HELLO, None, frame("INPUT", '["done", [[]')],
        [HELLO, None, frame("RETRY", "[]")],
    ],
    ids=lambda replies: repr(replies[-1]),
)
def test_replies_without_meaning_end_the_job(worker: Path, tmp_path: Path, replies: list[bytes | None]) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [])
    todo = list(replies)
    for name, body in one.messages():
        if name in ("FATAL", "ERROR"):
            break
        data = todo.pop(0)
        one.send(session.receive(name, body, 0.0).data or b"" if data is None else data)
    assert one.asked[-1][0] == "FATAL" and one.asked[-1][1]
    assert one.close() == 1
    assert len(one.asked) == len(replies) + 1


def test_an_unknown_stage_ends_the_job(worker: Path, tmp_path: Path) -> None:
    kind, text, _outputs = Conversation(worker, tmp_path / "home", stage="mapp").run(TaskInput(0, ["raw://a"]))
    assert (kind, text) == ("fatal", "this worker has the stages map and reduce, not mapp")


@pytest.mark.parametrize("replies", [0, 1, 2])
def test_it_ends_when_the_master_is_gone(worker: Path, tmp_path: Path, replies: int) -> None:
    one = Conversation(worker, tmp_path / "home")
    session = Session(one.task, [TaskInput(0, ["raw://a"])])
    for name, body in one.messages():
        if replies == 0:
            break
        replies -= 1
        one.send(session.receive(name, body, 0.0).data or b"")
    assert one.close() != 0


def test_a_directory_that_cannot_be_written_is_an_error(worker: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "wordcount").mkdir()
    (home / "wordcount" / "map-7-0").mkdir()  # in the way of the output
    (home / "wordcount" / "map-7-0" / "file").touch()
    kind, text, outputs = Conversation(worker, home).run(TaskInput(0, ["raw://a"]))
    assert kind == "error" and outputs == {}, text


def test_the_worker_in_python_needs_nothing_else() -> None:
    source = (WORKERS / "wordcount.py").read_text()
    assert source.startswith("#!/usr/bin/env python3\n")
    checked = subprocess.run(
        [sys.executable, "-I", "-S", str(WORKERS / "wordcount.py")], stdin=subprocess.DEVNULL, capture_output=True
    )
    parser = FrameParser()
    parser.feed(checked.stderr)
    first = parser.next()
    assert first is not None and first[0] == "WORKER" and parser.pending == b"" and checked.returncode == 1
