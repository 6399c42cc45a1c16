"""Frames and messages of the worker protocol, by the rules of the reference."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from discolocal.wire import protocol
from discolocal.wire.protocol import (
    BadMessage,
    FrameError,
    FrameParser,
    InputError,
    InputRequest,
    Msg,
    OutputReport,
    TaskDone,
    TaskError,
    TaskFatal,
    TaskRequest,
    Throttle,
    WorkerHello,
    decode,
    decode_payload,
    encode,
    encode_reply,
)


def parse(chunks):
    """All frames of the chunks, and what stopped the parser: an error's kind or None; and what was left."""
    parser = FrameParser()
    found = []
    for chunk in chunks:
        parser.feed(chunk)
        try:
            while (frame := parser.next()) is not None:
                found.append(frame)
        except FrameError as error:
            with pytest.raises(FrameError):
                parser.next()
            return found, error.kind, parser.pending
    return found, None, parser.pending


names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=9)
frames = st.lists(st.tuples(names, st.binary(max_size=30)), max_size=6)


def raw_frame(name, body):
    return name.encode() + b" " + str(len(body)).encode() + b" " + body + b"\n"


@given(frames, st.data())
def test_frames_are_found_however_the_bytes_are_chunked(expected, data):
    stream = b"".join(raw_frame(*frame) for frame in expected)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)])]
    assert parse(chunks) == (expected, None, b"")


def test_bytes_may_come_one_at_a_time():
    stream = raw_frame("MSG", b'"x"') + raw_frame("DONE", b'""')
    assert parse(bytes([byte]) for byte in stream) == ([("MSG", b'"x"'), ("DONE", b'""')], None, b"")


@given(frames, st.integers(0, 200))
def test_a_cut_stream_is_incomplete_never_wrong(expected, end):
    stream = b"".join(raw_frame(*frame) for frame in expected)
    found, error, pending = parse([stream[:end]])
    assert error is None
    assert found == expected[: len(found)]
    assert b"".join(raw_frame(*frame) for frame in found) + pending == stream[:end]


@given(st.lists(st.binary(max_size=20), max_size=8))
@example([b"MSG 3 ", b'"x"', b"X"])
@example([b"\nMSG 3 ", b'"x"\n'])
def test_any_bytes_are_frames_or_an_error_and_nothing_is_lost(chunks):
    found, error, pending = parse(chunks)
    assert error in (None, "invalid_type", "invalid_length", "message_too_big", "invalid_body")
    stream = b"".join(chunks)
    if not error:
        eaten = len(stream) - len(pending)
        assert stream[eaten:] == pending
    for name, _body in found:
        assert 1 <= len(name) <= 10


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"HELLOWORLD", "invalid_type"),
        (b"ABCDEFGHIJK 2 ", "invalid_type"),
        (b"Segmentation fault", "invalid_type"),
        (b"MSG abc ", "invalid_length"),
        (b"MSG -1 ", "invalid_length"),
        (b"MSG 1.5 ", "invalid_length"),
        (b"MSG 1_0 ", "invalid_length"),
        (b"MSG 0x10 ", "invalid_length"),
        (b"MSG \xd9\xa1 ", "invalid_length"),
        (b"MSG  2 x", "invalid_length"),
        (b"MSG 12345678901 ", "invalid_length"),
        (b"MSG 1234567890", "invalid_length"),
        (b"hello stdout, this", "invalid_length"),
        (b"MSG 104857601 ", "message_too_big"),
        (b"MSG 999999999 ", "message_too_big"),
        (b'MSG 3 "x"X', "invalid_body"),
        (b'MSG 2 "x"\n', "invalid_body"),
        (b"MSG 0 x", "invalid_body"),
    ],
)
def test_bytes_that_are_no_frame_are_named(data, kind):
    assert parse([data]) == ([], kind, data)
    assert str(FrameError(kind)) == f"Could not parse worker event: {kind}"


@pytest.mark.parametrize(
    "data", [b"", b"M", b"MSG", b"HELLOWORL", b"MSG ", b"MSG 123456789", b"MSG 104857600 ", b"MSG 3 "]
)
def test_bytes_that_may_become_a_frame_are_kept(data):
    assert parse([data]) == ([], None, data)


def test_odd_but_valid_frames():
    assert parse([b'MSG +3 "x"\nABCDEFGHIJ 2 ""\nMSG 0003 "y"\nX 0 \n'])[0] == [
        ("MSG", b'"x"'),
        ("ABCDEFGHIJ", b'""'),
        ("MSG", b'"y"'),
        ("X", b""),
    ]
    (frame,), error, _rest = parse([b'\nMSG 3 "x"\n'])
    assert (frame, error) == (("\nMSG", b'"x"'), None)


