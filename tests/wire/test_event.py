"""Event lines: the recorded ones there and back, their sentences, their limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.wire import event
from discolocal.wire.event import Event


def recorded_lines(golden):
    for path in sorted(golden.glob("protocol_*/*.json")):
        for line in json.loads(path.read_text())["rawevents"]:
            if line:
                yield path.stem, line


def test_recorded_lines_are_written_byte_for_byte(golden):
    count = 0
    for case, line in recorded_lines(golden):
        found = event.decode(line)
        assert event.encode(*found) == line.encode("ascii") + b"\n", case
        count += 1
    assert count > 500


def test_recorded_long_texts_are_cut_in_the_same_place(golden):
    record = json.loads((golden / "protocol_scripted" / "msg_long.json").read_text())
    texts = [event.decode(line).text for line in record["rawevents"] if "MSG" in line]
    sent = [text for _when, what, text in record["workers"][0]["timeline"] if what == "W>M" and text.startswith("MSG")]
    bodies = [json.loads(text.split(" ", 2)[2]) for text in sent]
    assert [event.task_event("MSG", "map", 0, body) for body in bodies] == texts
    assert len(bodies) == 2


def test_recorded_binary_text_is_shown_as_bytes(golden):
    record = json.loads((golden / "protocol_scripted" / "msg_unicode.json").read_text())
    (shown,) = [event.decode(line).text for line in record["rawevents"] if "Binary" in line]
    raw = bytes.fromhex(shown.split(": ", 2)[2].replace("\\x", ""))
    with pytest.raises(UnicodeDecodeError):
        raw.decode("utf-8")
    for text in (raw, raw.decode("utf-8", "surrogateescape")):
        assert event.decode(event.encode("t", "master", text)).text == shown


def test_recorded_sentences_are_ours(golden):
    ours = {
        "New job": event.NEW_JOB,
        "Created": event.created("gold_error_retry@703:3c023:d941"),
        "Stage map sch": event.stage_scheduled("map", 1),
        "map:0 ass": event.assigned("map", 0, "localhost"),
        "WARNING": event.task_event("WARNING", "map", 0, "first attempt: simulated transient error"),
        "Task map:0": event.retry("map", 0, "localhost", 1, 14.9),
        "DONE": event.task_event("DONE", "map", 0, event.task_finished(0.064)),
        "SYS": event.task_event("SYS", "map", 0, event.received("localhost")),
        "Stage map fin": event.stage_finished("map", 14.548),
        "READY": event.job_done(14.5499),
    }
    record = json.loads((golden / "protocol_scripted" / "error_retry.json").read_text())
    for line in filter(None, record["rawevents"]):
        text = event.decode(line).text
        (expected,) = [sentence for start, sentence in ours.items() if text.startswith(start)]
        assert text == expected
    record = json.loads((golden / "protocol_scripted" / "fatal.json").read_text())
    texts = [event.decode(line).text for line in record["rawevents"] if line]
    assert event.JOB_KILLED in texts
    assert event.task_event("FATAL", "map", 0, "simulated fatal: cannot go on") in texts


def test_the_last_failure_is_told_as_recorded(golden):
    text = (golden / "retries" / "retries_and_limits.json").read_text()
    assert event.task_event("ERROR", "map", 0, event.gave_up("map", 0, 3, 2)) in text


def test_messages_of_the_real_library_are_status(golden):
    seen = set()
    for path in sorted((golden / "protocol_real_worker").glob("*.json")):
        for line in json.loads(path.read_text())["rawevents"]:
            text = event.decode(line).text if line else ""
            if text.startswith("MSG: "):
                body = text.split("] ", 1)[1]
                seen.add(event.is_status(body))
                if not body.startswith(("a message from print", "msg ")):  # what the recorded jobs printed
                    assert event.is_status(body), body
    assert seen == {True, False}


@pytest.mark.parametrize(
    "text",
    [
        "12 entries mapped",
        "Done: 0 entries reduced",
        "Downloaded 1.5 KB OK",
        "Sorting a/b/sort.dl...",
        "Shuffled 0 inputs into 0 label(s)",
    ],
)
def test_status_texts(text):
    assert event.is_status(text)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "Done", "x entries mapped", "Done: 3 entries mapped\nmore", "Sorting things", "Downloading the web"],
)
def test_prints_of_users_are_no_status(text):
    assert not event.is_status(text)


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0:00:00.000"), (-1, "0:00:00.000"), (0.2259, "0:00:00.225"), (61.5, "0:01:01.500"), (90061, "25:01:01.000")],
)
def test_durations(seconds, text):
    assert event.duration(seconds) == text


@given(st.text(max_size=100), st.text(max_size=100) | st.text(st.characters(codec=None)))
def test_any_text_makes_one_line(host, text):
    try:
        host.encode()
    except UnicodeEncodeError:
        return
    line = event.encode("2026/11/21 07:23:15", host, text)
    assert line.endswith(b"]\n") and line.count(b"\n") == 1
    line.decode("ascii")
    found = event.decode(line)
    assert (found.time, found.host) == ("2026/11/21 07:23:15", host)
    try:
        text.encode()
    except UnicodeEncodeError:
        assert found.text.startswith("WARNING: Binary message data: \\x")
    else:
        assert found.text == text


@pytest.mark.parametrize("line", ["", "x", "[]", '["a","b"]', '["a","b",3]', '{"a":1}', '["a","b","c","d"]'])
def test_other_lines_are_no_events(line):
    with pytest.raises(ValueError):
        event.decode(line)


def test_a_file_is_read_up_to_the_first_line_that_is_none():
    lines = event.encode("t", "h", "é").decode() + event.encode("t", "h", "two").decode()
    found = list(event.decode_all(lines + "half a li" + lines))
    assert [entry for _length, entry in found] == [Event("t", "h", "é"), Event("t", "h", "two")]
    assert sum(length for length, _entry in found) == len(lines)


def test_texts_are_cut_in_time():
    assert event.cut("x" * 8189) == "x" * 8189
    assert event.cut("x" * 8190) == "x" * 8189 + "..."
    assert event.cut("abcdef", 5) == "ab..."
    assert len(event.task_event("WARNING", "map_shuffle", 12, "x" * 9000)) == 8185


def test_portability_messages_come_back():
    text = event.portability("sort-text-keys", "a\ntext: with [brackets]")
    assert text == "PortabilityWarning [sort-text-keys]: a\ntext: with [brackets]"
    assert event.parse_portability(text) == ("sort-text-keys", "a\ntext: with [brackets]")
    for other in ("hello", "PortabilityWarning", "x " + text, "PortabilityWarning [a b]: x"):
        assert event.parse_portability(other) is None
    assert not event.is_status(text)
