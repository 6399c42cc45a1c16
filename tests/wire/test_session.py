"""Every recorded dialogue is replayed: the same replies, the same events, the same end."""

import json
import re

import pytest

from discolocal.wire.protocol import (
    BadMessage,
    FrameError,
    FrameParser,
    InputError,
    InputRequest,
    Msg,
    OutputReport,
    TaskDone,
    TaskRequest,
    WorkerHello,
)
from discolocal.wire.session import (
    FLOOD,
    NOT_EXITED,
    OK,
    STUCK,
    End,
    Session,
    TaskInput,
    is_local,
    last_words,
    verdict,
)

# Recordings of what happens outside the conversation itself, and what is checked instead.
ONLY_BY_CLOCK = {"no_hello_timeout"}


def recordings(folder):
    """(case, attempt number, worker's record, the case's record), for every worker process that was recorded."""
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        for number, worker in enumerate(record["workers"]):
            yield path.stem, number, worker, record


def frames(text):
    parser = FrameParser()
    parser.feed(text)
    found = []
    while (frame := parser.next()) is not None:
        found.append((frame[0], json.loads(frame[1])))
    assert not parser.pending
    return found


def first_inputs(replies):
    """The task's inputs as the recorded replies show them: the first list of each id, put in order of replica."""
    inputs = {}
    for name, payload in replies:
        if name == "INPUT":
            for number, _status, label, replicas in payload[1]:
                if number not in inputs and replicas:
                    inputs[number] = TaskInput(label, [url for _rid, url in sorted(replicas)])
    return [inputs[number] for number in range(len(inputs))]


def replay(chunks, replies):
    """Feed a worker's (seconds, bytes) to a session; returns (bytes answered, events, end, session)."""
    task = next((payload for name, payload in replies if name == "TASK"), {})
    session = Session(task, first_inputs(replies))
    parser = FrameParser()
    chunks = iter(chunks)
    answered, events, now = b"", [], 0.0
    while True:
        try:
            while (frame := parser.next()) is None:
                arrived, data = next(chunks)
                parser.feed(data)
                now = max(now, arrived)
        except (FrameError, StopIteration) as error:
            if isinstance(error, FrameError):
                events += session.refuse(error).events
            unparsed = parser.pending + b"".join(data for _arrived, data in chunks)
            reply = verdict(0, unparsed)
            return answered, events + reply.events, reply.end, session
        reply = session.receive(*frame, now)
        now += reply.delay
        answered += reply.data or b""
        events += reply.events
        if reply.end:
            return answered, events, reply.end, session


def squeeze(text):
    return re.sub(r"\s+", "", text)


def task_events(record, worker_task, attempt):
    """(type, text, host) of the recorded events of a task's attempt."""
    head = re.compile(rf"([A-Z]+): \[{worker_task}\] (.*)", re.DOTALL)
    attempts = [[]]
    for line in filter(None, record["rawevents"]):
        _time, host, text = json.loads(line)
        if text.startswith(f"Task {worker_task} failed"):
            attempts.append([])
        elif found := head.fullmatch(text):
            attempts[-1].append((found[1], found[2], host))
    return attempts[attempt]


def test_real_workers_get_the_recorded_replies_byte_for_byte(golden):
    count = 0
    for path in sorted((golden / "protocol_real_worker").glob("*.worker_to_master.bin")):
        recorded = path.with_name(path.name.replace("worker_to_master", "master_to_worker")).read_bytes()
        answered, _events, end, session = replay([(0.0, path.read_bytes())], frames(recorded))
        assert answered == recorded, path.name
        expected = {"fatal_user_exception": "fatal", "error_dataerror_then_ok.0": "error"}
        expected |= {"input_all_replicas_fail": "error", "msg_flood_print": "fatal"}
        kinds = [kind for case, kind in expected.items() if path.name.startswith(case)]
        assert end.kind == (kinds or ["done"])[0], path.name
        assert isinstance(session.pid, int)
        count += 1
    assert count > 30