def test_what_follows_an_error_stays_pending():
    parser = FrameParser()
    parser.feed(b'MSG 3 "x"\nMSG -1 ')
    assert parser.next() == ("MSG", b'"x"')
    for _ in range(2):
        with pytest.raises(FrameError):
            parser.next()
    parser.feed(b"more")
    assert parser.pending == b"MSG -1 more"


def test_a_worker_writes_json_with_blanks_and_a_master_without():
    assert encode("WORKER", {"version": "1.1", "pid": 7}) == b'WORKER 28 {"version": "1.1", "pid": 7}\n'
    assert encode("TASK") == b'TASK 2 ""\n'
    assert encode("MSG", "é☃") == b'MSG 14 "\\u00e9\\u2603"\n'
    assert encode_reply("INPUT", ["done", [[0, "ok"]]]) == b'INPUT 19 ["done",[[0,"ok"]]]\n'
    assert encode_reply("OK", "\x7f/é") == b'OK 15 "\\u007f/\\u00e9"\n'


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists))
def test_replies_are_json_in_ascii(payload):
    for frame in (encode("NAME", payload), encode_reply("NAME", payload)):
        (found,), error, rest = parse([frame])
        assert (error, rest) == (None, b"")
        assert json.loads(found[1].decode("ascii")) == payload


@pytest.mark.parametrize(
    "name, body, message",
    [
        ("WORKER", '{"version": "1.1", "pid": 5, "more": []}', WorkerHello("1.1", 5)),
        ("TASK", '"anything"', TaskRequest()),
        ("MSG", '"a\\nb"', Msg("a\nb")),
        ("INPUT", '""', InputRequest("all", [])),
        ("INPUT", '["include", [1, 2]]', InputRequest("include", [1, 2])),
        ("INPUT", ' ["exclude",[]] ', InputRequest("exclude", [])),
        ("INPUT_ERR", "[3, [0, 1]]", InputError(3, [0, 1])),
        ("OUTPUT", '[-1, "a/b", 0]', OutputReport(-1, "a/b", 0)),
        ("ERROR", '"e"', TaskError("e")),
        ("FATAL", '"f"', TaskFatal("f")),
        ("DONE", '""', TaskDone()),
    ],
)
def test_messages_are_decoded(name, body, message):
    assert decode(name, body.encode()) == message


@pytest.mark.parametrize(
    "name, body, term",
    [
        ("WORKER", '"1.1"', '{not_object,<<"1.1">>}'),
        ("WORKER", '{"version": 1.1, "pid": 5}', "{not_string,1.1}"),
        ("WORKER", '{"version": "1.1", "pid": "5"}', '{not_integer,<<"5">>}'),
        ("WORKER", '{"version": "1.1", "pid": true}', "{not_integer,true}"),
        ("MSG", "null", "{not_string,null}"),
        ("MSG", '{"a": [1, "b"]}', '{not_string,{struct,[{<<"a">>,[1,<<"b">>]}]}}'),
        ("MSG", "[[]]", "{not_string,[[]]}"),
        ("TASK", "0", "{not_string,0}"),
        ("DONE", "{}", "{not_string,{struct,[]}}"),
        ("INPUT_ERR", '""', "{not_array,<<>>}"),
        ("INPUT_ERR", "[0, 1]", "{not_array,1}"),
        ("INPUT_ERR", "[0, [null]]", "{not_integer,null}"),
        ("OUTPUT", '[0, "a"]', '{incorrect_length,[0,<<"a">>],3}'),
        ("OUTPUT", '[0, "a", true]', "{not_integer,true}"),
        ("OUTPUT", '[0, "a", 1e3]', "{not_integer,1000.0}"),
        ("OUTPUT", "[0, 5, 3]", "{not_string,5}"),
    ],
)
def test_wrong_shapes_are_told_in_the_words_of_the_master(name, body, term):
    with pytest.raises(BadMessage) as raised:
        decode(name, body.encode())
    assert str(raised.value) == f"Invalid message body (type '{name}'): {term}"


@pytest.mark.parametrize(
    "body", ['"x"', "[]", '["include"]', '["include", 1]', '["include", [1.5]]', '["both", [1]]', "[[], []]"]
)
def test_odd_input_requests_are_refused(body):
    with pytest.raises(BadMessage, match="all_options_failed"):
        decode("INPUT", body.encode())


@pytest.mark.parametrize("body", [b"", b"{oops", b"\xff", b'"\xe9"', b"NaN", b'"a" "b"', b"[" * 100_000, b"'a'"])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(BadMessage) as raised:
        decode("MSG", body)
    text = body.decode("utf-8", "surrogateescape")
    assert str(raised.value) == f"Payload is not valid JSON: type 'MSG', body:\n{text}"


@pytest.mark.parametrize("name", ["PING", "msg", "", "\nMSG", "STAT", "WORKER\x00"])
def test_unknown_names_are_refused(name):
    with pytest.raises(BadMessage) as raised:
        decode(name, b'""')
    assert str(raised.value) == f"Unknown message type '{name}', body:\n\"\""


@given(st.sampled_from(sorted(["WORKER", "TASK", "MSG", "INPUT", "INPUT_ERR", "OUTPUT", "DONE"])), st.data())
def test_any_json_is_a_message_or_refused(name, data):
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["pid", "version"]), inner),
        )
    )
    try:
        message = decode(name, json.dumps(value).encode())
    except BadMessage as error:
        assert str(error).startswith(f"Invalid message body (type '{name}'): {{")
    else:
        assert repr(message).startswith(type(message).__name__)


def test_messages_are_compared_by_their_fields():
    assert Msg("a") == Msg("a") != Msg("b")
    assert Msg("a") != TaskError("a")
    assert repr(OutputReport(1, "x", 2)) == "OutputReport(label=1, location='x', size=2)"


def test_a_slow_worker_is_never_throttled():
    throttle = Throttle()
    assert [throttle.push(number * 0.5) for number in range(100)] == [0.0] * 100


def test_a_burst_is_remembered_for_ever():
    throttle = Throttle()
    assert [throttle.push(0.0) for _ in range(6)] == [0.0] * 5 + [0.2]
    assert [throttle.push(3600.0 * hour) for hour in range(1, 50)] == [0.2] * 49


def test_a_message_exactly_a_second_old_counts():
    throttle = Throttle()
    for number in range(9):
        throttle.push(number / 100)
    assert throttle.push(1.0) is None
    throttle = Throttle()
    for number in range(9):
        throttle.push(number / 100)
    assert throttle.push(1.001) == 0.2


def test_the_version_is_that_of_the_reference():
    assert (protocol.VERSION, protocol.MAX_LENGTH) == ("1.1", 104_857_600)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
blanks = st.text(" \t\r\n", max_size=3)


@given(json_values, st.booleans(), blanks, blanks)
def test_payloads_are_what_json_says(value, ascii_only, before, after):
    try:
        body = (before + json.dumps(value, ensure_ascii=ascii_only) + after).encode()
    except UnicodeEncodeError:
        return
    assert decode_payload(body) == json.loads(body) == value


@given(st.text(' \n"\\[]{},:0123456789.-+eEtrufalsnNI\u00e9', max_size=12))
@example("")
@example(" ")
@example("1 2")
@example('"a"x')
@example("[] ]")
@example("{} //")
@example("1\x00")
@example("\u00a01")
@example("01")
@example("NaN")
@example("-Infinity")
@example('"\n"')
@example("[1,]")
def test_any_text_is_a_payload_or_refused_as_json_refuses_it(text):
    try:
        expected = repr(json.loads(text))
    except ValueError as error:
        with pytest.raises(ValueError) as caught:
            decode_payload(text.encode())
        assert (type(caught.value), str(caught.value)) == (type(error), str(error))
    else:
        assert repr(decode_payload(text.encode())) == expected


@pytest.mark.parametrize(
    "body", [b"\xff", b'"\xc3"', '"a"'.encode("utf-16"), '"a"'.encode("utf-8-sig"), b'"\xed\xa0\x80"']
)
def test_payloads_in_another_encoding_are_refused(body):
    with pytest.raises(ValueError):
        decode_payload(body)


HEADS = st.tuples(
    st.binary(min_size=1, max_size=12),
    st.sampled_from(
        [b"", b"0", b"00002", b"+2", b"-2", b"1_0", b"2 ", b"104857600", b"104857601", b"9999999999", b"12345678901"]
    )
    | st.integers(0, 12).map(lambda number: b"%d" % number),
)


@given(HEADS, st.binary(max_size=14), st.booleans())
def test_heads_are_found_by_the_first_blank_after_the_first_byte(head, rest, newline):
    """An oracle that looks byte by byte: a name of up to ten bytes, a length of up to ten."""
    data = b"%s %s %s" % (*head, rest) + b"\n" * newline
    name_end = data.find(b" ", 1)
    length_end = data.find(b" ", name_end + 2)
    digits = data[name_end + 1 : length_end] if length_end >= 0 else data[name_end + 1 :]
    if name_end > 10:
        expected = "invalid_type"
    elif length_end < 0:
        expected = "invalid_length" if len(digits) >= 10 else None
    elif len(digits) > 10 or not digits[digits[:1] in (b"+", b"-") :].isdigit() or int(digits) < 0:
        expected = "invalid_length"
    elif int(digits) > protocol.MAX_LENGTH:
        expected = "message_too_big"
    else:
        end = length_end + 1 + int(digits)
        if len(data) <= end:
            expected = None
        elif data[end : end + 1] != b"\n":
            expected = "invalid_body"
        else:
            parser = FrameParser()
            parser.feed(data)
            assert parser.next() == (data[:name_end].decode("latin-1"), data[length_end + 1 : end])
            assert parser.pending == data[end + 1 :]
            return
    found, kind, pending = parse([data])
    assert (found, kind, pending) == ([], expected, data)