def test_real_workers_cause_the_recorded_events(golden):
    for case, number, worker, record in recordings(golden / "protocol_real_worker"):
        files = golden / "protocol_real_worker" / worker["files"]
        recorded = files.with_name(files.name + ".master_to_worker.bin").read_bytes()
        said = files.with_name(files.name + ".worker_to_master.bin").read_bytes()
        replies = frames(recorded)
        task = dict(replies)["TASK"]
        _answered, events, end, _session = replay([(0.0, said)], replies)
        attempt = number if case == "input_all_replicas_fail" or (case.startswith("error_") and number < 2) else 0
        seen = task_events(record, f"{task['stage']}:{task['taskid']}", attempt)
        texts = [(kind, text) for kind, text, host in seen if host != "master" and kind != "DONE"]
        assert [event for event in events if event[0] != "DONE"] == texts, case
        if end.kind != "done":
            final = [(kind, text) for kind, text, host in seen if host == "master"]
            kind = {"error": "WARNING", "fatal": "FATAL"}[end.kind]
            # a long text is cut in the event only
            assert final[-1][0] == kind and end.text.startswith(final[-1][1].removesuffix("...")), case


def sent(worker):
    """What a scripted worker said, as (seconds, bytes)."""
    return [(when, text.encode("latin-1")) for when, what, text in worker["timeline"] if what in ("W>M", "stdout")]


@pytest.mark.parametrize("folder", ["protocol_scripted", "protocol_groupings"])
def test_scripted_workers_get_the_recorded_replies(golden, folder):
    count = 0
    for case, number, worker, _record in recordings(golden / folder):
        if case in ONLY_BY_CLOCK or not worker.get("master_to_worker"):
            continue
        recorded = worker["master_to_worker"].encode("latin-1")
        answered, _events, _end, _session = replay(sent(worker), frames(recorded))
        if "more" in worker["master_to_worker"]:
            continue  # a concurrent stage: see its own test
        assert answered.startswith(recorded), (case, number)
        # the pipe broke before the last delayed replies could be recorded in a flood
        assert answered == recorded or case.startswith("flood"), (case, number)
        count += 1
    assert count > 40


def test_scripted_workers_end_as_recorded(golden):
    for case, number, worker, record in recordings(golden / "protocol_scripted"):
        if case in ONLY_BY_CLOCK | {"msg_unicode"}:
            continue
        replies = frames(worker["master_to_worker"].encode("latin-1"))
        task = "map:0"
        _answered, events, end, session = replay(sent(worker), replies)
        try:
            seen = task_events(record, task, number)
        except IndexError:
            continue  # the recording was stopped before this attempt ended
        if not any(host == "master" for _kind, _text, host in seen):
            continue
        ours = [squeeze(text) for kind, text in events if kind not in ("DONE", "MSG")]
        theirs = [squeeze(text) for kind, text, host in seen if host != "master" and kind not in ("DONE", "MSG")]
        pid_unknown = squeeze("PID unknown: worker could not be killed")
        assert (session.pid is None) >= (pid_unknown in theirs), case
        theirs = [text for text in theirs if text != pid_unknown]
        exits = [text for text in theirs if text.startswith("Workercrashed!")]
        ours = [text for text in ours if not text.startswith("Workercrashed!")]
        clocks = [squeeze(STUCK), squeeze(NOT_EXITED)]
        assert ours == [text for text in theirs if text not in clocks + exits], case
        final = [(kind, text) for kind, text, host in seen if host == "master" and kind != "SYS"]
        if end.kind == "done":
            assert not final, case
        else:
            kind = {"error": "WARNING", "fatal": "FATAL"}[end.kind]
            assert [(kind, end.text)] == final, case


def test_outputs_are_kept_in_the_order_of_reporting(golden):
    worker = json.loads((golden / "protocol_scripted" / "happy.json").read_text())["workers"][0]
    _answered, _events, _end, session = replay(sent(worker), frames(worker["master_to_worker"].encode()))
    assert session.outputs == [(0, "out/a", 6), (0, "http://localhost:9/remote", 5), (1, "out/b", 2)]
    assert [is_local(location) for _label, location, _size in session.outputs] == [True, False, True]


def make(inputs=(), **options):
    return Session({"taskid": 0}, [TaskInput(0, urls) for urls in inputs], **options)


def test_replicas_that_failed_last_come_last():
    session = make([["a", "b", "c"]])
    assert session.handle(InputError(0, [0]), 1.0).data == b'RETRY 21 [[1,"b"],[2,"c"]]\n'.replace(b"21", b"17")
    session.handle(InputError(0, [1]), 1.0)
    reply = session.handle(InputRequest("all", []), 2.0)
    assert json.loads(reply.data.split(b" ", 2)[2]) == ["done", [[0, "ok", 0, [[2, "c"], [0, "a"], [1, "b"]]]]]
    assert session.handle(InputError(0, [0, 1, 2]), 3.0).data == b'FAIL 2 ""\n'


@pytest.mark.parametrize("number", [-1, 1, 10**30])
def test_unknown_inputs_have_no_replicas(number):
    reply = make([["a"]]).handle(InputRequest("include", [number]), 0.0)
    assert json.loads(reply.data.split(b" ", 2)[2]) == ["done", [[number, "ok", 0, []]]]
    assert make([["a"]]).handle(InputError(number, [0]), 0.0).data == b'FAIL 2 ""\n'


def test_a_concurrent_stage_answers_when_inputs_arrive():
    session = make([["a"]], complete=False)
    assert session.handle(InputRequest("exclude", []), 0.0).data == b'INPUT 31 ["more",[[0,"ok",0,[[0,"a"]]]]]\n'
    assert session.extend([TaskInput(0, ["z"])]) is None
    waiting = session.handle(InputRequest("exclude", [0, 1]), 0.0)
    assert waiting.data is None and waiting.end is None
    reply = session.extend([TaskInput(3, ["b"])])
    assert reply.data == b'INPUT 31 ["more",[[2,"ok",3,[[0,"b"]]]]]\n'
    session.handle(InputRequest("exclude", [0, 1, 2]), 0.0)
    assert session.extend([], complete=True).data == b'INPUT 11 ["done",[]]\n'


def test_ten_messages_in_a_second_are_fatal():
    session = make()
    now, delays = 0.0, []
    for number in range(9):
        reply = session.handle(Msg(str(number)), now)
        assert reply.data == OK and reply.delay == session.delay
        delays.append(reply.delay)
        now += reply.delay
    assert delays == [0.0] * 5 + [0.2] * 4
    reply = session.handle(Msg("tenth"), now)
    assert reply.data is None
    assert reply.events == [("MSG", "tenth"), ("WARNING", FLOOD)]
    assert reply.end == End("fatal", "Worker died without output")


def test_a_lenient_session_only_remembers_the_flood():
    session = make(throttle_fatal=False)
    replies = [session.handle(Msg("x"), 0.0) for _ in range(9)]
    assert not session.throttled
    replies += [session.handle(Msg("x"), 0.0) for _ in range(100)]
    assert session.throttled
    assert {(reply.data, reply.delay, reply.end) for reply in replies} == {(OK, 0.0, None)}


def test_the_done_event_tells_the_time_since_the_first_message():
    session = make()
    session.handle(WorkerHello("1.1", 7), 10.0)
    reply = session.handle(TaskDone(), 13.5)
    assert (reply.data, reply.events) == (None, [("DONE", "Task finished in 0:00:03.500")])
    reply = make(started=1.0).handle(TaskDone(), 4000.0)
    assert reply.events == [("DONE", "Task finished in 1:06:39.000")]


def test_other_versions_are_refused_with_the_words_of_the_master():
    reply = make().handle(WorkerHello("1.0", 1), 0.0)
    assert reply.events == [("WARNING", 'Invalid worker version: <<"1.0">>')]
    assert reply.end.kind == "fatal"


def test_the_task_reply_is_the_task():
    assert make().handle(TaskRequest(), 0.0).data == b'TASK 12 {"taskid":0}\n'


@pytest.mark.parametrize("location", ["/etc/passwd", "/"])
def test_absolute_outputs_are_errors(location):
    session = make()
    reply = session.handle(OutputReport(0, location, 1), 0.0)
    assert reply.end.kind == "error" and reply.end.text.startswith("{invalid_output,<<47")
    assert session.outputs == []


@pytest.mark.parametrize(
    "location, local",
    [
        ("a/b", True),
        ("4c/map:0-x/map", True),
        ("../x", True),
        ("http://h/x", False),
        ("//h/x", False),
        ("tag:x", False),
    ],
)
def test_urls_are_told_from_files(location, local):
    assert is_local(location) is local


def test_bad_messages_are_fatal_with_a_warning():
    reply = make().receive("PING", b'""', 0.0)
    assert reply.events == [("WARNING", "Unknown message type 'PING', body:\n\"\"")]
    assert reply.end == End("fatal", "Worker died without output")
    reply = make().refuse(BadMessage("x"), b"more")
    assert reply.end == End("fatal", "Worker died. Last words:\nmore")


@pytest.mark.parametrize("code, shown", [(0, 0), (3, 3), (-9, 137), (-11, 139)])
def test_exit_codes_are_shown_as_a_shell_shows_them(code, shown):
    reply = verdict(code, b"")
    assert reply.events == [("WARNING", f"Worker crashed! (exit code: {shown})")]
    assert reply.end == End("error", "Worker died without output")


def test_a_worker_stopped_by_the_clock_has_no_exit_code():
    reply = verdict(None, b'MSG 10 "abc', STUCK)
    assert reply.events == [("WARNING", STUCK)]
    assert reply.end == End("error", 'Worker died. Last words:\nMSG 10 "abc')


def test_last_words_are_cut():
    assert last_words(b"x" * 102_397) == "Worker died. Last words:\n" + "x" * 102_397
    assert last_words(b"x" * 102_398) == "Worker died. Last words:\n" + "x" * 102_397 + "..."
    assert last_words(b"\xff") == "Worker died. Last words:\n\udcff"


def test_dialogues_of_the_test_data_are_replayed(data_file):
    for case in json.loads(data_file("dialogues.json").read_text()):
        session = Session(case["task"], [TaskInput(label, urls) for label, urls in case["inputs"]])
        parser = FrameParser()
        parser.feed(case["worker"].encode())
        answered, events, end = b"", [], None
        while end is None:
            try:
                frame = parser.next()
            except FrameError as error:
                events += session.refuse(error).events
                frame = None
            reply = session.receive(*frame, 5.0) if frame else verdict(0, parser.pending)
            answered += reply.data or b""
            events += reply.events
            end = reply.end
        assert answered.decode() == case["master"], case["name"]
        assert [list(event) for event in events] == case["events"], case["name"]
        assert [end.kind, end.text] == case["end"], case["name"]


def test_the_recorded_concurrent_stage_is_replayed(golden):
    record = json.loads((golden / "protocol_groupings" / "concurrent.json").read_text())
    worker = record["workers"][-1]
    recorded = worker["master_to_worker"].encode()
    replies = frames(recorded)
    inputs = first_inputs(replies)
    assert len(inputs) == 4
    session = Session(dict(replies)["TASK"], inputs[:3], complete=False)
    parser = FrameParser()
    parser.feed(b"".join(data for _when, data in sent(worker)))
    answered, end = b"", None
    while (frame := parser.next()) is not None:
        reply = session.receive(*frame, 0.0)
        answered += reply.data or b""
        end = reply.end
        if frame == ("INPUT", b'["exclude", [0, 1, 2]]'):
            assert reply.data is None
            answered += session.extend(inputs[3:]).data  # the fourth map task ends,
            assert session.extend([], complete=True) is None  # and with it the stage
    assert answered == recorded
    assert end == End("done")
